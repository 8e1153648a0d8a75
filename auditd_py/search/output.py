"""Events as text, in the formats of ausearch: from an event to bytes."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditd_py.record.show import InterpretedText, default_text, raw_text_marked
from auditd_py.search.scan import records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.escape import Escape
    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Names

    Writer = Callable[[Event], bytes]

DATE_TIME: Final = "%x %T"
ISO: Final = "%Y-%m-%dT%H:%M:%S"


def formatted_time(form: str) -> Callable[[int], bytes]:
    """Return what makes a second a text of the local time, in a form of strftime."""

    @lru_cache(maxsize=64)
    def text(seconds: int) -> bytes:
        return time.strftime(form, time.localtime(seconds)).encode("utf-8", "surrogateescape")

    return text


def clock_text(seconds: int) -> bytes:
    """Return a time as ctime has it."""
    return time.ctime(seconds).encode("ascii", "replace")


def raw_writer() -> Writer:
    """Return what gives an event's lines as they are."""
    return raw_text_marked


def default_writer(mode: Escape, *, iso: bool) -> Writer:
    """Return what gives an event with its time above it."""
    when = formatted_time(ISO + "%z") if iso else clock_text
    return lambda event: default_text(records_of(event), when, mode)


def interpret_writer(names: Names, mode: Escape, *, iso: bool) -> Writer:
    """Return what gives an event with names for its values."""
    text = InterpretedText(names, formatted_time(ISO if iso else DATE_TIME), mode)
    return lambda event: text.event(records_of(event))
