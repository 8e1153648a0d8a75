"""auditd_py.record.event."""

from __future__ import annotations

import gc
import gzip
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.event import Assembler, Event, assemble
from auditd_py.record.record import Lines, Record, parse_record

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent.parent / "data"
TYPES = (b"SYSCALL", b"CWD", b"PATH", b"PROCTITLE")


def record(
    serial: int, record_type: bytes = b"SYSCALL", seconds: int = 100, text: bytes = b"",
    node: bytes = b"",
) -> Record:  # fmt: skip
    node = b"node=" + node + b" " if node else b""
    line = b"%btype=%b msg=audit(%d.000:%d): %b" % (node, record_type, seconds, serial, text)
    return parse_record(line)


def serials(events: list[Event]) -> list[int]:
    return [event.serial for event in events]


def fed(assembler: Assembler, *records: Record) -> list[int]:
    return [event.serial for one in records for event in assembler.feed(one)]


def test_records_of_one_serial_are_one_event():
    (event,) = assemble(record(1, name) for name in TYPES)
    assert [r.type_name for r in event.records] == list(TYPES)
    assert event.key == (None, 100, 0, 1)
    assert event.ended


def test_events_between_each_other_are_put_apart():
    mixed = [record(n, name) for name in TYPES for n in (1, 2)]
    assert [len(event.records) for event in assemble(mixed)] == [4, 4]


def test_the_same_serial_of_another_node_is_another_event():
    nodes = [b"", b"a", b"b"]
    events = list(assemble(record(1, node=node) for node in nodes))
    assert [event.node for event in events] == [None, b"a", b"b"]


def test_an_event_is_over_when_the_log_is_two_seconds_later():
    assembler = Assembler()
    assert fed(assembler, record(1), record(2, seconds=101)) == []
    assert fed(assembler, record(3, seconds=102)) == [1]
    assert serials(assembler.end()) == [2, 3]


def test_the_timeout_can_be_longer():
    assembler = Assembler(timeout_s=5)
    assert fed(assembler, record(1), record(2, seconds=104)) == []
    assert fed(assembler, record(3, seconds=105)) == [1]


def test_events_come_out_in_the_order_of_their_time():
    late = [record(2, b"USER", seconds=101), record(1, seconds=100), record(3, seconds=110)]
    assert serials(list(assemble(late))) == [2, 1, 3]
    late = [record(2, seconds=101), record(1, seconds=100), record(3, seconds=110)]
    assert serials(list(assemble(late))) == [1, 2, 3]


def test_a_message_is_over_when_the_next_event_begins():
    assembler = Assembler()
    assert fed(assembler, record(1, b"USER_LOGIN")) == []
    assert fed(assembler, record(2)) == [1]


def test_promptly_an_event_is_over_with_its_last_record():
    assembler = Assembler(promptly=True)
    assert fed(assembler, *(record(1, name) for name in TYPES)) == [1]
    assert fed(assembler, record(2), record(2, b"EOE")) == [2]
    assert fed(assembler, record(3, b"USER_LOGIN")) == [3]
    assert assembler.open == 0


def test_promptly_an_older_event_still_comes_first():
    assembler = Assembler(promptly=True)
    assert fed(assembler, record(1), record(2), record(2, b"PROCTITLE")) == []
    assert fed(assembler, record(1, b"PROCTITLE")) == [1, 2]


def test_a_quiet_log_ends_events_by_the_clock():
    assembler = Assembler()
    assembler.feed(record(1))
    assert assembler.advance(101) == []
    assert serials(assembler.advance(102)) == [1]
    assert assembler.end() == []


def test_an_end_without_an_event_is_counted_and_not_given():
    assembler = Assembler()
    assert fed(assembler, record(1, b"EOE")) == []
    assert (assembler.end(), assembler.lone_ends) == ([], 1)


def test_a_late_record_is_an_event_of_its_own():
    late = [record(1), record(2, seconds=102), record(1, b"PATH")]
    assert sorted(serials(list(assemble(late)))) == [1, 1, 2]


def test_a_node_whose_clock_is_behind_holds_up_only_its_own():
    assembler = Assembler()
    assembler.feed(record(1, seconds=50, node=b"slow"))
    assert fed(assembler, record(1, node=b"a"), record(2, seconds=102, node=b"a")) == [1]
    assembler.feed(record(1, b"PATH", seconds=50, node=b"slow"))
    slow = assembler.end()[0]
    assert (slow.node, len(slow.records)) == (b"slow", 2)


def test_open_events_are_limited_and_what_was_cut_is_counted():
    assembler = Assembler(most_open=3)
    whole = [record(1), record(1, b"PROCTITLE")]
    assert fed(assembler, *whole, record(2), record(3), record(4)) == [1]
    assert assembler.cut == 0
    assert fed(assembler, record(5)) == [2]
    assert (assembler.cut, assembler.open) == (1, 3)


def test_more_nodes_than_are_kept_apart_still_lose_nothing():
    records = [record(1, node=b"n%d" % n) for n in range(1100)]
    assert len(list(assemble(records))) == 1100


shapes = st.lists(
    st.tuples(
        st.integers(100, 104),
        st.lists(st.sampled_from([*TYPES, b"USER", b"CONFIG_CHANGE"]), min_size=1, max_size=5),
        st.sampled_from([b"", b"a", b"b"]),
    ),
    max_size=8,
)


@given(shapes, st.randoms(use_true_random=False), st.booleans(), st.integers(1, 5))
def test_every_record_comes_out_once_whatever_the_order(events, random, promptly, most_open):
    queues = [
        [record(n, name, seconds, b"n=%d" % i, node) for i, name in enumerate(names)]
        for n, (seconds, names, node) in enumerate(events)
    ]
    lines: list[Record] = []
    while queues := [queue for queue in queues if queue]:
        lines.append(random.choice(queues).pop(0))
    assembler = Assembler(promptly=promptly, most_open=most_open)
    out = [event for one in lines for event in assembler.feed(one)] + assembler.end()
    given = [r.line for event in out for r in event.records]
    assert sorted(given) == sorted(r.line for r in lines)
    assert all(len({r.key for r in event.records}) == 1 for event in out)


@given(shapes, st.randoms(use_true_random=False))
def test_within_the_timeout_the_order_of_records_changes_nothing(events, random):
    queues = [
        [record(n, name, 100, b"n=%d" % i, node) for i, name in enumerate([b"SYSCALL", *names])]
        for n, (_, names, node) in enumerate(events)
    ]
    expected = [r.line for queue in sorted(queues, key=lambda q: q[0].serial) for r in queue]
    lines: list[Record] = []
    while queues := [queue for queue in queues if queue]:
        lines.append(random.choice(queues).pop(0))
    assert [r.line for event in assemble(lines) for r in event.records] == expected


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_a_log_in_pieces_gives_the_same_events(sizes):
    data = gzip.decompress((DATA / "alpha-raw.log.gz").read_bytes())[:60000]
    cutter = Lines()
    lines: list[bytes] = []
    place = 0
    while place < len(data):
        size = sizes[place % len(sizes)]
        lines += cutter.feed(data[place : place + size])
        place += size
    lines += cutter.end()
    pieces = list(assemble(parse_record(line) for line in lines[:-1]))
    assert pieces == list(assemble(parse_record(line) for line in data.split(b"\n")[:-1]))


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is counted that the collector does with all that other tests left."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.usefixtures("no_collection")
def test_time_grows_with_the_log_and_not_faster():
    def seconds(count: int) -> float:
        records = [record(n, name) for n in range(count) for name in TYPES]
        begin = time.process_time()
        assert sum(1 for _ in assemble(records)) == count
        return time.process_time() - begin

    # each pair in one breath: a busy machine slows both
    assert min(seconds(16000) / seconds(2000) for _ in range(7)) < 8 * 2


def test_events_of_a_real_log_are_in_the_order_of_the_reference():
    lines = gzip.decompress((DATA / "alpha-raw.log.gz").read_bytes()).split(b"\n")[:-1]
    events = list(assemble(map(parse_record, lines)))
    assert sum(len(event.records) for event in events) == len(lines)
    assert sum(a.key[1:] > b.key[1:] for a, b in pairwise(events)) == 1  # the daemon's first
