"""What waits for a server, in memory."""

from __future__ import annotations

from collections import deque


class MemoryQueue:
    """At most `depth` records: first those that were taken to be sent, then those that wait.

    What was taken stays until it is released, so that `waiting` is all that would be lost.
    `first` is the number of the oldest record in `stream`, see remote/stream.
    """

    def __init__(self, depth: int, stream: bytes = b"") -> None:
        self.depth = depth
        self.stream = stream
        self.first = 1
        self.most = 0
        self._texts: deque[bytes] = deque()
        self._taken = 0

    @property
    def waiting(self) -> int:
        """Records that are not released."""
        return self._taken + len(self._texts)

    @property
    def untaken(self) -> int:
        """Records that can be taken."""
        return len(self._texts)

    def put(self, texts: list[bytes]) -> int:
        """Add records; return how many of them, the newest, there was no room for."""
        room = max(0, self.depth - self.waiting)
        surplus = max(0, len(texts) - room)
        self._texts.extend(texts[:room] if surplus else texts)
        self.most = max(self.most, self.waiting)
        return surplus

    def take(self, amount: int) -> list[bytes]:
        """Return the next records to send, at most `amount`."""
        texts = self._texts
        found = [texts.popleft() for _ in range(min(amount, len(texts)))]
        self._taken += len(found)
        return found

    def take_size(self, most_bytes: int, most: int) -> list[bytes]:
        """Return the next `most` records at most, until they have `most_bytes` or a bit more."""
        texts = self._texts
        found: list[bytes] = []
        while texts and most_bytes > 0 and len(found) < most:
            text = texts.popleft()
            most_bytes -= len(text) + 1
            found.append(text)
        self._taken += len(found)
        return found

    def release(self, amount: int) -> None:
        """Let go of the oldest records that were taken."""
        self._taken -= amount
        self.first += amount

    def next(self, place: int) -> bytes:
        """Return a record that can be taken, by its place from 0 on."""
        return self._texts[place]

    def rename(self, stream: bytes) -> None:
        """Count from now on in another stream."""
        self.stream = stream

    def close(self) -> None:
        """Do nothing: a queue on disk has a file to close."""
