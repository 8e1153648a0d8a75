"""What -ts and -te of ausearch and aureport say: words, dates and times of the locale, ISO 8601."""

from __future__ import annotations

import re
import time
from typing import Final

from auditd_py.errors import TimeError

FIRST_YEAR: Final = 2004  # there was no audit before

_DAY_S: Final = 86400
_iso = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?"
).fullmatch
_epoch = re.compile(r"@(\d{1,12})(?:\.\d*)?").fullmatch

WORDS: Final = (
    "now", "recent", "this-hour", "boot", "today", "yesterday", "this-week", "week-ago",
    "this-month", "this-year",
)  # fmt: skip


def is_time_word(word: str) -> bool:
    """Say whether a word of a command line can be a date or a time, and is no option."""
    return word in (*WORDS, "checkpoint") or word[:1].isdigit() or word[:1] == "@"


def start_time(words: list[str], now: float, booted: float) -> int:
    """Return what -ts means, in seconds since 1970. `words` are one or two.

    A date alone begins at 00:00:00, a time alone is today's. Raises TimeError.
    """
    return _time_of(words, now, booted, end=False)


def end_time(words: list[str], now: float, booted: float) -> int:
    """Return what -te means. A date alone is at the present time of day; `today` is now."""
    return _time_of(words, now, booted, end=True)


def _time_of(words: list[str], now: float, booted: float, *, end: bool) -> int:
    if len(words) == 1:
        if (seconds := _keyword(words[0], now, booted, end=end)) is not None:
            return seconds
        if found := _epoch(words[0]):
            return int(found[1])
    if (seconds := _iso_time(" ".join(words), now, end=end)) is not None:
        return _checked(seconds, words)
    days = [word for word in words if ":" not in word]
    clocks = [word for word in words if ":" in word]
    if len(days) > 1 or len(clocks) > 1:
        raise TimeError(f"one date and one time are allowed, not {' '.join(words)}")
    today = time.localtime(now)
    if days:
        if (seconds := _keyword(days[0], now, booted, end=end)) is not None:
            day = time.localtime(seconds)
        else:
            day = _parsed(days[0], "%x", "a date")
        year, month, date = day[:3]
    else:
        year, month, date = today[:3]
    hour, minute, second = _clock(clocks[0]) if clocks else today[3:6] if end else (0, 0, 0)
    if days and not clocks and end and days[0] in WORDS:
        hour, minute, second = 0, 0, 0
    return _checked(_seconds(year, month, date, hour, minute, second), words)


def _seconds(year: int, month: int, day: int, *clock: int) -> int:
    try:
        return int(time.mktime(time.struct_time((year, month, day, *clock, 0, 0, -1))))
    except (OverflowError, ValueError):
        raise TimeError(f"{year}-{month}-{day} is no date of this machine's clock") from None


def _checked(seconds: int, words: list[str]) -> int:
    if time.localtime(seconds)[0] < FIRST_YEAR:
        raise TimeError(f"{' '.join(words)}: before {FIRST_YEAR} there is nothing")
    return seconds


def _clock(word: str) -> tuple[int, int, int]:
    """Return hour, minute and second; up to five characters are hour and minute alone."""
    parsed = _parsed(f"{word}:00" if len(word) <= 5 else word, "%X", "a time")
    return parsed[3], parsed[4], parsed[5]


def _parsed(word: str, form: str, what: str) -> time.struct_time:
    """Return what a word is in the form of the locale, or in that of the C locale."""
    plain = {"%x": "%m/%d/%y", "%X": "%H:%M:%S"}[form]
    for one in (form, plain, *(("%m/%d/%Y",) if form == "%x" else ())):
        try:
            return time.strptime(word, one)
        except ValueError:
            continue
    example = time.strftime(form)
    iso = time.strftime("%Y-%m-%d" if form == "%x" else "%H:%M:%S")
    kind = f", {', '.join(WORDS)}" if form == "%x" else ""
    raise TimeError(
        f"{word} is not {what}: write it like {example}{f' or {iso}' if iso != example else ''}{kind}"
    )


def _iso_time(text: str, now: float, *, end: bool) -> int | None:
    found = _iso(text)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if found[4]:
        hour, minute, second = int(found[4]), int(found[5]), int(found[6] or 0)
    else:
        hour, minute, second = time.localtime(now)[3:6] if end else (0, 0, 0)
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 62):
        raise TimeError(f"{text}: no such date or time")
    if not found[7]:
        return _seconds(year, month, day, hour, minute, second)
    import calendar

    zone = found[7].replace(":", "")
    offset_s = 0
    if zone != "Z":
        offset_s = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        offset_s = -offset_s if zone[0] == "-" else offset_s
    return calendar.timegm((year, month, day, hour, minute, second)) - offset_s


def _keyword(word: str, now: float, booted: float, *, end: bool) -> int | None:
    """Return what a word means, None if it is none."""
    year, month, day, *_, weekday, _day_of_year, _dst = time.localtime(now)
    if word == "now" or (end and word == "today"):
        return int(now)
    if word == "recent":
        return int(now) - 600
    if word == "boot":
        return int(booted)
    if word == "this-hour":
        hour = time.localtime(now)[3]
        return _seconds(year, month, day, hour, 0, 0)
    first_days = {
        "today": (month, day),
        "yesterday": (month, day - 1),
        # weeks begin on Sunday
        "this-week": (month, day - (weekday + 1) % 7),
        "week-ago": (month, day - 7),
        "this-month": (month, 1),
        "this-year": (1, 1),
    }
    if word in first_days:
        return _seconds(year, *first_days[word], 0, 0, 0)
    return None
