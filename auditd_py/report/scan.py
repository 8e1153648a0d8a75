"""Reads the columns of events from a log. HOT: 3 to 8 ns a byte (benchmarks/search.py).

Most lines of a log are of system calls, and look alike. Expressions over a whole block take the
columns out of them, only those that are wanted; the last part of a line, which many lines share,
is taken as it is, and read once. A line that looks otherwise, and with it its event, is read
field by field (search/subject.py). Both ways give the same; a test holds them together.
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
from auditd_py.search.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditd_py.record.record import Record

    Key = bytes | tuple[bytes, bytes]  # the stamp, or node and stamp where lines have nodes

ALL: Final = frozenset(NAMES)
_own_label = re.compile(rb" subj=([^ \x1d]+)").search
_MOST_KNOWN: Final = 100_000  # values remembered of one column
_MOST_PARTS: Final = 20_000  # last parts of lines remembered

_TEXT: Final = rb"\"[^\"\n]*\"|[0-9A-F]+|\(null\)"
# the fields of a SYSCALL record in the kernel's order: column, and what they look like; `<`
# begins what is taken if the column is wanted. First those that differ from line to line
_CALL_FIELDS: Final = (
    ("arch", rb" arch=<[0-9a-f]{1,8})"),
    ("syscall", rb" syscall=<\d{1,9})(?: per=[0-9a-f]+)?"),
    ("success", rb"(?: success=<yes|no) exit=-?\d+)?"),
    ("", rb" a0=[0-9a-f]+ a1=[0-9a-f]+ a2=[0-9a-f]+ a3=[0-9a-f]+ items=\d+ ppid=\d+"),
    ("pid", rb" pid=<\d{1,10})"),
)
_TAIL_FIELDS: Final = (
    ("auid", rb" auid=<\d{1,10})"),
    ("", rb" uid=\d+ gid=\d+ euid=\d+ suid=\d+ fsuid=\d+ egid=\d+ sgid=\d+ fsgid=\d+"),
    ("terminal", rb" tty=<[^ \n\x1d]+)"),
    ("session", rb" ses=<\d{1,10})"),
    ("comm", rb" comm=<" + _TEXT + rb")"),
    ("exe", rb" exe=<" + _TEXT + rb")"),
    ("keys", rb"(?: subj=[^ \n\x1d]+)? key=<" + _TEXT + rb")(?=\x1d|\Z)"),
    ("auid_name", rb"(?:\x1d(?:[^ \n]+ )*?AUID=<\"[^\"\n]*\"|[0-9A-F]+))?"),
)
_CALL_COLUMNS: Final = frozenset(name for name, _ in (*_CALL_FIELDS, *_TAIL_FIELDS) if name)
_HEAD: Final = rb" msg=audit\(<[^)\n]*)\):"
_STRICT_HEAD: Final = rb" msg=audit\(<\d{10}\.\d{3}:\d{1,18})\):"
_path_fields = re.compile(
    rb" item=\d+ name=(" + _TEXT + rb") (?:inode=\d+ dev=[^ \n]+ mode=\d+ ouid=\d+ ogid=\d+ "
    rb"rdev=[^ \n]+ )?nametype=([A-Z]+)(?= cap_|\x1d|\Z)"
).match
# records that have nothing for any column
_SILENT: Final = (b"CWD", b"PROCTITLE", b"EXECVE", b"EOE", b"BPRM_FCAPS", b"CAPSET", b"MMAP",
                  b"FD_PAIR", b"OBJ_PID")  # fmt: skip
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
        self._with_nodes = _expressions(wanted, nodes=True)
        self._without_nodes = _expressions(wanted, nodes=False)
        self._readers = {name: _Reader(read) for name, read in _READ.items()}
        self._tail_columns = [name for name, _ in _TAIL_FIELDS if name in wanted]
        self._tail = re.compile(_fields(_TAIL_FIELDS, wanted)).match
        self._tails = _Reader(self._read_tail, _MOST_PARTS)
        self._paths = _Reader(self._read_path, _MOST_PARTS)

    def columns(self, block: bytes) -> Columns:
        """Return the events of a block (see blocks.py), in the order in which they were over."""
        look = self._with_nodes if b"\nnode=" in block else self._without_nodes
        calls, tails = _read(look.calls, block, self._tails)
        paths, files = _read(look.paths, block, self._paths)
        call_keys = list(map(look.key, calls))
        path_keys = list(map(look.key, paths))
        records = self._odd(look, block)
        strange = _not_alike(look, block, call_keys, path_keys)
        if look.all_events:
            details = set(look.details.findall(block)).union(path_keys)
            strange |= details.difference(call_keys, records)
        unusual = strange | records.keys()
        if strange or not (unusual.isdisjoint(call_keys) and unusual.isdisjoint(path_keys)):
            records = self._records(look.lines.finditer(block), look, unusual)
        if unusual:
            usual = [key not in unusual for key in call_keys]
            calls, tails = list(compress(calls, usual)), list(compress(tails, usual))
            usual = [key not in unusual for key in path_keys]
            paths, files = list(compress(paths, usual)), list(compress(files, usual))
        found = self._plain(look, calls, tails, zip(map(look.key, paths), files, strict=True))
        alone, left_out = set(), set()
        for key, of_event in records.items():
            self._add(found, of_event)
            if ends_event(of_event[0].type_name):
                alone.add(key)
            if self._without and any(one.type_number in self._without for one in of_event):
                left_out.add((found.node[-1], found.stamp[-1]))
        ordered = self._in_order(found, look, block, alone, begun=bool(records))
        if not left_out:
            return ordered
        self.left_out += len(left_out)  # after them others come in the order in which they do
        both = zip(ordered.node, ordered.stamp, strict=True)
        return ordered.picked(place for place, one in enumerate(both) if one not in left_out)

    def _odd(self, look: _Expressions, block: bytes) -> dict[Key, list[Record]]:
        return self._records(look.odd.finditer(block), look, None)

    def _records(
        self, lines: Iterable[re.Match[bytes]], look: _Expressions, keys: set[Key] | None
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
        self,
        look: _Expressions,
        calls: list[tuple[bytes, ...]],
        tails: list[Any],
        paths: Iterable[tuple[Key, tuple[bytes, bytes]]],
    ) -> Columns:
        """Return the columns of what was read with expressions."""
        found = Columns()
        raw = dict(zip(look.call_columns, zip(*calls, strict=True), strict=False))
        read: dict[str, Iterable[Any]] = {
            name: map(self._readers[name].__getitem__, raw[name])
            for name in raw.keys() & self._readers.keys()
        }
        if tails:
            read.update(zip(self._tail_columns, zip(*tails, strict=True), strict=True))
        files: dict[Key, list[tuple[bytes, bytes]]] = {}
        for key, file in paths:
            files.setdefault(key, []).append(file)
        keys: list[Key] = list(map(look.key, calls))
        if files:
            found.files = [tuple(files.pop(key, ())) for key in keys]
            keys += files  # what is left has no call
            found.files += map(tuple, files.values())
        if look.nodes:
            found.node = [node or None for node, _ in keys]  # type: ignore[misc]
            found.stamp = [stamp for _, stamp in keys]  # type: ignore[misc]
        else:
            found.node = [None] * len(keys)
            found.stamp = keys  # type: ignore[assignment]
        rest = len(keys) - len(calls)
        for name in self._wanted - {"node", "stamp", "files" if files or found.files else ""}:
            nothing = _NOTHING.get(name)
            if name in read:
                column = [*read[name], *[nothing] * rest]
            else:
                column = [_OF_CALL.get(name, nothing)] * len(calls) + [nothing] * rest
            setattr(found, name, column)
        return found

    def _read_tail(self, tail: bytes) -> tuple[Any, ...] | None:
        """Return the columns of a call's last fields; None if they look otherwise."""
        found = self._tail(tail)
        if not found:
            return None
        texts = zip(self._tail_columns, found.groups(b""), strict=True)
        return tuple(self._readers[name][text] for name, text in texts)

    def _read_path(self, text: bytes) -> tuple[bytes, bytes] | None:
        """Return a file's name and what it was in the call; None if it is said otherwise."""
        found = _path_fields(text)
        return (self._readers["exe"][found[1]], found[2]) if found else None

    def _add(self, found: Columns, records: list[Record]) -> None:
        """Add an event that was read field by field."""
        subject = Subject(Event(records))
        found.node.append(records[0].node)
        found.stamp.append(b"%d.%03d:%d" % records[0].key[1:])
        for name in self._wanted - {"node", "stamp"}:
            found.column(name).append(_OF_SUBJECT[name](subject))

    def _in_order(
        self, found: Columns, look: _Expressions, block: bytes, alone: set[Key], *, begun: bool
    ) -> Columns:
        """Return the events in the order in which they were over.

        `begun` says that they are not in the order in which they began.
        """
        if not begun and not look.nodes and all(map(le, found.stamp, islice(found.stamp, 1, None))):
            return found
        keys: list[Any] = list(found.stamp)
        if look.nodes:
            keys = [(node or b"", stamp) for node, stamp in zip(found.node, keys, strict=True)]
        places = {key: place for place, key in enumerate(keys)}
        order = [places[key] for key in dict.fromkeys(look.heads.findall(block)) if key in places]
        if len(order) < len(keys):  # a stamp that is written otherwise: 1.5 for 1.005
            order += sorted(set(range(len(keys))).difference(order))
        return found.picked(
            _over([(found.node[p], time_of(found.stamp[p]), keys[p] in alone, p) for p in order],
                  self._timeout_s)
        )  # fmt: skip


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


@dataclass(slots=True)
class _Expressions:
    """What finds things in a block."""

    nodes: bool
    key: Callable[[Any], Any]
    calls: re.Pattern[bytes] | None
    call_columns: list[str]
    paths: re.Pattern[bytes] | None
    odd: re.Pattern[bytes]
    lines: re.Pattern[bytes]
    heads: re.Pattern[bytes]
    call_heads: re.Pattern[bytes]
    path_heads: re.Pattern[bytes]
    details: re.Pattern[bytes]
    all_events: bool


def _expressions(wanted: frozenset[str], *, nodes: bool) -> _Expressions:
    node = rb"\n(?:node=([^ \n]+) )?" if nodes else rb"\n"
    head, strict = (part.replace(b"<", b"(") for part in (_HEAD, _STRICT_HEAD))
    silent = list(_SILENT)
    columns = [name for name, _ in _CALL_FIELDS if name in wanted]
    calls = paths = None
    if wanted & (_CALL_COLUMNS | {"type", "types"}):
        fields = _fields(_CALL_FIELDS, wanted) + rb"( auid=[^\n]*)"
        calls = re.compile(node + b"type=SYSCALL" + strict + fields)
    silent.append(b"SYSCALL")
    if "files" in wanted:
        paths = re.compile(node + b"type=PATH" + strict + rb"( item=[^\n]*)")
    silent.append(b"PATH")
    if not wanted & {"files", "host"}:
        silent.append(b"SOCKADDR")
    no_node = b"(?:node=[^ \n]+ )?" if nodes else b""
    no_detail = b"(?!" + no_node + b"type=(?:" + b"|".join(silent) + rb") msg=audit\()"
    # a lone EOE is no event, and what `paths` finds needs no second look
    alone = [n for n in silent if n not in {b"SYSCALL", b"EOE", b"PATH" if paths else b""}]
    end = rb"[^\n]*"
    return _Expressions(
        nodes,
        itemgetter(0, 1) if nodes else itemgetter(0),
        calls,
        [*(["node"] if nodes else []), "stamp", *columns, "tail"],
        paths,
        re.compile(rb"\n" + no_detail + node[2:] + rb"[^\n]*?audit\(([^)\n]*)\)" + end),
        re.compile(node + rb"[^\n]*?audit\(([^)\n]*)\)" + end),
        re.compile(node + rb"[^\n]*?audit\(([^)\n]*)\)"),
        re.compile(node + b"type=SYSCALL" + head),
        re.compile(node + b"type=PATH" + head),
        re.compile(node + b"type=(?:" + b"|".join(alone) + b")" + head),
        bool(wanted & {"type", "types"}),
    )


def _fields(fields: Iterable[tuple[str, bytes]], wanted: frozenset[str]) -> bytes:
    """Return the expression for fields of a call's record, with groups for what is wanted."""
    return b"".join(part.replace(b"<", b"(" if name in wanted else b"(?:") for name, part in fields)


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


def _not_alike(
    look: _Expressions, block: bytes, call_keys: list[Any], path_keys: list[Any]
) -> set[Any]:
    """Return the events that the expressions did not read, or not alone."""
    unusual: set[Any] = set()
    known = set(call_keys)
    if look.calls:
        if len(known) < len(call_keys):
            unusual |= _repeated(call_keys)
        if block.count(b"type=SYSCALL ") != len(call_keys):
            unusual.update(set(look.call_heads.findall(block)) - known)
    if look.paths and block.count(b"type=PATH ") != len(path_keys):
        unread = Counter(look.path_heads.findall(block))
        unread.subtract(path_keys)
        unusual.update(key for key, count in unread.items() if count)
    return unusual


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
