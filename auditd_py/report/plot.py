"""Charts as pictures that stand still, SVG and PNG, drawn by matplotlib (extra `report`)."""

from __future__ import annotations

import io
import textwrap
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from auditd_py.errors import AuditError
from auditd_py.report.chart import OTHER, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from auditd_py.report.chart import Chart, Series

FORMATS: Final = ("png", "svg")
MOST_BARS: Final = 25
MOST_SERIES: Final = 8
MOST_RELATIONS: Final = 60
MOST_SIDE: Final = 25
_LABEL: Final = 48  # characters

INK: Final = "#1f2933"
FAINT: Final = "#66727f"
LINE: Final = "#d5dbe1"
COLOURS: Final = (  # told apart with most kinds of colour blindness (Okabe and Ito)
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#666f7a",
)  # fmt: skip
MEANT: Final = {"failed": "#c8351f", "ok": "#0072b2", OTHER: "#a7b0b9"}
_SETTINGS: Final = {
    "svg.fonttype": "none",  # text stays text: it can be found and read aloud
    "svg.hashsalt": "auditd_py",  # the same chart gives the same file
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "text.parse_math": False,
}


class PlotError(AuditError):
    """A picture cannot be drawn; the text says why."""


def picture(chart: Chart, form: str) -> bytes:
    """Return the chart as a file of one of FORMATS; raises PlotError without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError(
            f"{form} pictures need matplotlib: pip install 'auditd-py[report]', or draw .html"
        ) from error
    with warnings.catch_warnings(), mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        warnings.filterwarnings(
            "ignore", message=r"Glyph \d+ .* missing from", category=UserWarning
        )
        figure = Figure(figsize=(10, 4), layout="constrained")
        axes = figure.add_subplot()
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr,call-arg]
        drawers = {"bars": _bars, "series": _series, "relations": _relations}
        note = drawers[chart.kind](figure, axes, chart) if chart.cells else _nothing(axes)
        _caption(figure, chart, note)
        buffer = io.BytesIO()
        more: dict[str, Any] = {"metadata": {"Date": None}} if form == "svg" else {"dpi": 150}
        figure.savefig(buffer, format=form, **more)
    return buffer.getvalue()


def _caption(figure: Figure, chart: Chart, note: str) -> None:
    """Write the title above, and below it where the figures are from and what is left out."""
    width, _ = figure.get_size_inches()
    figure.suptitle(shortened(chart.title, 90), x=0.008, ha="left", fontsize=13, weight="bold")
    below = " · ".join(part for part in (chart.source, chart.period, note, *chart.notes) if part)
    text = "\n".join(textwrap.wrap(below, int(width * 15), break_on_hyphens=False)[:4])
    figure.supxlabel(text, x=0.008, ha="left", fontsize=8, color=FAINT)


def _nothing(axes: Axes) -> str:
    axes.axis("off")
    axes.text(0.5, 0.5, "no events", ha="center", fontsize=12, color=FAINT)
    return ""


def _bars(figure: Figure, axes: Axes, chart: Chart) -> str:
    rows = [row for row in chart.totals() if OTHER not in row[0]]
    shown, rest = rows[:MOST_BARS], rows[MOST_BARS:]
    figure.set_size_inches(10, 1.1 + 0.27 * max(len(shown), 2))
    places = list(range(len(shown)))[::-1]
    counts = [count for _, count in shown]
    drawn = axes.barh(places, counts, height=0.72, color=COLOURS[0])
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=4, fontsize=8.5)
    axes.set_yticks(places, [shortened(" → ".join(labels), _LABEL) for labels, _ in shown])
    axes.set_ylim(-0.6, max(len(shown), 2) - 0.4)
    axes.set_xlim(0, max(counts, default=1) * 1.08)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    if not rest:
        return ""
    return f"{len(rest):,} more, {sum(count for _, count in rest):,} in all, are not shown"


def _series(figure: Figure, axes: Axes, chart: Chart) -> str:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    series = chart.series(MOST_SERIES)
    figure.set_size_inches(10, 4.2)
    when = [
        datetime.fromtimestamp(series.start_s + (at + 0.5) * series.step_s, UTC)
        for at in range(len(series.rows[0]))
    ]
    below = [0] * len(when)
    for at, (name, row) in enumerate(zip(series.names, series.rows, strict=True)):
        colour = MEANT.get(name, COLOURS[at % len(COLOURS)])
        axes.bar(
            when, row, width=series.step_s / 86400 * (0.9 if len(when) < 120 else 1.0),  # type: ignore[arg-type]
            bottom=below, color=colour, label=shortened(name, 30), linewidth=0,
        )  # fmt: skip
        below = [one + more for one, more in zip(below, row, strict=True)]
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    shown = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(shown)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.margins(x=0.01)
    axes.set_xlabel("")
    if len(series.names) > 1 or series.names[0] != chart.unit:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8.5,
            handlelength=1, handleheight=1,
        )  # fmt: skip
    return f"{chart.unit} in {step_words(series)}"


def step_words(series: Series) -> str:
    """Return how long a step is: `an hour`, `15 minutes`."""
    for seconds, name, article in (
        (604800, "week", "a"), (86400, "day", "a"), (3600, "hour", "an"), (60, "minute", "a"),
        (1, "second", "a"),
    ):  # fmt: skip
        if series.step_s % seconds == 0:
            count = series.step_s // seconds
            return f"{article} {name}" if count == 1 else f"{count} {name}s"
    raise AssertionError


def _relations(figure: Figure, axes: Axes, chart: Chart) -> str:
    """Draw two columns of names and bands between them, as thick as the count."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    every = [row for row in chart.totals() if OTHER not in row[0]]
    rows = _both_sides(every)
    sides = [_stack(rows, side) for side in (0, 1)]
    most = max(len(side) for side in sides)
    figure.set_size_inches(10, 1.3 + 0.3 * max(most, 3))
    scale = 1 / sum(count for _, count in rows)
    tops = [_tops(side, scale) for side in sides]
    highest = max(max(top.values()) for top in tops)
    for top in tops:  # both sides begin at the same height
        lift = highest - max(top.values())
        top.update({name: at + lift for name, at in top.items()})
    used = [dict.fromkeys(side, 0.0) for side in sides]
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(sides[0])}
    for labels, count in rows:
        thick = max(count * scale, 0.0)
        left, right = (tops[side][labels[side]] - used[side][labels[side]] for side in (0, 1))
        for side in (0, 1):
            used[side][labels[side]] += thick
        ends = [
            (0.02, left), (0.5, left), (0.5, right), (0.98, right), (0.98, right - thick),
            (0.5, right - thick), (0.5, left - thick), (0.02, left - thick), (0.02, left),
        ]  # fmt: skip
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        colour = colours[labels[0]]
        axes.add_patch(
            PathPatch(Path(ends, codes), facecolor=colour, edgecolor=colour, alpha=0.42, lw=0.6)
        )
    for side in (0, 1):
        _names(axes, chart.names[side], sides[side], tops[side], scale, left=side == 0)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02 * highest, 1.06 * highest)
    axes.axis("off")
    if len(rows) == len(every):
        return ""
    left_out = sum(count for _, count in every) - sum(count for _, count in rows)
    return f"{len(every) - len(rows):,} more pairs, {left_out:,} in all, are not shown"


def _both_sides(
    rows: list[tuple[tuple[str, ...], int]],
) -> list[tuple[tuple[str, ...], int]]:
    """Return the most frequent pairs that keep both sides short."""
    taken: list[tuple[tuple[str, ...], int]] = []
    sides: tuple[set[str], set[str]] = (set(), set())
    for labels, count in rows:
        fits = all(
            name in side or len(side) < MOST_SIDE for name, side in zip(labels, sides, strict=True)
        )
        if fits and len(taken) < MOST_RELATIONS:
            taken.append((labels, count))
            for name, side in zip(labels, sides, strict=True):
                side.add(name)
    return taken


def _stack(rows: list[tuple[tuple[str, ...], int]], side: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for labels, count in rows:
        found[labels[side]] = found.get(labels[side], 0) + count
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _tops(side: dict[str, int], scale: float) -> dict[str, float]:
    """Return where each name's box begins: each has room for its text."""
    room, tops, at = 1 / 12, {}, 0.0
    for name, count in reversed(side.items()):
        height = max(count * scale + 0.02, room)
        at += height
        tops[name] = at - (height - count * scale) / 2
    return tops


def _names(
    axes: Axes, head: str, side: dict[str, int], tops: dict[str, float], scale: float, *, left: bool
) -> None:  # fmt: skip
    from matplotlib.patches import Rectangle

    at, away, align = (0.0, -0.01, "right") if left else (1.0, 0.01, "left")
    highest = max(tops.values())
    axes.text(at + away, highest * 1.03, head, ha=align, va="bottom", fontsize=9, color=FAINT)
    for name, count in side.items():
        thick = count * scale
        axes.add_patch(
            Rectangle((at if left else at - 0.02, tops[name] - thick), 0.02, thick, color=INK)
        )
        axes.text(
            at + away, tops[name] - thick / 2, f"{shortened(name, 40)}  {count:,}",
            ha=align, va="center", fontsize=8.5,
        )  # fmt: skip
