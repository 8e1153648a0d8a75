"""Finds events that never arrived, from the serial numbers of those that did.

The kernel numbers events without a hole, and may drop a record that it could not hand over
without counting it as lost (kauditd_hold_skb, kernel/audit.c, unless booted with audit=1). So
the events that should have come are counted by their numbers and compared with those that did.

Nothing is parsed for most records: a syscall's event ends with one EOE record, and counting
those is enough. Events end out of order and take time to end, so the difference is only
believed when it never got smaller during a whole window.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER: Final = 16
_EOE: Final = 1320
_SYSCALL: Final = 1300
# record types that only ever come with a syscall's event, which an EOE record ends
_IN_EVENTS: Final = frozenset({1300, 1302, 1306, 1307, 1309, 1317, 1318, 1320, 1321, 1327, 1336})
_SMALL_BATCH: Final = 64  # parse all its EOE records: a quiet moment must leave no doubt
_RECENT: Final = 8192  # serials after which an event without EOE is final
_WRAP: Final = 1 << 31

_stamp = re.compile(rb"audit\(\d+\.\d+:(\d+)\)").match


class SerialGaps:
    """Counts events missing between those received; `missing` only grows."""

    def __init__(self) -> None:
        self.missing = 0
        self._highest = 0
        self._ended = 0  # events seen to end, and old ones that have no EOE
        self._loose: set[int] = set()  # recent serials seen on records that need no EOE
        self._base: int | None = None
        self._least: int | None = None
        self._window_eoe = 0
        self._window_syscalls = 0

    def kept(self) -> dict[str, Any]:
        """Return what `go_on` needs, as JSON can hold it. The open window is not ended by it."""
        return {**vars(self), "_loose": sorted(self._loose)}

    def go_on(self, kept: dict[str, Any]) -> None:
        """Count on from where another, in the process before this one, gave these as `kept`."""
        vars(self).update(kept)
        self._loose = set(self._loose)

    def batch(
        self, types: Sequence[int], slots: Sequence[memoryview], lengths: Sequence[int]
    ) -> None:
        """Take note of one received batch (see LineFormatter.batch)."""
        count = len(types)
        ends = types.count(_EOE)
        self._window_eoe += ends
        self._window_syscalls += types.count(_SYSCALL)
        loose = not _IN_EVENTS.issuperset(types)
        if loose or self._loose or count < _SMALL_BATCH:
            for kind, slot, length in zip(types, slots, lengths, strict=False):
                if kind == _EOE or kind not in _IN_EVENTS:
                    self._note(kind, _serial(slot[_HEADER : min(length, 80)]))
        else:
            self._ended += ends
            self._raise(_serial(slots[count - 1][_HEADER : min(lengths[count - 1], 80)]))
        if len(self._loose) > _RECENT:
            old = {serial for serial in self._loose if serial < self._highest - _RECENT}
            self._loose -= old
            self._ended += len(old)
        if not self._highest:
            return
        difference = self._highest - self._ended - len(self._loose)
        if self._least is None or difference < self._least:
            self._least = difference

    def end_window(self) -> int:
        """Believe what has held since the last call; return how many events are missing.

        Call it every few seconds, also when no batch came.
        """
        if self._window_syscalls and not self._window_eoe:
            # a rule excludes EOE records: nothing can be said, begin anew
            self._base = None
            self._loose.clear()
        elif self._least is not None:
            if self._base is None:
                self._base = self._least - self.missing
            self.missing = max(self.missing, self._least - self._base)
        self._least = None
        if self._base is not None:
            self._least = self._highest - self._ended - len(self._loose)
        self._window_eoe = self._window_syscalls = 0
        return self.missing

    def _note(self, kind: int, serial: int) -> None:
        if not serial:
            return
        self._raise(serial)
        if kind == _EOE:
            self._ended += 1
            self._loose.discard(serial)
        else:
            self._loose.add(serial)

    def _raise(self, serial: int) -> None:
        if serial > self._highest:
            self._highest = serial
        elif self._highest - serial > _WRAP:
            self._highest = serial
            self._base = None
            self._loose.clear()


def _serial(text: memoryview) -> int:
    found = _stamp(text)
    return int(found[1]) if found else 0
