"""Counts what a report is about: all of it, or by hour, day or node."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from auditd_py.record.record import type_number

if TYPE_CHECKING:
    from auditd_py.report.columns import Columns, Value
    from auditd_py.report.definitions import Summary
    from auditd_py.report.show import Show

PERIODS = ("hour", "day", "node")
_NUMBERS = frozenset({"number", "type", "user"})


class Tally:
    """How often each value of a report was there, in each period (one, empty, without `by`)."""

    def __init__(self, summary: Summary, by: str = "") -> None:
        self._summary = summary
        self._by = by
        self._counts: dict[bytes, Counter[Value]] = {}
        self._periods: dict[Value, bytes] = {}

    def add(
        self,
        columns: Columns,
        weights: list[int] | None = None,
        _group: frozenset[str] | None = None,
    ) -> None:
        """Count what events have, each once, or as often as `weights` say."""
        if not self._by and weights is None:
            values = [value for _, value in self._summary.counted(columns)]
            self._counts.setdefault(b"", Counter()).update(values)
            return
        period = {"": _always, "node": self._node}.get(self._by, self._time)
        for place, value in self._summary.counted(columns):
            counts = self._counts.setdefault(period(columns, place), Counter())
            counts[value] += 1 if weights is None else weights[place]

    def state(self) -> dict[bytes, Counter[Value]]:
        """Return what was counted, for `merge`."""
        return self._counts

    def merge(self, counts: dict[bytes, Counter[Value]]) -> None:
        """Take what another has counted in what comes after."""
        for period, values in counts.items():
            self._counts.setdefault(period, Counter()).update(values)

    def rows(self, show: Show, top: int | None = None) -> list[tuple[int, bytes, bytes, Value]]:
        """Return count, period, what is shown and a value of it, the most frequent first.

        Values that are shown alike are one. Of those that are as frequent, the one that came
        first is first, or the lowest number. Periods come in order; of each `top` rows at most.
        """
        kind = self._summary.kind
        rows: list[tuple[int, bytes, bytes, Value]] = []
        for period, values in sorted(self._counts.items()):
            together: dict[bytes, tuple[int, Value]] = {}
            for value, count in values.items():
                label = show.label(kind, value)
                before, first = together.get(label, (0, value))
                together[label] = before + count, first
            found = [(count, period, label, value) for label, (count, value) in together.items()]
            found.sort(key=_numeric if kind in _NUMBERS else _first_first)
            rows += found[:top]
        return rows

    def _node(self, columns: Columns, place: int) -> bytes:
        return columns.node[place] or b"-"

    def _time(self, columns: Columns, place: int) -> bytes:
        second = columns.stamp[place].partition(b".")[0]
        found = self._periods.get(second)
        if found is None:
            form = "%Y-%m-%d" if self._by == "day" else "%Y-%m-%dT%H:00"
            text = time.strftime(form, time.localtime(int(second)))
            if len(self._periods) > 100_000:
                self._periods.clear()
            found = self._periods[second] = text.encode("ascii")
        return found


def _always(_columns: Columns, _place: int) -> bytes:
    return b""


def _first_first(row: tuple[int, bytes, bytes, Value]) -> int:
    return -row[0]


def _numeric(row: tuple[int, bytes, bytes, Value]) -> tuple[int, int]:
    value = row[3][0] if isinstance(row[3], tuple) else row[3]
    return -row[0], type_number(value) if isinstance(value, bytes) else value
