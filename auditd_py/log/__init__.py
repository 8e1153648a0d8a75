"""Decisions about the log file, without touching it."""
