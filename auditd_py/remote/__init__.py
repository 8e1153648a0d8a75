"""Between hosts: the protocol of both ends, without sockets."""
