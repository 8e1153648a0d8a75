"""Events as ausearch shows them: as they are, one after the other, or with names. HOT.

An interpreted record costs 5 µs: its words are looked up, each with what it is shown as; only
new ones are interpreted. What a word is shown as depends on the record's type, on the call and
machine, and on the names that the daemon added, so there is a memory for each of those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditd_py.record.escape import Escape, escaped
from auditd_py.record.fields import decoded, from_hex, keys_of
from auditd_py.record.interpret import Context, Interpreter, context_of, kind_of
from auditd_py.record.interpret_arguments import DEPENDENT, arguments_of
from auditd_py.record.record import ENRICHED, parse_record, type_number
from auditd_py.tables.record_types import NAMES
from auditd_py.tables.syscalls import MULTIPLEXED

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Names
    from auditd_py.record.record import Record

_SYSCALL: Final = 1300
_MOST_WORDS: Final = 100_000  # remembered, about 15 MB
_LONGEST_TEXT: Final = 8970  # MAX_AUDIT_MESSAGE_LENGTH; no real word has more fields in it
_MOST_TEXTS: Final = 20_000  # whole ones, about 10 MB
_LONGEST_KEPT: Final = 512
_LONGEST_WORD: Final = 256  # longer ones hardly come again

_word = re.compile(rb"((?:msg=')?\(?)([^ =\"'(,]+)=(.+)", re.DOTALL).fullmatch
_call = re.compile(rb"(?:^| )arch=[0-9a-f]{1,8} syscall=\d{1,9}(?: |$)").search
_quoted_space = re.compile(rb"=\"[^\" ]* ").search
_controls = re.compile(rb"[\x00-\x1f]").search
_NUMBERS: Final = frozenset(
    ("uid", "gid", "syscall", "arch", "exit", "mode", "session", "list", "signal", "errno")
)
# no comma ends their values
_WHOLE: Final = frozenset({"mac_label", "sockaddr", "tty_data"})
_ARGUMENTS: Final = {"a0": 0, "a1": 1, "a2": 2, "a3": 3}


def _plain(line: bytes, mode: Escape) -> bytes:
    if mode is Escape.RAW or not _controls(line):
        return line
    return escaped(line, Escape.TTY)


class InterpretedText:
    """Makes what `ausearch -i` shows.

    `when` turns seconds into date and time, as `%x %T` does.
    """

    def __init__(
        self, names: Names, when: Callable[[int], bytes], mode: Escape = Escape.TTY
    ) -> None:
        self._interpreter = Interpreter(names)
        self._when = when
        self._mode = mode
        self._second = -1
        self._stamp = b""
        self._memories: dict[tuple[bytes, bytes, bytes], _Words] = {}
        self._texts: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self._size = 0

    def event(self, event: Event) -> bytes:
        """Return an event: a line of dashes, and its records, last one first."""
        return b"----\n" + b"".join([self.record(r) for r in reversed(event.records)])

    def line(self, line: bytes, record: Record) -> bytes:
        """Return the same for a line of an event as it is in a log, `record` being one of it.

        Most texts come again and again, in other events: what they are shown as is kept.
        """
        start = line.find(b"): ") + 3
        if start < 3 or line[:5] != b"type=" or line[5:13] == b"SYSCALL ":
            return self.record(parse_record(line))
        text = line[start:]
        name = line[5 : line.index(b" ", 5)]
        if name == b"PROCTITLE" and text[:10] == b"proctitle=" and ENRICHED not in text:
            value = text[10:]
            raw = decoded(value) if value[:1] == b'"' else (from_hex(value) or value)
            title = escaped(raw.replace(b"\0", b" "), self._mode)
            return self._head(name, record) + b"proctitle=" + title + b" \n"
        shown = self._texts.get((name, text))
        if shown is None:
            whole = parse_record(line)
            shown = _type_name(name), self.text(whole)
            if len(text) < _LONGEST_KEPT:
                if len(self._texts) > _MOST_TEXTS:
                    self._texts.clear()
                self._texts[name, text] = shown
        return self._head(shown[0], record) + shown[1] + b"\n"

    def _head(self, name: bytes, record: Record) -> bytes:
        if record.seconds != self._second:
            self._second = record.seconds
            self._stamp = self._when(record.seconds)
        return b"type=%b msg=audit(%b.%03d:%d) : " % (
            name, self._stamp, record.milliseconds, record.serial,
        )  # fmt: skip

    def record(self, record: Record) -> bytes:
        """Return one record's line.

        It ends with a space; or, if the record has no fields, an empty line follows.
        """
        if record.seconds != self._second:
            self._second = record.seconds
            self._stamp = self._when(record.seconds)
        return b"%btype=%b msg=audit(%b.%03d:%d) : %b\n" % (
            b"" if record.node is None else b"node=" + record.node + b" ",
            _type_name(record.type_name),
            self._stamp,
            record.milliseconds,
            record.serial,
            self.text(record),
        )

    def text(self, record: Record) -> bytes:
        """Return what follows the head of a record's line."""
        text, enriched = record.parts()
        if b"=" not in text:
            return _plain(text, self._mode) + b"\n"
        words = text.split(b" ")
        if _quoted_space(text):
            words = _joined(words)
        memory = self._memory(record, text, enriched)
        memory.context.text = text
        before = len(memory)
        shown = b" ".join(map(memory.__getitem__, words))
        self._size += len(memory) - before
        return shown if text[-1:] == b" " else shown + b" "

    def _memory(self, record: Record, text: bytes, enriched: bytes) -> _Words:
        key = (record.type_name, b"", enriched)
        if b"syscall=" in text:
            found = _call(text)
            if found is None:  # what the values depend on is not where the kernel puts it
                return _Words(self._interpreter, context_of(record), self._mode)
            key = (record.type_name, found[0], enriched)
        memory = self._memories.get(key)
        if memory is None:
            if self._size > _MOST_WORDS:
                self._memories.clear()
                self._size = 0
            memory = _Words(self._interpreter, context_of(record), self._mode)
            self._memories[key] = memory
            self._size += 16
        return memory


def _type_name(name: bytes) -> bytes:
    known = NAMES.get(type_number(name))
    return known.encode("ascii") if known else name


def _joined(words: list[bytes]) -> list[bytes]:
    """Put words together that one pair of quotes holds."""
    joined: list[bytes] = []
    ends = {i for i, word in enumerate(words) if b'"' in word}
    last = max(ends, default=-1)
    start = -1
    for i, word in enumerate(words):
        if start >= 0:
            if i in ends:
                joined.append(b" ".join(words[start : i + 1]))
                start = -1
        elif b'="' in word and word.count(b'"') == 1 and i < last:
            start = i
        else:
            joined.append(word)
    return joined


class _Words(dict[bytes, bytes]):
    """A word of a record's text to what it is shown as."""

    def __init__(self, interpreter: Interpreter, context: Context, mode: Escape) -> None:
        super().__init__()
        self.context = context
        self._interpreter = interpreter
        self._mode = mode
        known = arguments_of(context.call)
        self._plain_arguments = (
            {b"a%d=" % place for place in range(4) if place not in known}
            if context.type_number == _SYSCALL
            else set()
        )

    def __missing__(self, word: bytes) -> bytes:
        if word[:3] in self._plain_arguments and word[3:].isalnum():
            # often an address, which never comes again
            return word[:3] + b"0x" + word[3:]
        shown, lasting = self._shown(word)
        if lasting and len(word) <= _LONGEST_WORD:
            if len(self) > _MOST_WORDS:
                self.clear()
            self[word] = shown
        return shown

    def _shown(self, word: bytes) -> tuple[bytes, bool]:
        """Return what a word is shown as, and whether that holds in other records too."""
        parts: list[bytes] = []
        lasting = True
        rest = word
        while rest:
            found = _word(rest)
            kind = kind_of(found[2], found[3], self.context.type_number) if found else ""
            if found is None or not kind:
                parts.append(_plain(rest, self._mode) if _controls(rest) else rest)
                break
            prefix, name, value = found.groups()
            value, after, rest = _cut(value, kind)
            if len(rest) > _LONGEST_TEXT:
                after, rest = after + rest, b""
            parts.append(prefix + self._field(name, kind, value) + after)
            lasting = lasting and self._lasts(kind)
        return b"".join(parts), lasting

    def _field(self, name: bytes, kind: str, value: bytes) -> bytes:
        if kind == "escaped_key":
            keys = [escaped(decoded(key), self._mode) for key in keys_of(value)]
            return b" ".join([b"key=" + key for key in keys])
        shown = self._interpreter.value_of_kind(kind, name, value, self.context)
        return name + b"=" + escaped(shown, self._mode)

    def _lasts(self, kind: str) -> bool:
        place = _ARGUMENTS.get(kind)
        call = self.context.call
        if place is not None:
            return place in arguments_of(call) and (call, place) not in DEPENDENT
        if kind == "syscall":
            return call not in MULTIPLEXED
        return kind not in {"hook", "fan_info", "proctitle"}


def _cut(value: bytes, kind: str) -> tuple[bytes, bytes, bytes]:
    """Return a value, what is shown after it, and the rest of the word."""
    if value[:1] == b'"':
        end = value.find(b'"', 1) + 1
        if end:
            after = value[end : end + 1]
            return (value[:end], b" ", value[end + 1 :]) if after in {b",", b":"} else (
                value[:end], b"", value[end:])  # fmt: skip
        return value, b"", b""
    if kind in _WHOLE:
        return value, b"", b""
    value, comma, rest = value.partition(b",")
    bare = value.rstrip(b":;)}'") if kind in _NUMBERS else value
    if kind == "success" and value[:1].isdigit():
        bare = value.rstrip(b")'")
    return bare, value[len(bare) :] + (b" " if comma else b""), rest
