"""Reports as aureport prints them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.report.columns import Columns, Value
    from auditd_py.report.definitions import Report, Summary
    from auditd_py.report.show import Show

NOTHING: Final = b"<no events of interest were found>\n\n"  # ends a list or a summary


def list_head(report: Report) -> bytes:
    """Return what stands above a list."""
    above, below = report.rules or (len(report.head), len(report.head))
    return f"\n{report.title}\n{'=' * above}\n{report.head}\n{'=' * below}\n".encode("ascii")


def list_rows(report: Report, columns: Columns, show: Show, begun: int) -> Iterator[bytes]:
    """Give the lines of a list, numbered from one after `begun`."""
    rows = list(report.rows(columns))
    cells = show.cells(report, columns, rows)
    when, stamps = show.when, columns.stamp
    for number, ((place, _), *shown) in enumerate(zip(rows, *cells, strict=True), begun + 1):
        yield b"%d. %b %b\n" % (number, when(stamps[place]), b" ".join(shown))


def summary_head(summary: Summary, prefix: str, by: str) -> bytes:
    """Return what stands above a summary; `prefix` is `Failed `, `Success ` or empty."""
    rule = "=" * summary.rule
    total = f"total  {by}  {summary.total}" if by else f"total  {summary.total}"
    title = f"{prefix}{summary.title} Summary Report{f' by {by}' if by else ''}"
    return f"\n{title}\n{rule}\n{total}\n{rule}\n".encode("ascii")


def summary_rows(rows: list[tuple[int, bytes, bytes, Value]]) -> Iterator[bytes]:
    """Give the lines of a summary."""
    for count, period, label, _ in rows:
        yield b"%d  %b%b\n" % (count, period + b"  " if period else b"", label)


def totals(
    prefix: str,
    logs: tuple[bytes, bytes],
    selected: tuple[bytes, bytes],
    rows: list[tuple[str, int]],
) -> bytes:
    """Return the report of totals. `logs` and `selected` are first and last times, as shown."""
    head = b"\n%bSummary Report\n======================\n" % prefix.encode("ascii")
    head += b"Range of time in logs: %b - %b\n" % logs
    head += b"Selected time for report: %b - %b\n" % selected
    lines = b"".join(b"Number of %b: %d\n" % (what.encode("ascii"), n) for what, n in rows)
    return head + lines + b"\n"


LOG_HEAD: Final = b"\nLog Time Range Report\n=====================\n"


def log_row(name: str, first: bytes | None, last: bytes | None, show: Show) -> bytes:
    """Return the line of one file in the report of logs."""
    path = name.encode("utf-8", "surrogateescape")
    if first is None or last is None:
        return path + b": no records\n"
    return b"%b: %b - %b\n" % (path, show.exactly(first), show.exactly(last))


def shown_second(seconds: int) -> bytes:
    """Return a second as the locale writes it."""
    text = time.strftime("%x %X", time.localtime(seconds))
    return text.encode("utf-8", "surrogateescape")
