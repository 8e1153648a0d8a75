"""Where reports get columns from: the logs, and indexes of those that do not change any more."""

from __future__ import annotations

import importlib.util
import os
import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from auditd_py.report.blocks import blocks
from auditd_py.report.scan import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditd_py.report.columns import Columns
    from auditd_py.report.filters import Filter
    from auditd_py.report.index import Index
    from auditd_py.report.totals import Range
    from auditd_py.search.reader import LogFile

    Chunks = Callable[[Iterable[LogFile]], Iterator[bytes]]
    Grouped = tuple[Columns, list[int], frozenset[str]]


_LEAST: Final = 1 << 20  # bytes: a smaller log is read as fast without an index
_PACKED: Final = 10  # times that a compressed log is smaller

_archive = re.compile(r".*\.\d{1,3}(?:\.(?:gz|zst))?").fullmatch


def indexes_available() -> bool:
    """Whether the packages are there that indexes need."""
    return all(importlib.util.find_spec(name) for name in ("duckdb", "pyarrow"))


def deserves_index(file: LogFile) -> bool:
    """Whether a log is one that nothing is written to any more, by its name, and large enough."""
    least = _LEAST // _PACKED if file.compression else _LEAST
    return _archive(os.path.basename(file.path)) is not None and file.size >= least


class Source:
    """The events of some log files that pass a filter.

    `chunks` reads files and closes them; `index_of` finds the index of one. `left_out` counts the
    events of types that a report goes `without`, `malformed` the lines with no record in them.
    """

    def __init__(
        self,
        files: list[LogFile],
        passed: Filter,
        timeout_s: int,
        chunks: Chunks,
        index_of: Callable[[LogFile], Index | None] = lambda _file: None,
    ) -> None:
        self.left_out = self.malformed = 0
        self._files = files
        self._filter = passed
        self._timeout_s = timeout_s
        self._chunks = chunks
        self._index_of = index_of

    def columns(
        self, wanted: frozenset[str], without: frozenset[int], whole: Range | None = None
    ) -> Iterator[Columns]:
        """Give the events, from the logs themselves; `whole` is told the time of all there are."""
        yield from self._scanned(self._chunks(self._files), wanted, without, whole)

    def counted(
        self,
        groups: Iterable[frozenset[str]],
        without: frozenset[int],
        whole: Range | None = None,
        *,
        by: str = "",
    ) -> Iterator[tuple[Columns, list[int] | None, frozenset[str] | None]]:
        """Give what is to be counted: events, or groups of those that are alike.

        For groups, how often each was there, and which of `groups` they are alike in; where both
        are None, all columns of all groups are there. No group has events of different periods, if
        they are counted `by` one (tally.PERIODS).
        """
        wanted = frozenset[str]().union(*groups)
        found = self._grouped(list(groups), without, by_time=by in {"hour", "day"})
        text: list[Iterable[bytes]] = []
        for file, indexed in zip(self._files, found, strict=True):
            if indexed is None:
                text.append(self._chunks([file]))
                continue
            index, counted = indexed
            file.close()
            text.append([index.head])
            for columns in self._scanned(chain.from_iterable(text), wanted, without, whole):
                yield columns, None, None
            yield from counted
            if whole is not None and index.first and index.last:
                whole.extend(index.first, index.last)
            text = [[index.tail]]
        for columns in self._scanned(chain.from_iterable(text), wanted, without, whole):
            yield columns, None, None

    def _grouped(
        self, groups: list[frozenset[str]], without: frozenset[int], *, by_time: bool
    ) -> list[tuple[Index, list[Grouped]] | None]:
        """Return for each file its index, and what was counted with that."""
        indexes = [self._index_of(file) for file in self._files]
        there = [index for index in indexes if index is not None]
        if not there:
            return [None] * len(indexes)
        from auditd_py.report.index import DamagedError, grouped

        passed = self._filter
        found: dict[str, list[Grouped]] = {index.path: [] for index in there}
        try:
            for group in groups:
                needs = group | passed.needs | ({"types"} if without else set())
                both = grouped(there, needs, passed.start, passed.end, by_time=by_time)
                for index, (columns, counts) in zip(there, both, strict=True):
                    found[index.path].append(self._passed(columns, counts, group, without))
                    if group is groups[0]:
                        self.left_out += sum(_of_types(columns, counts, without))
        except DamagedError:  # which of them does not matter: the logs are there
            self.left_out = 0
            return [None] * len(indexes)
        self.malformed += sum(index.malformed for index in there)
        return [None if index is None else (index, found[index.path]) for index in indexes]

    def _passed(
        self, columns: Columns, counts: list[int], group: frozenset[str], without: frozenset[int]
    ) -> Grouped:
        places = [
            place
            for place in self._filter.places(columns, of_time=False)
            if not without or without.isdisjoint(columns.types[place])
        ]
        return columns.picked(places), [counts[place] for place in places], group

    def _scanned(
        self,
        text: Iterable[bytes],
        wanted: frozenset[str],
        without: frozenset[int],
        whole: Range | None,
    ) -> Iterator[Columns]:
        scanner = Scanner(wanted | self._filter.needs, self._timeout_s, without)
        for block in blocks(text):
            columns = scanner.columns(block)
            if whole is not None:
                whole.add(columns)
            yield self._filter.passed(columns)
        self.left_out += scanner.left_out
        self.malformed += scanner.malformed


def _of_types(columns: Columns, counts: list[int], types: frozenset[int]) -> list[int]:
    if not types:
        return []
    return [
        count
        for count, found in zip(counts, columns.types, strict=True)
        if not types.isdisjoint(found)
    ]
