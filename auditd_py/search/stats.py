"""What is in a log, in numbers: records and events by type, and serials that are missing."""

from __future__ import annotations

import re
from collections import Counter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from auditd_py.record.record import type_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.event import Event

_WINDOW: Final = 4096  # events that may come in another order than that of their serials
_REBOOT: Final = 100_000  # a serial that much lower begins a new count
_MOST_GAPS: Final = 20  # told one by one, the largest

_types = re.compile(rb"^(?:node=[^ ]+ )?type=([^ ]+) ", re.MULTILINE).findall


class Gaps:
    """Finds serials that are missing between those of one node's events.

    The kernel numbers events without a hole. What the daemon says about itself has numbers of
    its own and does not count.
    """

    def __init__(self) -> None:
        self.missing = 0
        self.largest: list[tuple[int, int, int]] = []  # how many, first, last
        self._waiting: list[int] = []
        self._expected: int | None = None

    def add(self, serial: int) -> None:
        """Take note of an event."""
        if self._expected is not None and serial < self._expected - _REBOOT:
            self.end()
            self._expected = None
        heappush(self._waiting, serial)
        if len(self._waiting) > _WINDOW:
            self._settle()

    def end(self) -> None:
        """Settle all that was taken note of."""
        while self._waiting:
            self._settle()

    def _settle(self) -> None:
        serial = heappop(self._waiting)
        expected = serial if self._expected is None else self._expected
        if serial > expected:
            self.missing += serial - expected
            heappush(self.largest, (serial - expected, expected, serial - 1))
            if len(self.largest) > _MOST_GAPS:
                heappop(self.largest)
        self._expected = max(expected, serial + 1)


class _Node:
    def __init__(self) -> None:
        self.events = 0
        self.records: Counter[bytes] = Counter()
        self.first = 1 << 62
        self.last = 0
        self.gaps = Gaps()


class Stats:
    """Counts events, by node."""

    def __init__(self) -> None:
        self._nodes: dict[bytes | None, _Node] = {}
        self.junk = 0

    def add(self, event: Event) -> None:
        """Count an event, its records taken apart or not."""
        node = self._nodes.get(event.node)
        if node is None:
            node = self._nodes[event.node] = _Node()
        node.events += 1
        node.first = min(node.first, event.seconds)
        node.last = max(node.last, event.seconds)
        types = [name for record in event.records for name in _types(record.line)]
        node.records.update(types)
        if types and not 1200 <= type_number(types[0]) < 1300:
            node.gaps.add(event.serial)

    def report(self, when: Callable[[int], bytes], *, gaps: bool) -> bytes:
        """Return the numbers as text; `gaps` if all events of a time were counted."""
        lines: list[bytes] = []
        for name, node in sorted(self._nodes.items(), key=lambda item: item[0] or b""):
            lines += [
                b"node: " + (b"-" if name is None else name),
                b"  from:    " + when(node.first),
                b"  to:      " + when(node.last),
                b"  events:  %d" % node.events,
                b"  records: %d" % node.records.total(),
            ]
            lines += [b"    %-20b %d" % item for item in node.records.most_common()]
            if gaps:
                lines += _gap_lines(node.gaps)
        lines.append(b"lines that are no records: %d" % self.junk)
        return b"\n".join(lines) + b"\n"


def _gap_lines(gaps: Gaps) -> list[bytes]:
    gaps.end()
    return [
        b"  events missing by their serials: %d" % gaps.missing,
        *[
            b"    %d: %d to %d" % gap if gap[0] > 1 else b"    1: %d" % gap[1]
            for gap in sorted(gaps.largest, reverse=True)
        ],
    ]
