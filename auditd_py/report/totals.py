"""The report of totals: how much there was of each kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.report.columns import time_of
from auditd_py.report.definitions import BY_NAME, TOTALS

if TYPE_CHECKING:
    from auditd_py.report.columns import Columns, Value


class Totals:
    """Counts all lines of the report of totals."""

    NEEDS: Final = frozenset({"success"}).union(*(BY_NAME[name].needs for _, name, _ in TOTALS))

    def __init__(self) -> None:
        self._counts: list[int] = [0] * len(TOTALS)
        self._different: dict[int, set[Value]] = {
            line: set() for line, (_, _, how) in enumerate(TOTALS) if how == "different"
        }

    def add(self, columns: Columns) -> None:
        """Count what events have."""
        for line, (_, name, how) in enumerate(TOTALS):
            summary = BY_NAME[name].summary
            assert summary is not None
            if how == "different":
                self._different[line].update(value for _, value in summary.counted(columns))
            elif how == "records":
                self._counts[line] += sum(1 for _ in summary.counted(columns))
            else:
                self._counts[line] += _events(columns, name, how)

    def rows(self) -> list[tuple[str, int]]:
        """Return each line's words and its number."""
        return [
            (what, len(self._different[line]) if how == "different" else self._counts[line])
            for line, (what, _, how) in enumerate(TOTALS)
        ]


def _events(columns: Columns, name: str, how: str) -> int:
    if name == "event":
        return len(columns)
    places = {place for place, _ in BY_NAME[name].rows(columns)}
    if how == "events":
        return len(places)
    wanted = how == "successful"
    return sum(1 for place in places if columns.success[place] is wanted)


class Range:
    """The first and the last time in a log."""

    def __init__(self) -> None:
        self.first: bytes | None = None
        self.last: bytes | None = None

    def add(self, columns: Columns) -> None:
        """Take events into account."""
        if not columns.stamp:
            return
        first, last = columns.stamp[0], columns.stamp[-1]
        if self.first is None or time_of(first) < time_of(self.first):
            self.first = first
        if self.last is None or time_of(last) > time_of(self.last):
            self.last = last
