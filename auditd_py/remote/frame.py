"""Messages between hosts: a 16-byte header and a text. HOT: 0.5 µs a message, both ways.

The header is that of the C daemon: magic, header version, message version, type, length of the
text, sequence; all little-endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from auditd_py.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT: Final = 8970  # MAX_AUDIT_MESSAGE_LENGTH, what the C daemon takes
MAX_SEQUENCE: Final = 0xFFFFFFFF
# magic 0xff0000fe, header version 0, message version 0
PREFIX: Final = b"\xfe\x00\x00\xff\x00\x00"

REPLY: Final = 0x40000000
FATAL: Final = 0x20000000
WARN: Final = 0x10000000

_HEADER: Final = struct.Struct("<6sIHI")
HEADER_SIZE: Final = _HEADER.size

Message: TypeAlias = tuple[int, int, bytes]  # type, sequence, text


class Kind(IntEnum):
    """The type of a message. A reply has the sequence of the message it answers."""

    MESSAGE = 0
    HEARTBEAT = 1
    ACK = REPLY
    ENDING = REPLY | 1
    DISKLOW = REPLY | WARN | 1
    DISKFULL = REPLY | FATAL | 1
    DISKERROR = REPLY | FATAL | 2


def encode(kind: int, sequence: int, text: bytes = b"") -> bytes:
    """Return one message; `text` has at most MAX_TEXT bytes."""
    return _HEADER.pack(PREFIX, kind, len(text), sequence) + text


def encode_records(texts: Iterable[bytes], first: int) -> bytes:
    """Return a message for each record, numbered from the sequence `first` up.

    A newline that the text lacks is added, as servers expect one; see `fits`.
    """
    pack = _HEADER.pack
    parts: list[bytes] = []
    sequence = first
    for text in texts:
        parts += (pack(PREFIX, 0, len(text) + 1, sequence), text, b"\n")
        sequence = (sequence + 1) & MAX_SEQUENCE
    return b"".join(parts)


def fits(text: bytes, most: int = MAX_TEXT) -> bytes:
    """Return a record as a text of `most` bytes can hold it: without newline, cut if too long."""
    return text.removesuffix(b"\n")[: most - 1]


class Decoder:
    """Takes a stream apart, however it is cut; holds at most one incomplete message.

    After bytes that cannot be a message nothing more is read: `error` says why.
    """

    __slots__ = ("_pending", "error")

    def __init__(self) -> None:
        self.error: WireError | None = None
        self._pending = b""

    @property
    def rest(self) -> bytes:
        """The beginning of the message that is not complete."""
        return self._pending

    @property
    def pending(self) -> int:
        """Bytes of the message that is not complete."""
        return len(self._pending)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Return the messages that `data` completes, in order.

        Raises WireError if the stream is broken and no message came before that; the messages
        before the break are returned first, so that the stream gives the same however it is cut.
        """
        messages = self.take(data)
        if self.error is not None and not messages:
            raise self.error
        return messages

    def take(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Return the messages that `data` completes; a broken stream shows in `error` only."""
        if self.error is not None:
            return []
        if self._pending:
            data = self._pending + data
        elif not isinstance(data, bytes):
            data = bytes(data)
        messages: list[Message] = []
        here, end = 0, len(data)
        unpack, add = _HEADER.unpack_from, messages.append
        while end - here >= HEADER_SIZE:
            prefix, kind, size, sequence = unpack(data, here)
            if prefix != PREFIX or size > MAX_TEXT:
                break
            following = here + HEADER_SIZE + size
            if following > end:
                break
            add((kind, sequence, data[here + HEADER_SIZE : following]))
            here = following
        self._pending = data[here:]
        if self._pending:
            self._check()
        return messages

    def _check(self) -> None:
        """Refuse the beginning of what is pending as soon as it cannot become a message."""
        pending = self._pending
        start = pending[: len(PREFIX)]
        if not PREFIX.startswith(start):
            self.error = WireError(f"no header where one must be, but {start.hex(' ')}")
        elif len(pending) >= HEADER_SIZE:
            size = _HEADER.unpack_from(pending)[2]
            if size > MAX_TEXT:
                self.error = WireError(f"a message of {size} bytes, {MAX_TEXT} are allowed")
        if self.error is not None:
            self._pending = b""
