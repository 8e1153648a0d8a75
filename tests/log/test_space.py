"""auditd_py.log.space: thresholds, with numbers for a disk and seconds for a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.log.incident import Condition
from auditd_py.log.space import Free, Limit, SpaceWatch, forecast

MIB = 1 << 20
TOTAL = 1000 * MIB
SPACE, ADMIN, FULL = Condition.SPACE_LEFT, Condition.ADMIN_SPACE_LEFT, Condition.DISK_FULL


def free(mib: float) -> Free:
    return Free(int(mib * MIB), TOTAL, 4096)


def watch() -> SpaceWatch:
    return SpaceWatch(Limit(75), Limit(5, percent=True))


def test_a_limit_is_mib_or_percent():
    assert Limit(75).bytes_of(TOTAL) == 75 * MIB
    assert Limit(5, percent=True).bytes_of(TOTAL) == 50 * MIB


def test_each_threshold_is_reported_once_when_it_is_crossed():
    disk = watch()
    steps = [100, 75, 74.9, 60, 49.9, 10, 0.01, 0]
    found = [disk.look(free(mib), now) for now, mib in enumerate(steps)]
    assert found == [[], [], [SPACE], [], [ADMIN], [], [FULL], []]


def test_a_burst_through_all_thresholds_reports_them_all_the_earliest_first():
    disk = watch()
    disk.look(free(100), 0)
    assert disk.look(free(0), 1) == [SPACE, ADMIN, FULL]


def test_a_threshold_is_armed_again_when_space_stays_back_with_a_margin():
    disk = watch()
    disk.look(free(70), 0)
    disk.look(free(90), 1)
    disk.look(free(90), 11)
    assert disk.look(free(70), 12) == [SPACE]


@pytest.mark.parametrize(
    "steps",
    [
        [(1, 76), (20, 76), (40, 76)],  # no margin
        [(1, 90), (5, 90)],  # not long enough
        [(1, 90), (5, 70), (6, 90), (12, 90)],  # did not stay
        [(1, 90), (5, 76), (9, 90), (14, 90)],  # did not stay above the margin
    ],
)
def test_it_is_not_armed_again_before(steps):
    disk = watch()
    disk.look(free(70), 0)
    for now, mib in steps:
        disk.look(free(mib), now)
    assert disk.look(free(60), 50) == []


def test_a_write_that_found_the_disk_full_is_new_once():
    disk = watch()
    disk.look(free(100), 0)
    assert (disk.mark_full(), disk.mark_full()) == (True, False)


@given(st.lists(st.integers(0, 200 * MIB), min_size=1, max_size=40))
def test_no_threshold_is_jumped_over_by_what_may_be_written(sizes):
    disk = watch()
    left = 200 * MIB
    disk.look(Free(left, TOTAL, 4096), 0)
    for size in sizes:
        allowed = disk.bytes_until_look()
        left = max(0, left - min(size, allowed))
        crossed = disk.look(Free(left, TOTAL, 4096), 0)
        assert len(crossed) <= 1 or left < 5 * 4096 + (16 << 10)


def test_the_forecast_follows_the_last_hour():
    disk = watch()
    for minute in range(120):
        disk.look(free(800 - minute), minute * 60.0)
    assert disk.full_in_s(119 * 60.0) == pytest.approx((800 - 119) * 60.0)


@pytest.mark.parametrize("steps", [[(0, 500)], [(0, 500), (30, 400)], [(0, 400), (120, 500)]])
def test_there_is_no_forecast_for_a_disk_that_does_not_fill_up(steps):
    disk = watch()
    for now, mib in steps:
        disk.look(free(mib), now)
    assert disk.full_in_s(steps[-1][0]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not filling up"),
        (11400.0, "full in 3 h 10 min at this hour's rate"),
        (30.0, "full in a minute at this hour's rate"),
        (200000.0, "full in 2 d 7 h at this hour's rate"),
        (1e9, "not within a year"),
    ],
)
def test_the_forecast_in_words(seconds, text):
    assert forecast(seconds) == text
