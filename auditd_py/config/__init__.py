"""Settings files as typed values."""
