"""The server's side of one connection: bytes in, records to write, replies to send. HOT: 1 µs.

What its owner, the collector, does with it:

    receiver = Receiver(plain=False)          # one for each connection
    batch = receiver.feed(data)               # as often as the socket has data
    ... write batch.texts, flush as the settings promise ...
    socket.send(batch.written())              # one write acknowledges the batch
    if batch.error: close the connection, and log it

Records may be sent one at a time or many before the first reply; replies are to go out in the
order of the batches. A batch that could only be written in part is answered with `replies`.
Nothing is remembered of a batch: it may be written long after the next was fed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.remote.frame import MAX_TEXT, PREFIX, REPLY, Decoder, Kind, encode
from auditd_py.remote.stream import parse_hello, printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.remote.frame import Message

MAX_SKIPPED: Final = MAX_TEXT  # bytes that may stand before the first header

_HEAD: Final = struct.Struct("<6sIH").pack  # what all replies of a kind have in common
_ACK: Final = _HEAD(PREFIX, Kind.ACK, 0)
_LINE: Final = re.compile(rb"(?:node=\S+ )?type=\S+ msg=audit\(")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was not written, as its sender is told."""

    kind: Kind
    text: bytes


DISK_FULL: Final = Refusal(Kind.DISKFULL, b"disk full")
DISK_ERROR: Final = Refusal(Kind.DISKERROR, b"disk write error")
SUSPENDED: Final = Refusal(Kind.DISKERROR, b"remote logging suspended")


@dataclass(slots=True)
class Batch:
    """What one read of the connection gave.

    `texts` are the records in order, not empty, without newline, as a log line holds them. After
    `error` the connection is of no use; what is in the batch still counts. `hello` is a stream and
    the number of its next record, see remote/stream: nothing else is in the batch then, and it is
    answered with `greeting`, or as any heartbeat by a server that does not keep positions.
    """

    texts: list[bytes] = field(default_factory=list)
    error: WireError | None = None
    hello: tuple[bytes, int] | None = None
    _sequences: list[int] = field(default_factory=list)  # of everything that wants a reply
    _silent: frozenset[int] = frozenset()  # places in _sequences that are no record

    @property
    def wants_reply(self) -> bool:
        """Whether there is anything to answer: also heartbeats are, and plain lines are not."""
        return bool(self._sequences)

    def written(self, *, disk_low: bool = False) -> bytes:
        """Return the replies to a batch that is written and flushed as promised.

        `disk_low`: the log's space_left warning is on; the sender is told, its records are safe.
        """
        if disk_low and self._silent:
            return self.replies(len(self.texts), DISK_ERROR, disk_low=True)
        return _acks(self._sequences, Kind.DISKLOW if disk_low else Kind.ACK)

    def cut(self, records: int, reason: str) -> None:
        """Leave only the first `records`; the connection is to be closed for `reason`."""
        before = 0
        for place in range(len(self._sequences)):
            if place not in self._silent:
                if before == records:
                    del self._sequences[place:]
                    break
                before += 1
        del self.texts[records:]
        self.error = WireError(reason)

    def greeting(self, text: bytes) -> bytes:
        """Return the reply to a `hello`."""
        return encode(Kind.ACK, self._sequences[0], text)

    def replies(self, written: int, refusal: Refusal, *, disk_low: bool = False) -> bytes:
        """Return the replies to a batch whose first `written` records only are in the log."""
        parts: list[bytes] = []
        done = 0
        for place, sequence in enumerate(self._sequences):
            if place in self._silent:
                parts.append(encode(Kind.ACK, sequence))
            elif done < written:
                parts.append(encode(Kind.DISKLOW if disk_low else Kind.ACK, sequence))
                done += 1
            else:
                parts.append(encode(refusal.kind, sequence, refusal.text))
        return b"".join(parts)


def ending() -> bytes:
    """Return what a server that ends says to each client."""
    return encode(Kind.ENDING, 0)


class Receiver:
    """One connection's stream; holds at most one incomplete message.

    `plain`: lines without header are records too, as senders with `format = ascii` send them.
    Such records get no reply. `skipped` counts bytes that were neither header nor record.
    """

    __slots__ = ("_decoder", "_error", "_opening", "_plain", "skipped")

    def __init__(self, *, plain: bool = False) -> None:
        self.skipped = 0
        self._plain = plain
        self._decoder = Decoder()
        self._opening: bytes | None = b""  # None once the first header came
        self._error: WireError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> Batch:
        """Return what `data` completes.

        Raises WireError when it is called after a batch with an error.
        """
        if self._error is not None:
            raise self._error
        if self._opening is None:
            messages = self._decoder.take(data)
            if len(messages) == 1 and self._decoder.error is None:
                kind, sequence, text = messages[0]
                if not kind and len(text) > 1 and text.find(b"\n") == len(text) - 1:
                    # one record, of a sender that waits for its answer
                    return Batch([printed(text[:-1])], None, None, [sequence])
            batch = Batch()
        else:
            batch = Batch()
            messages = self._open(batch, self._opening + data)
        if messages:
            _sort(batch, messages)
        if self._decoder.error is not None and batch.error is None:
            batch.error = self._decoder.error
        self._error = batch.error
        return batch

    @property
    def opened(self) -> bool:
        """Whether a header came: from then on nothing else may stand between messages."""
        return self._opening is None

    @property
    def rest(self) -> bytes:
        """What came of a message or a line that has not ended."""
        return self._decoder.rest if self._opening is None else self._opening

    def go_on(self, rest: bytes, *, opened: bool, skipped: int) -> None:
        """Become, when nothing was fed yet, what a receiver was that is no more."""
        self.skipped = skipped
        if opened:
            self._opening = None
        self.feed(rest)

    def end(self) -> Batch:
        """Return what is left when the client has closed: a plain line without newline.

        Of an incomplete message nothing is taken: its sender had no reply and sends it again.
        """
        batch = Batch()
        if self._plain and self._opening and _LINE.match(self._opening):
            batch.texts.append(_text(self._opening))
        self._opening = b""
        return batch

    @property
    def incomplete(self) -> int:
        """Bytes of a message, or a line, that has begun and not ended."""
        return self._decoder.pending + len(self._opening or b"")

    def _open(self, batch: Batch, data: bytes) -> list[Message]:
        """Take the lines before the first header, then what follows it."""
        here = 0
        header = data.find(PREFIX)
        end = len(data) if header < 0 else header
        while (newline := data.find(b"\n", here, end)) >= 0:
            self._line(batch, data[here : newline + 1])
            here = newline + 1
            if batch.error is not None:
                return []
        if header >= 0:
            self._skip(batch, data[here:header])
            if batch.error is not None:
                return []
            self._opening = None
            return self._decoder.take(data[header:])
        self._opening = data[here:]
        waiting = len(self._opening) - _begun(self._opening)
        # without newline: a line that is too long, or no line at all
        limit = MAX_TEXT if self._plain else MAX_SKIPPED - self.skipped
        if waiting > limit:
            self._skip(batch, self._opening[:waiting])
            batch.error = batch.error or WireError(f"no header in the first {waiting} bytes")
        return []

    def _line(self, batch: Batch, line: bytes) -> None:
        if not _LINE.match(line):
            self._skip(batch, line)
        elif len(line) > MAX_TEXT + 1:
            batch.error = WireError(f"a line of {len(line)} bytes, {MAX_TEXT} are allowed")
        elif self._plain:
            batch.texts.append(_text(line))
        else:
            batch.error = WireError("plain text, which tcp_plain_clients = yes would allow")

    def _skip(self, batch: Batch, data: bytes) -> None:
        self.skipped += len(data)
        if self.skipped > MAX_SKIPPED:
            batch.error = WireError(f"no header in the first {MAX_SKIPPED} bytes")


def _sort(batch: Batch, messages: list[Message]) -> None:
    texts, sequences = batch.texts, batch._sequences  # noqa: SLF001  its maker
    silent: list[int] = []
    for kind, sequence, text in messages:
        if kind:
            if kind & REPLY:
                batch.error = WireError(f"a reply from a client (type {kind:#x})")
                break
            if kind == Kind.HEARTBEAT:
                batch.hello = batch.hello or parse_hello(text)
                text = b""  # noqa: PLW2901
        line = printed(text[:-1] if text.endswith(b"\n") else text)
        if line:
            texts.append(line)
        else:
            silent.append(len(sequences))
        sequences.append(sequence)
    if silent:
        batch._silent = frozenset(silent)  # noqa: SLF001
    if len(sequences) > 1:
        batch.hello = None  # its sender waits for the answer: this is somebody else's heartbeat


def _text(line: bytes) -> bytes:
    return printed(line.removesuffix(b"\n").removesuffix(b"\r"))


def _begun(data: bytes) -> int:
    """Return how many bytes at the end may be the beginning of a header."""
    for size in range(min(len(data), len(PREFIX) - 1), 0, -1):
        if data.endswith(PREFIX[:size]):
            return size
    return 0


def _acks(sequences: Sequence[int], kind: Kind) -> bytes:
    """Return a reply without text for each; the header's last four bytes are the sequence."""
    head = _ACK if kind is Kind.ACK else _HEAD(PREFIX, kind, 0)
    if len(sequences) == 1:
        return head + sequences[0].to_bytes(4, "little")
    if not sequences:
        return b""
    packed = struct.pack(f"<{len(sequences)}I", *sequences)
    return head + head.join([packed[i : i + 4] for i in range(0, len(packed), 4)])
