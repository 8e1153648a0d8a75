"""Gathers what charts show from blocks of events, in bounded memory.

Time is kept in steps that grow with the period, names of nodes, users and keys up to a number,
and labels as long as there is room: what is rare is then counted as (other), and the chart says
how much that was. The count of each label in the whole period is exact all the same.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditd_py.report.chart import (
    FACETS,
    KEY_SEPARATOR,
    OTHER,
    Chart,
    Facets,
    shown_label,
)
from auditd_py.report.columns import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditd_py.report.columns import Columns
    from auditd_py.report.show import Show

STEPS_S: Final = (1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 86400, 604800)
MOST_STEPS: Final = 240
MOST_ASKED_STEPS: Final = 3000  # where somebody asked for hours or days
LEAST_STEPS: Final = 12
MOST_VALUES: Final = 400  # of nodes, users, types and sets of keys, each
MOST_FACETS: Final = 40_000
MOST_CELLS: Final = 100_000  # of a chart while events are read
MOST_LABELS: Final = 50_000  # of a chart that are counted, each
LEAST_LABELS: Final = 25  # of a chart, however many cells they have
DRAWN_CELLS: Final = 20_000  # of a chart on a page
DRAWN_LABELS: Final = 10_000

Label = tuple[Any, ...]
Row = tuple[int | None, int, int, int, int]


class Follower(Protocol):
    """What keeps places of facets: those change when facets become fewer."""

    def move(self, places: list[int]) -> None:
        """Take over facets that have other places now."""

    def settle(self) -> None:
        """Make room if too much is kept."""


class Facts:
    """Facets of events; charts that are gathered with them follow when the steps of time grow."""

    NEEDS: Final = frozenset({"node", "stamp", "type", "auid", "auid_name", "keys"})

    def __init__(self, show: Show, step_s: int = 0) -> None:
        """Begin without facets; `step_s` is the shortest step, 0 leaves it to the period."""
        self.facets = Facets(rows=[], step_s=step_s or 1)
        self._asked_s = step_s
        self._show = show
        self._known: dict[Row, int] = {}
        self._values: dict[str, dict[Any, int]] = {name: {} for name in self.facets.values}
        for values in self.facets.values.values():
            values.clear()
        self._first = self._last = 0
        self.first_s: int | None = None
        self.last_s: int | None = None
        self.gathers: list[Follower] = []
        self._folded: set[str] = set()
        self.overflowed: set[str] = set()

    def places(self, columns: Columns) -> list[int]:
        """Return the facet of each event."""
        seconds = [int(stamp.partition(b".")[0]) for stamp in columns.stamp]
        if not seconds:
            return []
        self._reach(min(seconds), max(seconds))
        step, offset = self.facets.step_s, self.facets.offset_s
        users = zip(columns.auid, columns.auid_name, strict=True)
        known, rows = self._known, self.facets.rows
        places = []
        for row in zip(
            [(second + offset) // step for second in seconds],
            self._column("node", columns.node),
            self._column("user", users),
            self._column("type", columns.type),
            self._column("key", columns.keys),
            strict=True,
        ):
            place = known.get(row)
            if place is None:
                place = known[row] = len(rows)
                rows.append(row)
            places.append(place)
        return places

    def settle(self) -> None:
        """Make room: call it between blocks."""
        while len(self.facets.rows) > MOST_FACETS and self._coarser():
            pass
        for name in ("key", "type", "node", "user"):
            if len(self.facets.rows) > MOST_FACETS:
                self._forget(name)
        for gather in self.gathers:
            gather.settle()

    def coarsen(self) -> bool:
        """Make the steps of time longer; say whether that was possible."""
        return self._coarser()

    def period(self) -> str:
        """Return first and last time, local."""
        if self.first_s is None or self.last_s is None:
            return "no events"
        return f"{local_time(self.first_s)} to {local_time(self.last_s)}"

    def notes(self) -> list[str]:
        """Say what of the facets was cut."""
        notes = [
            f"there are too many different {name}s to choose from: the rest of them is {OTHER}"
            for name in sorted(self.overflowed)
        ]
        if 0 < self._asked_s < self.facets.step_s:
            notes.append(f"there are too many steps of {self._asked_s} s: they are longer here")
        return notes

    def _reach(self, first: int, last: int) -> None:
        if self.first_s is None or self.last_s is None:
            self.facets.offset_s = time.localtime(first).tm_gmtoff
            self.first_s, self.last_s = first, last
        self.first_s, self.last_s = min(first, self.first_s), max(last, self.last_s)
        most = MOST_ASKED_STEPS if self._asked_s else MOST_STEPS
        while (self.last_s - self.first_s) // self.facets.step_s >= most:
            if not self._longer():
                break

    def _coarser(self) -> bool:
        if self.first_s is None or self.last_s is None:
            return False
        if (self.last_s - self.first_s) // self.facets.step_s < LEAST_STEPS:
            return False
        return self._longer()

    def _longer(self) -> bool:
        old = self.facets.step_s
        step = next((one for one in STEPS_S if one > old), None)
        if step is None:
            step = old * 2
        self.facets.step_s = step
        self._renumber([((row[0] or 0) * old // step, *row[1:]) for row in self.facets.rows])
        return True

    def _renumber(self, rows: list[Row]) -> None:
        """Take other facets instead of those that are there, many of them alike now."""
        self._known = {}
        moved = [self._known.setdefault(row, len(self._known)) for row in rows]
        self.facets.rows[:] = list(self._known)
        for gather in self.gathers:
            gather.move(moved)

    def _forget(self, name: str) -> None:
        """Make all values of a facet one: there are too many combinations."""
        self.overflowed.add(name)
        self._values[name] = {}
        self.facets.values[name][:] = [OTHER]
        at = 1 + FACETS.index(name)
        self._renumber([(*row[:at], 0, *row[at + 1 :]) for row in self.facets.rows])  # type: ignore[misc]
        self._folded.add(name)

    def _column(self, name: str, values: Iterable[Any]) -> list[int]:
        known, labels = self._values[name], self.facets.values[name]
        if name in self._folded:
            return [0] * sum(1 for _ in values)
        show: Callable[[Any], str] = getattr(self, "_" + name)
        places = []
        for value in values:
            place = known.get(value)
            if place is None:
                place = self._place(name, labels, show(value))
                if len(known) < 100 * MOST_VALUES:
                    known[value] = place
            places.append(place)
        return places

    def _place(self, name: str, labels: list[str], label: str) -> int:
        if label in labels:
            return labels.index(label)
        if len(labels) >= MOST_VALUES:
            self.overflowed.add(name)
            label = OTHER
            if label in labels:
                return labels.index(label)
        labels.append(label)
        return len(labels) - 1

    def _node(self, value: bytes | None) -> str:
        return "" if value is None else shown_label(value)

    def _user(self, value: tuple[int | None, bytes | None]) -> str:
        return user_label(self._show, value)

    def _type(self, value: bytes) -> str:
        return shown_label(value)

    def _key(self, value: tuple[bytes, ...]) -> str:
        return KEY_SEPARATOR.join(dict.fromkeys(map(shown_label, value)))


def user_label(show: Show, value: tuple[int | None, bytes | None]) -> str:
    """Return what a picture calls a user: a name where there is one."""
    number, name = value
    if number is None:
        return ""
    if number == UNSET:
        return "unset"
    return shown_label(name or show.label("user", value))


def local_time(second: int) -> str:
    """Return a second since 1970 in local time, as ISO 8601 writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


class Gather:
    """The cells of one chart.

    A label that is rare when room is needed is folded: its cells count as (other), until it is
    frequent. Beyond MOST_LABELS the rarest are forgotten, and only their sum is kept.
    """

    def __init__(self, facts: Facts, shown: Callable[[Label], tuple[str, ...]]) -> None:
        """Begin with nothing; `shown` gives the texts of a label."""
        self._totals: Counter[Label] = Counter()
        self._cells: Counter[tuple[Label, int]] = Counter()
        self._folded: set[Label] = set()
        self._forgotten = 0
        self._facts = facts
        self._shown = shown
        facts.gathers.append(self)

    def add(self, found: Sequence[tuple[Label, int]]) -> None:
        """Count labels with their facets."""
        self._totals.update([label for label, _ in found])
        folded = self._folded
        if folded:
            found = [(() if label in folded else label, facet) for label, facet in found]
        self._cells.update(found)

    def move(self, places: list[int]) -> None:
        """Take over facets that have other places now."""
        old, self._cells = self._cells, Counter()
        for (label, facet), count in old.items():
            self._cells[label, places[facet]] += count

    def settle(self) -> None:
        """Make room if there are too many labels or cells."""
        if len(self._totals) > MOST_LABELS:
            kept = self._totals.most_common(MOST_LABELS // 2)
            self._forgotten += self._totals.total() - sum(count for _, count in kept)
            self._totals = Counter(dict(kept))
            self._fold(MOST_CELLS // 2, MOST_LABELS)
        if len(self._cells) > MOST_CELLS:
            self._fold(MOST_CELLS // 2, MOST_LABELS)
            while len(self._cells) > MOST_CELLS and self._facts.coarsen():
                pass

    def _fold(self, cells: int, labels: int) -> None:
        """Keep so many cells and labels, of the most frequent; a few labels in any case."""
        sizes = Counter([label for label, _ in self._cells])
        kept: set[Label] = set()
        used = 0
        for at, (label, _) in enumerate(self._totals.most_common(labels)):
            used += sizes[label]
            if used > cells and at >= LEAST_LABELS:
                break
            kept.add(label)
        self._folded = self._totals.keys() - kept
        old, self._cells = self._cells, Counter()
        for (label, facet), count in old.items():
            self._cells[label if label in kept else (), facet] += count

    def rows(self) -> list[tuple[tuple[str, ...], int]]:
        """Return every label and its count, the most frequent first; alike labels are one."""
        together: Counter[tuple[str, ...]] = Counter()
        for label, count in self._totals.items():
            together[self._shown(label)] += count
        rows = sorted(together.items(), key=lambda row: (-row[1], row[0]))
        if self._forgotten and rows:
            rows.append(((OTHER,) * len(rows[0][0]), self._forgotten))
        return rows

    def chart(self, kind: str, title: str, names: tuple[str, ...], source: str) -> Chart:
        """Return the chart, with a note on what was cut to fit on a page."""
        if len(self._totals) > DRAWN_LABELS or len(self._cells) > DRAWN_CELLS:
            self._fold(DRAWN_CELLS, DRAWN_LABELS)
        places: list[dict[str, int]] = [{} for _ in names]
        cells: Counter[tuple[int, ...]] = Counter()
        others = (OTHER,) * len(names)
        texts: dict[Label, tuple[int, ...]] = {}
        for (label, facet), count in self._cells.items():
            at = texts.get(label)
            if at is None:
                shown = self._shown(label) if label else others
                at = texts[label] = tuple(
                    found.setdefault(one, len(found))
                    for found, one in zip(places, shown, strict=True)
                )
            cells[*at, facet] += count
        notes = []
        if left := sum(count for (label, _), count in self._cells.items() if not label):
            many = "many" if self._forgotten else f"{len(self._folded):,}"
            notes.append(f"{many} rarer ones, {left:,} in all, are counted as {OTHER}")
        return Chart(
            kind, title, names, tuple(list(one) for one in places),
            [(*at, count) for at, count in cells.items()], self._facts.facets,
            period=self._facts.period(), notes=notes, source=source,
        )  # fmt: skip
