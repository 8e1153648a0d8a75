"""The log as the event loop sees it: a queue to the thread that owns the file.

All file work happens in that thread, in the order it was asked for, so that a stalled disk stops
that thread and nothing else. What waits for it is counted in bytes: over the limit `full` is
true, the source stops reading, and the kernel's own backlog takes the pressure.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from auditd_py.daemon.node_logs import NodeLogs
from auditd_py.daemon.writer import Events, LogCounters, LogSettings, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.daemon.archives import Compression
    from auditd_py.daemon.positions import Origin, Stream
    from auditd_py.log.incident import Incident
    from auditd_py.log.space import SpaceWatch
    from auditd_py.remote.stream import Position

__all__ = ["LogCounters", "LogFile", "LogSettings", "Watcher"]

_MANY: Final = 512  # chunks to gather for one write

_T = TypeVar("_T")


class Watcher(Protocol):
    """Whom the log tells what happens to it, on the event loop."""

    def incident(self, incident: Incident) -> None:
        """Take note of what an administrator chose an action for; the response is given."""

    def log_recoverable(self) -> None:
        """Take note that the log failed and its disk is back: `resume` it."""

    def log_rotated(self) -> None:
        """Take note that a new log was begun."""

    def log_told(self, level: str, text: str) -> None:
        """Log `text`."""

    def log_has_space(self) -> None:
        """Take note that `full` is over."""


class LogFile:
    """Appends lines to the log; every method returns at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, watcher: Watcher) -> None:
        self._loop = loop
        self._limit = limit
        self._watcher = watcher
        events = Events(
            incident=lambda incident: self._call(watcher.incident, incident),
            recoverable=lambda: self._call(watcher.log_recoverable),
            rotated=lambda: self._call(watcher.log_rotated),
            told=lambda level, text: self._call(watcher.log_told, level, text),
            flush_failed=self._flush_failed,
        )
        self._writer = Writer(events)
        self._node_logs = NodeLogs(events, self._writer.counters)
        self._queue: queue.SimpleQueue[_Lines | _Job[Any] | None] = queue.SimpleQueue()
        self._gathered = _Lines()
        self._submitted = 0  # bytes, event loop
        self._done = 0  # bytes, log's thread
        self._was_full = False
        self._ticking = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def counters(self) -> LogCounters:
        """What became of the records so far."""
        return self._writer.counters

    @property
    def suspended(self) -> bool:
        """Whether records are not written until somebody resumes."""
        return self._writer.suspended or self._node_logs.suspended

    @property
    def failed(self) -> bool:
        """Whether records are not written until the disk recovers."""
        return self._writer.failed or self._node_logs.failed

    @property
    def space(self) -> SpaceWatch:
        """The free space as of the last look; changed in the log's thread."""
        return self._writer.space

    @property
    def waiting_bytes(self) -> int:
        """How much is waiting for the disk."""
        return self._submitted - self._done

    @property
    def full(self) -> bool:
        """Whether the caller should stop and wait for `log_has_space`."""
        if self._submitted - self._done <= self._limit:
            return False
        self._was_full = True
        # the thread may have caught up before it could see the flag
        return self._submitted - self._done > self._limit

    def append(
        self,
        lines: bytes,
        records: int,
        done: Callable[[int], None] | None = None,
        origin: Origin | None = None,
        node: str = "",
    ) -> None:
        """Write `lines`, which are `records` whole lines.

        `done(written)` is called on the event loop when they are written, and flushed as the
        settings promise, with how many of them are in the log: the first ones. `origin` says
        which stream's they are: then they are only written if all before them was. With `node`
        they go to the log of that node.
        """
        self._submitted += len(lines)
        if node:
            self._gathered.nodes[len(self._gathered.chunks)] = node
        if origin is not None:
            self._gathered.origins[len(self._gathered.chunks)] = origin
        if done is not None:
            self._gathered.done.append((len(self._gathered.chunks), done))
        if not self._gathered.chunks:
            # one waking of the thread for all that this turn of the loop has
            self._loop.call_soon(self._hand_over)
        self._gathered.chunks.append(lines)
        self._gathered.counts.append(records)

    def _hand_over(self) -> None:
        if self._gathered.chunks:
            self._queue.put(self._gathered)
            self._gathered = _Lines()

    async def open(self, settings: LogSettings) -> None:
        """Open the log as `settings` say, closing what was open before.

        Raises LogError or OSError; the former file then stays in use.
        """

        def open_all() -> None:
            self._writer.open(settings)
            self._node_logs.open(settings)

        await self._do(open_all)

    def position(
        self, stream: bytes, following: int
    ) -> asyncio.Future[tuple[Stream, Position] | None]:
        """As Positions.at, when everything appended so far is written. It does not fail."""

        def find() -> tuple[Stream, Position] | None:
            positions = self._node_logs.positions
            if positions is not None:
                return positions.at(stream, following)
            return self._writer.position(stream, following)

        return self._do(find)

    def resume(self, first: bytes, *, rearm: bool = True) -> asyncio.Future[None]:
        """Go on after a suspension or a fault, with the line `first`, as Writer.resume says.

        The future raises LogError or OSError.
        """

        def resume_all() -> None:
            self._writer.resume(first, rearm=rearm)
            self._node_logs.resume(first, rearm=rearm)

        return self._do(resume_all)

    def rotate(self, first: bytes) -> asyncio.Future[bool]:
        """Begin a new log with the line `first`; the future is false if num_logs forbids it."""

        def rotate_all() -> bool:
            self._node_logs.rotate()
            return self._writer.rotate(first)

        return self._do(rotate_all)

    def tick(self) -> None:
        """Let the thread do what is due by time. To be called every second or two."""
        if not self._ticking:
            self._ticking = True
            self._do(self._tick)

    async def begin_compression(self) -> Compression | None:
        """As Archives.begin_compression. Raises LogError or OSError."""
        return await self._do(self._writer.begin_compression)

    async def end_compression(self, work: Compression, suffix: str) -> str:
        """As Writer.end_compression. Raises LogError or OSError."""
        return await self._do(lambda: self._writer.end_compression(work, suffix))

    async def settle(self) -> None:
        """Return when everything appended so far is written and flushed."""

        def flush_all() -> None:
            self._writer.flush()
            self._node_logs.flush()

        await self._do(flush_all)

    async def rest(self) -> None:
        """Return when everything is written and all who wait for it were told."""
        while True:
            submitted = self._submitted
            await self.settle()
            await asyncio.sleep(0)  # what the answers set off
            if submitted == self._submitted and not self._gathered.chunks:
                return

    async def close(self) -> None:
        """Write what is waiting, flush, close, and end the thread."""

        def close_all() -> None:
            self._node_logs.close()
            self._writer.close()

        await self._do(close_all)
        self._queue.put(None)
        self._thread.join()

    def _do(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        job = _Job(work)
        self._hand_over()
        self._queue.put(job)
        return asyncio.wrap_future(job.future, loop=self._loop)

    # everything below runs in the log's thread

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            lines = _Lines()
            while isinstance(item, _Lines):
                lines.add_places(item)
                lines.done += [(len(lines.chunks) + place, done) for place, done in item.done]
                lines.chunks += item.chunks
                lines.counts += item.counts
                if len(lines.chunks) >= _MANY:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if lines.chunks:
                self._append(lines)
            if item is None:
                return
            if isinstance(item, _Job):
                item.run()

    def _append(self, lines: _Lines) -> None:
        size = sum(map(len, lines.chunks))
        if any(origin.stream.broken for origin in lines.origins.values()):
            lines = self._whole(lines)
        if lines.nodes:
            written = [0] * len(lines.chunks)
            for start, end in lines.runs():
                written[start:end] = self._append_run(lines, start, end)
        else:
            written = self._append_run(lines, 0, len(lines.chunks))
        if lines.done:
            self._call(_tell, lines, written)
        self._done += size
        if self._was_full and self._submitted - self._done <= self._limit // 2:
            self._was_full = False
            self._call(self._watcher.log_has_space)

    def _append_run(self, lines: _Lines, start: int, end: int) -> list[int]:
        """Write chunks that go to one log; return how many lines of each are in it."""
        chunks, counts, origins = lines.chunks, lines.counts, lines.origins
        if end - start < len(chunks):
            chunks, counts = chunks[start:end], counts[start:end]
            origins = {n - start: origins[n] for n in range(start, end) if n in origins}
        node = lines.nodes.get(start) if self._node_logs.active else None
        if node is None:
            unwritten = self._writer.counters.unwritten
            self._writer.append(chunks, counts, origins)
            missing = self._writer.counters.unwritten - unwritten
        elif any(origin.stream.broken for origin in origins.values()):
            missing = sum(counts)  # another run of this stream failed a moment ago
        else:
            missing = sum(counts) - self._node_logs.append(node, chunks, counts, origins)
        if not missing:
            return counts
        # what is missing is what came last: after a fault nothing is written any more
        left = sum(counts) - missing
        written = []
        for count in counts:
            written.append(min(count, left))
            left -= written[-1]
        return written

    def _whole(self, lines: _Lines) -> _Lines:
        """Return the lines without those that follow one of their stream that was not written."""
        whole = _Lines()
        done = dict(lines.done)
        for place, (chunk, count) in enumerate(zip(lines.chunks, lines.counts, strict=True)):
            origin = lines.origins.get(place)
            if origin is not None and origin.stream.broken:
                if place in done:
                    self._call(done[place], 0)
                continue
            if place in done:
                whole.done.append((len(whole.chunks), done[place]))
            if origin is not None:
                whole.origins[len(whole.chunks)] = origin
            if place in lines.nodes:
                whole.nodes[len(whole.chunks)] = lines.nodes[place]
            whole.chunks.append(chunk)
            whole.counts.append(count)
        return whole

    def _tick(self) -> None:
        self._ticking = False
        self._writer.tick()
        self._node_logs.tick()

    def _flush_failed(self, error: OSError) -> None:
        # in the flusher's thread: the descriptor is the writer's
        self._queue.put(_Job(lambda: self._writer.flush_failed(error)))

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # the loop has ended; counters still tell


@dataclass(slots=True)
class _Lines:
    """Chunks of whole lines: how many lines each has, who waits for which, whose some are."""

    chunks: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    done: list[tuple[int, Callable[[int], None]]] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)
    nodes: dict[int, str] = field(default_factory=dict)

    def add_places(self, later: _Lines) -> None:
        """Take over what `later` says of its chunks, which are about to be added."""
        first = len(self.chunks)
        if later.origins:
            self.origins.update({first + n: origin for n, origin in later.origins.items()})
        if later.nodes:
            self.nodes.update({first + n: node for n, node in later.nodes.items()})

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the places of chunks that go to the same log one after another."""
        start = 0
        for place in range(1, len(self.chunks) + 1):
            ends = place == len(self.chunks) or self.nodes.get(place) != self.nodes.get(start)
            if ends:
                yield start, place
                start = place


def _tell(lines: _Lines, written: list[int]) -> None:
    """Tell who waits for a chunk how many of its lines are in the log."""
    for index, done in lines.done:
        done(written[index])


class _Job(Generic[_T]):
    """Work for the log's thread; `future` gets its outcome."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self.future: Future[_T] = Future()
        self._work = work

    def run(self) -> None:
        try:
            result = self._work()
        except Exception as error:  # noqa: BLE001  whoever asked is told
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
