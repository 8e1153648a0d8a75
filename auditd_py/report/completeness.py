"""How complete a log is: serials that are not in it, and what the daemon says of itself."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.report.columns import time_of

if TYPE_CHECKING:
    from auditd_py.report.columns import Columns

_OWN: Final = range(1200, 1300)  # records of daemons have numbers of their own
_WINDOW: Final = 1024  # events that may come later than events numbered after them
_REBOOT_S: Final = 5  # a smaller serial that much later: the kernel began anew
MOST_GAPS: Final = 200
TOLD_TYPES: Final = (b"DAEMON_", b"USER_CMD")
_told = re.compile(
    rb"^(?:node=(\S+) )?type=(DAEMON_\w+|USER_CMD) msg=audit\((\d+\.\d+:\d+)\): ?(.*)$",
    re.MULTILINE,
)
_lost = re.compile(rb"\b(?:lost|unwritten|dropped)=(\d+)").findall


@dataclass(slots=True)
class Gap:
    """Serials that are not in the log: from `first` to `last`, noticed at a second."""

    node: str
    second: int
    first: int
    last: int


@dataclass(slots=True)
class _Node:
    waiting: list[int] = field(default_factory=list)  # a heap
    expected: int | None = None
    highest: int = 0
    second: int = 0


class Serials:
    """Finds the serials that no event of a log has."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.count = self.missing = self.restarts = 0
        self._nodes: dict[bytes | None, _Node] = {}

    def add(self, columns: Columns) -> None:
        """Take the serials of events into account."""
        for node, stamp, types in zip(columns.node, columns.stamp, columns.types, strict=True):
            if types and types[0] in _OWN:
                continue
            second, _, serial = time_of(stamp)
            one = self._nodes.get(node)
            if one is None:
                one = self._nodes[node] = _Node()
            if serial < one.highest and second > one.second + _REBOOT_S:
                self._finish(node, one)
                self.restarts += 1
                one = self._nodes[node] = _Node()
            if serial > one.highest:
                one.highest, one.second = serial, second
            heapq.heappush(one.waiting, serial)
            if len(one.waiting) > _WINDOW:
                self._take(node, one)

    def finish(self) -> None:
        """Take the last events: call it when all are added."""
        for node, one in self._nodes.items():
            self._finish(node, one)

    def _finish(self, node: bytes | None, one: _Node) -> None:
        while one.waiting:
            self._take(node, one)

    def _take(self, node: bytes | None, one: _Node) -> None:
        serial = heapq.heappop(one.waiting)
        if one.expected is not None and serial > one.expected:
            self.count += 1
            self.missing += serial - one.expected
            if len(self.gaps) < MOST_GAPS:
                name = (node or b"").decode("utf-8", "backslashreplace")
                self.gaps.append(Gap(name, one.second, one.expected, serial - 1))
        one.expected = max(serial + 1, one.expected or 0)


@dataclass(slots=True)
class Told:
    """A record whose own words count: of the daemon, or a command under sudo."""

    node: bytes | None
    kind: bytes
    stamp: bytes
    text: bytes

    @property
    def lost(self) -> int:
        """How many records it says are lost."""
        return sum(int(number) for number in _lost(self.text))


def told(lines: bytes) -> list[Told]:
    """Return those records of whole lines."""
    if not any(b"type=" + kind in lines for kind in TOLD_TYPES):
        return []
    return [Told(*found.groups()) for found in _told.finditer(lines)]
