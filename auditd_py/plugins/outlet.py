"""What a plugin sends to: a bounded buffer before somebody who may be slow, away, or restarting.

While the other side takes nothing, messages wait; when they are too many, the newest are
dropped and counted. The plugin itself never waits and never ends for it.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_BYTES: Final = 8 << 20  # about 25,000 records
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
STALLED_S: Final = 10.0  # one that takes nothing for so long counts as away
TELL_EVERY_S: Final = 60.0

_VECTOR: Final = 256  # messages for one call
_LONGEST_SEND: Final = 1 << 18


class Sink(Protocol):
    """The other side, connected; it never blocks and raises OSError when it has gone."""

    whole: bool  # whether a message goes as one or not at all

    def send(self, data: bytes | memoryview) -> int:
        """Return how many bytes were taken; raises BlockingIOError when it is full."""

    def fileno(self) -> int:
        """Return the descriptor, for polling."""

    def close(self) -> None:
        """Let go of it."""


class Outlet:
    """Messages for one sink, which `connect` makes; times are of a monotonic clock, in seconds."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Sink],
        tell: Callable[[str], None],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.dropped = 0
        self.cut = 0
        self.sink: Sink | None = None
        self._name = name
        self._connect = connect
        self._tell = tell
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._offset = 0
        self._retry_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._full_since: float | None = None
        self._told_at = float("-inf")
        self._told_dropped = 0
        self._away = False

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the next message may be dropped."""
        return self._size >= self._most_bytes

    def put(self, messages: Iterable[bytes], now: float) -> None:
        """Take messages, and pass on what goes."""
        for message in messages:
            if self._size + len(message) > self._most_bytes:
                self.dropped += 1
                continue
            self._waiting.append(message)
            self._size += len(message)
        self.flush(now)

    def stalled(self, now: float) -> bool:
        """Say whether the sink is away, or has been full for too long to wait for it."""
        if self.sink is None:
            return True
        return self._full_since is not None and now - self._full_since > STALLED_S

    def flush(self, now: float) -> None:
        """Pass on what goes; connect if that is due."""
        if self._waiting and self.sink is None and now >= self._retry_at:
            self._open(now)
        while self._waiting and self.sink is not None:
            try:
                self._send(self.sink)
                self._full_since = None
                if self._away:
                    self._away = False
                    self._tell(f"{self._name} is back")
            except BlockingIOError:
                self._full_since = now if self._full_since is None else self._full_since
                break
            except OSError as error:
                if error.errno == errno.EMSGSIZE and self.sink.whole:
                    self._shorten()
                    continue
                self._lost(error, now)
        self._report(now)

    def pause_s(self, now: float) -> float | None:
        """Return after how long to call `flush` again; None if the sink's descriptor tells."""
        if not self._waiting:
            return None
        return max(0.0, self._retry_at - now) if self.sink is None else 1.0

    def close(self, now: float) -> None:
        """Let go of the sink and tell what it did not get; a later message connects again."""
        self._report(now, last=True)
        if self.sink is not None:
            self.sink.close()
            self.sink = None

    def reopen(self) -> None:
        """Let go of the sink after what is written; the next message connects again."""
        if self.sink is not None:
            self.sink.close()
        self.sink = None
        self._offset = 0
        self._retry_at = 0.0

    def _open(self, now: float) -> None:
        try:
            self.sink = self._connect()
        except OSError as error:
            self._lost(error, now)
            return
        self._full_since = None

    def _send(self, sink: Sink) -> None:
        if sink.whole:
            sink.send(self._waiting[0])
            self._size -= len(self._waiting.popleft())
            self._pause_s = FIRST_PAUSE_S
            return
        parts, size = [], 0
        for part in self._waiting:
            parts.append(part)
            size += len(part)
            if len(parts) == _VECTOR or size > _LONGEST_SEND:
                break
        data = memoryview(b"".join(parts))
        sent = sink.send(data[self._offset :]) + self._offset
        while self._waiting and sent >= len(self._waiting[0]):
            sent -= len(self._waiting[0])
            self._size -= len(self._waiting.popleft())
        self._offset = sent
        self._pause_s = FIRST_PAUSE_S

    def _shorten(self) -> None:
        """Cut the first message in half: it is longer than the socket takes."""
        first = self._waiting.popleft()
        self._size -= len(first)
        short = first[: len(first) // 2]
        if not short:
            self.dropped += 1
            return
        self.cut += 1
        self._size += len(short)
        self._waiting.appendleft(short)

    def _lost(self, error: OSError, now: float) -> None:
        if self.sink is not None:
            self.sink.close()
            self.sink = None
        self._offset = 0  # what was cut off is sent again, whole
        self._retry_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        if not self._away:
            self._away = True
            self._tell(f"{self._name} is away: {error.strerror or error}; records wait")

    def _report(self, now: float, *, last: bool = False) -> None:
        fresh = self.dropped - self._told_dropped
        if fresh and (last or now - self._told_at >= TELL_EVERY_S):
            self._told_at, self._told_dropped = now, self.dropped
            self._tell(f"{self._name}: {fresh} dropped, {self.dropped} since the start")
        if last and self._waiting:
            self._tell(f"{self._name}: {len(self._waiting)} not sent at the end")


class SocketSink:
    """A connected socket; datagrams go whole, of a stream parts may go."""

    def __init__(self, connection: socket.socket) -> None:
        self.whole = connection.type == socket.SOCK_DGRAM
        self._connection = connection
        connection.setblocking(False)

    def send(self, data: bytes | memoryview) -> int:
        """See Sink."""
        return self._connection.send(data)

    def fileno(self) -> int:
        """See Sink."""
        return self._connection.fileno()

    def close(self) -> None:
        """See Sink."""
        self._connection.close()
