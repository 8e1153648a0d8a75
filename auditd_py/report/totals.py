"""The report of totals: how much there was of each kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from auditd_py.report.columns import Columns, time_of
from auditd_py.report.definitions import BY_NAME, TOTALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.report.columns import Value


# all that most events are: a call and its details, which are in no report by type
_PLAIN: Final = (1300,)


def _groups() -> dict[frozenset[str], list[int]]:
    """Return the lines by the columns that they are counted from; those from types together."""
    types = frozenset({"type", "success"}).union(
        *(BY_NAME[name].needs for _, name, _ in TOTALS if "types" in BY_NAME[name].needs)
    )
    groups: dict[frozenset[str], list[int]] = {}
    for line, (_, name, how) in enumerate(TOTALS):
        summary = BY_NAME[name].summary
        assert summary is not None
        needs = summary.needs | ({"success"} if how in {"successful", "failed"} else set())
        group = types if needs <= types and how != "different" else needs
        groups.setdefault(group - {"auid_name"}, []).append(line)  # users are counted by number
    return groups


# what events are grouped by where groups are counted, and the lines that are counted so
GROUPS: Final = _groups()


class Totals:
    """Counts all lines of the report of totals."""

    NEEDS: Final = frozenset({"success"}).union(*(BY_NAME[name].needs for _, name, _ in TOTALS)) - {
        "auid_name"
    }  # users are counted by number

    def __init__(self) -> None:
        self._counts: list[int] = [0] * len(TOTALS)
        self._different: dict[int, set[Value]] = {
            line: set() for line, (_, _, how) in enumerate(TOTALS) if how == "different"
        }

    def add(
        self,
        columns: Columns,
        weights: list[int] | None = None,
        group: frozenset[str] | None = None,
    ) -> None:
        """Count what events have; for some lines, if they are groups that `weights` count."""
        if weights is not None and group is not None:
            self._add_groups(columns, weights, GROUPS[group])
            return
        columns.auid_name = [None] * len(columns)
        telling = columns.picked(p for p, types in enumerate(columns.types) if types != _PLAIN)
        outcomes = {
            "events": telling,
            "records": telling,
            "successful": telling.picked(p for p, one in enumerate(telling.success) if one is True),
            "failed": columns.picked(p for p, one in enumerate(columns.success) if one is False),
        }
        for line, (_, name, how) in enumerate(TOTALS):
            report = BY_NAME[name]
            assert report.summary is not None
            if name == "event":
                self._counts[line] += len(columns)
            elif how == "different":
                distinct = _distinct(columns, report.summary.needs)
                self._different[line].update(v for _, v in report.summary.counted(distinct))
            elif how == "records":
                self._counts[line] += sum(1 for _ in report.summary.counted(outcomes[how]))
            else:
                self._counts[line] += len({place for place, _ in report.rows(outcomes[how])})

    def _add_groups(self, columns: Columns, weights: list[int], lines: Iterable[int]) -> None:
        columns.auid_name = [None] * len(columns)
        for line in lines:
            _, name, how = TOTALS[line]
            summary = BY_NAME[name].summary
            assert summary is not None
            if how == "different":
                self._different[line].update(value for _, value in summary.counted(columns))
                continue
            if how == "records":
                places = [place for place, _ in summary.counted(columns)]
            else:
                places = _events(columns, name, how)
            self._counts[line] += sum(map(weights.__getitem__, places))

    def state(self) -> tuple[list[int], dict[int, set[Value]]]:
        """Return what was counted, for `merge`."""
        return self._counts, self._different

    def merge(self, state: tuple[list[int], dict[int, set[Value]]]) -> None:
        """Take what another has counted."""
        counts, different = state
        self._counts = [one + other for one, other in zip(self._counts, counts, strict=True)]
        for line, values in different.items():
            self._different[line] |= values

    def rows(self) -> list[tuple[str, int]]:
        """Return each line's words and its number."""
        return [
            (what, len(self._different[line]) if how == "different" else self._counts[line])
            for line, (what, _, how) in enumerate(TOTALS)
        ]


def _events(columns: Columns, name: str, how: str) -> list[int]:
    if name == "event":
        return list(range(len(columns)))
    places = dict.fromkeys(place for place, _ in BY_NAME[name].rows(columns))
    if how == "events":
        return list(places)
    wanted = how == "successful"
    return [place for place in places if columns.success[place] is wanted]


def _distinct(columns: Columns, names: frozenset[str]) -> Columns:
    """Return all values of the one column that a line is counted from, each once."""
    (name,) = names - {"auid_name"}
    found = Columns()
    values: list[Any] = list(set(columns.column(name)))
    setattr(found, name, values)
    found.auid_name = [None] * len(values)
    return found


class Range:
    """The first and the last time in a log."""

    def __init__(self) -> None:
        self.first: bytes | None = None
        self.last: bytes | None = None

    def add(self, columns: Columns) -> None:
        """Take events into account."""
        if columns.stamp:
            self.extend(columns.stamp[0], columns.stamp[-1])

    def extend(self, first: bytes, last: bytes) -> None:
        """Take events from one stamp to another into account."""
        if self.first is None or time_of(first) < time_of(self.first):
            self.first = first
        if self.last is None or time_of(last) > time_of(self.last):
            self.last = last
