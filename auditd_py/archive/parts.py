"""The files of events that a run makes, one or more for each node and day."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_from_bytes

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditd_py.archive.commits import DataFile, file_name
from auditd_py.archive.rows import day_name
from auditd_py.archive.schema import METADATA, RISING, SCHEMA, UNIQUE, VERSION

if TYPE_CHECKING:
    from auditd_py.archive.place import Place
    from auditd_py.archive.rows import Partition

NO_NODE: Final = "__HIVE_DEFAULT_PARTITION__"  # as Hive, Spark and DuckDB write it

_ROWS: Final = 61_440  # events in one group of rows
_GROUP: Final = 64 << 20  # bytes in memory that are written as one, however few events they are
_FILE: Final = 256 << 20  # bytes of a file
_OPEN: Final = 32  # files that are written at a time
_LEVEL: Final = 6  # of zstd

_DICTIONARIES: Final = [
    field.name + (".list.element" if pa.types.is_list(field.type) else "")
    for field in SCHEMA
    if field.name not in RISING + UNIQUE
]


def folder_of(partition: Partition) -> str:
    """Return the folder of a node and a day."""
    node, day = partition
    name = NO_NODE if node is None else quote_from_bytes(node, safe="")
    return f"node={name}/day={day_name(day)}"


class Parts:
    """The files of one run, those that are finished and those that are not."""

    def __init__(self, place: Place, run: str) -> None:
        self.stored = 0
        self._place, self._run = place, run
        self._count = 0
        self._open: dict[str, _Part] = {}
        self._done: list[DataFile] = []

    def add(self, folder: str, table: pa.Table) -> None:
        """Take rows of a partition."""
        if not len(table):
            return
        part = self._open.pop(folder, None)
        if part is None:
            if len(self._open) == _OPEN:
                self._finish(next(iter(self._open)))
            part = _Part(self._place, file_name(folder, self._run, self._count))
            self._count += 1
        self._open[folder] = part  # the one that was used last is the last
        part.add(table)
        if part.size > _FILE:
            self._finish(folder)

    def close(self) -> list[DataFile]:
        """Finish all files; return what is to be committed."""
        for folder in list(self._open):
            self._finish(folder)
        return self._done

    def abandon(self) -> None:
        """Remove all files."""
        for part in self._open.values():
            with contextlib.suppress(OSError, pa.ArrowException):
                part.close()
        for name in [part.name for part in self._open.values()] + [one.name for one in self._done]:
            self._place.remove(name)

    def _finish(self, folder: str) -> None:
        part = self._open[folder]
        part.close()
        self._place.finish(part.name)
        self.stored += part.size
        self._done.append(
            DataFile(part.name, part.first, part.last, part.events, sorted(part.runs))
        )
        del self._open[folder]


class _Part:
    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.events = 0
        self.first, self.last = 1 << 62, 0
        self.runs: set[str] = set()
        self._size = 0
        self._target: Any = place.prepare(name)
        self._waiting: list[pa.Table] = []
        self._writer = pq.ParquetWriter(
            self._target, SCHEMA, compression="zstd", compression_level=_LEVEL,
            use_dictionary=_DICTIONARIES, dictionary_pagesize_limit=16 << 20,
            column_encoding=dict.fromkeys(RISING, "DELTA_BINARY_PACKED"),
            write_statistics=["order", "time", "second", "serial", "line"],
        )  # fmt: skip

    @property
    def size(self) -> int:
        if not self._target.closed:
            self._size = self._target.tell()
        return self._size

    def add(self, table: pa.Table) -> None:
        self.events += len(table)
        span = pc.min_max(table["second"])
        self.first = min(self.first, span["min"].as_py())
        self.last = max(self.last, span["max"].as_py())
        self.runs.update(pc.unique(table["run"]).to_pylist())
        self._waiting.append(table)
        if (
            sum(map(len, self._waiting)) >= _ROWS
            or sum(one.nbytes for one in self._waiting) > _GROUP
        ):
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        about = {"version": VERSION, "events": self.events, "first": self.first, "last": self.last}
        self._writer.add_key_value_metadata({METADATA: json.dumps(about)})
        self._writer.close()
        self._size = self.size
        self._target.close()

    def _write(self) -> None:
        self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting.clear()
