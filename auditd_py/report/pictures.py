"""Which chart a report gives: bars of a summary, a series of a list, relations of two columns."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

from auditd_py.report.chart import OTHER, shown_label
from auditd_py.report.definitions import BY_NAME
from auditd_py.report.facts import Facts, Gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.report.chart import Chart
    from auditd_py.report.columns import Columns, Value
    from auditd_py.report.definitions import Report, Summary
    from auditd_py.report.show import Show

    Found = list[tuple[tuple[Any, ...], int]]

# what --graph can relate: the report whose summary counts it
OF_SUMMARIES: Final = {
    "user": "user",
    "exe": "executable",
    "comm": "comm",
    "host": "host",
    "terminal": "terminal",
    "key": "key",
    "file": "file",
    "syscall": "syscall",
    "pid": "pid",
    "type": "event",
    "login": "login",
    "acct": "auth",
}
GRAPHED: Final = (*OF_SUMMARIES, "node", "result")
_BY_RESULT: Final = frozenset({"login", "auth"})
_STEPS_S: Final = {"hour": 3600, "day": 86400}


class Picture:
    """One chart of `aureport --plot`, made block by block."""

    def __init__(self, facts: Facts, kind: str, title: str, names: tuple[str, ...]) -> None:
        self.kind, self.title, self.names = kind, title, names
        self.needs: frozenset[str] = Facts.NEEDS
        self.facts = facts
        self.found: Callable[[Columns, list[int]], Found]
        self.shown: Callable[[tuple[Any, ...]], tuple[str, ...]]
        self._gather = Gather(facts, lambda label: self.shown(label))  # noqa: PLW0108  set later

    def add(self, columns: Columns, places: list[int]) -> None:
        """Count what events have; `places` are their facets."""
        self._gather.add(self.found(columns, places))

    def chart(self, source: str, top: int | None = None) -> Chart:
        """Return the chart; call it when all events are read."""
        chart = self._gather.chart(self.kind, self.title, self.names, source=source)
        if top is not None:
            chart.labels, chart.notes = _only(chart, top)
        return chart

    def rows(self) -> list[tuple[tuple[str, ...], int]]:
        """Return every label and its count, exactly."""
        return self._gather.rows()


def _only(chart: Chart, top: int) -> tuple[tuple[list[str], ...], list[str]]:
    """Leave the `top` most frequent; return labels and notes."""
    rows = [row for row in chart.totals() if OTHER not in row[0]]
    kept = {labels for labels, _ in rows[:top]}
    width = len(chart.names)
    chart.cells = [
        cell
        for cell in chart.cells
        if tuple(chart.labels[n][cell[n]] for n in range(width)) in kept
    ]
    if len(rows) <= top:
        return chart.labels, chart.notes
    return chart.labels, [*chart.notes, f"only the {top} most frequent of {len(rows):,}"]


def bars(facts: Facts, show: Show, summary: Summary, title: str) -> Picture:
    """Return the picture of a summary."""
    picture = Picture(facts, "bars", title, (summary.total,))
    _count(picture, show, summary)
    return picture


def _count(picture: Picture, show: Show, summary: Summary) -> None:
    picture.needs |= summary.needs
    picture.found = lambda columns, places: [
        ((value,), places[place]) for place, value in summary.counted(columns)
    ]
    picture.shown = lambda label: (_text(show, summary.kind, label[0]),)


def series(facts: Facts, show: Show, report: Report, title: str) -> Picture:
    """Return the picture of a list over time: by result where that matters, else by its value."""
    summary = report.summary
    if summary is not None and report.name not in _BY_RESULT:
        picture = Picture(facts, "series", title, (summary.total,))
        _count(picture, show, summary)
        return picture
    picture = Picture(facts, "series", title, ("result",))
    picture.needs |= report.needs | {"success"}
    picture.found = lambda columns, places: [
        ((columns.success[place],), places[place]) for place, _ in report.rows(columns)
    ]
    picture.shown = lambda label: (_result(label[0]),)
    return picture


def relations(
    facts: Facts, show: Show, report: Report | None, pair: tuple[str, str], title: str
) -> Picture:
    """Return the picture of which of one thing goes with which of another."""
    picture = Picture(facts, "relations", title, pair)
    sides = [_Side(name, show) for name in pair]
    picture.needs |= frozenset().union(*(side.needs for side in sides))
    if report is not None:
        picture.needs |= report.needs

    def found(columns: Columns, places: list[int]) -> Found:
        left, right = (side.values(columns) for side in sides)
        rows = left if report is None else dict.fromkeys(p for p, _ in report.rows(columns))
        return [
            (both, places[place])
            for place in rows
            for both in product(left.get(place, ()), right.get(place, ()))
        ]

    picture.found = found
    picture.shown = lambda label: (sides[0].shown(label[0]), sides[1].shown(label[1]))
    return picture


class _Side:
    """One side of a relation: the values of each event, and what they are called."""

    def __init__(self, name: str, show: Show) -> None:
        self._name, self._show = name, show
        summary = BY_NAME[OF_SUMMARIES[name]].summary if name in OF_SUMMARIES else None
        self._summary = summary
        self.needs = summary.needs if summary is not None else frozenset({"success", "node"})

    def values(self, columns: Columns) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        for place, value in self._each(columns):
            values = found.setdefault(place, [])
            if value not in values:
                values.append(value)
        return found

    def _each(self, columns: Columns) -> Iterator[tuple[int, Any]]:
        if self._summary is not None:
            return iter(self._summary.counted(columns))
        return enumerate(columns.node if self._name == "node" else columns.success)

    def shown(self, value: Value) -> str:
        if self._name == "result":
            return _result(value)
        return _text(self._show, "text" if self._summary is None else self._summary.kind, value)


def _text(show: Show, kind: str, value: Value) -> str:
    if kind == "type" and not show.interpret:  # a picture needs no option for what people know
        kind = "type_name"
    return shown_label(show.label(kind, value))


def _result(value: bool | None) -> str:  # noqa: FBT001  one of the column `success`
    return "not told" if value is None else "ok" if value else "failed"


def step_of(by: str) -> int:
    """Return the step of time that --by asks for, 0 if none."""
    return _STEPS_S.get(by, 0)
