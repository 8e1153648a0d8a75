"""Commands: arguments and exit codes, no logic."""
