"""Constants of the audit interface; generated, see tools/gen_tables.py."""
