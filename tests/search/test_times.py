"""auditd_py.search.times."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import TimeError
from auditd_py.search.times import end_time, start_time

NOW = 1795400000.5  # Monday, 2026-11-23 02:13:20 UTC


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("now", "2026-11-23 02:13:20", "2026-11-23 02:13:20"),
        ("recent", "2026-11-23 02:03:20", "2026-11-23 02:03:20"),
        ("this-hour", "2026-11-23 02:00:00", "2026-11-23 02:00:00"),
        ("boot", "2026-11-01 00:00:00", "2026-11-01 00:00:00"),
        ("today", "2026-11-23 00:00:00", "2026-11-23 02:13:20"),
        ("yesterday", "2026-11-22 00:00:00", "2026-11-22 00:00:00"),
        ("this-week", "2026-11-22 00:00:00", "2026-11-22 00:00:00"),
        ("week-ago", "2026-11-16 00:00:00", "2026-11-16 00:00:00"),
        ("this-month", "2026-11-01 00:00:00", "2026-11-01 00:00:00"),
        ("this-year", "2026-01-01 00:00:00", "2026-01-01 00:00:00"),
        ("11/22/26", "2026-11-22 00:00:00", "2026-11-22 02:13:20"),
        ("11/22/26 07:20", "2026-11-22 07:20:00", "2026-11-22 07:20:00"),
        ("07:20:25 11/22/26", "2026-11-22 07:20:25", "2026-11-22 07:20:25"),
        ("7:20", "2026-11-23 07:20:00", "2026-11-23 07:20:00"),
        ("yesterday 12:00", "2026-11-22 12:00:00", "2026-11-22 12:00:00"),
        ("2026-11-22", "2026-11-22 00:00:00", "2026-11-22 02:13:20"),
        ("2026-11-22T07:20:25", "2026-11-22 07:20:25", "2026-11-22 07:20:25"),
        ("2026-11-22 07:20", "2026-11-22 07:20:00", "2026-11-22 07:20:00"),
        ("2026-11-22T07:20:25+01:30", "2026-11-22 05:50:25", "2026-11-22 05:50:25"),
        ("2026-11-22T07:20:25Z", "2026-11-22 07:20:25", "2026-11-22 07:20:25"),
        ("@1795400000", "2026-11-23 02:13:20", "2026-11-23 02:13:20"),
    ],
)
def test_words_dates_and_times(words, start, end):
    booted = 1793491200.0
    assert shown(start_time(words.split(" "), NOW, booted)) == start
    assert shown(end_time(words.split(" "), NOW, booted)) == end


def test_times_are_of_the_local_zone(monkeypatch):
    monkeypatch.setenv("TZ", "EST5EDT")
    time.tzset()
    assert shown(start_time(["2026-07-01", "12:00"], NOW, 0)) == "2026-07-01 16:00:00"
    assert shown(start_time(["2026-01-01", "12:00"], NOW, 0)) == "2026-01-01 17:00:00"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["foo"], "foo is not a date: write it like"),
        (["25:00"], "is not a time"),
        (["01/01/99"], "before 2004 there is nothing"),
        (["13/13/26"], "is not a date"),
        (["2026-13-01"], "no such date"),
        (["11/22/26", "today"], "one date and one time"),
        (["1:00", "2:00"], "one date and one time"),
    ],
)
def test_what_is_no_time_is_refused_with_what_is_allowed(words, reason):
    for parse in (start_time, end_time):
        with pytest.raises(TimeError, match=reason):
            parse(words, NOW, 0)


@given(st.lists(st.text("0123456789:/-TZ+@. nowtdays", min_size=1), min_size=1, max_size=2))
def test_any_words_are_a_time_or_refused(words):
    try:
        assert isinstance(start_time(words, NOW, 0), int)
    except TimeError:
        pass
