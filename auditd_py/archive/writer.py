"""Writes logs into an archive: each event once, however often it is asked to."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditd_py.archive.commits import REST, Commit, Log, commit, file_name, load, new_run, recover
from auditd_py.archive.known import Known
from auditd_py.archive.parts import Parts, folder_of
from auditd_py.archive.place import ArchiveError
from auditd_py.archive.rows import Rows, lines_of
from auditd_py.record.memory import collecting_rarely
from auditd_py.report.blocks import blocks
from auditd_py.search import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.archive.commits import State
    from auditd_py.archive.place import Place
    from auditd_py.search.reader import LogFile

_HEAD: Final = 4096  # bytes by which a log is known again


@dataclass(slots=True)
class Written:
    """What a run has done: `known` events were in the archive before."""

    events: int = 0
    known: int = 0
    read: int = 0  # bytes of logs
    stored: int = 0  # bytes of files that were made


def archive(
    place: Place, files: list[LogFile], timeout_s: int, on_problem: Callable[[str], None]
) -> Written:
    """Write what an archive does not have yet of some logs, in one commit. Raises ArchiveError."""
    try:
        with place.lock(), collecting_rarely():
            state = load(place)
            recover(place, state)
            return _Run(place, state, timeout_s, on_problem).write(files)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{place.root}: {error}") from error


class _Run:
    def __init__(
        self, place: Place, state: State, timeout_s: int, on_problem: Callable[[str], None]
    ) -> None:
        self._place, self._state, self._on_problem = place, state, on_problem
        self._name = new_run()
        self._rows = Rows(self._name, timeout_s)
        self._known = Known(place, state)
        self._logs: list[Log] = []
        self._done = Written()

    def write(self, files: list[LogFile]) -> Written:
        """Write what is new, and commit it."""
        parts = Parts(self._place, self._name)
        rest: list[pa.Table] = []
        try:
            for block in blocks(self._text(files)):
                tables, others = self._rows.block(block)
                for partition, table in tables.items():
                    folder = folder_of(partition)
                    new, known = self._known.split(folder, table)
                    self._done.known += len(known)
                    self._done.events += len(new)
                    parts.add(folder, new)
                    rest.append(lines_of(known))
                if len(others):
                    rest.append(others)
            change = Commit(add=parts.close())
            if any(map(len, rest)):
                change.rests[self._name] = self._write_rest(rest)
        except BaseException:
            parts.abandon()
            raise
        if self._logs:
            change.runs[self._name] = self._logs
            commit(self._place, self._state, change)
        self._done.stored = parts.stored
        return self._done

    def _text(self, files: list[LogFile]) -> Iterator[bytes]:
        for file in files:
            yield from self._text_of(file)
            file.close()

    def _text_of(self, file: LogFile) -> Iterator[bytes]:
        """Give what is new of a log; note where its lines are."""
        head = reader.beginning(file)[:_HEAD]
        start, digest = self._archived(file, head)
        lines, size, last = 0, 0, b""
        for chunk in reader.bytes_of(file, self._on_problem, start):
            digest.update(chunk)
            lines += chunk.count(b"\n")
            size += len(chunk)
            last = chunk[-1:]
            yield chunk
        if not size:
            return
        ended = last == b"\n"
        if not ended:
            lines += 1
            yield b"\n"
        self._done.read += size
        first = self._logs[-1].first + self._logs[-1].lines if self._logs else 0
        self._logs.append(
            Log(
                os.path.basename(file.path), first, lines, start, size, digest.hexdigest(),
                hashlib.sha256(head).hexdigest(), len(head), ended,
            )
        )  # fmt: skip

    def _archived(self, file: LogFile, head: bytes) -> tuple[int, Any]:
        """Return how many of a log's first bytes are in the archive, and their digest so far."""
        logs = [log for run in (*self._state.runs.values(), self._logs) for log in run]
        for log in sorted(logs, key=lambda log: -log.end):
            short = head[: log.head_size]
            if not head or hashlib.sha256(short).hexdigest() != log.head:
                continue
            digest, left = hashlib.sha256(), log.end
            for chunk in reader.bytes_of(file, self._on_problem):
                digest.update(chunk[:left])
                left -= min(left, len(chunk))
                if not left:
                    break
            if not left and digest.hexdigest() == log.digest:
                return log.end, digest
        return 0, hashlib.sha256()

    def _write_rest(self, rest: list[pa.Table]) -> str:
        name = file_name(REST, self._name, 0)
        with self._place.prepare(name) as target:
            pq.write_table(pa.concat_tables(rest), target, compression="zstd")
        self._place.finish(name)
        return name
