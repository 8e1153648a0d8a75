"""What goes to plugins: frames and queues, without any I/O."""
