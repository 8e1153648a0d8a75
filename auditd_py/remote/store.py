"""The queue on disk: how records lie in the file, without touching it.

The file is a ring of entries behind a page of its own:

    0     magic, bytes of the ring (u64)
    512   head: generation, number, offset (u64 each), crc32 of these; again at 1024
    1536  name of the stream (16 bytes, see remote/stream), its crc32
    4096  the ring: entries of magic, length (u32), number (u64), crc32, text

Numbers count records for ever. The next entry of the queue is the one with the next number: one
with another number is left over from an earlier round, one whose checksum is wrong was being
written when the power went, or is damaged. The head is written to the two places by turns, so
that one of them is whole. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from zlib import crc32

from auditd_py.errors import WireError
from auditd_py.remote.frame import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\0auditd_py-queue\n"
RING: Final = 4096  # where the ring begins
BYTES_PER_RECORD: Final = 2048  # of the ring; records are about 300 bytes, some 9,000

_FILE: Final = struct.Struct("<17s7xQ")
_HEAD: Final = struct.Struct("<QQQI")
_HEADS: Final = (512, 1024)
_STREAM: Final = struct.Struct("<16sI")
_STREAM_AT: Final = 1536
_ENTRY: Final = struct.Struct("<4sIQI")
_ENTRY_MAGIC: Final = b"\xa5Qe\x01"
_WRAP: Final = 0xFFFFFFFF  # as a length: the next entry is at the beginning of the ring

_OLD: Final = struct.Struct(">14sBBIIII")
_OLD_MAGIC: Final = b"\0audisp-remote"
_OLD_ENTRY_SIZE: Final = 12288

Write = tuple[int, bytes]  # to an offset in the file


def capacity(depth: int) -> int:
    """Return the bytes of a ring for `depth` records."""
    return max(1 << 20, depth * BYTES_PER_RECORD)


@dataclass(slots=True)
class Found:
    """What a file holds. `damaged` entries could not be read; `notes` are for people.

    `first` is the number of the first text in `stream`, which is empty if it cannot be told.
    """

    texts: list[bytes] = field(default_factory=list)
    first: int = field(default=1, compare=False)
    stream: bytes = field(default=b"", compare=False)
    damaged: int = 0
    notes: list[str] = field(default_factory=list)


class Ring:
    """Where entries go. It does not write: it says what is to be written, and in which order."""

    def __init__(self, size: int, first: int = 1) -> None:
        self.size = size
        self.used = 0
        # of each entry: the number and the offset after it, and the bytes that its end frees
        self._entries: deque[tuple[int, int, int]] = deque()
        self._number = first  # of the next entry
        self._tail = 0
        self._head = (first, 0)  # number and offset of the oldest entry
        self._generation = 0

    @property
    def records(self) -> int:
        """How many entries it holds."""
        return len(self._entries)

    def fresh(self) -> list[Write]:
        """Return the writes that make an empty file a queue."""
        head = self._write_head()
        return [(RING - 1, b"\0"), head, self._write_head(), (0, _FILE.pack(MAGIC, self.size))]

    def name(self, stream: bytes) -> Write:
        """Return the write that names the stream its numbers belong to."""
        return _STREAM_AT, _STREAM.pack(stream, crc32(stream))

    def put(self, texts: list[bytes]) -> tuple[int, list[Write]]:
        """Return how many of `texts` there is room for, and what to write for them."""
        writes: list[Write] = []
        if not self._entries and self._tail:
            self._tail, self._head = 0, (self._number, 0)
            writes.append(self._write_head())
        parts: list[bytes] = []
        start = self._tail
        taken = 0
        for text in texts:
            need = _ENTRY.size + len(text)
            wraps = self._tail + need > self.size
            gap = self.size - self._tail if wraps else 0
            if self.used + gap + need > self.size:
                break
            if wraps:  # also from the very end, where the gap is nothing
                if gap >= _ENTRY.size:
                    parts.append(_entry(self._number, b"", _WRAP))
                if parts:
                    writes.append((RING + start, b"".join(parts)))
                parts, start, self._tail = [], 0, 0
            parts.append(_entry(self._number, text, len(text)))
            self._add(self._number, self._tail + need, gap + need)
            taken += 1
        if parts:
            writes.append((RING + start, b"".join(parts)))
        return taken, writes

    def release(self, amount: int) -> Write:
        """Let go of the oldest entries; return what to write."""
        for _ in range(amount):
            number, offset, freed = self._entries.popleft()
            self._head = (number, offset)
            self.used -= freed
        return self._write_head()

    def load(self, data: bytes | memoryview) -> Found:
        """Take over what the file `data` holds. Raises WireError if it is not a queue's."""
        data = bytes(data)
        if len(data) < RING or not data.startswith(MAGIC):
            raise WireError("not a queue of this program")
        self.size = _FILE.unpack_from(data)[1]
        ring = data[RING : RING + self.size]
        head = _newest_head(data, self.size)
        found = Found()
        if head is None:
            found.notes.append("both heads are damaged: all records in the file are taken")
            head = _oldest(ring)
        self._generation, number, offset = head
        self._head = (number, offset)
        self._number, self._tail = number, offset
        for text, at, missed in _entries(ring, number, offset, self.size):
            found.texts.append(text)
            found.damaged += missed
            end = at + _ENTRY.size + len(text)
            freed = (at - self._tail) % self.size + end - at
            self._add(self._number + missed, end, freed)
        found.first = head[1]
        if found.damaged:
            found.notes.append(f"{found.damaged} records are damaged and lost")
        else:
            stream, check = _STREAM.unpack_from(data, _STREAM_AT)
            found.stream = stream if check == crc32(stream) and any(stream) else b""
        return found

    def _add(self, number: int, end: int, freed: int) -> None:
        self._number, self._tail = number + 1, end
        self._entries.append((self._number, end, freed))
        self.used += freed

    def _write_head(self) -> Write:
        self._generation += 1
        data = _HEAD.pack(self._generation, *self._head, 0)[:-4]
        return _HEADS[self._generation % 2], data + struct.pack("<I", crc32(data))


def is_old(data: bytes) -> bool:
    """Return whether this is the queue of the C daemon's audisp-remote."""
    return data.startswith(_OLD_MAGIC)


def old_texts(data: bytes) -> Found:
    """Return the records in a queue file of the C daemon's audisp-remote.

    Raises WireError if the file makes no sense.
    """
    found = Found()
    if len(data) < _OLD.size:
        raise WireError("shorter than a header")
    _, version, _, entries, size, head, length = _OLD.unpack_from(data)
    if version or size != _OLD_ENTRY_SIZE or not entries or head >= entries or length > entries:
        raise WireError(f"version {version}, {entries} entries of {size}, {length} from {head} on")
    for n in range(length):
        start = ((head + n) % entries + 1) * size
        text = data[start : start + size].partition(b"\0")[0]
        if text.strip():
            found.texts.append(text.rstrip(b"\n")[: MAX_TEXT - 1])
        else:
            found.damaged += 1
    if found.damaged:
        found.notes.append(f"{found.damaged} records are damaged and lost")
    return found


def _entry(number: int, text: bytes, length: int) -> bytes:
    return _ENTRY.pack(_ENTRY_MAGIC, length, number, _sum(length, number, text)) + text


def _sum(length: int, number: int, text: bytes) -> int:
    return crc32(text, (length * 31 + number) & 0xFFFFFFFF)


def _newest_head(data: bytes, size: int) -> tuple[int, int, int] | None:
    heads = []
    for at in _HEADS:
        generation, number, offset, check = _HEAD.unpack_from(data, at)
        if check == crc32(data[at : at + _HEAD.size - 4]) and number and offset <= size:
            heads.append((generation, number, offset))
    return max(heads, default=None)


def _oldest(ring: bytes) -> tuple[int, int, int]:
    """Return a head that begins with the smallest number there is."""
    numbers = [(number, at) for number, at in _whole(ring, 0, len(ring))]
    number, at = min(numbers, default=(1, 0))
    return 1, number, at


def _entries(ring: bytes, number: int, offset: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield text and offset of each entry, and how many before it are damaged."""
    missed, laps = 0, 0
    while laps < 2:
        found = _read(ring, offset)
        if found is not None and found[0] == number and found[1] is None:
            offset, laps = 0, laps + 1  # a gap at the end of the ring
        elif found is not None and found[0] == number and found[1] is not None:
            yield found[1], offset, missed
            offset += _ENTRY.size + len(found[1])
            number, missed = number + 1, 0
        elif offset + _ENTRY.size > size and laps == 0:
            offset, laps = 0, 1
        else:
            later = _after(ring, number, offset)
            if later is None:
                return
            missed, (number, offset) = later[0] - number, later


def _after(ring: bytes, number: int, offset: int) -> tuple[int, int] | None:
    """Return number and place of the first whole entry after `number`, looking all around."""
    most = number + len(ring) // _ENTRY.size
    for begin, end in ((offset, len(ring)), (0, offset)):
        later = [(n, at) for n, at in _whole(ring, begin, end) if number < n <= most]
        if later:
            return min(later)
    return None


def _whole(ring: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    at = ring.find(_ENTRY_MAGIC, begin, end)
    while at >= 0:
        found = _read(ring, at)
        if found is not None and found[1] is not None:
            yield found[0], at
        at = ring.find(_ENTRY_MAGIC, at + 1, end)


def _read(ring: bytes, at: int) -> tuple[int, bytes | None] | None:
    """Return number and text of the entry at `at`, None if there is none; no text: a gap."""
    if at + _ENTRY.size > len(ring):
        return None
    magic, length, number, check = _ENTRY.unpack_from(ring, at)
    if magic != _ENTRY_MAGIC:
        return None
    text = b"" if length == _WRAP else ring[at + _ENTRY.size : at + _ENTRY.size + length]
    if length != _WRAP and (length > MAX_TEXT or len(text) != length):
        return None
    if check != _sum(length, number, text):
        return None
    return number, None if length == _WRAP else text
