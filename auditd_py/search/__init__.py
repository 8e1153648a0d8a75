"""Finding events: what is asked for, and what matches."""
