"""One repetition of one row with one taker: from the first call to the last record handled."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.programs import LOG_PARENT, NUM_LOGS, Load, Taker, sync_write_s
from benchmarks.rows import Who
from tests import slot

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control
    from benchmarks.rows import Row

POLL_S: Final = 0.002
QUIET_S: Final = 10.0  # nothing new for so long: the rest will not come
AFTER_S: Final = 0.3  # a daemon may still flush or tidy up after the last record
TAIL: Final = 8192  # more than the last event's records
BLOCK: Final = 4 << 20
SYNC_RUN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What one repetition gave.

    `drained_s` is from the load's first call until the last event's records were in the log (for
    the floor: taken), summed over the stages; None if they never came. `logged` counts the events
    in the log, `records` all its lines since the load began. `rss_kib` is one figure a stage.
    """

    row: str
    who: str
    repetition: int
    events: int
    logged: int
    records: int
    lost: int
    load_s: float
    drained_s: float | None
    cpu_s: float
    rss_kib: tuple[int, ...]

    @property
    def events_per_s(self) -> float:
        return self.events / self.drained_s if self.drained_s else 0.0

    @property
    def rss_mib(self) -> float:
        return self.rss_kib[-1] / 1024

    @property
    def client_kib(self) -> float:
        """Memory of each client of a collector: `events` of them, before and after."""
        return (self.rss_kib[-1] - self.rss_kib[0]) / self.events

    @property
    def missing(self) -> int:
        """Events that the kernel says it lost, or that are not exactly once in the log."""
        return max(self.lost, abs(self.events - self.logged))


def events_of(row: Row) -> int:
    """Return how many events a repetition of `row` makes on this machine."""
    if row.rate:
        return row.rate * row.seconds
    return row.events or _events_for_sync()


def measure(row: Row, who: Who, repetition: int, events: int, ours: tuple[str, ...]) -> Sample:
    """Return what `who` does with the load of `row`.

    Raises RefusedError if the kernel's audit slot cannot be had, ProgramError if a program fails,
    KernelError if the kernel refuses a rule or a setting.
    """
    with slot.taken() as control, Taker(who, row, ours) as taker:
        taker.ready(control)
        slot.open_wide(control)
        try:
            # only now: a process that began before auditing was on may never be audited
            with Load(row, events, os.path.join(taker.folder, "said")) as load:
                control.add_rule(load.rule())
                try:
                    with closing(_Watch(taker)) as watch:
                        return _run(row, repetition, events, (control, taker, load, watch))
                finally:
                    control.delete_rule(load.rule())
        finally:
            slot.switch_off(control)


def _run(
    row: Row, repetition: int, events: int, parts: tuple[Control, Taker, Load, _Watch]
) -> Sample:
    control, taker, load, watch = parts
    time.sleep(0.2)  # the record about the rule
    os.sync()  # what others have written is not flushed on our time
    begin = watch.begin()
    lost = control.status().lost
    cpu_s = taker.cpu_s()
    load_s, drained_s, rss_kib = 0.0, 0.0, []
    complete = True
    for stage in range(row.stages):
        load.go()
        end = watch.wait(load.mark(stage), events // row.stages)
        if row.plugin and end is not None:
            end = _wait_plugin(taker, events)
        first, last = load.times()
        load_s += last - first
        drained_s += (end or time.monotonic()) - first
        complete = complete and end is not None
        rss_kib.append(taker.rss_kib())
    time.sleep(AFTER_S)
    cpu_s = taker.cpu_s() - cpu_s
    lost = control.status().lost - lost
    logged, records = watch.counted(begin, load.pid)
    return Sample(
        row=row.name,
        who=taker.who.value,
        repetition=repetition,
        events=events,
        logged=logged,
        records=records,
        lost=lost,
        load_s=round(load_s, 6),
        drained_s=round(drained_s, 6) if complete else None,
        cpu_s=round(cpu_s, 6),
        rss_kib=tuple(rss_kib),
    )


def _wait_plugin(taker: Taker, events: int) -> float | None:
    """Return the time when the plugin had all, None if that does not happen."""
    quiet_since = time.monotonic()
    before = 0
    while (counted := taker.counted_events()) < events:
        now = time.monotonic()
        if counted != before:
            before, quiet_since = counted, now
        elif now - quiet_since > QUIET_S / 2:
            print(f"the plugin lacks {events - counted} events", file=sys.stderr)
            return None
        time.sleep(POLL_S)
    return time.monotonic()


class _Watch:
    """Looks at how far a taker is: by the end of its log, the floor by its count.

    Positions go on through rotated logs, as if they were one file.
    """

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._floor = taker.who is Who.FLOOR
        self._logs: list[int] = []  # descriptors, the oldest log first
        self._inode = 0
        self._wanted = 0
        self.position = 0

    def close(self) -> None:
        for log in self._logs:
            os.close(log)

    def look(self) -> bool:
        """Take note of the position; return whether it is another than before."""
        before = self.position
        if self._floor:
            self.position = self._taker.counted_events()
        else:
            self._follow()
            self.position = sum(os.fstat(log).st_size for log in self._logs)
        return self.position != before

    def _follow(self) -> None:
        try:
            if os.stat(self._taker.log_path).st_ino == self._inode:
                return
            log = os.open(self._taker.log_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # in the middle of a rotation
        missed = self._missed()
        self._logs += [*missed, log]
        self._inode = os.fstat(log).st_ino

    def _missed(self) -> list[int]:
        """Return descriptors of the logs begun and rotated away since the last look."""
        found: list[int] = []
        if not self._logs:
            return found
        last = os.fstat(self._logs[-1]).st_ino
        for number in range(1, NUM_LOGS):
            log = os.open(f"{self._taker.log_path}.{number}", os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(log).st_ino == last:
                os.close(log)
                break
            found.insert(0, log)
        return found

    def begin(self) -> int:
        """Return the position that the load starts from."""
        self.look()
        self._wanted = self.position
        return self.position

    def wait(self, mark: bytes, events: int) -> float | None:
        """Return the time when the event with `mark` was handled, None if that does not happen."""
        self._wanted += events
        quiet_since = time.monotonic()
        while True:
            if self.look():
                quiet_since = time.monotonic()
                if self._drained(mark):
                    return time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_S:
                self._taker.complain_if_gone()
                return None
            time.sleep(POLL_S)

    def counted(self, begin: int, pid: int) -> tuple[int, int]:
        """Return the events of `pid` and all records that came since `begin`."""
        if self._floor:
            self.look()
            return self.position - begin, 0
        name = b" pid=%d auid=" % pid  # once in each SYSCALL record, in no other
        events = records = 0
        self.look()
        for log in self._logs:
            rest = b""
            while block := os.pread(log, BLOCK, begin):
                begin += len(block)
                records += block.count(b"\n")
                block = rest + block
                events += block.count(name)
                rest = block[-len(name) + 1 :]  # too short to be counted twice
            begin = max(0, begin - os.fstat(log).st_size)
        return events, records

    def _drained(self, mark: bytes) -> bool:
        if self._floor:
            return self.position >= self._wanted
        tail = b""
        for log in self._logs[-2:]:  # the last event may be at the end of a log just rotated away
            size = os.fstat(log).st_size
            tail += os.pread(log, TAIL, max(size - TAIL, 0))
        last = tail.find(mark)
        # PROCTITLE is the last record of an event that is written
        return last >= 0 and b"\ntype=PROCTITLE " in tail[last:] and tail.endswith(b"\n")


def _events_for_sync() -> int:
    folder = tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT)
    try:
        events = int(SYNC_RUN_S / sync_write_s(folder) / 2)  # two records of an event are written
    finally:
        os.rmdir(folder)
    return min(max(events // 100 * 100, 500), 50_000)
