"""Makes one file of several small ones of a node and a day."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditd_py.archive.commits import Commit, commit, load, new_run, recover
from auditd_py.archive.parts import Parts
from auditd_py.archive.place import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.archive.commits import DataFile, State
    from auditd_py.archive.place import Place

_SMALL: Final = 128 << 20  # bytes: a file that has more stays as it is


def compact(place: Place) -> tuple[int, int]:
    """Join small files; return how many there were and how many they became.

    Each partition is a commit of its own. Raises ArchiveError.
    """
    try:
        with place.lock():
            state = load(place)
            recover(place, state)
            before = after = 0
            for folder, files in _small(place, state):
                parts = Parts(place, new_run())
                try:
                    for file in files:
                        for table in _tables(place, file.name):
                            parts.add(folder, table)
                    made = parts.close()
                except BaseException:
                    parts.abandon()
                    raise
                commit(place, state, Commit(add=made, remove=[file.name for file in files]))
                before += len(files)
                after += len(made)
            return before, after
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{place.root}: {error}") from error


def _small(place: Place, state: State) -> list[tuple[str, list[DataFile]]]:
    """Return folders with several small files, which are in the order of their events."""

    def folder(file: DataFile) -> str:
        return os.path.dirname(file.name)

    files = sorted(state.files.values(), key=lambda file: (folder(file), file.first, file.name))
    found = []
    for name, group in groupby(files, folder):
        small = [file for file in group if _size(place, file.name) <= _SMALL]
        if len(small) > 1:
            found.append((name, small))
    return found


def _size(place: Place, name: str) -> int:
    size: int | None = place.filesystem.get_file_info(place.readable(name)).size
    return size or 0


def _tables(place: Place, name: str) -> Iterator[pa.Table]:
    with pq.ParquetFile(place.readable(name), filesystem=place.filesystem) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
