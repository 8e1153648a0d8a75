"""Reports for programs: JSON, one object a line, and CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditd_py.report.columns import time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.report.columns import Columns, Value
    from auditd_py.report.definitions import Report, Summary
    from auditd_py.report.show import Show


def list_names(report: Report) -> tuple[str, ...]:
    """Return the names of what a list's rows have."""
    return ("time", "node", *report.headings)


def list_rows(report: Report, columns: Columns, show: Show) -> Iterator[list[Value]]:
    """Give the rows of a list: texts, numbers, True, False and None."""
    rows = list(report.rows(columns))
    cells = []
    for heading in report.headings:
        kind, values = show.raw_cells(report, heading, columns, rows)
        cells.append([show.value(kind, value) for value in values])
    for (place, _), *shown in zip(rows, *cells, strict=True):
        node = columns.node[place]
        yield [iso_time(columns.stamp[place]), _text(node), *shown]


def summary_names(summary: Summary, by: str) -> tuple[str, ...]:
    """Return the names of what a summary's rows have."""
    return ("count", *((by,) if by else ()), summary.total)


def summary_rows(
    summary: Summary, rows: list[tuple[int, bytes, bytes, Value]], show: Show, by: str
) -> Iterator[list[Value]]:
    """Give the rows of a summary."""
    for count, period, _, value in rows:
        yield [count, *((_text(period),) if by else ()), show.value(summary.kind, value)]


def json_lines(names: tuple[str, ...], rows: Iterable[list[Value]]) -> Iterator[bytes]:
    """Give a line of JSON for each row."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for row in rows:
        yield encode(dict(zip(names, row, strict=True))).encode("utf-8", "backslashreplace") + b"\n"


def csv_lines(rows: Iterable[Iterable[Value]]) -> Iterator[bytes]:
    """Give a line of CSV for each row; nothing is empty, and True and False are yes and no."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([_csv(value) for value in row])
        yield buffer.getvalue().encode("utf-8", "backslashreplace")
        buffer.seek(0)
        buffer.truncate()


def _csv(value: Value) -> Value:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def iso_time(stamp: bytes) -> str:
    """Return the time of a stamp as ISO 8601, in UTC."""
    seconds, milliseconds, _ = time_of(stamp)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
