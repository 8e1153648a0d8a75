"""The records that wait for one plugin, and those it may not have read yet."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

from auditd_py.dispatch.frame import Format, boundary_before, count, end_of

_MAX_VECTOR: Final = 64  # chunks for one writev: about 16,000 records


class PluginQueue:
    """A queue of at most `depth` records of one format.

    What was sent is kept until the plugin has read it, so that a plugin that crashes misses
    nothing: `rewind` puts it back, from the beginning of the record it was reading.
    """

    def __init__(self, form: Format, depth: int) -> None:
        self.depth = depth
        self.records = 0
        self.most = 0
        self.dropped = 0
        self._form = form
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._offset = 0  # in the first that waits
        self._sent: deque[bytes] = deque()
        self._sent_size = 0

    def put(self, chunk: bytes, records: int) -> int:
        """Add `records` whole records; return how many of them there was no room for.

        Those that come last are dropped, as each is the newest.
        """
        room = max(0, self.depth - self.records)
        surplus = max(0, records - room)
        if surplus:
            self.dropped += surplus
            if not room:
                return surplus
            chunk, records = chunk[: end_of(chunk, room, self._form)], room
        self._waiting.append((chunk, records))
        self.records += records
        self.most = max(self.most, self.records)
        return surplus

    def vector(self) -> list[bytes | memoryview]:
        """Return what to write next, empty if nothing waits."""
        found: list[bytes | memoryview] = [chunk for chunk, _ in islice(self._waiting, _MAX_VECTOR)]
        if self._offset and found:
            found[0] = memoryview(found[0])[self._offset :]
        return found

    def sent(self, size: int) -> None:
        """Take note that `size` bytes of the vector were written."""
        size += self._offset
        while self._waiting and size >= len(self._waiting[0][0]):
            chunk, records = self._waiting.popleft()
            size -= len(chunk)
            self.records -= records
            self._sent.append(chunk)
            self._sent_size += len(chunk)
        self._offset = size

    def unread(self, size: int) -> None:
        """Take note that the plugin has read all that was sent but the last `size` bytes."""
        keep = size - self._offset
        while self._sent and self._sent_size - len(self._sent[0]) >= keep:
            self._sent_size -= len(self._sent.popleft())

    def rewind(self, unread: int) -> None:
        """Put back what a plugin that has ended did not read, the record it was in included."""
        self.unread(unread)
        partly, rest = b"", b""
        if self._offset:
            first, records = self._waiting.popleft()
            self.records -= records
            partly, rest = first[: self._offset], first[self._offset :]
        data = b"".join(self._sent) + partly
        here = boundary_before(data, len(data) - unread, self._form)
        again = data[here:] + rest
        self._sent.clear()
        self._sent_size = self._offset = 0
        if again:
            records = count(again, self._form)
            self._waiting.appendleft((again, records))
            self.records += records

    def kept(self) -> tuple[list[tuple[bytes, int]], list[bytes], int]:
        """Return what waits, what was sent and perhaps not read, and how much of the first was."""
        return list(self._waiting), list(self._sent), self._offset

    def go_on(self, waiting: list[tuple[bytes, int]], sent: list[bytes], offset: int) -> None:
        """Become, while it is empty, what a queue was that gave these as `kept`."""
        self._waiting.extend(waiting)
        self._sent.extend(sent)
        self._offset = offset
        self.records = sum(records for _, records in waiting)
        self._sent_size = sum(map(len, sent))

    def clear(self) -> int:
        """Drop what waits; return how many records that were."""
        gone = self.records
        self._waiting.clear()
        self._sent.clear()
        self.records = self._offset = self._sent_size = 0
        self.dropped += gone
        return gone
