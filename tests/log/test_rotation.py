"""auditd_py.log.rotation: names and times only."""

from __future__ import annotations

import itertools
import math
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.log.rotation import (
    Archive,
    Stored,
    archives,
    excess,
    expired,
    next_rotation,
    shift,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "audit.log"


def names(*endings: str) -> list[str]:
    return [BASE + ending for ending in endings]


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        ([], []),
        ([""], []),
        (["", ".1", ".2"], [Archive(1), Archive(2)]),
        ([".2", ".1.gz", ".3.zst"], [Archive(1, ".gz"), Archive(2), Archive(3, ".zst")]),
        ([".1", ".3"], [Archive(1)]),
        ([".20261122", ".old", ".1.bak", ".01", ".0", ".1x"], []),
        ([".1", ".1.gz"], [Archive(1), Archive(1, ".gz")]),
    ],
)
def test_archives_are_counted_to_the_first_gap(endings, expected):
    assert archives(BASE, names(*endings)) == expected


def test_archives_of_another_log_are_not_ours():
    assert archives(BASE, ["other.log.1", "xaudit.log.1", "audit.log2.1"]) == []


def test_a_shift_moves_the_oldest_first_and_removes_what_has_no_place():
    steps = shift([Archive(1), Archive(2, ".gz"), Archive(3, ".gz"), Archive(4)], 4)
    assert steps.remove == [Archive(3, ".gz"), Archive(4)]
    assert steps.move == [Archive(2, ".gz"), Archive(1)]


def test_keeping_all_moves_all():
    steps = shift([Archive(1), Archive(2)], None)
    assert (steps.remove, steps.move) == ([], [Archive(2), Archive(1)])


@given(count=st.integers(0, 30), num_logs=st.integers(2, 30))
def test_after_a_shift_there_is_room_and_never_too_much(count, num_logs):
    found = [Archive(n) for n in range(1, count + 1)]
    steps = shift(found, num_logs)
    left = {archive.number for archive in found} - {a.number for a in steps.remove}
    for archive in steps.move:
        assert archive.number + 1 not in left
        left.remove(archive.number)
        left.add(archive.number + 1)
    assert 1 not in left
    assert len(left) + 2 <= num_logs  # with the new archive 1 and the new log


@pytest.mark.parametrize(
    ("endings", "num_logs", "expected"),
    [
        (["", ".1", ".2"], 3, []),
        (["", ".1", ".2", ".3", ".4.gz"], 3, [".3", ".4.gz"]),
        ([".3", ".5"], 3, [".3"]),
        ([".20261122"], 3, []),
    ],
)
def test_excess_is_what_follows_the_last_number_allowed(endings, num_logs, expected):
    assert [archive.ending for archive in excess(BASE, names(*endings), num_logs)] == expected


DAY = 86400.0
STORED = [Stored(Archive(n), 100, 1000 * DAY - n * DAY) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("keep_days", "keep_total", "expected"),
    [
        (0, 0, []),
        (3, 0, [5, 4]),
        (0, 350, [5, 4]),
        (4, 450, [5]),
        (1000, 10000, []),
        (0, 1, [5, 4, 3, 2, 1]),
    ],
)
def test_the_oldest_archives_expire(keep_days, keep_total, expected):
    gone = expired(
        STORED, log_size=50, now_s=1000 * DAY, keep_days=keep_days, keep_total=keep_total
    )
    assert [archive.number for archive in gone] == expected


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize(
    ("every", "since", "due"),
    [
        ("hourly", "2026-11-22 10:59:59", "2026-11-22 11:00:00"),
        ("hourly", "2026-11-22 11:00:00", "2026-11-22 12:00:00"),
        ("daily", "2026-11-22 10:59:59", "2026-11-23 00:00:00"),
        ("daily", "2026-03-28 12:00:00", "2026-03-29 00:00:00"),
        ("daily", "2026-03-29 12:00:00", "2026-03-30 00:00:00"),
        ("daily", "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
        ("weekly", "2026-11-22 10:00:00", "2026-11-23 00:00:00"),
        ("weekly", "2026-11-23 00:00:00", "2026-11-30 00:00:00"),
        ("30m", "2026-11-22 10:29:59", "2026-11-22 10:30:00"),
        ("30m", "2026-11-22 10:30:00", "2026-11-22 11:00:00"),
    ],
)
def test_a_rotation_is_due_at_the_next_round_time(berlin, every, since, due):
    assert next_rotation(every, at(since)) == at(due)


def test_the_hour_that_comes_twice_rotates_twice(berlin):
    first = at("2026-10-25 01:30:00")
    dues = [first]
    for _ in range(4):
        dues.append(next_rotation("hourly", dues[-1]))
    assert [b - a for a, b in itertools.pairwise(dues[1:])] == [3600.0] * 3


@given(
    every=st.sampled_from(["hourly", "daily", "weekly", "1m", "90m"]),
    since=st.floats(0, 4e9),
)
def test_the_next_rotation_is_always_ahead(every, since):
    assert since < next_rotation(every, since) <= since + 8 * DAY


def test_never_is_never():
    assert next_rotation("never", 0.0) == math.inf
