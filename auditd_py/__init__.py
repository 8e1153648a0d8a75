"""auditd_py: the Linux audit userspace in Python."""

__version__ = "0.1.0"
