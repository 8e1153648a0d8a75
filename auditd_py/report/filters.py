"""Which events a report takes into account: of a time, a node, failed or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.report.columns import time_of

if TYPE_CHECKING:
    from auditd_py.report.columns import Columns

_CONFIG_CHANGE: Final = 1305
# those that add something, and those that take it away
ADDING: Final = frozenset({1114, 1116, 1407, 1409, 1411, 1413, 1416, 1418})
DELETING: Final = frozenset({1115, 1117, 1408, 1410, 1412, 1414, 1417, 1419})


@dataclass(slots=True)
class Filter:
    """What an event must be; nothing asks for nothing.

    `start` and `end` are seconds since 1970, both included. `without` are types that no record
    of an event may have.
    """

    start: int | None = None
    end: int | None = None
    nodes: frozenset[bytes] = frozenset()
    success: bool | None = None
    without: frozenset[int] = frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """The columns it looks at."""
        needs = set()
        if self.success is not None:
            needs.add("success")
        if self.without:
            needs.add("types")
        return frozenset(needs)

    def passed(self, columns: Columns) -> Columns:
        """Return the events that are so."""
        kept = self.places(columns)
        return columns if len(kept) == len(columns) else columns.picked(kept)

    def places(self, columns: Columns, *, of_time: bool = True) -> list[int]:
        """Return where in `columns` the events are that are so, `of_time` or whenever."""
        kept = list(range(len(columns)))
        if of_time and (self.start is not None or self.end is not None):
            first = 0 if self.start is None else self.start
            last = 1 << 62 if self.end is None else self.end
            kept = [p for p in kept if first <= time_of(columns.stamp[p])[0] <= last]
        if self.nodes:
            kept = [p for p in kept if columns.node[p] in self.nodes]
        if self.success is not None:
            kept = [p for p in kept if columns.success[p] is self.success]
        if self.without:
            kept = [p for p in kept if self.without.isdisjoint(columns.types[p])]
        return kept


def without_types(*, config: bool, adding: bool, deleting: bool) -> frozenset[int]:
    """Return the types to leave out: of configuration, of what adds, of what deletes."""
    found = {_CONFIG_CHANGE} if config else set()
    return frozenset(found | (ADDING if adding else set()) | (DELETING if deleting else set()))
