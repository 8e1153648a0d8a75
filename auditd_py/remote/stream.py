"""Where the records of a sender stand, so that a server of ours writes none of them twice.

A sender numbers the records of its queue and says, with a heartbeat that has a text, which number
comes next; the server answers with the number it has in its log. From there on both count. To the
C daemon that is a heartbeat like any other: its answer has no text, and nothing is agreed.

The server keeps what it knows in a file of slots, one a stream: see daemon/positions.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

STREAM_SIZE: Final = 16  # bytes of a stream's name: random, so that no two are the same
SLOT_SIZE: Final = 128  # divides a page: a kill cannot cut the writing of one in two

_HELLO: Final = re.compile(rb"auditd_py stream=([0-9a-f]{32}) next=([0-9]{1,19})")
_ANSWER: Final = re.compile(rb"auditd_py last=([0-9]{1,19}) sum=([0-9a-f]{8}|-)")
_UNPRINTED: Final = bytes.maketrans(b"\n\r\0", b"   ")
_INTERPRETED: Final = b"\x1d"
_MOST: Final = (1 << 63) - 1

_SLOT: Final = struct.Struct("<16sQIIQQQqIIB")
_CHECK: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Position:
    """The last record of a stream that is in the log, 0 for none, and its `record_sum`."""

    last: int = 0
    sum: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """What a server remembers of a stream.

    The records up to `before` are in the log. The next `count` of them are written as the lines
    that lie in `size` bytes from `offset` on in the file (`device`, `inode`): as many as are there
    when a server looks after it was killed. `used_at` is in seconds since 1970.
    """

    stream: bytes
    before: Position = Position()
    count: int = 0
    sum: int | None = None  # of the last of them
    device: int = 0
    inode: int = 0
    offset: int = 0
    size: int = 0
    used_at: int = 0

    def settled(self, lines: int) -> Slot:
        """Return the slot when `lines` of its records turned out to be in the log."""
        last = self.before
        if lines:
            last = Position(last.last + lines, self.sum if lines == self.count else None)
        return Slot(self.stream, last, used_at=self.used_at)


def hello(stream: bytes, following: int) -> bytes:
    """Return the text that says which number the next record of `stream` has."""
    return b"auditd_py stream=%s next=%d" % (stream.hex().encode(), following)


def parse_hello(text: bytes) -> tuple[bytes, int] | None:
    """Return the stream and the number of its next record; None if it is no such text."""
    found = _HELLO.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= _MOST:
        return None
    return bytes.fromhex(found[1].decode()), int(found[2])


def answer(position: Position) -> bytes:
    """Return a server's answer to `hello`."""
    known = b"-" if position.sum is None else b"%08x" % position.sum
    return b"auditd_py last=%d sum=%s" % (position.last, known)


def parse_answer(text: bytes) -> Position | None:
    """Return what a server of ours answered; None if it is another's."""
    found = _ANSWER.fullmatch(text)
    if found is None or int(found[1]) > _MOST:
        return None
    return Position(int(found[1]), None if found[2] == b"-" else int(found[2], 16))


def printed(text: bytes) -> bytes:
    """Return the text of a record as it is written: it cannot begin another line.

    Of the characters that end the kernel's part of a record, 0x1D, the first one stays.
    """
    if b"\n" in text or b"\0" in text or b"\r" in text:
        text = text.translate(_UNPRINTED)
    if text.count(_INTERPRETED) > 1:
        kernels, _, rest = text.partition(_INTERPRETED)
        text = kernels + _INTERPRETED + rest.replace(_INTERPRETED, b" ")
    return text


def record_sum(text: bytes) -> int:
    """Return a checksum of a record as it is written."""
    return crc32(printed(text))


def pack_slot(slot: Slot) -> bytes:
    """Return the SLOT_SIZE bytes of a slot."""
    known = (slot.before.sum is not None) | (slot.sum is not None) << 1
    data = _SLOT.pack(
        slot.stream, slot.before.last, slot.count, slot.size, slot.device, slot.inode, slot.offset,
        slot.used_at, slot.before.sum or 0, slot.sum or 0, known,
    )  # fmt: skip
    return (data + _CHECK.pack(crc32(data))).ljust(SLOT_SIZE, b"\0")


def unpack_slot(data: bytes) -> Slot | None:
    """Return the slot that `pack_slot` made; None if it is empty or damaged."""
    if len(data) < SLOT_SIZE or not any(data[:STREAM_SIZE]):
        return None
    if _CHECK.unpack_from(data, _SLOT.size)[0] != crc32(data[: _SLOT.size]):
        return None
    stream, last, count, size, device, inode, offset, used_at, before, after, known = (
        _SLOT.unpack_from(data)
    )
    slot = Slot(stream, Position(last, before if known & 1 else None), count)
    return replace(
        slot, sum=after if known & 2 else None, device=device, inode=inode, offset=offset,
        size=size, used_at=used_at,
    )  # fmt: skip
