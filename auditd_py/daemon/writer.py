"""What the log's thread does with the log: append, flush, rotate, watch the disk.

Everything here runs in that one thread. Whatever happens to the disk ends in one of three
states: the log is open; it is suspended, until somebody resumes it; or it failed and is tried
again at each tick. In the last two each record is counted, and the count is written into the log
when it goes on.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.daemon.archives import Archives, Compression
from auditd_py.daemon.flusher import Flusher
from auditd_py.daemon.positions import Positions, Share
from auditd_py.daemon.secure_open import open_log, seal_archives
from auditd_py.errors import LogError
from auditd_py.log import rotation
from auditd_py.log.flush import Durability, FlushPolicy
from auditd_py.log.incident import Condition, Incident, Response
from auditd_py.log.space import Free, Limit, SpaceWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditd_py.daemon.positions import Origin, Stream
    from auditd_py.remote.stream import Position

_IOV_MAX: Final = 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ERRORS_TOLD: Final = 5  # in a row
_FREED: Final = 64 << 10  # bytes more than when the disk was full, before it is tried again
_FULL_RETRY_S: Final = 10.0
_ROTATION_RETRY_S: Final = 10.0
_PRUNE_S: Final = 3600.0
_BLOCK: Final = 1 << 16
_NO_LIMIT: Final = Limit(0)
_ROTATES: Final = frozenset({Response.ROTATE, Response.KEEP_LOGS})
_NO_ORIGINS: Final[Mapping[int, Origin]] = {}

UNWRITTEN: Final = b" unwritten=?"  # in the line a resumed log begins with; see Writer.resume


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where and how records are stored.

    `path` None means the open descriptor `descriptor` (-f and --observe), which is left open;
    nothing is rotated or watched then. `limit` and `keep_total` are bytes, 0 for none. With
    `node_dir` the records of other hosts go to logs below it, see node_logs. `positions` says
    whether streams have their positions beside this log.
    """

    path: str | None
    group: int
    policy: FlushPolicy
    descriptor: int = 1
    limit: int = 0
    num_logs: int = 0
    rotate_every: str = rotation.NEVER
    keep_days: int = 0
    keep_total: int = 0
    space_left: Limit = _NO_LIMIT
    admin_space_left: Limit = _NO_LIMIT
    responses: Mapping[Condition, Response] = field(default_factory=dict)
    node_dir: str | None = None
    positions: bool = True

    def response(self, condition: Condition) -> Response:
        """Return what to do at once when `condition` comes up."""
        return self.responses.get(condition, Response.GO_ON)


@dataclass(slots=True)
class LogCounters:
    """What became of the records given to the log; written by its thread only.

    `size` of the log in bytes, `archives` as of the last rotation; times in seconds.
    """

    written: int = 0
    written_bytes: int = 0
    unwritten: int = 0
    flushes: int = 0
    errors: int = 0
    torn: int = 0
    size: int = 0
    rotations: int = 0
    archives: int = 0
    removed: int = 0
    rotation_s: float = 0.0
    longest_rotation_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Events:
    """Whom the writer tells; each is called in the log's thread.

    `incident(incident)`, `recoverable()`: the disk is back, `resume` the log; `rotated()`;
    `told(level, text)`.
    """

    incident: Callable[[Incident], None]
    recoverable: Callable[[], None]
    rotated: Callable[[], None]
    told: Callable[[str, str], None]
    flush_failed: Callable[[OSError], None]


class Writer:
    """The log and its archives. Methods that open the log raise LogError and OSError."""

    def __init__(self, events: Events) -> None:
        self.counters = LogCounters()
        self.suspended = True  # until the first open
        self.failed = False
        self.space = SpaceWatch(Limit(0), Limit(0))
        self.positions: Positions | None = None
        self._events = events
        self._settings: LogSettings | None = None
        self._archives: Archives | None = None
        self._fd = -1
        self._identity = (0, 0)
        self._flusher: Flusher | None = None
        self._unflushed = 0
        self._hole = 0  # records unwritten since the log was last written
        self._errors_in_row = 0
        self._full_at = 0  # free bytes when the disk was full
        self._full_until = 0.0  # not before, unless more is free
        self._limit_at = 0  # size at which the log is too large (again)
        self._bytes_until_look = 0
        self._rotation_due = float("inf")
        self._rotate_not_before = 0.0
        self._prune_at = 0.0

    # records

    def append(
        self,
        chunks: list[bytes],
        counts: list[int],
        origins: Mapping[int, Origin] = _NO_ORIGINS,
    ) -> None:
        """Write `chunks`, whole lines each, of so many records each. Raises nothing.

        `origins` says of some which stream they are of.
        """
        start = 0
        while start < len(chunks):
            if self._fd < 0:
                self._skip(sum(counts[start:]))
                for index, origin in origins.items():
                    origin.stream.broken |= index >= start
                return
            end = self._fitting(chunks, start)
            shares: list[Share] = []
            if origins:
                end, shares = _shares(chunks, origins, start, end)
            self._write(chunks[start:end], sum(counts[start:end]), shares)
            start = end

    def _fitting(self, chunks: list[bytes], start: int) -> int:
        # as many as may be written before the size or the free space is looked at, at least one
        settings = self._settings
        end = min(len(chunks), start + _IOV_MAX)
        if settings is None or settings.path is None:
            return end
        room = self._bytes_until_look
        if settings.limit:
            room = min(room, self._limit_at - self.counters.size)
        for index in range(start, end):
            room -= len(chunks[index])
            if room <= 0:
                return index + 1
        return end

    def _write(self, chunks: list[bytes], records: int, shares: list[Share]) -> None:
        function = "stat"
        try:
            self._check_name()
            function = "write"
            self._announce(shares)
            size = _write_all(self._fd, chunks)
        except OSError as error:
            self._recover(function, error, b"".join(chunks), shares)
            return
        self._wrote(size, records)

    def _announce(self, shares: list[Share]) -> None:
        if shares and self.positions is not None:
            self.positions.begin(self._identity, self.counters.size, shares)
            policy = self._settings.policy if self._settings else None
            if policy is not None and policy.durability is Durability.EACH_WRITE:
                self.positions.flush()

    def _wrote(self, size: int, records: int) -> None:
        counters = self.counters
        counters.written += records
        counters.written_bytes += size
        counters.size += size
        self._errors_in_row = 0
        self._flush_by_policy(records)
        settings = self._settings
        if settings is None or settings.path is None or self._fd < 0:
            return
        self._bytes_until_look -= size
        if self._bytes_until_look <= 0:
            self._look_at_space()
        if settings.limit and counters.size >= self._limit_at and self._fd >= 0:
            self._reached_limit(settings)

    def _skip(self, records: int) -> None:
        self.counters.unwritten += records
        self._hole += records

    def _check_name(self) -> None:
        # a log that was moved or removed takes records with it that nobody will look for
        settings = self._settings
        if settings is None or settings.path is None:
            return
        found = os.stat(settings.path, follow_symlinks=False)
        if (found.st_dev, found.st_ino) != self._identity:
            raise OSError(errno.ESTALE, "the log file was replaced by another", settings.path)

    # faults

    def _recover(
        self, function: str, error: OSError, data: bytes, shares: Sequence[Share] = ()
    ) -> None:
        """Save of `data` what can be saved after `function` failed, by the response set for it."""
        self.counters.errors += 1
        self._errors_in_row += 1
        if function == "write":
            data, shares = self._cut_back(data, shares)
        condition = Condition.DISK_FULL if error.errno in _FULL else Condition.DISK_ERROR
        response = self._report(condition, function, error)
        if response is Response.SUSPEND:
            self.suspend()
        elif response is Response.ROTATE:
            self._rotate(free_oldest=True)
        elif function == "stat":
            self._reopen()
        else:
            self._fail()
        if self._fd < 0 or not data:
            self._give_up(data, shares)
            return
        try:
            self._announce(list(shares))
            size = _write_all(self._fd, [data])
        except OSError:
            data, shares = self._cut_back(data, shares)
            self._fail()
            self._give_up(data, shares)
        else:
            self._wrote(size, data.count(b"\n"))

    def _give_up(self, data: bytes, shares: Sequence[Share]) -> None:
        self._skip(data.count(b"\n"))
        for share in shares:
            share.origin.stream.broken = True

    def _cut_back(self, data: bytes, shares: Sequence[Share] = ()) -> tuple[bytes, Sequence[Share]]:
        """Return what the log lacks of `data`, whose writing failed, and whose that is.

        Whole lines that were stored are counted, a line cut short is taken off again.
        """
        counters = self.counters
        try:
            stored = data[: max(0, os.fstat(self._fd).st_size - counters.size)]
        except OSError:
            stored = b""
        whole = stored.rfind(b"\n") + 1
        counters.written += stored.count(b"\n")
        counters.written_bytes += whole
        counters.size += whole
        if whole < len(stored):
            try:
                os.ftruncate(self._fd, counters.size)
            except OSError:
                pass  # the next open finds it and begins a new line
        if shares and self.positions is not None:
            shares = self.positions.stored(shares, whole)
        return data[whole:], shares

    def _report(self, condition: Condition, function: str, error: OSError) -> Response:
        settings = self._settings
        if settings is None:
            return Response.GO_ON
        new = self._errors_in_row <= _ERRORS_TOLD
        if condition is Condition.DISK_FULL:
            new = self.space.mark_full()
            # of a quota the file system's free space says nothing
            if error.errno == errno.ENOSPC:
                self._full_at = self._free_now()
                self._full_until = time.monotonic() + _FULL_RETRY_S
        if new:
            self._events.incident(
                Incident(
                    condition,
                    settings.path or "standard output",
                    size=self.counters.size,
                    free=self.space.last.free if self.space.last else None,
                    function=function,
                    reason=_reason(error),
                )
            )
        return settings.response(condition)

    def flush_failed(self, error: OSError) -> None:
        """Take note that the log could not be flushed."""
        if self._fd >= 0:
            self._recover("flush", error, b"")

    def suspend(self) -> None:
        """Write nothing until `resume`."""
        self._close_file()
        self.suspended = True

    def _fail(self) -> None:
        self._close_file()
        self.failed = True

    def _reopen(self) -> None:
        settings = self._settings
        self._close_file()
        if settings is None:
            return
        try:
            self._open_file(settings)
        except (OSError, LogError):
            self._fail()

    # space

    def _look_at_space(self, *, timed: bool = False) -> None:
        settings = self._settings
        if settings is None or settings.path is None:
            return
        try:
            found = os.statvfs(os.path.dirname(settings.path))
        except OSError:
            return  # the next write says more
        size = found.f_frsize
        free = Free(found.f_bavail * size, found.f_blocks * size, size)
        again = set(self.space.crossed) if timed else set()
        crossed = self.space.look(free, time.monotonic())
        self._bytes_until_look = self.space.bytes_until_look()
        limits = self.space.limits(free)
        for condition in crossed:
            self._events.incident(
                Incident(
                    condition,
                    settings.path,
                    size=self.counters.size,
                    free=free.free,
                    limit=limits[condition],
                )
            )
        wanted = {settings.response(condition) for condition in crossed}
        # one rotation may not have been enough
        wanted |= {
            Response.ROTATE
            for condition in again & self.space.crossed
            if settings.response(condition) is Response.ROTATE
        }
        if self._fd < 0:
            return
        if Response.SUSPEND in wanted:
            self.suspend()
        elif Response.ROTATE in wanted and self.counters.size:
            self._rotate(free_oldest=True)

    # size and rotation

    def _reached_limit(self, settings: LogSettings) -> None:
        response = settings.response(Condition.LOG_SIZE)
        if response in _ROTATES:
            if self._may_rotate(settings) and time.monotonic() >= self._rotate_not_before:
                self._rotate()
            return
        # if nobody makes it smaller it may grow by as much again, not by one record
        self._limit_at = self.counters.size + settings.limit
        self._events.incident(
            Incident(
                Condition.LOG_SIZE,
                settings.path or "",
                size=self.counters.size,
                limit=settings.limit,
            )
        )
        if response is Response.SUSPEND:
            self.suspend()

    def _may_rotate(self, settings: LogSettings) -> bool:
        return settings.num_logs >= 2 or self._keeps(settings)

    def _keeps(self, settings: LogSettings) -> bool:
        return settings.response(Condition.LOG_SIZE) is Response.KEEP_LOGS

    def rotate(self, first: bytes) -> bool:
        """Begin a new log with the line `first`; return false if num_logs does not allow it."""
        settings = self._settings
        if settings is None or settings.path is None or not self._may_rotate(settings):
            return False
        if self._fd >= 0:
            self._rotate()
        self.append([first], [1])
        return True

    def begin_anew(self) -> None:
        """Begin a new log, if num_logs allows it and there is anything in this one."""
        settings = self._settings
        if settings is not None and self.counters.size and self._may_rotate(settings):
            self._rotate()

    def _rotate(self, *, free_oldest: bool = False) -> None:
        settings, archives = self._settings, self._archives
        if settings is None or archives is None or settings.path is None or self._fd < 0:
            return
        started = time.perf_counter()
        num_logs = None if self._keeps(settings) else settings.num_logs
        try:
            count = archives.rotate(self._fd, num_logs, free_oldest=free_oldest)
            fd, _ = open_log(settings.path, settings.group, settings.policy.open_flags)
        except (OSError, LogError) as error:
            self._rotation_failed(error)
            return
        old, self._fd = self._fd, fd
        self._note_opened()
        if self._flusher is not None:
            self._flusher.switch(fd)
        else:
            if settings.policy.flushes:
                self._flush(old)
            os.close(old)
        counters = self.counters
        counters.rotations += 1
        counters.archives = count
        counters.rotation_s = time.perf_counter() - started
        counters.longest_rotation_s = max(counters.longest_rotation_s, counters.rotation_s)
        self._prune_at = 0.0
        self._events.rotated()

    def _rotation_failed(self, error: OSError | LogError) -> None:
        # the log goes on under its name if it still has it
        self._rotate_not_before = time.monotonic() + _ROTATION_RETRY_S
        self.counters.errors += 1
        self._errors_in_row += 1
        cause = error if isinstance(error, OSError) else OSError(error.errno, error.reason)
        condition = Condition.DISK_FULL if cause.errno in _FULL else Condition.DISK_ERROR
        if self._report(condition, "rotate", cause) is Response.SUSPEND:
            self.suspend()
            return
        try:
            self._check_name()
        except OSError:
            self._reopen()

    # time

    def tick(self) -> None:
        """Do what is due by time: look at the disk, rotate, remove, try a failed log again."""
        settings = self._settings
        if settings is None or settings.path is None:
            return
        self._look_at_space(timed=True)
        if self.failed and self._recovered(settings):
            self._events.recoverable()
        if self._fd < 0:
            return
        if time.time() >= self._rotation_due:
            if self.counters.size and self._may_rotate(settings):
                self._rotate()
            else:
                self._rotation_due = rotation.next_rotation(settings.rotate_every, time.time())
        if (settings.keep_days or settings.keep_total) and time.monotonic() >= self._prune_at:
            self._prune(settings)

    def _recovered(self, settings: LogSettings) -> bool:
        # what a file system calls free is not always to be had: there should be more than before
        waits = time.monotonic() < self._full_until
        if waits and self._free_now() < self._full_at + _FREED:
            return False
        try:
            fd, _ = open_log(settings.path or "", settings.group, settings.policy.open_flags)
        except (OSError, LogError):
            return False
        os.close(fd)
        return True

    def _free_now(self) -> int:
        path = self._settings.path if self._settings else None
        try:
            found = os.statvfs(os.path.dirname(path or "/"))
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize

    def _prune(self, settings: LogSettings) -> None:
        self._prune_at = time.monotonic() + _PRUNE_S
        if self._archives is None:
            return
        try:
            gone = self._archives.remove_expired(
                log_size=self.counters.size,
                now_s=time.time(),
                keep_days=settings.keep_days,
                keep_total=settings.keep_total,
            )
        except (OSError, LogError) as error:
            self._events.told("error", f"old logs cannot be removed: {error}")
            return
        self.counters.removed += len(gone)
        for path in gone:
            self._events.told("notice", f"Log {path} removed by keep_days or keep_total")

    # compression

    def begin_compression(self) -> Compression | None:
        """As Archives.begin_compression."""
        return self._archives.begin_compression() if self._archives else None

    def end_compression(self, work: Compression, suffix: str) -> str:
        """As Archives.end_compression; with an empty suffix what was collected is dropped."""
        try:
            if self._archives is None:
                return ""
            if not suffix:
                self._archives.drop_compression()
                return ""
            return self._archives.end_compression(work, suffix)
        finally:
            work.close()

    # positions

    def position(self, stream: bytes, following: int) -> tuple[Stream, Position] | None:
        """As Positions.at, of the log that is open; None while there is none."""
        settings = self._settings
        if settings is None or settings.path is None:
            return None
        if self.positions is None:
            self._open_positions(settings.path)
        return self.positions.at(stream, following) if self.positions is not None else None

    def _open_positions(self, log_path: str) -> None:
        path = f"{log_path}.positions"
        if self.positions is None or self.positions.path != path:
            self._close_positions()
            self.positions = Positions(path, self._events.told)

    def _close_positions(self) -> None:
        if self.positions is not None:
            self.positions.close()
            self.positions = None

    # open and close

    def open(self, settings: LogSettings) -> None:
        """Open the log as `settings` say, closing what was open before.

        Raises LogError or OSError; the former file then stays in use.
        """
        archives = None
        if settings.path is None:
            fd, torn = os.dup(settings.descriptor), False
        else:
            archives = Archives(settings.path, settings.group)
            seal_archives(settings.path, settings.group)
            fd, torn = open_log(settings.path, settings.group, settings.policy.open_flags)
        self._close_file()
        self._settings, self._archives = settings, archives
        if settings.path is None:
            self._close_positions()
        elif settings.positions:
            self._open_positions(settings.path)
        self._limit_at = settings.limit
        self._use(fd, torn=torn)
        self.space = SpaceWatch(settings.space_left, settings.admin_space_left)
        self._bytes_until_look = 1 << 20  # the first look is the first tick's
        self._prune_at = 0.0
        self._remove_excess(settings)

    def resume(self, first: bytes, *, rearm: bool) -> None:
        """Go on after a suspension or a fault, with the line `first`.

        In it UNWRITTEN becomes the number of records that are not in the log, or nothing if
        none is missing. With `rearm` thresholds that are crossed are reported again. Raises
        LogError or OSError, and nothing has changed.
        """
        if self._settings is None:
            return
        if self._fd < 0:
            self._open_file(self._settings)
        if rearm:
            self.space.crossed.clear()
        hole = b" unwritten=%d" % self._hole if self._hole else b""
        line = first.replace(UNWRITTEN, hole)
        try:
            size = _write_all(self._fd, [line])
        except OSError:
            self.counters.errors += 1
            self._cut_back(line)
            self._fail()
            raise
        self._hole = 0
        self._wrote(size, 1)

    def _open_file(self, settings: LogSettings) -> None:
        if settings.path is None:
            fd, torn = os.dup(settings.descriptor), False
        else:
            fd, torn = open_log(settings.path, settings.group, settings.policy.open_flags)
        self._use(fd, torn=torn)

    def _use(self, fd: int, *, torn: bool) -> None:
        settings = self._settings
        assert settings is not None
        self._fd = fd
        self._note_opened()
        if torn:
            self._mend(fd)
            self.counters.torn += 1
            self._events.told("warning", f"the last line of {settings.path} was cut short")
        if settings.policy.durability is Durability.FLUSH_ASIDE and settings.path is not None:
            self._flusher = Flusher(fd, self._count_flush, self._events.flush_failed)
        self._unflushed = 0
        self.suspended = self.failed = False

    def _mend(self, fd: int) -> None:
        """Deal with the last line, which power loss or kill -9 cut short."""
        size = self.counters.size
        if self.positions is not None and self.positions.awaited(self._identity, size):
            size = _end_of_lines(fd, size)
            os.ftruncate(fd, size)
        else:
            os.write(fd, b"\n")  # the next record gets a line of its own
            size += 1
        self.counters.size = size

    def _note_opened(self) -> None:
        found = os.fstat(self._fd)
        if self.positions is not None and self._identity != (found.st_dev, found.st_ino):
            self.positions.settle(self._identity)
        self._identity = (found.st_dev, found.st_ino)
        self.counters.size = found.st_size
        if self._settings is not None:
            if found.st_size < self._settings.limit:
                self._limit_at = self._settings.limit
            begun = found.st_mtime if found.st_size else time.time()
            self._rotation_due = rotation.next_rotation(self._settings.rotate_every, begun)

    def _remove_excess(self, settings: LogSettings) -> None:
        rotates = settings.response(Condition.LOG_SIZE) is Response.ROTATE
        if self._archives is None or not rotates or settings.num_logs < 2:
            return
        try:
            gone = self._archives.remove_excess(settings.num_logs)
        except (OSError, LogError) as error:
            self._events.told("error", f"logs beyond num_logs cannot be removed: {error}")
            return
        self.counters.removed += len(gone)
        for path in gone:
            self._events.told("notice", f"Log {path} removed as it exceeds num_logs parameter")

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self.suspend()
        self._close_positions()

    def _close_file(self) -> None:
        if self._flusher is not None:
            self._flusher.stop()
            self._flusher = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # flush

    def flush(self) -> None:
        """Flush now, if there is a file to flush."""
        if self._fd >= 0 and self._settings is not None and self._settings.path is not None:
            self._unflushed = 0
            self._flush(self._fd)

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
            self._flush(self._fd)

    def _flush(self, fd: int) -> None:
        if self.positions is not None:
            self.positions.flush()
        try:
            os.fdatasync(fd)
        except OSError as error:
            self.flush_failed(error)
        else:
            self._count_flush()

    def _count_flush(self) -> None:
        self.counters.flushes += 1


def _write_all(fd: int, chunks: list[bytes]) -> int:
    size = sum(map(len, chunks))
    written = os.writev(fd, chunks)
    if written < size:
        left = memoryview(b"".join(chunks))[written:]
        while left:
            left = left[os.write(fd, left) :]
    return size


def _shares(
    chunks: list[bytes], origins: Mapping[int, Origin], start: int, end: int
) -> tuple[int, list[Share]]:
    """Return whose the chunks are, and how far: each stream has one share in a write."""
    shares: list[Share] = []
    seen: set[bytes] = set()
    offset = 0
    for index in range(start, end):
        origin = origins.get(index)
        if origin is not None:
            if origin.stream.slot.stream in seen:
                return index, shares
            seen.add(origin.stream.slot.stream)
            shares.append(Share(origin, offset, chunks[index]))
        offset += len(chunks[index])
    return end, shares


def _end_of_lines(fd: int, size: int) -> int:
    """Return where the last whole line of a file ends."""
    while size > 0:
        start = max(0, size - _BLOCK)
        newline = os.pread(fd, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
