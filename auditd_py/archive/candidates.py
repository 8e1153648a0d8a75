"""The events of an archive that a search may want: the engine leaves out what cannot match.

What is left is as if it had been read from a log, and goes through the search itself
(search/query.py), so that both find the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.archive.question import equal, events, one_of, part_of, told, within
from auditd_py.record.event import Event
from auditd_py.search.query import UNSET
from auditd_py.search.scan import run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.archive.engine import Engine
    from auditd_py.search.query import Query

_NUMBERS: Final = {"serial": "serial", "pid": "pid", "arch": "arch", "auid": "auid"}
_TEXTS: Final = {"exe": "exe", "comm": "comm", "terminal": "terminal", "key": "keys"}


def candidates(engine: Engine, query: Query) -> Iterator[Event]:
    """Give the events that may match, in the order of the log, not taken apart."""
    for rows in engine.in_order(events(["lines"], conditions(query))):
        for (lines,) in rows:
            yield Event([run_of(lines)])


def conditions(query: Query) -> list[str]:
    """Return conditions that each event meets that a search wants."""
    found = _of_columns(query)
    # lines are read only where nothing that is smaller tells as much
    found = found or part_of("lines", query.needles())
    if query.nodes:
        found.append(one_of("node", query.nodes))
    return within(query.start, query.end) + found


def _of_columns(query: Query) -> list[str]:
    found = []
    for criterion, column in _NUMBERS.items():
        wanted = getattr(query, criterion)
        if isinstance(wanted, int):
            found.append(equal(column, wanted & UNSET if criterion == "auid" else wanted))
    if isinstance(query.syscall, int):
        found.append(equal("syscall", query.syscall))
    if query.session is not None:
        found.append(equal("session", query.session & UNSET))
    if query.success is not None:
        found.append(equal("success", query.success))
    for criterion, column in _TEXTS.items():
        wanted = getattr(query, criterion)
        if wanted is not None:
            found.append(told(column))
            found += part_of(column, [wanted])
    return found
