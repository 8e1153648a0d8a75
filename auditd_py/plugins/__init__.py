"""Programs that the daemon starts and feeds; each reads the public protocol and nothing else."""
