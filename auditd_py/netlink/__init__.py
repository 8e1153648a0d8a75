"""What crosses the kernel's audit socket."""
