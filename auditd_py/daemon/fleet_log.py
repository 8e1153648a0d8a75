"""What the messages of a stream become in the log: checked, cut up by log, written, flushed.

HOT: benchmark fleet.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py.config.words import Flush, NodeCheckWord
from auditd_py.daemon.fleet_bucket import place_of
from auditd_py.daemon.positions import Origin
from auditd_py.errors import WireError
from auditd_py.remote.fleet import node_of_subject
from auditd_py.remote.node import folder_name, node_of
from auditd_py.remote.stream import record_sum
from auditd_py.tables.record_types import type_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.positions import Stream
    from auditd_py.remote.fleet import Run
    from auditd_py.remote.stream import Position

MOST_REJECTED: Final = 64  # files
_RETRY_S: Final = 0.5

log = structlog.get_logger()


@dataclass(slots=True)
class FleetCounters:
    """What came of the stream.

    `duplicates` are records that were known; `settled` claims of an earlier time of this
    collector; `lost` nodes that others took; `vanished` records that were claimed and are no
    longer in the stream; `gaps` places where numbers are missing.
    """

    messages: int = 0
    records: int = 0
    bytes: int = 0
    duplicates: int = 0
    redelivered: int = 0
    rejected: int = 0
    misnamed: int = 0
    gaps: int = 0
    settled: int = 0
    vanished: int = 0
    taken: int = 0
    given: int = 0
    lost: int = 0
    reconnects: int = 0


@dataclass(slots=True)
class Chunk:
    """Lines that go to one log: the records from number `first` on of what `slot` names."""

    slot: bytes
    first: int
    count: int
    lines: bytes
    folder: str


class FleetLog:
    """The log, as nodes of a stream write to it; `tell` says what is wrong."""

    def __init__(
        self,
        config: DaemonConfig,
        log_file: LogFile,
        dispatcher: Dispatcher,
        writes: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self.config = config
        self.counters = FleetCounters()
        self._log_file = log_file
        self._dispatcher = dispatcher
        self._writes = writes
        self._tell = tell
        self._room = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None

    def resume(self) -> None:
        """Go on after the log was full."""
        self._room.set()

    async def position(self, slot: bytes, first: int) -> tuple[Stream, Position] | None:
        """As LogFile.position."""
        return await self._log_file.position(slot, first)

    async def write(self, chunk: Chunk, stream: Stream | None) -> Stream | None:
        """Write the lines of a chunk that are not in the log; return the stream they are in.

        `stream` if its next record is known to be the chunk's first one. Waits while the log takes
        nothing.
        """
        first, last, lines = chunk.first, chunk.first + chunk.count - 1, chunk.lines
        while True:
            if stream is None:
                at = await self.position(chunk.slot, first)
                if at is not None:
                    stream, known = at[0], at[1].last
                    skipped = min(known, last) - first + 1
                    if skipped > 0:
                        lines, first = after(lines, skipped), first + skipped
                        self.counters.duplicates += skipped
            if first > last:
                return stream
            await self._until_taken()
            origin = None
            if stream is not None:
                origin = Origin(stream, record_sum(lines[lines.rfind(b"\n", 0, -1) + 1 : -1]))
            written = await self._append(lines, last - first + 1, origin, chunk.folder)
            first += written
            if first > last:
                return stream
            lines, stream = after(lines, written), None
            await asyncio.sleep(_RETRY_S)

    async def _until_taken(self) -> None:
        while self._log_file.full:
            self._room.clear()
            if self._log_file.full:  # what frees it may have come before
                await self._room.wait()
        while self._log_file.suspended or self._log_file.failed or not self._writes():
            self._tell("records of the stream wait: the log is not written")
            await asyncio.sleep(_RETRY_S)

    async def _append(self, lines: bytes, records: int, origin: Origin | None, folder: str) -> int:
        """Write lines; return how many of them are in the log, the first ones."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def end(written: int) -> None:
            if not done.done():
                done.set_result(written)

        self._log_file.append(lines, records, end, origin, folder)
        written = await done
        self.counters.records += written
        self.counters.bytes += len(lines)
        if self.config.distribute_network and self._dispatcher.active and written:
            whole = (
                lines if written == records else lines[: len(lines) - len(after(lines, written))]
            )
            types = [_type_of(text) for text in whole.split(b"\n")[:-1]]
            self._dispatcher.give(whole, types, 1)
        return written

    async def flush(self) -> None:
        """Return when all that is written now is flushed, if the settings want it flushed at all.

        What comes while a flush runs shares the next one.
        """
        if self.config.flush not in (Flush.INCREMENTAL, Flush.INCREMENTAL_ASYNC):
            return  # each write was, or none is
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._log_file.settle())
            await asyncio.shield(self._flushing)
            return
        if self._next_flush is None or self._next_flush.done():
            self._next_flush = asyncio.create_task(self._flush_after(self._flushing))
        await asyncio.shield(self._next_flush)

    async def _flush_after(self, former: asyncio.Task[None]) -> None:
        await asyncio.wait({former})
        self._next_flush = None
        self._flushing = asyncio.create_task(self._log_file.settle())
        await self._flushing

    def check(self, subject: str, run: Run) -> None:
        """See that records are such, and have the node's name if node_check says so.

        Raises WireError.
        """
        if not is_printed(run.lines, run.count):
            raise WireError("characters that no record has")
        if self.config.node_check is NodeCheckWord.OFF:
            return
        prefix = b"node=" + node_of_subject(subject) + b" "
        if named(run.lines, run.count, prefix):
            return
        self.counters.misnamed += 1
        text = f"records with another node name than {node_of_subject(subject)!r}"
        if self.config.node_check is NodeCheckWord.REJECT:
            raise WireError(text)
        self._tell(f"{subject}: {text}")

    def chunks(self, subject: str, run: Run, first: int, last: int, slot: bytes) -> list[Chunk]:
        """Return the records of a run with the numbers from `first` to `last`, by log."""
        lines = run.lines
        if first > run.first:
            lines = after(lines, first - run.first)
        count = last - first + 1
        if last < run.first + run.count - 1:
            lines = lines[: len(lines) - len(after(lines, count))]
        if self.config.collector_log_dir is None:
            return [Chunk(slot, first, count, lines, "")]
        name = node_of_subject(subject)
        if named(lines, count, b"node=" + name + b" "):
            return [Chunk(slot, first, count, lines, _folder(name))]
        chunks: list[Chunk] = []
        texts = lines.split(b"\n")[:-1]
        for node, group in groupby(texts, node_of):
            run_of_node = list(group)
            text = b"\n".join(run_of_node) + b"\n"
            chunks.append(Chunk(slot, first, len(run_of_node), text, _folder(node or name)))
            first += len(run_of_node)
        return chunks

    async def reject(self, subject: str, message: Msg, reason: str) -> None:
        """Put away a message that is of no use, and say so."""
        self.counters.rejected += 1
        place = place_of(message)
        sequence = place.sequence if place is not None else 0
        where = await asyncio.get_running_loop().run_in_executor(
            None, _kept, os.path.dirname(self.config.log_file), subject, sequence, message
        )
        log.error(
            "a message of the stream is not written", node=subject, sequence=sequence,
            reason=reason, kept=where or "no",
        )  # fmt: skip


def after(lines: bytes, amount: int) -> bytes:
    """Return what follows the first `amount` lines."""
    at = 0
    for _ in range(amount):
        at = lines.index(b"\n", at) + 1
    return lines[at:]


def is_printed(lines: bytes, count: int) -> bool:
    """Return whether lines are as remote/stream's `printed` leaves them."""
    if b"\0" in lines or b"\r" in lines:
        return False
    marks = lines.count(b"\x1d")
    return marks <= 1 or (
        marks <= count and all(line.count(b"\x1d") <= 1 for line in lines.split(b"\n"))
    )


def named(lines: bytes, count: int, prefix: bytes) -> bool:
    """Return whether each of the lines begins with `prefix`."""
    return lines.startswith(prefix) and lines.count(b"\n" + prefix) == count - 1


def _kept(folder: str, subject: str, sequence: int, message: Msg) -> str:
    """Store a message in a file beside the log; return its path, empty if that cannot be."""
    place = os.path.join(folder, "rejected")
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        if len(os.listdir(place)) >= MOST_REJECTED:
            return ""
        path = os.path.join(place, f"{subject.replace('/', '_')}.{sequence}")
        fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with open(fd, "wb") as file:
            file.write(repr(dict(message.headers or {})).encode() + b"\n" + message.data)
    except OSError:
        return ""
    return path


def _type_of(text: bytes) -> int:
    name = text.partition(b"type=")[2].partition(b" ")[0]
    return type_number(name.decode("ascii", "replace")) or 0


_folder = lru_cache(1024)(folder_name)
