"""Puts the records of one event together. HOT: 1 to 2 µs a record, whatever the rate of events.

An event is what has one node, time and serial. Its records may stand between those of others,
and nothing in a log says that the last has come: an event is over when the log's own time is
some seconds past it, or at once where its kind of record tells. Events come out in the order of
their time, each node's by itself, so that a node whose clock is behind holds up only its own.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from auditd_py.record.record import type_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.record.record import Record

EOE_TIMEOUT_S: Final = 2  # end_of_event_timeout of auditd.conf
MOST_OPEN: Final = 8192  # events; about 15 MB of a syscall's records
MOST_NODES: Final = 1024  # the rest share one order

_EOE: Final = 1320
_PROCTITLE: Final = 1327
_ENDS: Final = frozenset({1005, _EOE, _PROCTITLE, 2000, *range(1007, 1300), *range(1406, 1420)})


class Event:
    """Records of one event in the order in which they came, at least one."""

    __slots__ = ("records",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def __eq__(self, other: object) -> bool:
        return self.records == other.records if isinstance(other, Event) else NotImplemented

    def __repr__(self) -> str:
        return f"Event(records={self.records!r})"

    @property
    def node(self) -> bytes | None:
        """The node's name; None if the records name none."""
        return self.records[0].node

    @property
    def seconds(self) -> int:
        """Seconds since 1970."""
        return self.records[0].seconds

    @property
    def milliseconds(self) -> int:
        """0 to 999."""
        return self.records[0].milliseconds

    @property
    def serial(self) -> int:
        """The kernel's number of the event, or the daemon's of its own."""
        return self.records[0].serial

    @property
    def key(self) -> tuple[bytes | None, int, int, int]:
        """Node, seconds, milliseconds and serial."""
        return self.records[0].key

    @property
    def ended(self) -> bool:
        """Whether a record that only comes last, or alone, is there."""
        return any(ends_event(record.type_name) for record in self.records)


@lru_cache(maxsize=1024)
def ends_event(type_name: bytes) -> bool:
    """Say whether no other record of the event follows one of this type."""
    number = type_number(type_name)
    return number in _ENDS or number >= 2100


@lru_cache(maxsize=1024)
def _is_eoe(type_name: bytes) -> bool:
    return type_number(type_name) == _EOE


class _Stream:
    """The open events of one node, the lowest time first in the heap."""

    __slots__ = ("events", "order")

    def __init__(self) -> None:
        self.events: dict[tuple[bytes | None, int, int, int], _Open] = {}
        # time, serial, and a number that no two have, before what is not compared
        self.order: list[tuple[int, int, int, int, _Open]] = []


class _Open:
    """An event that more records may join."""

    __slots__ = ("alone", "event", "key", "last_came", "stream")

    def __init__(self, record: Record, stream: _Stream) -> None:
        self.key = record.key
        self.stream = stream
        self.event = Event([record])
        self.alone = self.last_came = ends_event(record.type_name)


class Assembler:
    """Takes records, gives events.

    `timeout_s` is measured in the time of the log: an event is over when one begins that is so
    many whole seconds later. With `promptly`, for live use, an event is also over with its
    PROCTITLE or EOE record; without, it waits for those that are older but come later, as
    ausearch does. At most `most_open` events wait; if one more begins, the oldest is given as it
    is, and `cut` counts those whose last record had not come.
    """

    def __init__(
        self,
        timeout_s: int = EOE_TIMEOUT_S,
        *,
        promptly: bool = False,
        most_open: int = MOST_OPEN,
    ) -> None:
        self.timeout_s = timeout_s
        self.cut = 0
        self.lone_ends = 0  # EOE records with no open event: they hold nothing and are not given
        self.open = 0
        self._promptly = promptly
        self._most_open = most_open
        self._streams: dict[bytes | None, _Stream] = {}
        self._begun = 0
        self._latest: _Open | None = None  # most records belong to the event of the one before

    def feed(self, record: Record) -> list[Event]:
        """Take a record; return the events that are over now, oldest first."""
        key = record.key
        opened = self._latest
        if opened is None or opened.key != key:
            node = record.node
            stream = self._streams.get(node)
            if stream is None:
                stream = self._new_stream(node)
            opened = stream.events.get(key)
            if opened is None:
                return self._begin(stream, record)
            self._latest = opened
        opened.event.records.append(record)
        if ends_event(record.type_name):
            opened.last_came = True
            if self._promptly:
                return self._release(opened.stream, record.seconds)
        return []

    def advance(self, seconds: int) -> list[Event]:
        """Return the events that are over at a time, though no later one has begun.

        For live use, where a quiet system must not hold an event back.
        """
        return [
            event for stream in self._streams.values() for event in self._release(stream, seconds)
        ]

    def end(self) -> list[Event]:
        """Return all open events, over or not (see Event.ended), of all nodes by time."""
        events = [
            opened.event for stream in self._streams.values() for opened in stream.events.values()
        ]
        self._streams.clear()
        self._latest = None
        self.open = 0
        return sorted(events, key=lambda event: (*event.key[1:], event.node or b""))

    def _new_stream(self, node: bytes | None) -> _Stream:
        if len(self._streams) >= MOST_NODES:
            for name in [n for n, s in self._streams.items() if not s.events]:
                del self._streams[name]
            if len(self._streams) >= MOST_NODES:
                return next(iter(self._streams.values()))
        stream = self._streams[node] = _Stream()
        return stream

    def _begin(self, stream: _Stream, record: Record) -> list[Event]:
        if _is_eoe(record.type_name):
            self.lone_ends += 1
            return []
        # before the new one is there: it may have an older time
        over = self._release(stream, record.seconds)
        opened = self._latest = stream.events[record.key] = _Open(record, stream)
        self._begun += 1
        heappush(
            stream.order,
            (record.seconds, record.milliseconds, record.serial, self._begun, opened),
        )
        self.open += 1
        if self._promptly and opened.last_came:
            over += self._release(stream, record.seconds)
        if self.open > self._most_open:
            fullest = max(self._streams.values(), key=lambda s: len(s.order))
            self.cut += not fullest.order[0][4].last_came
            over.append(self._pop(fullest))
        return over

    def _release(self, stream: _Stream, seconds: int) -> list[Event]:
        """Return what is over when an event of a time begins."""
        over: list[Event] = []
        latest = seconds - self.timeout_s
        order = stream.order
        while order:
            oldest = order[0][4]
            if order[0][0] > latest and not (oldest.last_came if self._promptly else oldest.alone):
                break
            over.append(self._pop(stream))
        return over

    def _pop(self, stream: _Stream) -> Event:
        opened = heappop(stream.order)[4]
        del stream.events[opened.key]
        if opened is self._latest:
            self._latest = None
        self.open -= 1
        return opened.event


def assemble(records: Iterable[Record], timeout_s: int = EOE_TIMEOUT_S) -> Iterator[Event]:
    """Give the events of a whole log, in the order in which ausearch would show them."""
    assembler = Assembler(timeout_s)
    for record in records:
        yield from assembler.feed(record)
    yield from assembler.end()
