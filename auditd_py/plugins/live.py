"""Events out of the stream that a plugin reads, each as soon as it is whole. HOT: 2 µs a record.

Clocks of other hosts may be wrong: how long an event without an end is waited for is measured
here, since its host has sent anything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.record.event import EOE_TIMEOUT_S, Assembler
from auditd_py.record.record import parse_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.record.event import Event
    from auditd_py.record.record import Record

LOOK_EVERY_S: Final = 0.5

_MOST_NODES: Final = 1024  # the rest share one assembler


class _Node:
    __slots__ = ("assembler", "heard_s")

    def __init__(self) -> None:
        self.assembler = Assembler(promptly=True)
        self.heard_s = 0.0


class LiveEvents:
    """Assembles lines. `bad` counts lines that are no records, and so in no event."""

    def __init__(self) -> None:
        self.bad = 0
        self._nodes: dict[bytes | None, _Node] = {}

    def feed(self, lines: Iterable[bytes]) -> list[Event]:
        """Return the events that are whole."""
        found: list[Event] = []
        nodes = self._nodes
        now = time.monotonic()
        for line in lines:
            try:
                record = parse_record(line)
            except WireError:
                self.bad += 1
                continue
            node = nodes.get(record.node)
            if node is None:
                node = self._new(record.node)
            node.heard_s = now
            events = node.assembler.feed(record)
            if events:
                found += events
        return found

    def feed_record(self, record: Record) -> list[Event]:
        """Return the events that are whole with one more record."""
        node = self._nodes.get(record.node) or self._new(record.node)
        node.heard_s = time.monotonic()
        return node.assembler.feed(record)

    def idle(self) -> list[Event]:
        """Return the events of hosts that have sent nothing for two seconds."""
        latest = time.monotonic() - EOE_TIMEOUT_S
        quiet = [n for n in self._nodes.values() if n.assembler.open and n.heard_s < latest]
        return [event for node in quiet for event in node.assembler.end()]

    def end(self) -> list[Event]:
        """Return what is left at the end of the input."""
        return [event for node in self._nodes.values() for event in node.assembler.end()]

    def limit_s(self) -> float | None:
        """After how long to call `idle`; None if nothing is open."""
        if any(node.assembler.open for node in self._nodes.values()):
            return LOOK_EVERY_S
        return None

    def _new(self, name: bytes | None) -> _Node:
        if len(self._nodes) >= _MOST_NODES:
            return next(iter(self._nodes.values()))
        node = self._nodes[name] = _Node()
        return node
