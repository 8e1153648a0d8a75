"""What reports and searches ask of an archive, as SQL: one text for every engine.

It is in the dialect of DuckDB, of which only what other engines have too is used: comparisons,
GROUP BY and ORDER BY over numbers and bytes. Texts are bytes, so no collation decides an order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditd_py.report.packed import COMPOSITE, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EVENTS: Final = "events"
COUNTS: Final = "counts"  # of those files that have some (counts.py)
REST: Final = "rest"  # the events of those that have none
PERIOD_S: Final = 900  # all time zones are so many seconds apart from one another, or a multiple

# as they are when bytes are shown as text, whatever the engine
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - frozenset(b"\\'\"")


def events(columns: Iterable[str], conditions: Sequence[str]) -> str:
    """Return what gives columns of events, in the order of the log."""
    return (
        f"SELECT {', '.join(columns)} FROM {EVENTS} WHERE {_all(conditions)} "  # noqa: S608  our words
        'ORDER BY "order", node'
    )


def grouped(
    columns: Sequence[str], of_time: Sequence[str], others: Sequence[str], *, by_time: bool = False
) -> str:
    """Return what gives the different values of columns, a period's beginning, and how many.

    They come in the order of the first of each in the log. With `by_time` events are alike only
    if they are of the same PERIOD_S.
    """
    listed = ", ".join(columns)
    period = f"second - second % {PERIOD_S}" if by_time else "0"
    return _together(
        columns,
        f'SELECT {listed}, {period} AS period, "order" AS first FROM {EVENTS} '  # noqa: S608
        f"WHERE {_all([*of_time, *others])}",
        "count(*)",
    )


def summed(columns: Sequence[str], what: str, of_time: Sequence[str], others: Sequence[str]) -> str:
    """Return what gives the same from the counts of `what`, and the events that have none."""
    listed = ", ".join(columns)
    return _together(
        columns,
        f"SELECT {listed}, 0 AS period, number, first FROM {COUNTS} "  # noqa: S608  our words
        f"WHERE what = '{what}' AND {_all(others)} UNION ALL "
        f'SELECT {listed}, 0 AS period, 1 AS number, "order" AS first FROM {REST} '
        f"WHERE {_all([*of_time, *others])}",
        "sum(number)",
    )


def _together(columns: Sequence[str], events: str, number: str) -> str:
    listed = ", ".join(columns)
    return (
        f"SELECT {listed}, period, CAST({number} AS BIGINT) AS number FROM ({events}) "  # noqa: S608
        f"GROUP BY {listed}, period ORDER BY min(first), {listed}, period"
    )


def edges(columns: Iterable[str]) -> list[str]:
    """Return what gives columns of the first event of all, and of the last."""
    return [
        f'SELECT {", ".join(columns)} FROM {EVENTS} ORDER BY "order"{which}, node LIMIT 1'  # noqa: S608
        for which in ("", " DESC")
    ]


def within(start: int | None, end: int | None) -> list[str]:
    """Return the conditions of a time in seconds, both included."""
    return [
        f"second {sign} {second}"
        for sign, second in ((">=", start), ("<=", end))
        if second is not None
    ]


def one_of(column: str, values: Iterable[bytes]) -> str:
    """Return the condition that a column has one of some values."""
    listed = ", ".join(f"unhex('{value.hex()}')" for value in sorted(values))
    return f"{column} IN ({listed})" if listed else "FALSE"


def told(column: str) -> str:
    """Return the condition that a column has something."""
    if column in COMPOSITE:
        return f"{column} <> unhex('{pack(()).hex()}')"
    return f"{column} IS NOT NULL"


def equal(column: str, value: int | bool) -> str:  # noqa: FBT001  a value as any
    """Return the condition that a column has a number, or is true or false."""
    return f"{column} = {str(value).upper() if isinstance(value, bool) else value}"


def part_of(column: str, texts: Sequence[bytes]) -> list[str]:
    """Return the condition that one of some texts is a part of a column; none if SQL cannot say it."""
    if not texts or not all(text and _PLAIN.issuperset(text) for text in texts):
        return []
    parts = (f"contains(CAST({column} AS VARCHAR), '{text.decode()}')" for text in texts)
    return [f"({' OR '.join(parts)})"]


def read_parquet(files: Sequence[str]) -> str:
    """Return what DuckDB reads files with."""
    return f"read_parquet([{', '.join(map(quoted, files))}], hive_partitioning = false)"


def quoted(path: str) -> str:
    """Return a path as DuckDB reads it: `[*]` is a star, and quotes are doubled."""
    return "'" + re.sub(r"[*?\[]", r"[\g<0>]", path).replace("'", "''") + "'"


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions) or "TRUE"
