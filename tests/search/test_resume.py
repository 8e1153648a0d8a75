"""auditd_py.search.resume and auditd_py.search.checkpoint: each event once, whatever happens."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditd_py.search.checkpoint import (
    BAD_FILE,
    CORRUPT,
    NOT_WRITTEN,
    Checkpoint,
    CheckpointError,
    parse_checkpoint,
    write_checkpoint,
)
from auditd_py.search.query import Query
from auditd_py.search.reader import open_log
from auditd_py.search.resume import Resume
from auditd_py.search.scan import Scan

TYPES = (b"SYSCALL", b"CWD", b"PATH", b"PROCTITLE")


def line(serial: int, part: int, second: int = 100) -> bytes:
    return b"type=%b msg=audit(%d.%03d:%d): x=%d\n" % (
        TYPES[part], second + serial // 10, serial % 10, serial, part,
    )  # fmt: skip


def event(serial: int) -> bytes:
    return b"".join(line(serial, part) for part in range(4))


def search(log: Path, point: Path, query: Query | None = None, *, by_time: bool = False):
    """Run one search; return the serials with the number of their records."""
    files = open_log(str(log))
    try:
        resume = Resume(str(point), files, by_time=by_time)
        scan = Scan(query or Query(), sparsely=False)
        found = [
            (event.serial, sum(r.line.count(b"\n") + 1 for r in event.records))
            for event in resume.events(scan, pytest.fail)
        ]
        resume.save()
        return found
    finally:
        for file in files:
            file.close()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "audit.log", tmp_path / "point"


def rotate(log: Path, *, compressed: bool = False) -> None:
    numbers = sorted((int(p.name.split(".")[2]), p) for p in log.parent.glob("audit.log.*"))
    for number, path in reversed(numbers):
        suffix = ".gz" if path.suffix == ".gz" else ""
        path.rename(f"{log}.{number + 1}{suffix}")
    if compressed:
        Path(f"{log}.1.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
    else:
        log.rename(f"{log}.1")


def test_the_next_search_shows_only_what_is_new(place):
    log, point = place
    log.write_bytes(event(1) + event(2))
    assert search(log, point) == [(1, 4), (2, 4)]
    with log.open("ab") as file:
        file.write(event(3))
    assert search(log, point) == [(3, 4)]
    assert search(log, point) == []


def test_an_event_that_may_go_on_stays_for_the_next_search(place):
    log, point = place
    log.write_bytes(event(1) + line(2, 0) + line(2, 1))
    assert search(log, point) == [(1, 4)]
    with log.open("ab") as file:
        file.write(line(2, 2) + line(2, 3))
    assert search(log, point) == [(2, 4)]


@pytest.mark.parametrize("compressed", [False, True])
def test_an_event_split_by_a_rotation_is_shown_once_and_whole(place, compressed):
    log, point = place
    log.write_bytes(event(1) + line(2, 0) + line(2, 1))
    assert search(log, point) == [(1, 4)]
    rotate(log, compressed=compressed)
    log.write_bytes(line(2, 2) + line(2, 3) + event(3))
    assert search(log, point) == [(2, 4), (3, 4)]
    rotate(log, compressed=compressed)
    log.write_bytes(event(4))
    assert search(log, point) == [(4, 4)]


def test_an_event_that_comes_late_is_not_lost(place):
    log, point = place
    log.write_bytes(event(5))
    assert search(log, point) == [(5, 4)]
    with log.open("ab") as file:
        file.write(event(4))  # older, written later
    assert search(log, point) == [(4, 4)]


def test_a_line_that_is_still_being_written_is_left_alone(place):
    log, point = place
    whole = event(1) + event(2)
    log.write_bytes(whole[:-20])
    assert search(log, point) == [(1, 4)]
    log.write_bytes(whole)
    assert search(log, point) == [(2, 4)]


def test_a_checkpoint_of_the_c_tool_is_understood(place):
    log, point = place
    log.write_bytes(event(1) + event(2) + event(3))
    status = log.stat()
    point.write_bytes(
        b"dev=0x%X\ninode=%d\noutput=- 100.002:2 0x514\n" % (status.st_dev, status.st_ino)
    )
    assert search(log, point) == [(3, 4)]


def test_a_log_that_is_gone_is_told(place):
    log, point = place
    log.write_bytes(event(1))
    search(log, point)
    log.rename(log.with_name("elsewhere"))
    log.write_bytes(event(2))
    with pytest.raises(CheckpointError) as raised:
        search(log, point)
    assert raised.value.status == BAD_FILE
    assert search(log, point, by_time=True) == [(2, 4)]


def test_an_event_that_is_gone_is_told(place):
    log, point = place
    log.write_bytes(event(1) + event(90))
    status = log.stat()
    point.write_bytes(
        b"dev=%x\ninode=%d\noutput=- 100.002:2 0x514\n" % (status.st_dev, status.st_ino)
    )
    with pytest.raises(CheckpointError) as raised:
        search(log, point)
    assert raised.value.status == BAD_FILE


@pytest.mark.parametrize(
    "text", [b"", b"x=1\n", b"dev=1\ninode=2\n", b"dev=1\ninode=x\noutput=- 1.2:3 0x1\n",
             b"dev=1\ninode=2\noutput=- 1.2 0x1\n"]
)  # fmt: skip
def test_a_damaged_checkpoint_is_told(text):
    with pytest.raises(CheckpointError) as raised:
        parse_checkpoint(text)
    assert raised.value.status == CORRUPT


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(CheckpointError) as raised:
        write_checkpoint(str(tmp_path / "no" / "point"), Checkpoint(1, 2, (None, 1, 2, 3)))
    assert raised.value.status == NOT_WRITTEN


@given(st.binary(max_size=200))
def test_random_bytes_are_a_checkpoint_or_refused(data):
    try:
        found = parse_checkpoint(b"dev=1\ninode=2\noutput=" + data)
    except CheckpointError:
        return
    assert parse_checkpoint(found.text()) == found


KEYS = st.tuples(
    st.none() | st.just(b"n"),
    st.integers(0, 1 << 40),
    st.integers(0, 999),
    st.integers(0, 10**18 - 1),
)


@given(st.builds(
    Checkpoint, st.integers(0, 1 << 60), st.integers(0, 1 << 60), KEYS, st.integers(0, 9999),
    st.integers(0, 1 << 50), st.just(b"1.2:3"), st.sets(KEYS),
))  # fmt: skip
def test_a_checkpoint_is_read_as_it_was_written(point):
    assert parse_checkpoint(point.text()) == point


@st.composite
def histories(draw):
    """Lines of events between each other, and after which of them what happens."""
    total = draw(st.integers(1, 12))
    waiting = dict.fromkeys(range(1, total + 1), 0)
    lines = []
    while waiting:
        # the oldest four may go on: as close as slow calls come
        serial = draw(st.sampled_from(sorted(waiting)[:4]))
        lines.append(line(serial, waiting[serial]))
        waiting[serial] += 1
        if waiting[serial] == 4:
            del waiting[serial]
    steps = st.sampled_from(["write", "write", "search", "rotate", "compress"])
    return total, [(data, draw(steps)) for data in lines]


@settings(max_examples=60, deadline=None)
@given(histories())
def test_no_event_is_lost_or_shown_twice(history):
    total, steps = history
    with tempfile.TemporaryDirectory() as folder:
        log, point = Path(folder) / "audit.log", Path(folder) / "point"
        log.touch()
        found = []
        for data, step in steps:
            with log.open("ab") as file:
                file.write(data)
            if step == "search":
                found += search(log, point)
            elif step != "write" and os.path.getsize(log):
                rotate(log, compressed=step == "compress")
                log.touch()
        found += search(log, point)
    assert sorted(found) == [(serial, 4) for serial in range(1, total + 1)]
