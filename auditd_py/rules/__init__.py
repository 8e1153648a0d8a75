"""Rules: text, value, wire."""
