"""What the kernel says: records, their fields, their log lines."""
