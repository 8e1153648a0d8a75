"""Makes the rows of an archive from blocks of a log. HOT: 20 ns a byte.

Each line has a number, so that the log can be written back. An event's lines that stand together
are told by the number of the first; `gaps` says where others stood: lines there were, and lines of
others after them, over and over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from auditd_py.archive.schema import COMPOSITE, REST, SCHEMA
from auditd_py.record.fields import decoded
from auditd_py.record.sockaddr import sockaddr_text
from auditd_py.report.packed import pack, unpack
from auditd_py.report.scan import ALL, Scanner
from auditd_py.search.scan import event_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.report.columns import Columns

    Partition = tuple[bytes | None, int]  # the node, and the day since 1970
    Key = tuple[bytes | None, bytes]

_EPOCH: Final = date(1970, 1, 1)
_DAY_S: Final = 86400
_MOST_KEPT: Final = 1 << 17
_MOST_DAYS: Final = (date.max - _EPOCH).days
_MOST_MS: Final = (1 << 43) - 1
_TIES: Final = 20  # bits of the order that tell apart what is of the same millisecond

_stamps = re.compile(rb"(\d+)\.(\d+):(\d+)").findall
_TASK: Final = rb" ppid=(\d{1,10}) pid=\d+ auid=\d+ uid=(\d{1,10}) gid=\d+ euid=(\d{1,10}) "
_task = re.compile(_TASK).search
_returned_task = re.compile(
    rb" exit=(-?\d{1,18}) a0=[0-9a-f]+ a1=[0-9a-f]+ a2=[0-9a-f]+ a3=[0-9a-f]+ items=\d+" + _TASK
).search
_exit = re.compile(rb" exit=(-?\d{1,18}) a0=").search
_arguments = re.compile(rb"type=EXECVE [^\n]*?: argc=\d+([^\n\x1d]*)").search
_argument = re.compile(rb" a(\d+)=([^ ]+)").findall
_socket = re.compile(rb"type=SOCKADDR [^\n]*? saddr=([0-9A-Fa-f]+)").findall
_address = re.compile(rb" laddr=(\S+)").search


@dataclass(slots=True)
class Lines:
    """The lines of one event: texts that stood apart, with number and count of lines of each."""

    places: list[tuple[int, int]]
    texts: list[bytes]

    @property
    def first(self) -> int:
        """The number of the first line."""
        return self.places[0][0]

    @property
    def gaps(self) -> list[int]:
        """Lines that stood together and lines of others after them, over and over."""
        found = []
        for (first, count), (following, _) in pairwise(self.places):
            found += [count, following - first - count]
        return found


class _Kind:
    """What the records of events are, from their `type=` words."""

    def __init__(self, words: tuple[bytes, ...]) -> None:
        self.names = [_shown(word.removeprefix(b"type=")) for word in words]
        self.has_call = b"type=SYSCALL" in words
        self.has_arguments = b"type=EXECVE" in words
        self.has_address = b"type=SOCKADDR" in words


class Rows:
    """Makes the tables of one run; blocks come in order, each with whole events."""

    def __init__(self, run: str, timeout_s: int) -> None:
        self.line = 0  # of the next block
        self._run = run
        self._scanner = Scanner(ALL, timeout_s)
        self._order = -1
        self._boots: dict[bytes | None, int] = {}
        self._packed = {name: _Kept(pack) for name in COMPOSITE}
        self._shown = _Kept(_shown)
        self._kinds = _Kept(_Kind)

    def block(self, block: bytes) -> tuple[dict[Partition, pa.Table], pa.Table]:
        """Return the rows of a block (report/blocks.py) by partition, and its other lines."""
        found, rest = self._lines(block)
        columns = self._scanner.columns(block)
        keys = list(zip(columns.node, columns.stamp, strict=True))
        if found.keys() != set(keys) or len(found) != len(keys):
            columns, keys = self._matched(columns, keys, found, rest)
        if not keys:
            return {}, _rest(rest)
        made = self._made(columns, [found[key] for key in keys])
        table = pa.Table.from_arrays(
            [pa.array(values, SCHEMA.field(name).type) for name, values in made.items()],
            schema=SCHEMA,
        )
        return _partitions(columns.node, made["day"], table), _rest(rest)

    def _lines(self, block: bytes) -> tuple[dict[Key, Lines], list[tuple[int, bytes]]]:
        """Return the lines of each event, and those of none with their numbers."""
        found: dict[Key, Lines] = {}
        rest: list[tuple[int, bytes]] = []
        place, line = 1, self.line
        for run in event_runs(block, 1):
            start, stop = run.span()
            if start != place:
                line = _number(rest, block[place:start], line)
            place = stop
            node, _, token, second, milli, serial = run.groups()
            text = block[start : stop - 1]
            if len(milli) > 3 and int(milli) > 999:
                line = _number(rest, text + b"\n", line)
                continue
            stamp = token[6:-1]
            if len(milli) != 3 or b"0" in {second[:1], serial[:1]}:
                stamp = b"%d.%03d:%d" % (int(second), int(milli), int(serial))
            count = text.count(b"\n") + 1
            key = (node[5:-1] or None, stamp)
            before = found.get(key)
            if before is None:
                found[key] = Lines([(line, count)], [text])
            else:
                before.places.append((line, count))
                before.texts.append(text)
            line += count
        self.line = _number(rest, block[place:], line)
        return found, rest

    def _matched(
        self,
        columns: Columns,
        keys: list[Key],
        found: dict[Key, Lines],
        rest: list[tuple[int, bytes]],
    ) -> tuple[Columns, list[Key]]:
        """Leave out events without lines and lines without an event, which are kept as they are."""
        places = {key: place for place, key in enumerate(keys) if key in found}
        for key, lines in found.items():
            if key not in places:
                rest += _numbered(lines)
        rest.sort()
        return columns.picked(places.values()), list(places)

    def _made(self, columns: Columns, lines: list[Lines]) -> dict[str, Any]:
        made: dict[str, Any] = {name: [] for name in SCHEMA.names}
        for name in made:
            if name in COMPOSITE:
                made[name] = [*map(self._packed[name].__getitem__, columns.column(name))]
            elif hasattr(columns, name):
                made[name] = columns.column(name)
        self._times(made, columns)
        made["run"] = [self._run] * len(columns)
        made["line"] = [one.first for one in lines]
        made["gaps"] = [pack((*one.gaps,)) if len(one.places) > 1 else None for one in lines]
        made["lines"] = texts = [
            one.texts[0] if len(one.texts) == 1 else b"\n".join(one.texts) for one in lines
        ]
        shown = self._shown
        made["key"] = [[shown[key] for key in keys] for keys in columns.keys]
        made["paths"] = [[shown[name] for name, _ in files] for files in columns.files]
        self._details(made, texts)
        return made

    def _times(self, made: dict[str, Any], columns: Columns) -> None:
        parts = zip(*_stamps(b" ".join(columns.stamp)), strict=True)
        seconds, millis, serials = ([*map(int, part)] for part in parts)
        times = [
            min(second * 1000 + milli, _MOST_MS)
            for second, milli in zip(seconds, millis, strict=True)
        ]
        order, orders = self._order, []
        for time in times:
            order = max(order + 1, time << _TIES)
            orders.append(order)
        self._order = order
        made["order"], made["time"], made["second"] = orders, times, seconds
        made["milli"], made["serial"] = millis, serials
        made["day"] = [*map(_day, seconds)]
        if b"SYSTEM_BOOT" in columns.type or self._boots:
            made["boot"] = self._boot(columns, seconds)
        else:
            made["boot"] = [None] * len(columns)

    def _boot(self, columns: Columns, seconds: list[int]) -> list[int | None]:
        """Return for each event the second in which its node started, as far as the log tells."""
        found = []
        for node, kind, second in zip(columns.node, columns.type, seconds, strict=True):
            if kind == b"SYSTEM_BOOT":
                self._boots[node] = second
            found.append(self._boots.get(node))
        return found

    def _details(self, made: dict[str, Any], texts: list[bytes]) -> None:
        tasks, types, argv, addresses = [], [], [], []
        for text in texts:
            if text.startswith(b"node="):
                words = [line.split(b" ", 2)[1] for line in text.split(b"\n")]
            else:
                words = [line.split(b" ", 1)[0] for line in text.split(b"\n")]
            kind = self._kinds[tuple(words)]
            types.append(kind.names)
            tasks.append(_task_of(text) if kind.has_call else _NO_TASK)
            argv.append(_argv(text) if kind.has_arguments else None)
            addresses.append(_addresses(text) if kind.has_address else None)
        made["record_types"], made["argv"], made["addresses"] = types, argv, addresses
        made["exit"], made["ppid"], made["task_uid"], made["euid"] = zip(*tasks, strict=True)


def numbered(line: int, gaps: list[int], lines: bytes) -> list[tuple[int, bytes]]:
    """Return the lines of an event with their numbers."""
    texts = lines.split(b"\n")
    found, at, place = [], line, 0
    for count, skipped in zip(gaps[::2], gaps[1::2], strict=True):
        found += [(at + n, texts[place + n]) for n in range(count)]
        at, place = at + count + skipped, place + count
    return found + [(at + n, text) for n, text in enumerate(texts[place:])]


def lines_of(table: pa.Table) -> pa.Table:
    """Return the lines of some rows as those that are of no event: to be kept, not counted."""
    found: list[tuple[int, bytes]] = []
    columns = (table[name].to_pylist() for name in ("line", "gaps", "lines"))
    for line, gaps, lines in zip(*columns, strict=True):
        found += numbered(line, [*unpack(gaps)] if gaps else [], lines)
    return _rest(found)


def _rest(rest: list[tuple[int, bytes]]) -> pa.Table:
    numbers, texts = zip(*rest, strict=True) if rest else ((), ())
    return pa.Table.from_arrays(
        [pa.array(numbers, pa.int64()), pa.array(texts, pa.binary())], schema=REST
    )


def day_name(day: int) -> str:
    """Return a day since 1970 as in the names of partitions."""
    return (_EPOCH + timedelta(day)).isoformat()


def _partitions(
    nodes: list[bytes | None], days: list[int], table: pa.Table
) -> dict[Partition, pa.Table]:
    partitions = list(zip(nodes, days, strict=True))
    different = dict.fromkeys(partitions)
    if len(different) == 1:
        return {partitions[0]: table}
    places: dict[Partition, list[int]] = {partition: [] for partition in different}
    for place, partition in enumerate(partitions):
        places[partition].append(place)
    return {partition: table.take(chosen) for partition, chosen in places.items()}


def _numbered(lines: Lines) -> list[tuple[int, bytes]]:
    return numbered(lines.first, lines.gaps, b"\n".join(lines.texts))


def _number(rest: list[tuple[int, bytes]], text: bytes, line: int) -> int:
    """Add lines that are of no event; return the number of the next line."""
    if text:
        for one in text[:-1].split(b"\n"):
            rest.append((line, one))
            line += 1
    return line


def _day(second: int) -> int:
    return min(second // _DAY_S, _MOST_DAYS)


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


class _Kept(dict[Any, Any]):
    """What values are shown as, each made once."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Any) -> Any:  # noqa: ANN401
        if len(self) > _MOST_KEPT:
            self.clear()
        found = self[value] = self._make(value)
        return found


_NO_TASK: Final = (None, None, None, None)


def _task_of(text: bytes) -> tuple[int | None, ...]:
    """Return what a call returned, and parent, user and effective user of the process."""
    both = _returned_task(text)
    if both:
        return (*map(int, both.groups()),)
    found, returned = _task(text), _exit(text)
    ids = map(int, found.groups()) if found else (None,) * 3
    return int(returned[1]) if returned else None, *ids


def _argv(text: bytes) -> list[str] | None:
    found = _arguments(text)
    if found is None:
        return None
    return [_shown(decoded(value)) for _, value in _argument(found[1])]


def _addresses(text: bytes) -> list[str]:
    found = (_address(sockaddr_text(value)) for value in _socket(text))
    return [_shown(one[1]) for one in found if one]
