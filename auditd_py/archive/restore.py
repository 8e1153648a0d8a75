"""Writes logs back from an archive, byte for byte."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditd_py.archive.commits import load
from auditd_py.archive.place import ArchiveError
from auditd_py.archive.rows import numbered
from auditd_py.report.packed import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.archive.commits import Log, State
    from auditd_py.archive.place import Place

_MODE: Final = 0o600
_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class Restored:
    """A log that was written, and whether it is as it was; if not, the archive is damaged."""

    path: str
    size: int
    same: bool


def restore(place: Place, folder: str) -> Iterator[Restored]:
    """Write all logs of an archive into a folder, which has none of their names yet.

    Raises ArchiveError.
    """
    with place.reading():
        yield from _restore(place, folder)


def _restore(place: Place, folder: str) -> Iterator[Restored]:
    try:
        state = load(place)
        if not state.number:
            raise ArchiveError(f"{place.root}: there is no archive")
        os.makedirs(folder, 0o700, exist_ok=True)
        wanted = names(state)
        writers: dict[str, _Writer] = {}
        for run in state.runs:
            lines = _Lines(place, state, run)
            for log in state.runs[run]:
                name, last = wanted[run, log.first]
                if name != os.path.basename(name) or name in ("", ".", ".."):
                    raise ArchiveError(f"{place.root}: {name!r} is no name of a log")
                if name not in writers:
                    writers[name] = _Writer(os.path.join(folder, name))
                writers[name].write(log, lines)
                if last:
                    yield writers.pop(name).close(log.digest)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArchiveError(f"{place.root}: {error}") from error


def chains(state: State) -> list[list[tuple[str, Log]]]:
    """Return the pieces of each log, with their runs, in order."""
    found: list[list[tuple[str, Log]]] = []
    for run in state.runs:
        for log in state.runs[run]:
            for chain in found:
                before = chain[-1][1]
                if log.start and log.start == before.end and _alike(log, before):
                    chain.append((run, log))
                    break
            else:
                found.append([(run, log)])
    return found


def names(state: State) -> dict[tuple[str, int], tuple[str, bool]]:
    """Return the file that each piece goes to, and whether it is the last of it.

    A piece is known by its run and its first line. The newest of several logs of one name has it;
    the others have their run behind it.
    """
    found: dict[tuple[str, int], tuple[str, bool]] = {}
    taken: set[str] = set()
    for chain in reversed(chains(state)):
        run, last = chain[-1]
        name = last.name
        if name in taken:
            name = f"{last.name}.{run}-{last.first}"
        taken.add(name)
        for place, (piece_run, piece) in enumerate(chain):
            found[piece_run, piece.first] = (name, place == len(chain) - 1)
    return found


def _alike(log: Log, before: Log) -> bool:
    # a log that was shorter than its head is known by what there was of it
    return log.head == before.head or before.head_size < log.head_size


class _Lines:
    """The lines of a run, by their numbers; those wait that stand between others."""

    def __init__(self, place: Place, state: State, run: str) -> None:
        self._place, self._run = place, run
        self._waiting: dict[int, bytes] = {}
        paths = [place.readable(file.name) for file in state.files.values() if run in file.runs]
        groups = [group for path in paths for group in self._groups(path, "lines")]
        if run in state.rests:
            groups += self._groups(place.readable(state.rests[run]), "text")
        self._left = sorted(groups, reverse=True)

    def take(self, number: int) -> bytes | None:
        """Return a line; None if the archive lacks it."""
        while number not in self._waiting and self._left and self._left[-1][0] <= number:
            self._read(*self._left.pop()[1:])
        return self._waiting.pop(number, None)

    def _groups(self, path: str, column: str) -> Iterator[tuple[int, str, int, str]]:
        """Give the groups of rows of a file, each with the lowest number of a line in it."""
        metadata = pq.read_metadata(path, filesystem=self._place.filesystem)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = map(group.column, range(group.num_columns))
            line = next(one for one in columns if one.path_in_schema == "line")
            yield line.statistics.min, path, number, column

    def _read(self, path: str, group: int, column: str) -> None:
        with pq.ParquetFile(path, filesystem=self._place.filesystem) as file:
            if column == "text":
                rows = file.read_row_group(group)
                numbers, texts = rows["line"].to_pylist(), rows["text"].to_pylist()
                self._waiting.update(zip(numbers, texts, strict=True))
                return
            rows = file.read_row_group(group, columns=["run", "line", "gaps", "lines"])
        rows = rows.filter(pc.equal(rows["run"], self._run))
        for batch in rows.to_batches(max_chunksize=_BATCH):
            columns = (batch.column(name).to_pylist() for name in ("line", "gaps", "lines"))
            for line, gaps, texts in zip(*columns, strict=True):
                found = numbered(line, [*unpack(gaps)] if gaps else [], texts)
                self._waiting.update(found)


class _Writer:
    """Writes the pieces of one log."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._size = 0
        self._digest = hashlib.sha256()
        self._file = open(  # noqa: SIM115  closed by `close`
            os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, _MODE), "wb"
        )

    def write(self, log: Log, lines: _Lines) -> None:
        """Write one piece."""
        for number in range(log.first, log.first + log.lines):
            text = lines.take(number)
            if text is None:
                continue  # the digest will tell
            if log.ended or number < log.first + log.lines - 1:
                text += b"\n"
            self._digest.update(text)
            self._size += self._file.write(text)

    def close(self, digest: str) -> Restored:
        """Force it to disk, and say what it was."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        same = self._digest.hexdigest() == digest
        return Restored(self.path, self._size, same)
