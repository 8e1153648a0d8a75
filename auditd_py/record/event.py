"""Puts the records of one event together. HOT: 0.6 µs a record, whatever the rate of events.

An event is what has one node, time and serial. Its records may stand between those of others,
and nothing in a log says that the last has come: an event is over when the log's own time is
some seconds past it, or at once where its kind of record tells. Events come out in the order of
their time, each node's by itself, so that a node whose clock is behind holds up only its own.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(slots=True)
class Event:
    """Records of one event in the order in which they came, at least one."""

    records: list[Record]

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


class _Open(Event):
    """An event that more records may join."""

    __slots__ = ("last_came",)

    def __init__(self, record: Record) -> None:
        super().__init__([record])
        self.last_came = ends_event(record.type_name)


class _Stream:
    """The open events of one node, lowest time first."""

    __slots__ = ("events", "order")

    def __init__(self) -> None:
        self.events: dict[tuple[bytes | None, int, int, int], _Open] = {}
        self.order: list[tuple[int, int, int, bytes]] = []


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
        self.lone_ends = 0  # EOE records without an event, which are not given
        self.open = 0
        self._promptly = promptly
        self._most_open = most_open
        self._streams: dict[bytes | None, _Stream] = {}

    def feed(self, record: Record) -> list[Event]:
        """Take a record; return the events that are over now, oldest first."""
        node = record.node
        stream = self._streams.get(node)
        if stream is None:
            stream = self._new_stream(node)
        key = record.key
        event = stream.events.get(key)
        if event is None:
            if _is_eoe(record.type_name):
                self.lone_ends += 1
                return []
            return self._begin(stream, key, record)
        event.records.append(record)
        if ends_event(record.type_name):
            event.last_came = True
            if self._promptly:
                return self._release(stream, event.seconds)
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
        events: list[Event] = [
            event for stream in self._streams.values() for event in stream.events.values()
        ]
        self._streams.clear()
        self.open = 0
        return sorted(events, key=lambda e: (*e.key[1:], e.node or b""))

    def _new_stream(self, node: bytes | None) -> _Stream:
        if len(self._streams) >= MOST_NODES:
            for name in [n for n, s in self._streams.items() if not s.events]:
                del self._streams[name]
            if len(self._streams) >= MOST_NODES:
                return next(iter(self._streams.values()))
        stream = self._streams[node] = _Stream()
        return stream

    def _begin(
        self, stream: _Stream, key: tuple[bytes | None, int, int, int], record: Record
    ) -> list[Event]:
        # before the new one is there: it may have an older time
        over = self._release(stream, record.seconds)
        event = stream.events[key] = _Open(record)
        node, seconds, milliseconds, serial = key
        heappush(stream.order, (seconds, milliseconds, serial, node or b""))
        self.open += 1
        if self._promptly and event.last_came:
            over += self._release(stream, seconds)
        if self.open > self._most_open:
            fullest = max(self._streams.values(), key=lambda s: len(s.order))
            oldest = self._oldest(fullest)
            self.cut += not oldest.last_came
            over.append(self._pop(fullest, oldest))
        return over

    def _release(self, stream: _Stream, seconds: int) -> list[Event]:
        """Return what is over when an event of a time begins."""
        over: list[Event] = []
        latest = seconds - self.timeout_s
        while stream.order:
            oldest = self._oldest(stream)
            if oldest.seconds > latest and not (
                oldest.last_came if self._promptly else ends_event(oldest.records[0].type_name)
            ):
                break
            over.append(self._pop(stream, oldest))
        return over

    def _oldest(self, stream: _Stream) -> _Open:
        seconds, milliseconds, serial, node = stream.order[0]
        event = stream.events.get((node or None, seconds, milliseconds, serial))
        return event if event is not None else stream.events[node, seconds, milliseconds, serial]

    def _pop(self, stream: _Stream, event: _Open) -> Event:
        heappop(stream.order)
        del stream.events[event.key]
        self.open -= 1
        return event


def assemble(records: Iterable[Record], timeout_s: int = EOE_TIMEOUT_S) -> Iterator[Event]:
    """Give the events of a whole log, in the order in which ausearch would show them."""
    assembler = Assembler(timeout_s)
    for record in records:
        yield from assembler.feed(record)
    yield from assembler.end()
