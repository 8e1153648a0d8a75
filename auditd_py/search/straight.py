"""All events of a log as raw lines. HOT: 2 ns a byte where lines are in the order of time.

The lines of such a stretch are what a Scan would give of it. They wait as long as its events
would, since a late record may follow; then the Scan gets them, to put what belongs together.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from auditd_py.record.plain import raw_text_marked
from auditd_py.record.record import ENRICHED
from auditd_py.search.scan import HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.search.scan import Scan

    Key = tuple[bytes, int]  # the time of a stamp, and its serial

_TIME: Final = len(b"1700000000.123:")
# of each line that is told apart without a closer look
_stamps = re.compile(
    rb"^type=[A-Z][A-Z0-9_]* msg=audit\((\d{10}\.\d{3}:\d{1,18})\)[^\n]*\n", re.MULTILINE
).findall


class Span(NamedTuple):
    """What is known of some lines: the first stamp, the highest, and whether they only rise."""

    first: Key
    highest: Key
    straight: bool


class RawLines:
    """Takes blocks, gives the lines of all events as ausearch --raw orders them."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._open = False  # the scan has events
        self._held: deque[tuple[memoryview, int]] = deque()  # lines, and their last second
        self._size = 0
        self._highest: Key = (b"", 0)

    def feed(self, data: bytes, end: int) -> Iterator[bytes | memoryview]:
        """Take whole lines, `data` up to `end`; give those of the events that are over."""
        span = _span(data, end)
        if span is not None and span.straight and span.first >= self._highest:
            self._held.append((memoryview(data)[:end], _second(span.highest)))
            self._size += end
        else:
            yield from self._put_together()
            yield from self._scanned(data, end)
        after = (b"%d" % (self._scan.latest + 1), 0)  # what cannot be read may be as late
        self._highest = max(self._highest, span.highest if span else after)
        yield from self._over()

    def end(self) -> Iterator[bytes | memoryview]:
        """Give what still waits."""
        yield from map(raw_text_marked, self._scan.end())
        yield from (lines for lines, _ in self._held)
        self._open = False
        self._held.clear()
        self._size = 0

    def _over(self) -> Iterator[bytes | memoryview]:
        newest, timeout_s = _second(self._highest), self._scan.timeout_s
        if self._open and self._held and self._scan.latest + timeout_s <= newest:
            yield from map(raw_text_marked, self._scan.end())
            self._open = False
        while not self._open and self._held:
            lines, last = self._held[0]
            if last + timeout_s > newest and self._size <= HISTORY:
                return
            yield lines
            self._held.popleft()
            self._size -= len(lines)

    def _put_together(self) -> Iterator[bytes]:
        for lines, _ in self._held:
            yield from self._scanned(bytes(lines), len(lines))
        self._held.clear()
        self._size = 0

    def _scanned(self, data: bytes, end: int) -> Iterator[bytes]:
        self._open = True
        yield from map(raw_text_marked, self._scan.feed(data, end))


def _span(data: bytes, end: int) -> Span | None:
    """Return what is known of some lines; None if one asks for a closer look."""
    if ENRICHED in data or b"type=EOE " in data:
        return None
    stamps = _stamps(data, 0, end)
    if not stamps or len(stamps) != data.count(b"\n", 0, end):
        return None
    if len(set(map(len, stamps))) == 1:
        highest = max(stamps)
        return Span(_key(stamps[0]), _key(highest), stamps == sorted(stamps))
    keys = list(map(_key, stamps))
    return Span(keys[0], max(keys), keys == sorted(keys))


def _key(stamp: bytes) -> Key:
    return stamp[:_TIME], int(stamp[_TIME:])


def _second(key: Key) -> int:
    return int(key[0][:10] or 0)
