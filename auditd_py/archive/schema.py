"""The columns of an archive: one row an event. docs/archive.md explains them.

What reports count by has exactly the values of report/columns.py; where those are lists or pairs
they are packed into bytes (report/packed.py), and stand beside as lists for whoever else reads.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

VERSION: Final = 1
METADATA: Final = b"auditd_py.archive"  # key of what a file says of itself, as JSON

COMPOSITE: Final = frozenset({"types", "keys", "files", "accesses"})

_int, _bytes = pa.int64(), pa.binary()
SCHEMA: Final = pa.schema([
    pa.field("order", _int, nullable=False),  # rises with each event of a log
    pa.field("time", pa.timestamp("ms", "UTC"), nullable=False),
    pa.field("day", pa.date32(), nullable=False),  # in UTC
    pa.field("second", _int, nullable=False),
    pa.field("milli", pa.int32(), nullable=False),
    pa.field("serial", _int, nullable=False),
    ("boot", _int),
    ("node", _bytes),
    # as report/columns.py has them
    ("type", _bytes), ("types", _bytes), ("success", pa.bool_()), ("auid", _int),
    ("auid_name", _bytes), ("pid", _int), ("syscall", _int), ("arch", _int), ("exe", _bytes),
    ("comm", _bytes), ("terminal", _bytes), ("host", _bytes), ("acct", _bytes), ("uid", _int),
    ("session", _int), ("keys", _bytes), ("files", _bytes), ("accesses", _bytes), ("data", _bytes),
    # for other readers
    ("record_types", pa.list_(pa.string())), ("key", pa.list_(pa.string())),
    ("paths", pa.list_(pa.string())), ("argv", pa.list_(pa.string())),
    ("addresses", pa.list_(pa.string())), ("exit", _int), ("ppid", _int), ("task_uid", _int),
    ("euid", _int),
    # what the log is written back from
    pa.field("run", pa.string(), nullable=False),
    pa.field("line", _int, nullable=False),
    ("gaps", _bytes),
    pa.field("lines", _bytes, nullable=False),
])  # fmt: skip

# lines that are of no event
REST: Final = pa.schema([
    pa.field("line", _int, nullable=False), pa.field("text", _bytes, nullable=False),
])  # fmt: skip

RISING: Final = ("order", "time", "second", "serial", "line")  # stored as differences
UNIQUE: Final = ("lines", "milli")
