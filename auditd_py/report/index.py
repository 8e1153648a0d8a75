"""Columns of archived logs, kept beside them: a report reads these in place of the log.

An archive does not change. What report/scan.py reads from it is written once, as a Parquet file
in the folder `.idx` beside it, and counted by DuckDB from then on. The first and the last part of
a log are kept as they are: their events may have records in the file before or after.

A file of an index says of which log it is: size, time of change, inode, and the first bytes. If
anything differs, or the file cannot be read, there is no index. Files are put in place whole.
Needs duckdb and pyarrow; without them there is no index, and everything is read from the logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from auditd_py.report.columns import Columns
from auditd_py.report.packed import COMPOSITE, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb

    from auditd_py.search.reader import LogFile

VERSION: Final = 1  # of the files; another one is made anew
FOLDER: Final = ".idx"
PERIOD_S: Final = 900  # all time zones are so many seconds apart from one another, or a multiple

_FIRST: Final = 4096  # bytes that are compared
_MOST_MADE: Final = 1 << 30  # bytes that an index file may have
_GLOB: Final = re.compile(r"[*?\[\]]")  # what DuckDB takes for a pattern in a path

NUMBERS: Final = frozenset({"auid", "pid", "syscall", "arch", "uid", "session"})


def path_of(file: LogFile) -> str:
    """Return where the index of a log is; it moves with the log when that is renamed."""
    device, inode = file.identity
    return os.path.join(os.path.dirname(file.path), FOLDER, f"{device:x}-{inode}.parquet")


class DamagedError(Exception):
    """An index cannot be read after all."""


@dataclass(slots=True)
class Index:
    """The index of one log.

    `head` and `tail` are the parts of the log that it leaves out. `malformed` counts lines with no
    record in what it has.
    """

    path: str
    head: bytes
    tail: bytes
    malformed: int
    events: int
    first: bytes | None  # stamps
    last: bytes | None


def grouped(
    indexes: list[Index],
    columns: Iterable[str],
    start: int | None,
    end: int | None,
    *,
    by_time: bool,
) -> list[tuple[Columns, list[int]]]:
    """Return the different events of each index, as far as `columns` go, and how many of each.

    In the order in which the first of each was over. Seconds from `start` to `end` count; with
    `by_time` events are the same only if they are of the same PERIOD_S, whose beginning is their
    stamp. Raises DamagedError.
    """
    names = sorted({"node", *columns})
    paths = [index.path for index in indexes]
    try:
        rows = _query(names, paths, start, end, by_time=by_time)
        return [_columns(names, rows.get(path, [])) for path in paths]
    except (_error(), ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from error


def _query(
    names: list[str], paths: list[str], start: int | None, end: int | None, *, by_time: bool
) -> dict[str, list[tuple[Any, ...]]]:
    period = f"second // {PERIOD_S} * {PERIOD_S}" if by_time else "0"
    rows = _connection().execute(
        f"SELECT filename, {', '.join(names)}, {period} AS period, count(*), "  # noqa: S608
        "min(file_row_number) AS place "
        "FROM read_parquet(?, file_row_number = true, filename = true) "
        "WHERE second >= ? AND second <= ? "
        f"GROUP BY filename, {', '.join(names)}, period ORDER BY place",
        [paths, -1 if start is None else start, 1 << 62 if end is None else end],
    ).fetchall()  # fmt: skip
    found: dict[str, list[tuple[Any, ...]]] = {}
    for path, *row in rows:
        found.setdefault(path, []).append(tuple(row))
    return found


def _columns(names: list[str], rows: list[tuple[Any, ...]]) -> tuple[Columns, list[int]]:
    found = Columns()
    if not rows:
        return found, []
    *values, periods, counts, _ = zip(*rows, strict=True)
    for name, column in zip(names, values, strict=True):
        setattr(found, name, _read_column(name, column))
    found.stamp = [b"%d.000:0" % second for second in periods]
    return found, list(counts)


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    import duckdb  # it takes as long to load as a short report

    return duckdb.connect()


def _error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def find(file: LogFile, timeout_s: int) -> Index | None:
    """Return the index of a log if there is one and it is of this log as it is now."""
    path = path_of(file)
    if not _is_ours(path) or _GLOB.search(path):
        return None
    try:
        rows = _connection().execute(
            "SELECT key, value FROM parquet_kv_metadata(?)", [path]
        ).fetchall()  # fmt: skip
        said = {bytes(key): bytes(value) for key, value in rows}
        about = json.loads(said[b"auditd_py"])
        if about["version"] != VERSION or about["log"] != identity_of(file):
            return None
        if about["timeout"] != timeout_s:
            return None
        edges = zlib.decompress(said[b"auditd_py.edges"])
        first, last = (stamp and stamp.encode("ascii") for stamp in about["range"])
        return Index(path, edges[: about["head"]], edges[about["head"] :], about["malformed"],
                     about["events"], first, last)  # fmt: skip
    except (_error(), OSError, LookupError, TypeError, ValueError, zlib.error):
        return None


def _read_column(name: str, values: tuple[Any, ...]) -> list[Any]:
    read: Callable[[bytes], Any] = unpack if name in COMPOSITE else bytes
    if name in NUMBERS or name == "success":
        return list(values)
    return [None if value is None else read(value) for value in values]


def identity_of(file: LogFile) -> list[int | str]:
    """Return what tells a log from any other, and from what it was before."""
    status = os.fstat(file.descriptor)
    first = hashlib.sha256(os.pread(file.descriptor, _FIRST, 0)).hexdigest()
    return [status.st_size, status.st_mtime_ns, status.st_ino, first]


def _is_ours(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid in {0, os.geteuid()}
        and not status.st_mode & 0o022
        and status.st_size < _MOST_MADE
    )
