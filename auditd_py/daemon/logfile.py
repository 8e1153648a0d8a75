"""The log file and the thread that owns it.

All file work happens in the writer thread, in the order it was asked for, so that a stalled
disk stops that thread and nothing else. What waits for it is counted in bytes: over the limit
`full` is true, the source stops reading, and the kernel's own backlog takes the pressure.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py.daemon.secure_open import open_log, seal_archives
from auditd_py.log.flush import Durability, FlushPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.errors import LogError

_MAX_VECTOR: Final = 512  # buffers to gather for one writev; IOV_MAX is 1024

_IOV_MAX: Final = 1024
_FLUSH_PAUSE_S: Final = 0.05  # between two flushes aside (flush = incremental_async)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where and how records are stored.

    `path` None means the open descriptor `descriptor` (-f and --observe), which is left open.
    """

    path: str | None
    group: int
    policy: FlushPolicy
    descriptor: int = 1


@dataclass(slots=True)
class LogCounters:
    """What became of the records given to the log; written by the writer thread only."""

    written: int = 0
    written_bytes: int = 0
    unwritten: int = 0
    flushes: int = 0
    errors: int = 0
    torn: int = 0
    size: int = 0


class LogFile:
    """Appends lines to the log; every method returns at once.

    `on_fault(function, error)` and `on_space()` are called on the event loop: the first when
    the file cannot be written (logging is then suspended), the second when `full` ends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        on_fault: Callable[[str, OSError | LogError], None],
        on_space: Callable[[], None],
    ) -> None:
        self.counters = LogCounters()
        self.suspended = True  # until the first open
        self._loop = loop
        self._limit = limit
        self._on_fault = on_fault
        self._on_space = on_space
        self._queue: queue.SimpleQueue[tuple[list[bytes], int] | _Job | None] = queue.SimpleQueue()
        self._gathered: list[bytes] = []
        self._gathered_records = 0
        self._submitted = 0  # bytes, event loop
        self._done = 0  # bytes, writer thread
        self._was_full = False
        self._fd = -1
        self._settings: LogSettings | None = None
        self._flusher: _Flusher | None = None
        self._unflushed = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How much is waiting for the disk."""
        return self._submitted - self._done

    @property
    def full(self) -> bool:
        """Whether the caller should stop and wait for `on_space`."""
        if self._submitted - self._done <= self._limit:
            return False
        self._was_full = True
        # the thread may have caught up before it could see the flag
        return self._submitted - self._done > self._limit

    def append(self, lines: bytes, records: int) -> None:
        """Write `lines`, which are `records` whole lines."""
        self._submitted += len(lines)
        if not self._gathered:
            # one waking of the writer for all that this turn of the loop has
            self._loop.call_soon(self._hand_over)
        self._gathered.append(lines)
        self._gathered_records += records

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put((self._gathered, self._gathered_records))
            self._gathered, self._gathered_records = [], 0

    async def open(self, settings: LogSettings) -> None:
        """Open the log as `settings` say, closing what was open before.

        Raises LogError; the former file then stays in use.
        """
        await self._do(lambda: self._open(settings))

    async def resume(self) -> None:
        """Open the file again after logging was suspended. Raises LogError."""
        if self._settings is not None:
            await self.open(self._settings)

    async def settle(self) -> None:
        """Return when everything appended so far is written and flushed."""
        await self._do(self._flush_now)

    async def close(self) -> None:
        """Write what is waiting, flush, close, and end the thread."""
        await self._do(self._close)
        self._queue.put(None)
        self._thread.join()

    def _do(self, work: Callable[[], None]) -> asyncio.Future[None]:
        job = _Job(work)
        self._hand_over()
        self._queue.put(job)
        return asyncio.wrap_future(job.future, loop=self._loop)

    # everything below runs in the writer thread

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            chunks: list[bytes] = []
            records = 0
            while isinstance(item, tuple):
                chunks += item[0]
                records += item[1]
                if len(chunks) >= _MAX_VECTOR:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if chunks:
                self._append(chunks, records)
            if item is None:
                return
            if isinstance(item, _Job):
                item.run()

    def _append(self, chunks: list[bytes], records: int) -> None:
        size = sum(map(len, chunks))
        counters = self.counters
        if self._fd < 0:
            counters.unwritten += records
        else:
            left = b""
            try:
                written = os.writev(self._fd, chunks[:_IOV_MAX])
                if written < size:
                    left = b"".join(chunks)[written:]
                    self._write_rest(left)
                counters.written += records
                counters.written_bytes += size
                counters.size += size
                self._flush_by_policy(records)
            except OSError as error:
                self._fault("write", error, b"".join(chunks), records)
        self._done += size
        if self._was_full and self._submitted - self._done <= self._limit // 2:
            self._was_full = False
            self._call(self._on_space)

    def _write_rest(self, left: bytes) -> None:
        while left:
            left = left[os.write(self._fd, left) :]

    def _fault(self, function: str, error: OSError, data: bytes, records: int) -> None:
        # what is on disk of `data` is found by the file's size, not by what calls returned
        counters = self.counters
        counters.errors += 1
        stored = 0
        if function == "write":
            try:
                size = os.fstat(self._fd).st_size
                stored = data[: max(0, size - counters.size)].count(b"\n")
                counters.size = size
            except OSError:
                pass
            counters.written += stored
            counters.unwritten += records - stored
        self._close_file()
        self.suspended = True
        self._call(lambda: self._on_fault(function, error))

    def _flush_by_policy(self, records: int) -> None:
        policy = self._settings.policy if self._settings else None
        if policy is None or not policy.flushes:
            return
        self._unflushed += records
        if self._unflushed < policy.freq:
            return
        self._unflushed = 0
        if self._flusher is not None:
            self._flusher.request()
        else:
            self._flush()

    def _flush(self) -> None:
        self._unflushed = 0
        try:
            os.fdatasync(self._fd)
            self.counters.flushes += 1
        except OSError as error:
            self._fault("flush", error, b"", 0)

    def _flush_failed(self, error: OSError) -> None:
        # in the flusher's thread: the descriptor is the writer's
        self._queue.put(_Job(lambda: self._fault("flush", error, b"", 0)))

    def _flush_now(self) -> None:
        if self._fd >= 0 and self._settings is not None and self._settings.path is not None:
            self._flush()

    def _open(self, settings: LogSettings) -> None:
        if settings.path is None:
            fd, torn = os.dup(settings.descriptor), False
        else:
            seal_archives(settings.path, settings.group)
            fd, torn = open_log(settings.path, settings.group, settings.policy.open_flags)
        self._close_file()
        self._fd, self._settings = fd, settings
        self.counters.size = os.fstat(fd).st_size
        if torn:
            # power loss or kill -9 cut the last line; the next record gets its own
            os.write(fd, b"\n")
            self.counters.torn += 1
            self.counters.size += 1
            self._call(lambda: log.warning("the log's last line was cut short", path=settings.path))
        if settings.policy.durability is Durability.FLUSH_ASIDE and settings.path is not None:
            self._flusher = _Flusher(fd, self.counters, self._flush_failed)
        self._unflushed = 0
        self.suspended = False

    def _close_file(self) -> None:
        if self._flusher is not None:
            self._flusher.stop()
            self._flusher = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _close(self) -> None:
        self._flush_now()
        self._close_file()
        self.suspended = True

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # the loop has ended; counters still tell


class _Job:
    """Work for the writer thread; `future` gets its outcome."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.future: Future[None] = Future()
        self._work = work

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  whoever asked is told
            self.future.set_exception(error)
        else:
            self.future.set_result(None)


class _Flusher:
    """Flushes one file aside of the writer (flush = incremental_async).

    Requests made while a flush runs, or shortly after it, become one flush: a disk that does
    nothing but flush slows down everything else on it.
    """

    def __init__(self, fd: int, counters: LogCounters, on_error: Callable[[OSError], None]) -> None:
        self._fd = fd
        self._on_error = on_error
        self._counters = counters
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-flusher", daemon=True)
        self._thread.start()

    def request(self) -> None:
        self._wanted.set()

    def stop(self) -> None:
        self._ending.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while self._wanted.wait() and not self._ending.is_set():
            self._wanted.clear()
            try:
                os.fdatasync(self._fd)
                self._counters.flushes += 1
            except OSError as error:
                self._on_error(error)
            self._ending.wait(_FLUSH_PAUSE_S)
