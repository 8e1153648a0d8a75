"""The daemon: sockets, threads and the event loop around the core."""
