"""Finds the events of a search in blocks of whole lines. HOT: 1 ns a byte where nothing matches.

Bytes that a matching event must have somewhere are looked for in whole blocks; only around a hit
are lines read, to gather the event's other records, which may stand between those of others.
Without such bytes each event is put together. Lines of an event that stand together stay one
piece (a Run) until something asks for its records.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

from auditd_py.record.event import EOE_TIMEOUT_S, MOST_OPEN, Assembler, Event, ends_event
from auditd_py.record.record import Record, parse_record, type_number
from auditd_py.search.find import finder
from auditd_py.search.query import MOST_NEEDLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from mmap import mmap

    from auditd_py.search.find import Find
    from auditd_py.search.query import Query
    from auditd_py.search.rooms import Rooms

    Key = tuple[bytes, bytes]  # node as it begins a line, and `audit(…)`

HISTORY: Final = 16 << 20  # bytes before a hit in which an event may have begun
_MOST_BLOCKS: Final = 80  # of history, where they are small
_LAST_LINES: Final = 8  # of a block; slow calls are written with the time of their beginning
_MANY: Final = 8  # hits in a block from which all its lines are put in order

_EOE: Final = 1320

_HEAD: Final = (
    rb"((?:node=[^ \n]+ )?)(?:type=([^ \n]+) )?(?:msg=)?"
    rb"(audit\((\d{1,12})\.(\d{1,9}):(\d{1,18})\))"
)
_head = re.compile(_HEAD).match
# lines that stand together and are of one event
event_runs = re.compile(
    rb"^" + _HEAD + rb"[^\n]*\n(?:\1type=[^ \n]+ msg=\3[^\n]*\n)*", re.MULTILINE
).finditer
_last_type = re.compile(rb"(?:node=[^ \n]+ )?type=([^ \n]+) ").match


class Run(Record):
    """Records of one event that stand together: `line` is all their lines.

    `place` is where they begin, in bytes from the beginning of all that a Scan was fed.
    """

    __slots__ = ("place",)
    place: int

    def records(self) -> list[Record]:
        """Return the records."""
        return [parse_record(line) for line in self.line.split(b"\n")]


class Block:
    """Whole lines, `data` from `start` to `end`. They are put in order by event when asked often.

    `first` is where each of the needles is found first, -1 if it is not.
    """

    __slots__ = ("_index", "_latest", "_seconds", "data", "end", "find", "first", "start")

    def __init__(
        self, data: bytes | mmap, start: int, end: int, needles: Sequence[bytes], find: Find
    ) -> None:
        self.data = data
        self.start = start
        self.end = end
        self.find = find
        self.first = [(needle, find(needle, start, end)) for needle in needles]
        self._index: dict[Key, list[tuple[int, int]]] | None = None
        self._latest: int | None = None
        self._seconds: dict[bytes, int] = {}  # where each that was asked for is found first

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.end - self.start

    @property
    def latest(self) -> int:
        """The time of its last lines; 0 if they are no records."""
        if self._latest is None:
            self._latest = self.second() or 0
        return self._latest

    def is_over(self, second: int) -> bool:
        """Say whether all of it is older than a second. Nodes can have clocks of their own."""
        data = self.data
        nodes = (
            data[self.start : self.start + 5] + data[(last := self.line(self.end - 1)) : last + 5]
        )
        return 0 < self.latest < second and b"node=" not in nodes

    def line(self, place: int) -> int:
        """Return where the line begins that has a place."""
        return self.data.rfind(b"\n", self.start, place) + 1 or self.start

    def second(self, prefix: bytes = b"") -> int | None:
        """Return the highest second of the last lines that begin with some bytes."""
        highest, end = None, self.end
        for _ in range(_LAST_LINES):
            place = self.data.rfind(b"\n" + prefix, self.start, end) + 1
            begin = place or self.start
            found = _head(self.data, begin) if begin < self.end else None
            if found and found[0].startswith(prefix):
                highest = max(highest or 0, int(found[4]))
            if not place:
                break
            end = place if prefix else place - 1
        return highest

    def runs(self, key: Key) -> list[tuple[int, int]]:
        """Return where lines of an event stand."""
        if self._index is not None:
            return self._index.get(key, [])
        found: list[tuple[int, int]] = []
        data, end, token = self.data, self.end, key[1]
        find = self.find
        second = token[: token.index(b".") + 1]
        place = self._seconds.get(second)
        if place is None:
            place = self._seconds[second] = find(second, self.start, end)
        if place >= 0:
            place = find(token, place, end)
        while place >= 0:
            start = self.line(place)
            stop = data.find(b"\n", place, end) + 1
            head = _head(data, start)
            if head and (head[1], head[3]) == key:
                if found and found[-1][1] == start:
                    found[-1] = (found[-1][0], stop)
                else:
                    found.append((start, stop))
            place = find(token, stop, end)
        return found

    def put_in_order(self) -> None:
        """Read all lines, so that any event in them is found at once."""
        if self._index is None:
            index: dict[Key, list[tuple[int, int]]] = {}
            for found in event_runs(self.data, self.start, self.end):
                index.setdefault((found[1], found[3]), []).append(found.span())
            self._index = index


class Scan:
    """Takes blocks, gives the events that a query wants, in the order of their time.

    `on_junk` gets each line that is no record; where bytes are looked for only those that have
    them. `timeout_s` is that of the assembler (record/event.py).
    """

    def __init__(
        self,
        query: Query,
        timeout_s: int = EOE_TIMEOUT_S,
        *,
        on_junk: Callable[[bytes], None] | None = None,
        sparsely: bool = True,
        promptly: bool = False,
    ) -> None:
        self.query = query
        self.timeout_s = timeout_s
        self._on_junk = on_junk
        self._needles = query.needles()
        self._everything = query.everything
        self.sparse = sparsely and 0 < len(self._needles) <= MOST_NEEDLES
        self._assembler = Assembler(timeout_s, promptly=promptly)
        self._straight = not promptly
        self._waiting: deque[Event] = deque()
        self._order = (0, 0, 0)
        self._node: bytes | None = None
        self._open: dict[Key, Event] = {}
        self._done: dict[Key, int] = {}  # events that were given, and the number of their block
        self._history: deque[Block] = deque()
        self._kept = 0  # bytes of it
        self._blocks = 0
        self._rooms: Rooms | None = None
        self.place = 0  # bytes that were fed
        self.latest = 0  # the highest second seen, where all lines are read

    def feed(self, data: bytes, end: int) -> Iterator[Event]:
        """Take whole lines, `data` up to `end`; give the events that are over."""
        if self.sparse:
            yield from self.feed_block(Block(data, 0, end, self._needles, finder(data)))
        else:
            yield from self.matching(self.feed_all(data, end))

    def read(self, descriptor: int) -> Iterator[Block]:
        """Give a file's blocks, for `feed_block` of a sparse search."""
        from auditd_py.search.rooms import Rooms

        self._rooms = rooms = self._rooms or Rooms(_MOST_BLOCKS)
        find, needles = finder(rooms.memory), self._needles
        for start, end in rooms.blocks(descriptor):
            yield Block(rooms.memory, start, end, needles, find)

    def feed_block(self, block: Block) -> Iterator[Event]:
        """Do the rest of `feed` in a sparse search."""
        yield from self.matching(self._feed_sparse(block))

    def feed_all(self, data: bytes, end: int) -> Iterator[Event]:
        """Take whole lines; give all events that are over, their records not taken apart.

        While each event's lines stand together and in order, as in most logs, a queue does what
        the assembler does.
        """
        waiting, timeout_s = self._waiting, self.timeout_s
        for run in self._all_runs(data, end):
            second = run.seconds
            self.latest = max(self.latest, second)
            order = (second, run.milliseconds, run.serial)
            if self._straight and waiting and run.node == self._node:
                if order > self._order:
                    self._order = order
                    waiting.append(Event([run]))
                    while waiting[0].seconds + timeout_s <= second or len(waiting) > MOST_OPEN:
                        yield waiting.popleft()
                    continue
                if order == self._order:  # the beginning was in the block before
                    waiting[-1].records.append(run)
                    continue
            elif self._straight and not waiting:
                self._order, self._node = order, run.node
                waiting.append(Event([run]))
                continue
            yield from self._assembled()
            yield from self._assembler.feed(run)
        self.place += end

    def _assembled(self) -> list[Event]:
        """Give what waits to the assembler, which takes lines in any order; not back again."""
        runs = [run for event in self._waiting for run in event.records]
        over = [event for run in runs for event in self._assembler.feed(run)]
        self._waiting.clear()
        self._straight = False
        return over

    def end(self) -> Iterator[Event]:
        """Give the events that are open still."""
        yield from self.matching(self.open_events())

    def open_events(self) -> list[Event]:
        """Return the events that are open still, of which the records are not taken apart."""
        if self.sparse:
            events = _in_order(self._open.values())
            self._open.clear()
            return events
        over = list(self._waiting)
        self._waiting.clear()
        return over + self._assembler.end()

    def wanted(self, event: Event) -> Event | None:
        """Return an event, with its records, if the query wants it."""
        return next(self.matching([event]), None)

    def matching(self, events: Iterable[Event]) -> Iterator[Event]:
        """Give those events that the query wants, with their records, if it asks for something."""
        matches = self.query.matches
        for event in events:
            runs = event.records
            if all(type_number(run.type_name) == _EOE for run in runs):
                continue
            if self._everything:
                yield event
                continue
            if self._needles and not self._has_needle(runs):
                continue
            whole = records_of(event)
            if matches(whole):
                yield whole

    def _has_needle(self, runs: list[Record]) -> bool:
        return any(needle in run.line for needle in self._needles for run in runs)

    def _all_runs(self, data: bytes, end: int) -> Iterator[Run]:
        query = self.query
        limited = query.start is not None or query.end is not None
        last = 0
        for found in event_runs(data, 0, end):
            start, stop = found.span()
            if start != last:
                self._junk(data[last:start])
            last = stop
            node, name, _token, seconds, milliseconds, serial = found.groups()
            if len(milliseconds) > 3 and int(milliseconds) > 999:
                self._junk(data[start:stop])
                continue
            second = int(seconds)
            if limited and not query.in_time(second):
                continue
            run = Run(
                data[start : stop - 1], node[5:-1] if node else None, name or b"", second,
                int(milliseconds), int(serial), 0,
            )  # fmt: skip
            run.place = self.place + start
            yield run
        if last != end:
            self._junk(data[last:end])

    def _junk(self, lines: bytes) -> None:
        if self._on_junk is not None:
            for line in lines.split(b"\n"):
                if line:
                    self._on_junk(line)

    def _feed_sparse(self, block: Block) -> list[Event]:
        keys = self._keys(block)
        if len(keys) > _MANY:
            block.put_in_order()
        for key, event in self._open.items():
            if not _ended(event):
                self._add(event, key, block)
        for key in keys:
            if key not in self._open:
                self._begin(key, block)
        over = self._over(block) if self._open else []
        self._blocks += 1
        self._history.append(block)
        self._kept += block.size
        self._forget(block.latest)
        if self._done:
            oldest = self._blocks - len(self._history) - 1
            self._done = {key: number for key, number in self._done.items() if number > oldest}
        return over

    def _forget(self, latest: int) -> None:
        """Let the blocks go in which no event can begin that goes on after a second."""
        history = self._history
        while len(history) > 1 and (
            self._kept > HISTORY
            or len(history) == _MOST_BLOCKS
            or history[0].is_over(latest - self.timeout_s)
        ):
            block = history.popleft()
            self._kept -= block.size
            if self._rooms is not None and block.data is self._rooms.memory:
                self._rooms.leave(block.start)

    def _keys(self, block: Block) -> dict[Key, None]:
        """Return the events that have a line with a needle in a block."""
        keys: dict[Key, None] = {}
        data, end, find = block.data, block.end, block.find
        for needle, first in block.first:
            place = first
            while place >= 0:
                start = block.line(place)
                stop = data.find(b"\n", place + len(needle) - 1, end) + 1 or end
                head = _head(data, start)
                if head is None or (len(head[5]) > 3 and int(head[5]) > 999):
                    self._junk(data[start:stop])
                elif self.query.in_time(int(head[4])):
                    keys[head[1], head[3]] = None
                place = find(needle, stop, end)
        return keys

    def _begin(self, key: Key, block: Block) -> None:
        event = Event([])
        if key not in self._done:
            seconds = int(key[1][6 : key[1].index(b".")])
            for earlier in self._history:
                if not 0 < earlier.latest < seconds - self.timeout_s:
                    self._add(event, key, earlier)
        self._add(event, key, block)
        if event.records:
            self._open[key] = event

    def _add(self, event: Event, key: Key, block: Block) -> None:
        for start, stop in block.runs(key):
            head = _head(block.data, start)
            assert head is not None
            event.records.append(
                Run(
                    block.data[start : stop - 1], key[0][5:-1] if key[0] else None, head[2] or b"",
                    int(head[4]), int(head[5]), int(head[6]), 0,
                )
            )  # fmt: skip

    def _over(self, block: Block) -> list[Event]:
        """Return the open events that no later line belongs to."""
        seconds: dict[bytes, int | None] = {}
        over: list[Key] = []
        for key, event in self._open.items():
            if key[0] not in seconds:
                seconds[key[0]] = block.second(key[0] + b"type=")
            latest = seconds[key[0]]
            if latest is not None and latest >= event.seconds + self.timeout_s:
                over.append(key)
        events = []
        for key in over:
            events.append(self._open.pop(key))
            self._done[key] = self._blocks
        return _in_order(events)


def records_of(event: Event) -> Event:
    """Return an event whose runs are taken apart into its records."""
    return Event(
        [
            record
            for run in event.records
            for record in (run.records() if isinstance(run, Run) else (run,))
        ]
    )


def run_of(lines: bytes) -> Run:
    """Return the lines of one event as a run. Raises ValueError if the first is no record."""
    head = _head(lines)
    if head is None:
        raise ValueError("no record")
    return Run(
        lines, head[1][5:-1] or None, head[2] or b"", int(head[4]), int(head[5]), int(head[6]), 0
    )


def _ended(event: Event) -> bool:
    """Say whether the last line of an event is one that only comes last."""
    line = event.records[-1].line
    found = _last_type(line, line.rfind(b"\n") + 1)
    return found is not None and ends_event(found[1])


def _in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.key[1:], event.node or b""))
