"""Which record of each stream is the last one in the log: the file of remote/stream's slots.

Before records of a stream are written, its slot says where they will lie. So a kill at any time
leaves behind what is needed to tell how many of them are in the log. Everything here runs in the
log's thread.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.daemon.secure_open import open_directory
from auditd_py.errors import LogError
from auditd_py.remote.stream import SLOT_SIZE, Position, Slot, pack_slot, unpack_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_STREAMS: Final = 16_384  # 2 MiB; the one that was silent for longest makes room
_BLOCK: Final = 1 << 16


class Stream:
    """One sender's records. After one was not written none is, until the sender says so."""

    __slots__ = ("broken", "place", "slot")

    def __init__(self, slot: Slot, place: int) -> None:
        self.slot = slot
        self.place = place  # of its slot in the file
        self.broken = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose a chunk of lines is, and the `record_sum` of the last of them."""

    stream: Stream
    sum: int


@dataclass(frozen=True, slots=True)
class Share:
    """A stream's lines in one write: `lines` from the byte `start` of it on."""

    origin: Origin
    start: int
    lines: bytes


class Positions:
    """The file at `path`, made when the first stream comes.

    `tell(level, text)` is told of faults: without the file records can come twice, no more.
    """

    def __init__(self, path: str, tell: Callable[[str, str], None]) -> None:
        self.path = path
        self._tell = tell
        self._streams: dict[bytes, Stream] = {}
        self._found: list[Slot] = []  # those that a kill left behind
        self._places = 0
        self._fd = -1
        self._dirty = False
        self._load()

    def at(self, stream: bytes, following: int) -> tuple[Stream, Position] | None:
        """Return a stream whose next record has the number `following`, and what is in the log.

        Its next record is the one after both. None where nothing can be kept.
        """
        found = self._streams.get(stream) or self._add(stream)
        if found is None:
            return None
        known = found.slot.settled(found.slot.count).before
        found.broken = False
        if known.last < following - 1:
            self._store(found, Slot(stream, Position(following - 1), used_at=_now()))
        return found, known

    def begin(self, identity: tuple[int, int], offset: int, shares: list[Share]) -> None:
        """Note what is about to be written from `offset` of the file `identity` on."""
        now = _now()
        for share in shares:
            stream = share.origin.stream
            slot = stream.slot
            self._store(
                stream,
                Slot(
                    slot.stream, slot.settled(slot.count).before, share.lines.count(b"\n"),
                    share.origin.sum, *identity, offset + share.start, len(share.lines), now,
                ),
            )  # fmt: skip

    def stored(self, shares: Sequence[Share], size: int) -> list[Share]:
        """Note that of a write only the first `size` bytes, whole lines, are in the log.

        Return what is left of it.
        """
        left = []
        for share in shares:
            here = max(0, min(len(share.lines), size - share.start))
            stream = share.origin.stream
            self._store(stream, stream.slot.settled(share.lines.count(b"\n", 0, here)))
            if here < len(share.lines):
                start = max(0, share.start - size)
                left.append(Share(share.origin, start, share.lines[here:]))
        return left

    def settle(self, identity: tuple[int, int]) -> None:
        """Note that everything is in the file `identity`, which may go away now."""
        for stream in self._streams.values():
            slot = stream.slot
            if slot.count and (slot.device, slot.inode) == identity:
                self._store(stream, slot.settled(slot.count))

    def awaited(self, identity: tuple[int, int], size: int) -> bool:
        """Return whether the line cut short at `size` is one that its sender sends again."""
        return any(
            slot.offset <= size <= slot.offset + slot.size
            for slot in self._found
            if (slot.device, slot.inode) == identity
        )

    def flush(self) -> None:
        """Have what was noted on the disk."""
        if self._dirty and self._fd >= 0:
            self._dirty = False
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._failed(error)

    def close(self) -> None:
        """Close the file; nobody's position is known any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for stream in self._streams.values():
            stream.broken = True
        self._streams.clear()

    def _load(self) -> None:
        try:
            self._fd = _opened(self.path, os.O_RDWR)
        except FileNotFoundError:
            return
        except (OSError, LogError) as error:
            self._failed(error)
            return
        try:
            files = dict(_files(os.path.dirname(self.path)))
            data = os.pread(self._fd, MOST_STREAMS * SLOT_SIZE, 0)
            for place in range(len(data) // SLOT_SIZE):
                slot = unpack_slot(data[place * SLOT_SIZE : (place + 1) * SLOT_SIZE])
                if slot is None:
                    continue
                stream = self._streams[slot.stream] = Stream(slot, place)
                self._places = place + 1
                if slot.count:
                    self._found.append(slot)
                    path = files.get((slot.device, slot.inode))
                    lines = _lines(path, slot.offset, slot.size) if path else 0
                    self._store(stream, slot.settled(min(lines, slot.count)))
        except OSError as error:
            self._failed(error)

    def _add(self, name: bytes) -> Stream | None:
        if self._fd < 0:
            try:
                self._fd = _opened(self.path, os.O_RDWR | os.O_CREAT)
            except (OSError, LogError) as error:
                self._failed(error)
                return None
        place = self._places
        if place < MOST_STREAMS:
            self._places += 1
        else:
            oldest = min(self._streams.values(), key=lambda stream: stream.slot.used_at)
            del self._streams[oldest.slot.stream]
            oldest.broken, place = True, oldest.place
        stream = self._streams[name] = Stream(Slot(name), place)
        return stream

    def _store(self, stream: Stream, slot: Slot) -> None:
        stream.slot = slot
        if self._fd >= 0:
            try:
                os.pwrite(self._fd, pack_slot(slot), stream.place * SLOT_SIZE)
                self._dirty = True
            except OSError as error:
                self._failed(error)

    def _failed(self, error: OSError | LogError) -> None:
        # what the file says is no longer true: nothing is better than that
        reason = error.reason if isinstance(error, LogError) else error.strerror
        self._tell("error", f"{self.path}: {reason}: records may come twice after a restart")
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, 0)
            except OSError:
                pass
            os.close(self._fd)
            self._fd = -1


def _opened(path: str, flags: int) -> int:
    folder = open_directory(path)
    try:
        fd = os.open(
            os.path.basename(path),
            flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK,
            0o600,
            dir_fd=folder,
        )
        found = os.fstat(fd)
        if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise LogError(path, "is not a file that root alone may write")
        return fd
    finally:
        os.close(folder)


def _files(folder: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield identity and path of each file in `folder`, and in the folders in it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                yield (found.st_dev, found.st_ino), entry.path


def _lines(path: str, offset: int, size: int) -> int:
    """Return how many lines end in that part of a file."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        count = 0
        while size > 0 and (data := os.pread(fd, min(size, _BLOCK), offset)):
            count += data.count(b"\n")
            offset, size = offset + len(data), size - len(data)
        return count
    finally:
        os.close(fd)


def _now() -> int:
    return int(time.time())
