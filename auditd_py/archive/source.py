"""Where reports get columns from if an archive is asked: what report/source.py gives of logs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from auditd_py.archive.counts import counted_in
from auditd_py.archive.question import (
    edges,
    equal,
    events,
    grouped,
    one_of,
    summed,
    told,
    within,
)
from auditd_py.report.columns import Columns
from auditd_py.report.packed import COMPOSITE, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.archive.engine import Engine, Rows
    from auditd_py.report.columns import Value
    from auditd_py.report.definitions import Having
    from auditd_py.report.filters import Filter
    from auditd_py.report.totals import Range

_STAMP: Final = ("second", "milli", "serial")


class ArchiveSource:
    """The events of an archive that pass a filter, and have what a report's must have.

    `left_out` counts the events of types that a report goes `without`.
    """

    def __init__(self, engine: Engine, passed: Filter, having: Having | None = None) -> None:
        self.left_out = self.malformed = 0
        self._engine = engine
        self._having = having
        self._filter = passed
        self._of_time = within(passed.start, passed.end)

    def columns(
        self, wanted: frozenset[str], without: frozenset[int], whole: Range | None = None
    ) -> Iterator[Columns]:
        """Give the events; `whole` is told the time of all there are."""
        self._tell(whole)
        names = sorted(wanted - {"node", "stamp"})
        question = events([*_STAMP, "node", *names], [*self._of_time, *self._conditions(without)])
        for rows in self._engine.in_order(question):
            seconds, millis, serials, nodes, *values = zip(*rows, strict=True)
            found = _columns(["node", *names], [nodes, *values])
            found.stamp = [
                b"%d.%03d:%d" % one for one in zip(seconds, millis, serials, strict=True)
            ]
            yield found

    def counted(
        self,
        groups: Iterable[frozenset[str]],
        without: frozenset[int],
        whole: Range | None = None,
        *,
        by: str = "",
    ) -> Iterator[tuple[Columns, list[int], frozenset[str]]]:
        """Give groups of events that are alike, how often each was there, and in what (a group)."""
        self._tell(whole)
        conditions = self._conditions(without)
        for group in groups:
            names = sorted(group | ({"node"} if by == "node" else set()))
            for rows in self._grouped(names, conditions, by_time=by in {"hour", "day"}):
                *values, periods, counts = zip(*rows, strict=True)
                found = _columns(names, values)
                found.stamp = [b"%d.000:0" % second for second in periods]
                yield found, list(counts), group

    def _grouped(self, names: list[str], conditions: list[str], *, by_time: bool = False) -> Rows:
        what = counted_in(frozenset(names)) if self._engine.counts and not by_time else ""
        if what:
            return self._engine.rows(summed(names, what, self._of_time, conditions))
        return self._engine.rows(grouped(names, self._of_time, conditions, by_time=by_time))

    def _conditions(self, without: frozenset[int]) -> list[str]:
        """Return what else but a time events must be."""
        passed, having = self._filter, self._having
        conditions = [one_of("node", passed.nodes)] if passed.nodes else []
        if passed.success is not None:
            conditions.append(equal("success", passed.success))
        if isinstance(having, str):
            conditions.append(told(having))
        wanted = having if isinstance(having, frozenset) else None
        if without or passed.without or wanted is not None:
            conditions.append(self._of_types(without, wanted))
        return conditions

    def _of_types(self, without: frozenset[int], wanted: frozenset[int] | None) -> str:
        """Return the condition on types: of the different ones that there are, those that fit."""
        fit = []
        for rows in self._grouped(["types"], []):
            for packed, _, count in rows:
                types = _whole(packed)
                if not without.isdisjoint(types):
                    self.left_out += count
                elif self._filter.without.isdisjoint(types) and (
                    wanted is None or not wanted.isdisjoint(types)
                ):
                    fit.append(packed)
        return one_of("types", fit)

    def _tell(self, whole: Range | None) -> None:
        if whole is None:
            return
        for edge, question in zip((0, -1), edges(_STAMP), strict=True):
            for rows in self._engine.at_edge(question, edge):
                whole.extend(*[b"%d.%03d:%d" % row for row in rows for _ in range(2)])


def _columns(names: list[str], values: Iterable[tuple[Any, ...]]) -> Columns:
    found = Columns()
    for name, column in zip(names, values, strict=True):
        setattr(found, name, [*map(_whole, column)] if name in COMPOSITE else list(column))
    return found


@lru_cache(maxsize=1 << 16)
def _whole(packed: bytes | None) -> Value:
    return () if packed is None else unpack(packed)
