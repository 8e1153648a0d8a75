r"""Search expressions: `\record_type == SYSCALL && (uid i= "root" || ! comm i= ls)`.

The language of ausearch-expression(5). A comparison is of one record; an event matches if one of
its records does. A field that a record does not have makes its comparison false, also with `!=`.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final

from auditd_py.errors import RuleError
from auditd_py.record.fields import fields
from auditd_py.record.interpret import Context, Interpreter, context_of
from auditd_py.search.posix_regex import compile_posix
from auditd_py.tables.record_types import NUMBERS
from auditd_py.tables.record_types import type_number as number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditd_py.record.record import Record

    Test = Callable[["View"], bool]

MOST_NESTED: Final = 50  # parentheses and exclamation marks

_VIRTUAL: Final = ("timestamp", "timestamp_ex", "record_type", "regexp")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, "==": operator.eq,
    ">": operator.gt, ">=": operator.ge, "!==": operator.ne,
}  # fmt: skip

_space = re.compile(r"\s*")
_operator = re.compile(r"r!?=|i!?=|!==|[<>]=?|==")
_word = re.compile(r"[A-Za-z0-9_]+")
_quoted = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_escape = re.compile(r"\\(.)", re.DOTALL)
_virtual = re.compile(r"\\([A-Za-z_]*)")
_regex = re.compile(r"/((?:[^/\\]|\\.)*)/", re.DOTALL)
_time = re.compile(r"ts:(\d{1,18})\.(\d{1,3})(?::(\d{1,18}))?(?![A-Za-z0-9_.:])")


class View:
    """A record, with its fields split when first asked for."""

    __slots__ = ("_context", "_fields", "_interpreter", "record")

    def __init__(self, record: Record, interpreter: Interpreter) -> None:
        self.record = record
        self._interpreter = interpreter
        self._fields: dict[bytes, list[bytes]] | None = None
        self._context: Context | None = None

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field as they are written, quotes and hex too."""
        if self._fields is None:
            self._fields = {}
            for field, value in fields(self.record):
                self._fields.setdefault(field, []).append(value)
            self._fields.setdefault(b"type", [self.record.type_name])
            if self.record.node is not None:
                self._fields.setdefault(b"node", [self.record.node])
        return self._fields.get(name, [])

    def interpreted(self, name: bytes) -> list[bytes]:
        """Return what the values of a field are called."""
        if self._context is None:
            self._context = context_of(self.record)
        context = self._context
        return [self._interpreter.value(name, value, context) for value in self.values(name)]


class Expression:
    """One expression, ready to be asked about records."""

    __slots__ = ("_test", "text")

    def __init__(self, text: str) -> None:
        """Take an expression; raises RuleError that points at what is wrong with it."""
        self.text = text
        self._test = _Parser(text).expression()

    def matches_record(self, view: View) -> bool:
        """Say whether a record is as the expression says."""
        return self._test(view)

    def matches(self, records: Iterable[Record], interpreter: Interpreter) -> bool:
        """Say whether one of an event's records is."""
        return any(self._test(View(record, interpreter)) for record in records)


class _Parser:
    """Reads an expression from left to right; each part becomes a function."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def expression(self) -> Test:
        """Return all of the text as one function."""
        self._skip()
        if self._at == len(self._text):
            raise self._error("an expression is missing", self._at)
        found = self._any()
        if self._at < len(self._text):
            raise self._error("&& or || must stand between two comparisons", self._at)
        return found

    def _any(self) -> Test:
        tests = [self._all()]
        while self._took("||"):
            tests.append(self._all())
        if len(tests) == 1:
            return tests[0]
        return lambda view: any(test(view) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._took("&&"):
            tests.append(self._one())
        if len(tests) == 1:
            return tests[0]
        return lambda view: all(test(view) for test in tests)

    def _one(self) -> Test:
        start = self._at
        negated = 0
        while self._took("!"):
            negated += 1
        if self._took("("):
            self._depth += 1
            if self._depth > MOST_NESTED:
                raise self._error(f"more than {MOST_NESTED} parentheses are open", start)
            found = self._any()
            if not self._took(")"):
                raise self._error("this parenthesis is not closed", start, start + 1)
            self._depth -= 1
        else:
            found = self._comparison()
        return (lambda view: not found(view)) if negated % 2 else found

    def _comparison(self) -> Test:
        start = self._at
        virtual = _virtual.match(self._text, start)
        if virtual:
            self._move(virtual.end())
            return self._virtual_comparison(virtual[1], start)
        name = self._string("a field")
        end = self._at
        sign = _operator.match(self._text, end)
        if sign is None:
            reason = "r=, r!=, i= or i!= must follow a field"
            raise self._error(reason, end) if end < len(self._text) else self._error(reason, start)
        if sign[0] in _COMPARE:
            reason = f"{sign[0]} compares only \\timestamp, \\timestamp_ex and \\record_type"
            raise self._error(reason, sign.start(), sign.end())
        self._move(sign.end())
        value = self._string("a value")
        return _field_test(name, sign[0], value)

    def _virtual_comparison(self, name: str, start: int) -> Test:
        if name not in _VIRTUAL:
            known = "\\" + ", \\".join(_VIRTUAL)
            raise self._error(f"only {known} are known", start, start + 1 + len(name))
        if name == "regexp":
            return self._regexp()
        sign = _operator.match(self._text, self._at)
        if sign is None or sign[0] not in _COMPARE:
            end = sign.end() if sign else self._at
            raise self._error(f"<, <=, ==, >, >= or !== must follow \\{name}", self._at, end)
        compare = _COMPARE[sign[0]]
        self._move(sign.end())
        if name == "record_type":
            number = self._record_type()
            return lambda view: compare(view.record.type_number, number)
        return self._timestamp(compare, with_serial=name == "timestamp_ex")

    def _timestamp(self, compare: Callable[[Any, Any], bool], *, with_serial: bool) -> Test:
        found = _time.match(self._text, self._at)
        if found is None or (found[3] is not None) != with_serial:
            form = "ts:SECONDS.MILLISECONDS" + (":SERIAL" if with_serial else "")
            raise self._error(f"{form} is allowed here", self._at)
        self._move(found.end())
        seconds, milliseconds = int(found[1]), int(found[2])
        if not with_serial:
            time = (seconds, milliseconds)
            return lambda view: compare((view.record.seconds, view.record.milliseconds), time)
        exact = (seconds, milliseconds, int(found[3]))
        return lambda view: compare(view.record.key[1:], exact)

    def _record_type(self) -> int:
        start = self._at
        name = self._string("a record type")
        number = number_of(name.upper()) if name.upper() in NUMBERS else number_of(name)
        if number is None:
            raise self._error("no such record type", start)
        return number

    def _regexp(self) -> Test:
        start = self._at
        found = _regex.match(self._text, start)
        if found:
            self._move(found.end())
            pattern = found[1].replace("\\/", "/")
        else:
            pattern = self._string("/a regular expression/")
        try:
            search = compile_posix(pattern.encode("utf-8", "surrogateescape")).search
        except ValueError as error:
            raise self._error(f"no regular expression: {error}", start, self._at) from None
        return lambda view: search(view.record.line) is not None

    def _string(self, what: str) -> str:
        start = self._at
        found = _quoted.match(self._text, start)
        if found:
            self._move(found.end())
            for escape in _escape.finditer(found[1]):
                if escape[1] not in '\\"':
                    place = start + 1 + escape.start()
                    raise self._error('only \\\\ and \\" are allowed in quotes', place, place + 2)
            return _escape.sub(r"\1", found[1])
        if self._text.startswith('"', start):
            raise self._error("the quote is not closed", start)
        word = _word.match(self._text, start)
        if word is None:
            reason = f"{what} is missing: letters, digits and _, others in quotes"
            raise self._error(reason, start)
        self._move(word.end())
        return word[0]

    def _took(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._move(self._at + len(sign))
        return True

    def _move(self, to: int) -> None:
        self._at = to
        self._skip()

    def _skip(self) -> None:
        found = _space.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _error(self, reason: str, start: int, end: int | None = None) -> RuleError:
        """Return an error about a part of the text; without an end, up to the next space."""
        if end is None or end <= start:
            end = start + len(self._text[start:].split(maxsplit=1)[0]) if self._text[start:] else 0
        if start >= len(self._text):
            # one place behind the end, so that there is something to point at
            return RuleError(reason, self._text + " ", (len(self._text), len(self._text) + 1))
        return RuleError(reason, self._text, (start, max(end, start + 1)))


def _field_test(name: str, sign: str, value: str) -> Test:
    field = name.encode("utf-8", "surrogateescape")
    wanted = value.encode("utf-8", "surrogateescape")

    if sign == "r=":
        return lambda view: wanted in view.values(field)
    if sign == "i=":
        return lambda view: wanted in view.interpreted(field)
    if sign == "r!=":
        return lambda view: wanted not in (view.values(field) or (wanted,))
    return lambda view: wanted not in (view.interpreted(field) or (wanted,))
