"""Makes indexes of logs (index.py): Parquet files, in place whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
import zlib
from typing import IO, TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditd_py.report.blocks import blocks, cut
from auditd_py.report.columns import NAMES
from auditd_py.report.index import FOLDER, NUMBERS, VERSION, identity_of, path_of
from auditd_py.report.packed import COMPOSITE, pack
from auditd_py.report.scan import ALL, Scanner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.report.columns import Columns, Value
    from auditd_py.search.reader import LogFile

_EDGE: Final = 256 << 10  # bytes at the beginning and the end in which events of two files may be
_LEFT_S: Final = 3600  # age at which an unfinished index is nobody's
_ROWS: Final = 100_000  # events in one group of rows
_BLOCK: Final = 8 << 20  # bytes of a log, a group of rows too: of more groups reading takes longer

_KINDS: Final = {"second": pa.int64(), "success": pa.bool_()} | dict.fromkeys(NUMBERS, pa.int64())
_SCHEMA: Final = pa.schema(
    (name, _KINDS.get(name, pa.binary()))
    for name in ("second", *(name for name in NAMES if name != "stamp"))
)


def make(file: LogFile, chunks: Iterable[bytes], timeout_s: int) -> None:
    """Write the index of a log, whose text `chunks` give, cut anywhere. Raises OSError."""
    folder = os.path.dirname(path_of(file))
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise OSError(20, os.strerror(20), folder)
    identity = identity_of(file)
    descriptor, temporary = tempfile.mkstemp(".new", "", folder)
    try:
        with open(descriptor, "wb") as target:
            _write(target, _Parts(chunks), identity, timeout_s)
        if identity_of(file) == identity:
            os.rename(temporary, path_of(file))
            temporary = ""
    finally:
        if temporary:
            os.unlink(temporary)


def forget(folder: str) -> None:
    """Remove what is left of logs that are gone. Raises OSError."""
    there = set()
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                there.add(f"{status.st_dev:x}-{status.st_ino}.parquet")
    place = os.path.join(folder, FOLDER)
    for name in os.listdir(place):
        path = os.path.join(place, name)
        left = name.endswith(".new") and os.lstat(path).st_mtime < time.time() - _LEFT_S
        if left or (name.endswith(".parquet") and name not in there):
            os.unlink(path)


class _Parts:
    """The text of a log: head, what is indexed, tail; the last is known at the end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.head = self.tail = b""
        self._chunks = iter(chunks)

    def middle(self) -> Iterator[bytes]:
        held = b""
        for chunk in self._chunks:
            held += chunk
            if len(held) >= _EDGE:
                break
        place = cut(held)
        self.head, held = held[:place], held[place:]
        for chunk in self._chunks:
            held += chunk
            if len(held) > 2 * _EDGE:
                yield held[:-_EDGE]
                held = held[-_EDGE:]
        place = cut(held)
        yield held[:place]
        self.tail = held[place:]


def _write(target: IO[bytes], parts: _Parts, identity: list[int | str], timeout_s: int) -> None:
    scanner = Scanner(ALL, timeout_s)
    events, first, last = 0, b"", b""
    with pq.ParquetWriter(target, _SCHEMA, compression="zstd", write_statistics=["second"]) as out:
        for block in blocks(parts.middle(), _BLOCK):
            columns = scanner.columns(block)
            if columns.stamp:
                first, last = first or columns.stamp[0], columns.stamp[-1]
                events += len(columns)
                out.write_table(_table(columns), row_group_size=_ROWS)
        about = {
            "version": VERSION, "log": identity, "timeout": timeout_s, "events": events, "malformed": scanner.malformed,
            "range": [first.decode("ascii") or None, last.decode("ascii") or None],
            "head": len(parts.head),
        }  # fmt: skip
        edges = zlib.compress(parts.head + parts.tail, 1)
        out.add_key_value_metadata({b"auditd_py": json.dumps(about), b"auditd_py.edges": edges})


def _table(columns: Columns) -> pa.Table:
    seconds = [int(stamp.partition(b".")[0]) for stamp in columns.stamp]
    arrays = [pa.array(seconds, pa.int64())]
    for name in _SCHEMA.names[1:]:
        values = columns.column(name)
        if name in COMPOSITE:
            packed: dict[Value, bytes] = {value: pack(value) for value in set(values)}
            values = [packed[value] for value in values]
        arrays.append(pa.array(values, _SCHEMA.field(name).type))
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)
