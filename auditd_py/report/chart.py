"""What a picture shows, as plain values: bars, a series over time, relations, rows of a table.

A chart is a list of cells: which labels, which facet, how many. A facet says when, on which node,
by which user, of which type and with which keys of rules; all charts of a page share one list of
them, so that one choice of a reader holds for all. What is drawn is summed from the cells here
for pictures that stand still, and in page.js for pages.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OTHER: Final = "(other)"
NAMELESS: Final = "(none)"
LONGEST: Final = 1024  # characters of a label that are kept
KEY_SEPARATOR: Final = "\x01"  # between the keys of one event, as in a record
FACETS: Final = ("node", "user", "type", "key")
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_label(raw: bytes | str) -> str:
    """Return a label that can be shown anywhere: what has no shape or turns text is escaped."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace")
    if not (text.isascii() and text.isprintable()):
        text = "".join(_shown(one) for one in text)
    if not text:
        return NAMELESS
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 + 1 :]}"


def _shown(one: str) -> str:
    if unicodedata.category(one) not in _UNSHOWN:
        return one
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def shortened(label: str, width: int) -> str:
    """Return a label of at most `width` characters, with its middle left out if need be."""
    if len(label) <= width:
        return label
    left = (width - 1) // 3
    return f"{label[:left]}…{label[len(label) - (width - 1 - left) :]}"


@dataclass(slots=True)
class Facets:
    """When, where, by whom, of which type, with which keys: what can be chosen on a page.

    `rows` are (bucket, node, user, type, keys): the bucket's number in steps of `step_s` since
    1970 in local time (None without times), then places in `values`. The keys of an event are one
    value, with KEY_SEPARATOR between them. Local time is UTC and `offset_s`.
    """

    rows: list[tuple[int | None, int, int, int, int]] = field(
        default_factory=lambda: [(None, 0, 0, 0, 0)]
    )
    values: dict[str, list[str]] = field(default_factory=lambda: {name: [""] for name in FACETS})
    step_s: int = 0
    offset_s: int = 0


@dataclass(slots=True)
class Chart:
    """One chart.

    `kind` is bars, series or relations. `names` says what the labels are: one word, or two for
    relations. A cell is the place of each label in `labels`, the facet, and the count. `notes`
    say what is not shown.
    """

    kind: str
    title: str
    names: tuple[str, ...]
    labels: tuple[list[str], ...]
    cells: list[tuple[int, ...]]
    facets: Facets = field(default_factory=Facets)
    unit: str = "events"
    source: str = ""
    period: str = ""
    notes: list[str] = field(default_factory=list)
    file: str = ""  # where all of it is, beside the page

    def totals(self) -> list[tuple[tuple[str, ...], int]]:
        """Return labels and counts, the most frequent first; OTHER is last."""
        width = len(self.names)
        counts: Counter[tuple[int, ...]] = Counter()
        for cell in self.cells:
            counts[cell[:width]] += cell[-1]
        named = [
            (tuple(self.labels[n][place] for n, place in enumerate(places)), count)
            for places, count in counts.items()
        ]
        named.sort(key=lambda row: (OTHER in row[0], -row[1], row[0]))
        return named

    def series(self, most: int) -> Series:
        """Return the counts in each bucket of time, of the `most` most frequent labels."""
        names = [labels[0] for labels, _ in self.totals()]
        shown = names[:most] if len(names) <= most else [*names[: most - 1], OTHER]
        place = {name: min(at, len(shown) - 1) for at, name in enumerate(names)}
        counts: Counter[tuple[int, int]] = Counter()
        for label, facet, count in self.cells:
            bucket = self.facets.rows[facet][0]
            if bucket is not None:
                counts[bucket, place[self.labels[0][label]]] += count
        first = min((bucket for bucket, _ in counts), default=0)
        length = max((bucket for bucket, _ in counts), default=first - 1) - first + 1
        rows = [[counts[first + at, one] for at in range(length)] for one in range(len(shown))]
        return Series(first * self.facets.step_s, self.facets.step_s, shown, rows)


@dataclass(slots=True)
class Series:
    """Counts over time: `rows` has a list for each of `names`, a number for each step.

    `start_s` is in local time since 1970.
    """

    start_s: int
    step_s: int
    names: list[str]
    rows: list[list[int]]


@dataclass(slots=True)
class Table:
    """Rows that are shown as they are; the first value of each is its facet."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[int, list[str]]]
    notes: list[str] = field(default_factory=list)
    file: str = ""


@dataclass(slots=True)
class Figures:
    """Numbers with words, of the whole period."""

    title: str
    rows: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """All that one page shows."""

    title: str
    source: str
    period: str
    facets: Facets
    items: list[Chart | Table | Figures]
    notes: list[str] = field(default_factory=list)


def chart_of(
    kind: str,
    title: str,
    names: Sequence[str],
    counts: Iterable[tuple[tuple[bytes | str, ...], int]],
    source: str = "",
) -> Chart:
    """Return a chart of counts that have no time and no facets."""
    places: list[dict[str, int]] = [{} for _ in names]
    cells = []
    for labels, count in counts:
        at = [
            found.setdefault(shown_label(label), len(found))
            for found, label in zip(places, labels, strict=True)
        ]
        cells.append((*at, 0, count))
    return Chart(
        kind, title, tuple(names), tuple(list(one) for one in places), cells, source=source
    )


def page_of(chart: Chart) -> Page:
    """Return a page with one chart on it."""
    return Page(chart.title, chart.source, chart.period, chart.facets, [chart])
