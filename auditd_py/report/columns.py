"""The columns of events, from which every report is made.

This is the seam of the reports. Below it someone reads: `scan.py` reads the columns from a log;
an index may read the same from files of its own. Above it a report is a definition: which events
it takes, which columns it shows and by which it counts (`definitions.py`), and nothing there
knows where the columns came from. A reader is told which columns a report needs and may leave
all others empty.

One place in all lists is one event, in the order of the events. What each column holds:

| column | type | is |
|---|---|---|
| `node` | bytes or None | the name before `type=` |
| `stamp` | bytes | `seconds.milliseconds:serial`, as in `audit(…)` |
| `type` | bytes | type of the first record that is more than a call's detail, as written |
| `types` | tuple of int | the types of its records that tell more than a call's details |
| `success` | True, False, None | of the call, else `res=`, else of an AVC |
| `auid` | int or None | 4294967295 is unset |
| `auid_name` | bytes or None | what the daemon called that user |
| `pid` `syscall` `arch` | int or None | |
| `exe` `comm` `terminal` `host` `acct` | bytes or None | decoded; `?` and `(none)` as written |
| `uid` | int or None | whose message it is, where no call is told |
| `session` | int or None | 4294967295 is unset |
| `keys` | tuple of bytes | of the rules that matched |
| `files` | tuple of (name, nametype) | nametype as in a PATH record, else empty |
| `accesses` | tuple of (subject, class, permissions, object, result) | bytes, None where not said |
| `data` | bytes or None | what was typed, as written |
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    File = tuple[bytes, bytes]
    Access = tuple[bytes | None, bytes | None, bytes, bytes | None, bytes]

Value: TypeAlias = Any  # what stands in a column, of the type in the table above

UNSET = 0xFFFFFFFF  # of a user or session


@dataclass(slots=True)
class Columns:
    """Events, a list a column; those that were not asked for are empty lists."""

    node: list[bytes | None] = field(default_factory=list)
    stamp: list[bytes] = field(default_factory=list)
    type: list[bytes] = field(default_factory=list)
    types: list[tuple[int, ...]] = field(default_factory=list)
    success: list[bool | None] = field(default_factory=list)
    auid: list[int | None] = field(default_factory=list)
    auid_name: list[bytes | None] = field(default_factory=list)
    pid: list[int | None] = field(default_factory=list)
    syscall: list[int | None] = field(default_factory=list)
    arch: list[int | None] = field(default_factory=list)
    exe: list[bytes | None] = field(default_factory=list)
    comm: list[bytes | None] = field(default_factory=list)
    terminal: list[bytes | None] = field(default_factory=list)
    host: list[bytes | None] = field(default_factory=list)
    acct: list[bytes | None] = field(default_factory=list)
    uid: list[int | None] = field(default_factory=list)
    session: list[int | None] = field(default_factory=list)
    keys: list[tuple[bytes, ...]] = field(default_factory=list)
    files: list[tuple[File, ...]] = field(default_factory=list)
    accesses: list[tuple[Access, ...]] = field(default_factory=list)
    data: list[bytes | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stamp)

    def column(self, name: str) -> list[Value]:
        """Return one column by its name."""
        found: list[Value] = getattr(self, name)
        return found

    def picked(self, places: Iterable[int]) -> Columns:
        """Return some of the events, in the order given."""
        wanted = list(places)
        taken = Columns()
        for name in NAMES:
            if column := self.column(name):
                setattr(taken, name, [column[place] for place in wanted])
        return taken


NAMES = tuple(one.name for one in fields(Columns))


def time_of(stamp: bytes) -> tuple[int, int, int]:
    """Return seconds, milliseconds and serial of a stamp."""
    seconds, _, rest = stamp.partition(b".")
    milliseconds, _, serial = rest.partition(b":")
    return int(seconds), int(milliseconds), int(serial)
