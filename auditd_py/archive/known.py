"""Finds events that an archive has already, where logs overlap."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from auditd_py.archive.commits import State
    from auditd_py.archive.place import Place

_KEY: Final = ("second", "milli", "serial")


class Known:
    """The events of the files that were there when a run began."""

    def __init__(self, place: Place, state: State) -> None:
        self._place = place
        self._files = list(state.files.values())
        self._keys = lru_cache(maxsize=4)(self._read_keys)

    def split(self, folder: str, table: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the rows whose events a partition's files lack, and those that they have."""
        none = table.slice(0, 0)
        if not self._files:
            return table, none
        low, high = (pc.min_max(table["second"])[which].as_py() for which in ("min", "max"))
        found = [
            file.name
            for file in self._files
            if file.name.startswith(f"{folder}/") and file.first <= high and file.last >= low
        ]
        if not found:
            return table, none
        known = [self._keys(name) for name in found]
        rows = zip(
            *(table[name].to_pylist() for name in _KEY), table["lines"].to_pylist(), strict=True
        )
        new = pa.array([not any(_has(keys, row) for keys in known) for row in rows])
        return table.filter(new), table.filter(pc.invert(new))

    def _read_keys(self, name: str) -> dict[tuple[int, ...], Any]:
        """Return the hashes of the lines of a file's events."""
        table = pq.read_table(
            self._place.readable(name), columns=[*_KEY, "lines"], filesystem=self._place.filesystem
        )
        found: dict[tuple[int, ...], set[int]] = {}
        for batch in table.to_batches(max_chunksize=16_384):
            *keys, lines = (batch.column(n).to_pylist() for n in range(4))
            for key, text in zip(zip(*keys, strict=True), lines, strict=True):
                found.setdefault(key, set()).update(map(hash, text.split(b"\n")))
        return found


def _has(keys: dict[tuple[int, ...], Any], row: tuple[Any, ...]) -> bool:
    *key, lines = row
    known = keys.get(tuple(key))
    return known is not None and known.issuperset(map(hash, lines.split(b"\n")))
