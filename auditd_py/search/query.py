"""What a search looks for: criteria that an event must all meet, and what to find in bytes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from auditd_py.record.record import type_number
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.record_types import type_name

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable

    from auditd_py.record.event import Event
    from auditd_py.search.subject import Subject

    Test = Callable[[Subject], bool]

Who = int | bytes  # an id, or a name that only the enriched part of records knows

UNSET: Final = 0xFFFFFFFF
MOST_NEEDLES: Final = 3  # more are slower to look for than to read all

_USERS: Final = {
    "auid": ("auid",),
    "uid": ("uid",),
    "euid": ("euid",),
    "any_uid": ("uid", "euid", "auid"),
}
_GROUPS: Final = {"gid": ("gid",), "egid": ("egid",), "any_gid": ("gid", "egid")}


_EMPTY: Final = {"types": frozenset[int](), "nodes": frozenset[bytes](), "exact": False}


class Query:
    """The criteria of a search; None, or empty, asks for nothing.

    Texts match as a part of what an event says, with `exact` as all of it. `start` and `end` are
    seconds since 1970, both included.
    """

    # written out, as `dataclasses` takes longer to load than a short search takes
    __slots__ = (
        "_tests",
        "any_gid",
        "any_uid",
        "arch",
        "auid",
        "comm",
        "context",
        "egid",
        "end",
        "euid",
        "exact",
        "exe",
        "exit",
        "file",
        "gid",
        "host",
        "key",
        "nodes",
        "object",
        "pid",
        "ppid",
        "serial",
        "session",
        "start",
        "subject",
        "success",
        "syscall",
        "terminal",
        "types",
        "uid",
        "vm",
        "vm_uuid",
    )
    __hash__ = None  # type: ignore[assignment]

    start: int | None
    end: int | None
    serial: int | None
    types: frozenset[int]
    nodes: frozenset[bytes]
    key: bytes | None
    file: bytes | None
    exe: bytes | None
    comm: bytes | None
    host: bytes | None
    terminal: bytes | None
    vm: bytes | None
    vm_uuid: bytes | None
    subject: bytes | None
    object: bytes | None
    context: bytes | None  # of the subject or of the object
    arch: int | None
    syscall: int | str | None  # a number, or a name on whatever machine
    exit: int | None
    success: bool | None
    pid: int | None
    ppid: int | None
    session: int | None
    auid: Who | None
    uid: Who | None
    euid: Who | None
    any_uid: Who | None
    gid: Who | None
    egid: Who | None
    any_gid: Who | None
    exact: bool
    _tests: list[Test] | None

    def __init__(self, **criteria: Any) -> None:  # noqa: ANN401  a value for each criterion
        """Take criteria by name; raises TypeError for one that is not known."""
        for name in Query.__slots__:
            setattr(self, name, criteria.pop(name, _EMPTY.get(name)))
        if criteria:
            raise TypeError(f"no criterion: {', '.join(criteria)}")

    def __eq__(self, other: builtins.object) -> bool:
        if not isinstance(other, Query):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _names())

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in _names())
        given = [f"{name}={value!r}" for name, value in values if value != _EMPTY.get(name)]
        return f"Query({', '.join(given)})"

    @property
    def everything(self) -> bool:
        """Whether all events are wanted."""
        return self == Query(exact=self.exact)

    @property
    def selective(self) -> bool:
        """Whether something but a range of time is asked for."""
        return self != Query(start=self.start, end=self.end, exact=self.exact)

    def in_time(self, seconds: int) -> bool:
        """Say whether a second is in the range that is asked for."""
        return (self.start is None or seconds >= self.start) and (
            self.end is None or seconds <= self.end
        )

    def matches(self, event: Event) -> bool:
        """Say whether an event meets all criteria."""
        records = event.records
        if not self.in_time(records[0].seconds):
            return False
        if self.serial is not None and records[0].serial != self.serial:
            return False
        if self.nodes and records[0].node not in self.nodes:
            return False
        if self.types and not any(type_number(r.type_name) in self.types for r in records):
            return False
        if self._tests is None:
            self._tests = self._made_tests()
        if not self._tests:
            return True
        from auditd_py.search.subject import Subject

        subject = Subject(event)
        return all(test(subject) for test in self._tests)

    def needles(self) -> list[bytes]:
        """Return byte strings of which one at least is in each event that matches.

        They are those of the criterion that is likely to be the rarest; empty if none of the
        criteria can be found in bytes.
        """
        for criterion in _RAREST_FIRST:
            found = criterion(self)
            if found:
                return found
        return []

    def _made_tests(self) -> list[Test]:
        tests = [
            _equal(name, wanted)
            for name in ("arch", "exit", "success", "pid", "ppid")
            if (wanted := getattr(self, name)) is not None
        ]
        if self.session is not None:
            tests.append(_equal("ses", self.session & UNSET))
        if self.syscall is not None:
            tests.append(_syscall_test(self.syscall))
        tests += [
            _who_test(who, names)
            for criterion, names in (*_USERS.items(), *_GROUPS.items())
            if (who := getattr(self, criterion)) is not None
        ]
        tests += [
            self._text_test(values, wanted)
            for name, values in _TEXTS.items()
            if (wanted := getattr(self, name)) is not None
        ]
        return tests

    def _text_test(self, values: Callable[[Subject], list[bytes]], wanted: bytes) -> Test:
        if self.exact:
            return lambda found: wanted in values(found)
        return lambda found: any(wanted in value for value in values(found))


def _names() -> list[str]:
    return [name for name in Query.__slots__ if name[0] != "_"]


def _one(name: str) -> Callable[[Subject], list[bytes]]:
    def values(found: Subject) -> list[bytes]:
        value = getattr(found, name)
        return [] if value is None else [value]

    return values


def _equal(name: str, wanted: object) -> Test:
    return lambda found: getattr(found, name) == wanted


def _syscall_test(wanted: int | str) -> Test:
    if isinstance(wanted, int):
        return lambda found: found.syscall == wanted
    from auditd_py.tables.syscalls import syscall_name

    return lambda found: (
        found.arch is not None
        and found.syscall is not None
        and syscall_name(found.arch, found.syscall) == wanted
    )


def _who_test(who: Who, names: tuple[str, ...]) -> Test:
    if isinstance(who, int):
        number = who & UNSET
        if names == ("gid",):  # of groups that were added or removed too
            return lambda found: number in (found.gid, found.group_id)
        return lambda found: any(getattr(found, name) == number for name in names)
    from auditd_py.record.fields import enriched_names

    fields = [name.encode("ascii") for name in names]
    return lambda found: any(
        who in (named.get(name) for name in fields) for named in map(enriched_names, found.records)
    )


def _hosts(found: Subject) -> list[bytes]:
    host = found.host
    return [*found.addresses, *([] if host is None else [host])]


def _file_names(found: Subject) -> list[bytes]:
    """Return all names of files and the working directory; relative ones in both forms."""
    from auditd_py.record.fields import full_path

    cwd = found.cwd
    names = [] if cwd is None else [cwd]
    for file in found.files:
        names.append(file.name)
        if cwd is not None and file.name[:1] not in (b"/", b"(", b""):
            names += (cwd.rstrip(b"/") + b"/" + file.name, full_path(file.name, cwd))
    return names


_TEXTS: Final[dict[str, Callable[[Subject], list[bytes]]]] = {
    "comm": _one("comm"),
    "exe": _one("exe"),
    "terminal": _one("terminal"),
    "vm": _one("vm"),
    "vm_uuid": _one("vm_uuid"),
    "key": lambda found: found.keys,
    "host": _hosts,
    "file": _file_names,
    "subject": lambda found: found.subjects,
    "object": lambda found: found.objects,
    "context": lambda found: [*found.subjects, *found.objects],
}

# how each criterion is found in the bytes of a line


def _serial_needles(query: Query) -> list[bytes]:
    return [] if query.serial is None else [b":%d)" % query.serial]


def _written(text: bytes | None) -> list[bytes]:
    """Return a text as it may be written: as it is, and in the kernel's hex."""
    if not text:
        return []
    coded = text.hex().upper().encode("ascii")
    plain = b'"' not in text and text.isascii() and not any(c < 0x21 or c == 0x7F for c in text)
    return [text, coded] if plain else [coded, text]


def _file_needles(query: Query) -> list[bytes]:
    # a name may be written after its directory: what follows the last slash is in one piece
    return _written((query.file or b"").rstrip(b"/").rpartition(b"/")[2].lstrip(b"."))


def _host_needles(query: Query) -> list[bytes]:
    # addresses of sockets are in hex: those of inet and inet6
    return [] if not query.host else [query.host, b"saddr=0200", b"saddr=0A00"]


def _plain_needles(query: Query) -> list[bytes]:
    for text in (query.vm_uuid, query.terminal, query.context, query.subject, query.object):
        if text:
            return [text]
    return []


def _syscall_needles(query: Query) -> list[bytes]:
    if query.syscall is None:
        return []
    if isinstance(query.syscall, int):
        return [b"syscall=%d" % query.syscall]
    from auditd_py.tables.syscalls import numbers

    tables = {table for _, table in MACHINES.values()} | {"x32"}
    known = {numbers(table).get(query.syscall) for table in tables}
    return sorted(b"syscall=%d" % number for number in known if number is not None)


def _numbers(name: bytes, number: int | None) -> list[bytes]:
    return [] if number is None else [b"%b=%d" % (name, number)]


def _who_needles(query: Query) -> list[bytes]:
    for criterion, names in (*_USERS.items(), *_GROUPS.items()):
        who = getattr(query, criterion)
        if who is None:
            continue
        # auid= and euid= end in it
        ending = names[0].encode("ascii") if len(names) == 1 else names[0][-3:].encode("ascii")
        if isinstance(who, bytes):
            return [ending.upper() + b'="' + who + b'"']
        number = who & UNSET
        found = [b"%b=%d" % (ending, number)]
        if number > UNSET >> 1:
            found.append(b"%b=%d" % (ending, number - UNSET - 1))
        if ending == b"gid":
            found.append(b" id=%d" % number)
        return found
    return []


def _type_needles(query: Query) -> list[bytes]:
    found = []
    for number in sorted(query.types):
        name = type_name(number).encode("ascii")
        found += [b"type=%b " % name]
        found += [] if name.startswith(b"UNKNOWN") else [b"type=UNKNOWN[%d]" % number]
    return found


def _node_needles(query: Query) -> list[bytes]:
    return sorted(b"node=%b " % node for node in query.nodes)


_RAREST_FIRST: Final[tuple[Callable[[Query], list[bytes]], ...]] = (
    _serial_needles,
    lambda query: _written(query.key),
    _file_needles,
    lambda query: _written(query.vm),
    lambda query: _written(query.exe),
    lambda query: _written(query.comm),
    lambda query: _numbers(b"pid", query.pid),
    lambda query: _numbers(b"ppid", query.ppid),
    lambda query: _numbers(b"ses", query.session) if query.session != -1 else [],
    _host_needles,
    _plain_needles,
    lambda query: _numbers(b"exit", query.exit) if query.exit else [],
    _type_needles,
    _syscall_needles,
    _who_needles,
    _node_needles,
)
