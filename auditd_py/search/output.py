"""Events as text, in the formats of ausearch: from an event to bytes."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditd_py.record.plain import default_text, raw_text_marked
from auditd_py.search.scan import records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.escape import Escape
    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Names
    from auditd_py.search.normalize import Act

    Writer = Callable[[Event], bytes]
    Column = tuple[str, Callable[[Act, Event], bytes]]

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
    from auditd_py.record.show import InterpretedText

    interpreted = InterpretedText(names, formatted_time(ISO if iso else DATE_TIME), mode)

    def text(event: Event) -> bytes:
        lines = [line for run in reversed(event.records) for line in run.line.split(b"\n")[::-1]]
        return b"----\n" + b"".join([interpreted.line(line, event.records[0]) for line in lines])

    return text


def text_writer(names: Names) -> Writer:
    """Return what gives an event as a sentence."""
    from auditd_py.search.normalize import Normalizer, sentence

    normalizer, when = Normalizer(names), formatted_time("%T %x")

    def text(event: Event) -> bytes:
        return sentence(normalizer.act(records_of(event)), when(event.seconds), event.node)

    return text


def csv_writer(names: Names, extra: set[str], *, iso: bool) -> Writer:
    """Return what gives an event as a row; the first comes with the names of the columns."""
    from auditd_py.search.normalize import Normalizer

    normalizer = Normalizer(names)
    columns = _columns(extra, iso=iso)
    headed = False

    def text(event: Event) -> bytes:
        nonlocal headed
        act = normalizer.act(records_of(event))
        row = b",".join([_quoted(value(act, event)) for _, value in columns]) + b"\n"
        if headed:
            return row
        headed = True
        return ",".join([name for name, _ in columns]).encode("ascii") + b"\n" + row

    return text


def _quoted(value: bytes) -> bytes:
    """Return a value as a field of a row (RFC 4180)."""
    if any(byte in value for byte in b',"\r\n'):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def _columns(extra: set[str], *, iso: bool) -> list[Column]:
    def timed(form: str) -> Callable[[Act, Event], bytes]:
        when = formatted_time(form)
        return lambda _act, event: when(event.seconds)

    def said(name: str) -> Callable[[Act, Event], bytes]:
        def value(act: Act, _event: Event) -> bytes:
            found = getattr(act, name)
            return found if isinstance(found, bytes) else found.encode("utf-8", "surrogateescape")

        return value

    def when(name: str, *columns: Column) -> tuple[Column, ...]:
        return columns if name in extra else ()

    zone = formatted_time("%z")
    return [
        ("NODE", lambda _act, event: event.node or b""),
        ("EVENT", said("type")),
        ("DATE", timed("%Y-%m-%d" if iso else "%x")),
        ("TIME", timed("%T")),
        *when(
            "time", ("YEAR", timed("%Y")), ("MONTH", timed("%m")), ("DAY", timed("%d")),
            ("WEEKDAY", timed("%u")), ("HOUR", timed("%k")),
            ("MILLI", lambda _act, event: b"%d" % event.milliseconds),
            ("GMT_OFFSET", lambda _act, event: zone(event.seconds)[:3] + b":" + zone(event.seconds)[3:]),
        ),
        ("SERIAL_NUM", lambda _act, event: b"%d" % event.serial),
        ("EVENT_KIND", said("kind")),
        ("SESSION", said("session")),
        ("SUBJ_PRIME", lambda act, _event: b"system" if act.subject == b"unset" else act.subject),
        ("SUBJ_SEC", said("acting_as")),
        ("SUBJ_KIND", said("subject_kind")),
        *when("labels", ("SUBJ_LABEL", said("subject_label"))),
        ("ACTION", said("action")),
        ("RESULT", said("result")),
        ("OBJ_PRIME", said("object")),
        ("OBJ_SEC", said("object_detail")),
        *when("obj2", ("OBJ2", said("object2"))),
        *when("labels", ("OBJ_LABEL", said("object_label"))),
        ("OBJ_KIND", said("object_kind")),
        ("HOW", said("how")),
        *when("keys", ("KEY", said("key"))),
    ]  # fmt: skip


def json_writer(names: Names) -> Writer:
    """Return what gives an event as an object on a line (docs/plugins.md)."""
    from auditd_py.record.decode import Decoder
    from auditd_py.record.schema_own import OwnSchema

    schema = OwnSchema(Decoder(names))
    return lambda event: schema.line(records_of(event)).encode("utf-8", "surrogatepass") + b"\n"
