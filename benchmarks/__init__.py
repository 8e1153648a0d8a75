"""Side by side with the C daemon on this machine's kernel: `python -m benchmarks`, as root.

What is measured and what is wanted of it: rows. What runs: programs (floor.c, load.c and the two
daemons). One at a time on the kernel's audit slot: tests.slot. How it is timed: measure. What is said
about it: report.
"""
