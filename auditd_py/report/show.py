"""What is shown for the values in reports: numbers, or names where they are asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.record.escape import Escape, escaped, typed
from auditd_py.record.fields import from_hex
from auditd_py.record.interpret import Names
from auditd_py.record.record import type_number
from auditd_py.report.columns import UNSET, time_of
from auditd_py.report.definitions import FIELDS, Report
from auditd_py.tables.record_types import NAMES
from auditd_py.tables.syscalls import syscall_name

if TYPE_CHECKING:
    from auditd_py.report.columns import Columns, Value

    Row = tuple[int, Value]  # place of the event, and what of it the row is about

NO_ID: Final = -2  # stands for a user that an event does not name


@dataclass(slots=True)
class Show:
    """Turns values into what is shown; `interpret` gives names (aureport -i)."""

    names: Names = field(default_factory=Names)
    interpret: bool = False
    mode: Escape = Escape.TTY
    _labels: dict[tuple[str, Value], bytes] = field(default_factory=dict)
    _seconds: dict[bytes, bytes] = field(default_factory=dict)

    def label(self, kind: str, value: Value) -> bytes:
        """Return what is shown for a value of a kind; nothing for None."""
        found = self._labels.get((kind, value))
        if found is None:
            if len(self._labels) > 200_000:
                self._labels.clear()
            found = self._labels[kind, value] = escaped(getattr(self, "_" + kind)(value), self.mode)
        return found

    def value(self, kind: str, value: Value) -> Value:
        """Return the same for a program: text, a number, or None."""
        if value is None or (kind in ("user", "syscall") and value[0] is None):
            return None
        if kind in ("number", "serial") or (kind == "session" and value != UNSET):
            return int(self.label(kind, value))
        if kind == "success":
            return value
        raw: bytes = getattr(self, "_" + kind)(value)
        text = raw.decode("utf-8", "backslashreplace")
        if kind in ("user", "syscall", "account", "login") and not isinstance(value, bytes):
            return int(text) if text.lstrip("-").isdigit() else text
        return text

    def cells(self, report: Report, columns: Columns, rows: list[Row]) -> list[list[bytes]]:
        """Return what a list shows, a list a heading."""
        return [self._cells(report, heading, columns, rows) for heading in report.headings]

    def raw_cells(
        self, report: Report, heading: str, columns: Columns, rows: list[Row]
    ) -> tuple[str, list[Value]]:
        """Return the kind of what stands below a heading, and the values."""
        for name, kind, part in report.own:
            if name == heading:
                return kind, [value if part < 0 else value[part] for _, value in rows]
        one = FIELDS[heading]
        taken = [columns.column(name) for name in one.columns]
        if len(taken) == 1:
            return one.kind, [taken[0][place] for place, _ in rows]
        return one.kind, [tuple(column[place] for column in taken) for place, _ in rows]

    def _cells(
        self, report: Report, heading: str, columns: Columns, rows: list[Row]
    ) -> list[bytes]:
        kind, values = self.raw_cells(report, heading, columns, rows)
        absent = b"(null)" if heading in report.nulls else FIELDS[heading].absent
        label = self.label
        if kind == "serial":
            return [value.rpartition(b":")[2] for value in values]
        if kind == "text":
            return [label(kind, value) if value else absent for value in values]
        return [label(kind, value) or absent for value in values]

    def when(self, stamp: bytes) -> bytes:
        """Return date and time as the locale writes them, to the second."""
        second = stamp.partition(b".")[0]
        found = self._seconds.get(second)
        if found is None:
            text = time.strftime("%x %X", time.localtime(int(second)))
            if len(self._seconds) > 100_000:
                self._seconds.clear()
            found = self._seconds[second] = text.encode("utf-8", "surrogateescape")
        return found

    def exactly(self, stamp: bytes) -> bytes:
        """Return the same with milliseconds."""
        return b"%b.%03d" % (self.when(stamp), time_of(stamp)[1])

    def _text(self, value: bytes | None) -> bytes:
        return b"" if value is None else value

    def _number(self, value: int | None) -> bytes:
        return b"" if value is None else b"%d" % value

    def _session(self, value: int | None) -> bytes:
        if value == UNSET:
            return b"unset" if self.interpret else b"-1"
        return self._number(value)

    def _serial(self, value: bytes) -> bytes:
        return value.rpartition(b":")[2]

    def _success(self, value: Value) -> bytes:
        return b"unset" if value is None else b"yes" if value else b"no"

    def _user(self, value: tuple[int | None, bytes | None]) -> bytes:
        number, name = value
        if number is None:
            return b"unknown(%d)" % NO_ID if self.interpret else b"%d" % NO_ID
        if self.interpret:
            return name or self.names.user_name(number)
        return b"%d" % (number if number < 1 << 31 else number - (1 << 32))

    def _account(self, value: bytes | int | None) -> bytes:
        if isinstance(value, int):
            return self._user((value, None))
        return value or b"?"

    def _login(self, value: bytes | tuple[int | None, bytes | None]) -> bytes:
        return value if isinstance(value, bytes) else self._user(value)

    def _syscall(self, value: tuple[int | None, int | None]) -> bytes:
        number, arch = value
        if not self.interpret:
            return b"%d" % (number or 0)
        if number is None:
            return b"?"
        name = syscall_name(arch or 0, number)
        return name.encode("ascii") if name else b"unknown-syscall(%d)" % number

    def _type(self, value: bytes | int) -> bytes:
        number = type_number(value) if isinstance(value, bytes) else value
        return self._type_name(value) if self.interpret else b"%d" % number

    def _type_name(self, value: bytes | int) -> bytes:
        number = type_number(value) if isinstance(value, bytes) else value
        known = NAMES.get(number)
        return known.encode("ascii") if known else b"(null)"

    def _typed(self, value: bytes | None) -> bytes:
        raw = None if value is None or value[:1] == b'"' else from_hex(value)
        return value or b"" if raw is None else typed(raw)
