"""What the samples say: medians, ratios, verdicts; as text, Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import Sample
from benchmarks.rows import ROWS, Metric, Row, Target, Who

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD: Final = ("row", "figure", "C", "ours", "floor", "ratio", "target", "")
UNITS: Final = {
    Metric.RATE: "events/s",
    Metric.CPU: "CPU s",
    Metric.RSS: "RSS MiB",
    Metric.CLIENT: "KiB",
}
SPREADS: Final = (Metric.RATE, Metric.CPU, Metric.RSS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table; `met` is None when there is nothing to judge."""

    row: str
    figure: str
    values: dict[Who, str]
    ratio: str
    target: str
    met: bool | None

    def cells(self) -> tuple[str, ...]:
        said = {True: "ok", False: "MISS", None: "-"}[self.met]
        values = (self.values.get(who, "-") for who in (Who.C, Who.OURS, Who.FLOOR))
        return (self.row, self.figure, *values, self.ratio, self.target, said)


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    """Return a line for each target of the rows that were measured, and one for losses."""
    lines = []
    for row in ROWS:
        of_row = [sample for sample in samples if sample.row == row.name]
        lines += [_verdict(row, target, of_row) for target in row.targets if of_row]
    return [*lines, _losses(samples)] if samples else []


def table(lines: Iterable[Verdict]) -> str:
    """Return the lines in columns."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 or i > 5 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(samples: Sequence[Sample], facts: dict[str, str]) -> str:
    """Return the table, the machine and the spread of the repetitions."""
    parts = [
        _markdown_table(HEAD, (line.cells() for line in verdicts(samples))),
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        _markdown_table(
            ("row", "daemon", "n", "events", "events/s", "CPU s", "RSS MiB", "missing"),
            _spreads(samples),
        ),
        "Each figure: median (least to most) of n repetitions.",
    ]
    if memory := list(_memory(samples)):
        parts.append(_markdown_table(("row", "daemon", "after events", "RSS MiB"), memory))
    return "\n\n".join(parts) + "\n"


def machine_facts(daemon_version: str) -> dict[str, str]:
    """Return what the figures depend on; nothing that names the machine."""
    memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{memory_mib} MiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "C daemon": daemon_version,
        "file system of the logs": file_system("/var/log"),
    }


def file_system(path: str) -> str:
    """Return the type of the file system that `path` is on."""
    best = ("", "unknown")
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            inside = where in ("/", path) or path.startswith(where + "/")
            if inside and len(where) >= len(best[0]):
                best = (where, kind)
    return best[1]


def dump(samples: Sequence[Sample], facts: dict[str, str]) -> str:
    """Return everything as JSON that `load` reads."""
    return json.dumps(
        {
            "machine": facts,
            "verdicts": [line.cells() for line in verdicts(samples)],
            "samples": [asdict(sample) for sample in samples],
        },
        indent=1,
    )


def load(text: str) -> tuple[list[Sample], dict[str, str]]:
    """Return the samples and the machine of what `dump` wrote."""
    found: dict[str, Any] = json.loads(text)
    return [
        Sample(**{**sample, "rss_kib": tuple(sample["rss_kib"])}) for sample in found["samples"]
    ], found["machine"]


def _figures(samples: Iterable[Sample], who: Who, metric: Metric) -> list[float]:
    return [getattr(sample, metric) for sample in samples if sample.who == who]


def _verdict(row: Row, target: Target, samples: Sequence[Sample]) -> Verdict:
    medians = {
        who: statistics.median(figures)
        for who in row.who
        if (figures := _figures(samples, who, target.metric))
    }
    ours = medians.get(Who.OURS)
    base = medians.get(target.against) if target.against else 1.0
    ratio = ours / base if ours is not None and base else None
    return Verdict(
        row=row.title,
        figure=UNITS[target.metric],
        values={who: _number(value, target.metric) for who, value in medians.items()},
        ratio=f"{ratio:.2f}" if ratio is not None and target.against else "-",
        target=str(target),
        met=target.met(ratio) if ratio is not None else None,
    )


def _losses(samples: Sequence[Sample]) -> Verdict:
    missing = {
        who: sum(sample.missing for sample in samples if sample.who == who)
        for who in Who
        if any(sample.who == who for sample in samples)
    }
    return Verdict(
        row="lost or not in the log, all rows",
        figure="events",
        values={who: str(count) for who, count in missing.items()},
        ratio="-",
        target="0",
        met=missing[Who.OURS] == 0 if Who.OURS in missing else None,
    )


def _number(value: float, metric: Metric) -> str:
    return (
        f"{value:,.0f}"
        if metric is Metric.RATE
        else f"{value:.{3 if metric is Metric.CPU else 1}f}"
    )


def _groups(samples: Sequence[Sample]) -> Iterable[tuple[Row, Who, list[Sample]]]:
    for row in ROWS:
        for who in row.who:
            if group := [s for s in samples if s.row == row.name and s.who == who]:
                yield row, who, group


def _spreads(samples: Sequence[Sample]) -> Iterable[tuple[str, ...]]:
    for row, who, group in _groups(samples):
        spreads = [
            f"{_number(statistics.median(figures), metric)}"
            f" ({_number(min(figures), metric)} to {_number(max(figures), metric)})"
            for metric in SPREADS
            if (figures := _figures(group, who, metric))
        ]
        missing = sum(sample.missing for sample in group)
        yield row.title, who, str(len(group)), f"{group[0].events:,}", *spreads, str(missing)


def _memory(samples: Sequence[Sample]) -> Iterable[tuple[str, ...]]:
    for row, who, group in _groups(samples):
        for stage in range(row.stages if row.stages > 1 else 0):
            made = group[0].events // row.stages * (stage + 1)
            median_kib = statistics.median(sample.rss_kib[stage] for sample in group)
            yield row.title, who, f"{made:,}", f"{median_kib / 1024:.1f}"


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
