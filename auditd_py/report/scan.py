"""Reads the columns of events from a log. HOT: 3 to 6 ns a byte (benchmarks/reports.py).

Most events of a log are system calls, look alike, and stand in one piece. One expression over a
whole block takes the wanted columns out of them and leaves the pieces between; others do so for
the lines in there. The last part of a call's line, which many share, is taken as it is, and read
once. A line that looks otherwise, and with it its event, is read field by field
(search/subject.py). All ways give the same; a test holds them together.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, compress, islice
from operator import itemgetter, le
from typing import TYPE_CHECKING, Any, Final

from auditd_py.errors import WireError
from auditd_py.record.event import EOE_TIMEOUT_S, Event, ends_event
from auditd_py.record.fields import decoded, from_hex, names_of
from auditd_py.record.record import parse_record
from auditd_py.report.columns import NAMES, Columns, Value, time_of
from auditd_py.report.expressions import PATH_FIELDS, TAIL_FIELDS, Whole, expressions, fields_of
from auditd_py.search.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditd_py.record.record import Record
    from auditd_py.report.expressions import Expressions, File, Key

ALL: Final = frozenset(NAMES)
_own_label = re.compile(rb" subj=([^ \x1d]+)").search
_MOST_KNOWN: Final = 100_000  # values remembered of one column
_MOST_PARTS: Final = 20_000  # last parts of lines remembered

_path_fields = re.compile(PATH_FIELDS + rb"(?= cap_|\x1d|\Z)").match
_SYSCALL: Final = 1300
# records that are there because a call's is
_DETAILS: Final = frozenset(
    {1300, 1302, 1306, 1307, 1309, 1317, 1318, 1320, 1321, 1322, 1323, 1327}
)


class Scanner:
    """Reads the wanted columns, block by block.

    `wanted` are names of columns; `node` and `stamp` are there always. Events that have nothing
    in the wanted columns may be left out, and those with a record of a type in `without`, none of
    which may be a call's. `malformed` counts lines with no record in them, `left_out` events.
    """

    def __init__(
        self,
        wanted: frozenset[str] = ALL,
        timeout_s: int = EOE_TIMEOUT_S,
        without: frozenset[int] = frozenset(),
    ) -> None:
        self.malformed = 0
        self.left_out = 0
        self._without = without
        self._wanted = wanted | {"node", "stamp"}
        self._timeout_s = timeout_s
        self._look = expressions(wanted, nodes=False)
        self._readers = {name: _Reader(read) for name, read in _READ.items()}
        self._tail_columns = [name for name, _ in TAIL_FIELDS if name in wanted]
        self._tail = re.compile(fields_of(TAIL_FIELDS, wanted)).match
        self._tails = _Reader(self._read_tail, _MOST_PARTS)
        self._paths = _Reader(self._read_path, _MOST_PARTS)
        self._files = _Reader(self._names_of)

    def columns(self, block: bytes) -> Columns:
        """Return the events of a block (see blocks.py), in the order in which they were over."""
        look = self._look
        whole = Whole(look, block)
        rest = b"".join(whole.pieces)
        if not look.nodes and b"\nnode=" in rest:
            self._look = look = expressions(self._wanted, nodes=True)
            whole = Whole(look, block)
            rest = b"".join(whole.pieces)
        calls = self._calls(look, whole, rest)
        paths, files = _read(look.paths, rest, self._paths)
        path_keys = list(map(look.key, paths))
        records = self._records(look.odd.finditer(rest), look, None)
        strange = self._not_alike(look, whole, rest, calls, path_keys)
        if look.all_events:
            details = set(look.details.findall(rest)).union(path_keys)
            strange |= details.difference(calls.keys)
        unusual = strange | records.keys()
        if strange or not (unusual.isdisjoint(calls.keys) and unusual.isdisjoint(path_keys)):
            where = rest if unusual.isdisjoint(whole.keys) else block
            records = self._records(look.lines.finditer(where), look, unusual)
        if unusual:
            calls = calls.without(unusual)
            usual = [key not in unusual for key in path_keys]
            path_keys, files = list(compress(path_keys, usual)), list(compress(files, usual))
        found = self._plain(look, calls, zip(path_keys, files, strict=True))
        alone, left_out = set(), set()
        for key, of_event in records.items():
            self._add(found, of_event)
            if ends_event(of_event[0].type_name):
                alone.add(key)
            if self._without and any(one.type_number in self._without for one in of_event):
                left_out.add((found.node[-1], found.stamp[-1]))
        ordered = found
        apart = records or look.nodes or len(found) > len(whole.keys)
        if apart or not _ascending(found.stamp):
            ordered = _in_order(found, look, whole, alone, self._timeout_s)
        if not left_out:
            return ordered
        self.left_out += len(left_out)  # after them others come in the order in which they do
        both = zip(ordered.node, ordered.stamp, strict=True)
        return ordered.picked(place for place, one in enumerate(both) if one not in left_out)

    def _calls(self, look: Expressions, whole: Whole, rest: bytes) -> _Calls:
        """Return the calls of whole events, then those whose records stand apart."""
        tails = list(map(self._tails.__getitem__, whole.tails))
        files = whole.files(self._files)
        calls = _Calls(whole.keys, whole.columns, tails, files)
        apart, tails = _read(look.calls, rest, self._tails)
        if apart:
            keys = list(map(look.key, apart))
            names = [*(("node", "stamp") if look.nodes else ("stamp",)), *look.call_columns]
            raw = dict(zip(names, map(list, zip(*apart, strict=True)), strict=False))
            columns = {name: raw[name] for name in look.call_columns}
            none: list[tuple[File, ...]] = [()] * len(keys)
            calls = calls.joined(_Calls(keys, columns, tails, none))
        return calls

    def _not_alike(
        self,
        look: Expressions,
        whole: Whole,
        rest: bytes,
        calls: _Calls,
        path_keys: list[Key],
    ) -> set[Key]:
        """Return the events that the expressions did not read, or not alone."""
        unusual: set[Key] = set()
        known = set(calls.keys)
        if len(known) < len(calls.keys):
            unusual |= _repeated(calls.keys)
        if None in calls.tails:
            unusual.update(
                k for k, said in zip(calls.keys, calls.tails, strict=True) if said is None
            )
        apart = calls.keys[len(whole.keys) :]
        if look.calls and rest.count(b"type=SYSCALL ") != len(apart):
            unusual.update(set(look.call_heads.findall(rest)).difference(apart))
        if look.paths and rest.count(b"type=PATH ") != len(path_keys):
            unread = Counter(look.path_heads.findall(rest))
            unread.subtract(path_keys)
            unusual.update(key for key, count in unread.items() if count)
        if not known.isdisjoint(path_keys):
            unusual.update(whole.behind(look.path_heads))
        return unusual

    def _records(
        self, lines: Iterable[re.Match[bytes]], look: Expressions, keys: set[Key] | None
    ) -> dict[Key, list[Record]]:
        """Return the records in lines by their event; all, or those of some events."""
        records: dict[Key, list[Record]] = {}
        for line in lines:
            key = look.key(line.groups(b""))
            if keys is None or key in keys:
                try:
                    record = parse_record(line[0][1:])
                except WireError:
                    self.malformed += 1
                else:
                    records.setdefault(key, []).append(record)
        return records

    def _plain(
        self, look: Expressions, calls: _Calls, paths: Iterable[tuple[Key, File]]
    ) -> Columns:
        """Return the columns of what was read with expressions."""
        found = Columns()
        read: dict[str, Iterable[Any]] = {
            name: map(self._readers[name].__getitem__, column)
            for name, column in calls.columns.items()
        }
        if calls.tails:
            read.update(zip(self._tail_columns, zip(*calls.tails, strict=True), strict=True))
        files: dict[Key, list[File]] = {}
        for key, file in paths:
            files.setdefault(key, []).append(file)
        keys = calls.keys
        if files:
            both = zip(calls.files, keys, strict=True)
            found.files = [(*own, *files.pop(key, ())) for own, key in both]
            keys = [*keys, *files]  # what is left has no call
            found.files += map(tuple, files.values())
        elif "files" in self._wanted:
            found.files = calls.files
        if look.nodes:
            found.node = [node or None for node, _ in keys]  # type: ignore[misc]
            found.stamp = [stamp for _, stamp in keys]  # type: ignore[misc]
        else:
            found.node = [None] * len(keys)
            found.stamp = list(keys)  # type: ignore[arg-type]
        rest = len(keys) - len(calls.keys)
        for name in self._wanted - {"node", "stamp", "files"}:
            nothing = _NOTHING.get(name)
            if name in read:
                column = [*read[name], *[nothing] * rest]
            else:
                column = [_OF_CALL.get(name, nothing)] * len(calls.keys) + [nothing] * rest
            setattr(found, name, column)
        return found

    def _read_tail(self, tail: bytes) -> tuple[Any, ...] | None:
        """Return the columns of a call's last fields; None if they look otherwise."""
        found = self._tail(tail)
        if not found:
            return None
        texts = zip(self._tail_columns, found.groups(b""), strict=True)
        return tuple(self._readers[name][text] for name, text in texts)

    def _read_path(self, text: bytes) -> File | None:
        """Return a file's name and what it was in the call; None if it is said otherwise."""
        found = _path_fields(text)
        return (self._readers["exe"][found[1]], found[2]) if found else None

    def _names_of(self, kind: bytes) -> _Reader:
        """Return files of a kind by the text of their names."""
        return _Reader(lambda name: ((self._readers["exe"][name], kind),))

    def _add(self, found: Columns, records: list[Record]) -> None:
        """Add an event that was read field by field."""
        subject = Subject(Event(records))
        found.node.append(records[0].node)
        found.stamp.append(b"%d.%03d:%d" % records[0].key[1:])
        for name in self._wanted - {"node", "stamp"}:
            found.column(name).append(_OF_SUBJECT[name](subject))


@dataclass(slots=True)
class _Calls:
    """Calls: their events, what the columns say, what their last parts say, and their files."""

    keys: list[Key]
    columns: dict[str, list[bytes]]
    tails: list[Any]
    files: list[tuple[File, ...]]

    def joined(self, other: _Calls) -> _Calls:
        """Return them and others."""
        return _Calls(
            self.keys + other.keys,
            {name: self.columns.get(name, []) + column for name, column in other.columns.items()},
            self.tails + other.tails,
            self.files + other.files,
        )

    def without(self, keys: set[Key]) -> _Calls:
        """Return those of other events."""
        kept = [key not in keys for key in self.keys]
        return _Calls(
            list(compress(self.keys, kept)),
            {name: list(compress(column, kept)) for name, column in self.columns.items()},
            list(compress(self.tails, kept)),
            list(compress(self.files, kept)),
        )


def _in_order(
    found: Columns, look: Expressions, whole: Whole, alone: set[Key], timeout_s: int
) -> Columns:
    """Return the events in the order in which they were over."""
    keys: list[Any] = list(found.stamp)
    if look.nodes:
        keys = [(node or b"", stamp) for node, stamp in zip(found.node, keys, strict=True)]
    places = {key: place for place, key in enumerate(keys)}
    order = [places[key] for key in whole.begun(look.heads) if key in places]
    if len(order) < len(keys):  # a stamp that is written otherwise: 1.5 for 1.005
        order += sorted(set(range(len(keys))).difference(order))
    if look.nodes or not _ascending([keys[place] for place in order]):
        order = _over(
            [(found.node[p], time_of(found.stamp[p]), keys[p] in alone, p) for p in order],
            timeout_s,
        )
    return found.picked(order)


def _ascending(stamps: list[bytes]) -> bool:
    """Return whether the times ascend. May be false if they do, if they are written otherwise."""
    first = len(stamps[0]) if stamps else 0
    return (
        all(map(le, stamps, islice(stamps, 1, None)))
        and all(len(stamp) == first for stamp in stamps)
        and all(stamp[10:11] == b"." for stamp in stamps)
    )


def _over(
    events: list[tuple[bytes | None, tuple[int, int, int], bool, int]], timeout_s: int
) -> list[int]:
    """Return the places of events in the order in which the assembler gives them."""
    open_events: dict[bytes | None, list[tuple[tuple[int, int, int], int, bool]]] = {}
    over: list[int] = []
    for begun, (node, time, alone, _) in enumerate(events):
        heap = open_events.setdefault(node, [])
        latest = time[0] - timeout_s
        while heap and (heap[0][0][0] <= latest or heap[0][2]):
            over.append(heappop(heap)[1])
        heappush(heap, (time, begun, alone))
    over += [begun for _, begun, _ in sorted(chain.from_iterable(open_events.values()))]
    return [events[begun][3] for begun in over]


def _read(
    lines: re.Pattern[bytes] | None, block: bytes, reader: _Reader
) -> tuple[list[tuple[bytes, ...]], list[Any]]:
    """Return lines of a block, and what their last parts say; those left out that say nothing."""
    found: list[tuple[bytes, ...]] = lines.findall(block) if lines else []
    said = list(map(reader.__getitem__, map(itemgetter(-1), found)))
    if None in said:
        known = [one is not None for one in said]
        found, said = list(compress(found, known)), list(compress(said, known))
    return found, said


def _repeated(keys: list[Any]) -> set[Any]:
    return {key for key, count in Counter(keys).items() if count > 1}


class _Reader(dict[Any, Any]):
    """What values of a column, or parts of lines, stand for, each read once."""

    def __init__(self, read: Callable[[bytes], Any], most: int = _MOST_KNOWN) -> None:
        super().__init__()
        self._read = read
        self._most = most

    def __missing__(self, value: bytes) -> Value:
        if len(self) > self._most:
            self.clear()
        found = self[value] = self._read(value)
        return found


def _keys(value: bytes) -> tuple[bytes, ...]:
    if value == b"(null)":
        return ()
    raw = None if value[:1] == b'"' else from_hex(value)
    return (decoded(value),) if raw is None else tuple(raw.split(b"\x01"))


# how the columns of a call's record are read, from bytes that may be empty
_READ: Final[dict[str, Callable[[bytes], Any]]] = {
    "arch": lambda value: int(value, 16),
    "syscall": int,
    "success": {b"yes": True, b"no": False}.get,
    "pid": int,
    "auid": int,
    "terminal": bytes,
    "session": int,
    "comm": decoded,
    "exe": decoded,
    "keys": _keys,
    "auid_name": lambda value: names_of(b"AUID=" + value).get(b"auid"),
}
# what columns hold where nothing is said, if not None; and in plain events of calls
_NOTHING: Final = {"keys": (), "files": (), "accesses": (), "types": (), "type": b""}
_OF_CALL: Final = {"type": b"SYSCALL", "types": (_SYSCALL,)}


def _type(subject: Subject) -> bytes:
    for record in subject.records:
        number = record.type_number
        if number == _SYSCALL or number not in _DETAILS:
            return record.type_name
    return subject.records[0].type_name


def _types(subject: Subject) -> tuple[int, ...]:
    types = subject.type_numbers
    return tuple(number for number in types if number == _SYSCALL or number not in _DETAILS)


def _auid_name(subject: Subject) -> bytes | None:
    for record in subject.records:
        name = names_of(record.enriched).get(b"auid")
        if name is not None:
            return name
    return None


def _accesses(subject: Subject) -> tuple[tuple[bytes | None, ...], ...]:
    """Return decisions. The subject of a program's is the program's own, as the C tool has it."""
    asked = any(record.type_name == b"USER_AVC" for record in subject.records)
    own = _own_label(subject.records[0].text) if asked else None
    return tuple(
        (
            (own[1] if own else None) if asked else one.subject,
            one.tclass,
            one.permissions.replace(b",", b" "),
            one.object,
            one.result,
        )
        for one in subject.accesses
    )


_OF_SUBJECT: Final[dict[str, Callable[[Subject], Any]]] = {
    "type": _type,
    "types": _types,
    "success": lambda found: found.success,
    "auid": lambda found: found.auid,
    "auid_name": _auid_name,
    "pid": lambda found: found.pid,
    "syscall": lambda found: found.syscall,
    "arch": lambda found: found.arch,
    "exe": lambda found: found.exe,
    "comm": lambda found: found.comm,
    "terminal": lambda found: found.terminal,
    "host": lambda found: found.host,
    "acct": lambda found: found.acct,
    "uid": lambda found: found.uid if found.syscall is None else None,
    "session": lambda found: found.ses,
    "keys": lambda found: tuple(found.keys),
    "files": lambda found: tuple((file.name, file.nametype) for file in found.files),
    "accesses": _accesses,
    "data": lambda found: found.data,
}
