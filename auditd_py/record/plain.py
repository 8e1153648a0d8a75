"""Events as ausearch shows them without names: as they are, or one record after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.record.escape import Escape, escaped
from auditd_py.record.record import ENRICHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.event import Event


def default_text(event: Event, when: Callable[[int], bytes], mode: Escape = Escape.TTY) -> bytes:
    """Return an event as ausearch shows it: its time, and its records, last one first.

    `when` turns seconds into a time, as ctime does. What the daemon added is left out. Whole
    lines are escaped.
    """
    lines = [b"----", b"time->" + when(event.seconds)]
    lines += [escaped(record.plain_line, mode) for record in reversed(event.records)]
    return b"\n".join(lines) + b"\n"


def raw_text(event: Event) -> bytes:
    """Return an event's lines as they were read (ausearch --raw)."""
    return b"\n".join(record.line for record in event.records) + b"\n"


def raw_text_marked(event: Event) -> bytes:
    """Return the same as the C tools do: if one record is enriched, all end with what one has.

    They put 0x1D after each record of such an event, with nothing behind it where the daemon
    had nothing to add.
    """
    text = b"\n".join([record.line for record in event.records])
    if ENRICHED in text:
        lines = text.split(b"\n")
        text = b"\n".join([line if ENRICHED in line else line + ENRICHED for line in lines])
    return text + b"\n"
