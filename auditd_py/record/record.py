"""One record: a line of a log, or the text a plugin or another host sends. HOT: 2 µs a line.

Only the head is read at once: node, type, time and serial. Fields are split when asked for
(fields.py), and given names when shown (interpret.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.tables.record_types import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

ENRICHED: Final = b"\x1d"  # stands between what the kernel said and the names added to it
MOST_SHOWN: Final = 80  # bytes of a bad line that an error repeats

# the type is missing in the oldest kernels' messages to syslog, msg= in some of them
_head = re.compile(
    rb"(?:node=([^ ]+) )?(?:type=([^ ]+) )?(?:msg=)?audit\((\d{1,12})\.(\d{1,9}):(\d{1,18})\):? ?"
).match
_unknown = re.compile(rb"(?:UNKNOWN\[)?(\d{1,9})\]?").fullmatch


class Record:
    """A record; `line` is all of it, without the newline.

    `node` is None where the line names none. `type_name` is as written, e.g. `UNKNOWN[1199]`,
    and empty where the line has none. `start` is where the text begins, in bytes.
    """

    # written out, as `dataclasses` takes longer to load than a short search takes
    __slots__ = ("line", "milliseconds", "node", "seconds", "serial", "start", "type_name")
    __hash__ = None  # type: ignore[assignment]

    def __init__(  # noqa: PLR0917  seven times a record is made by place
        self,
        line: bytes,
        node: bytes | None,
        type_name: bytes,
        seconds: int,
        milliseconds: int,
        serial: int,
        start: int,
    ) -> None:
        self.line = line
        self.node = node
        self.type_name = type_name
        self.seconds = seconds
        self.milliseconds = milliseconds
        self.serial = serial
        self.start = start

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.line == other.line and self.key == other.key and self.start == other.start

    def __repr__(self) -> str:
        return (
            f"Record(line={self.line!r}, node={self.node!r}, type_name={self.type_name!r},"
            f" seconds={self.seconds}, milliseconds={self.milliseconds}, serial={self.serial},"
            f" start={self.start})"
        )

    @property
    def type_number(self) -> int:
        """The number of the record type; 0 if its name is not known."""
        return type_number(self.type_name)

    @property
    def text(self) -> bytes:
        """What the kernel or a program said: the part after `msg=audit(…): `, not enriched."""
        return self.line[self.start : self._end()]

    @property
    def enriched(self) -> bytes:
        """The pairs of names that the daemon added, e.g. `UID="root" AUID="unset"`."""
        return self.line[self._end() + 1 :]

    def parts(self) -> tuple[bytes, bytes]:
        """Return text and enriched."""
        end = self._end()
        return self.line[self.start : end], self.line[end + 1 :]

    @property
    def plain_line(self) -> bytes:
        """The line without what the daemon added."""
        return self.line[: self._end()]

    @property
    def key(self) -> tuple[bytes | None, int, int, int]:
        """What the records of one event share: node, seconds, milliseconds and serial."""
        return (self.node, self.seconds, self.milliseconds, self.serial)

    def _end(self) -> int:
        # a program may write the byte into its message: what the daemon added comes last, and
        # only the name of a socket can have the byte in it
        find = self.line.find if self.type_name == b"SOCKADDR" else self.line.rfind
        place = find(ENRICHED, self.start)
        return len(self.line) if place < 0 else place


def parse_record(line: bytes) -> Record:
    """Return the record in a line without its newline.

    Raises WireError if there is none in it: show the line as it is, and count it.
    """
    found = _head(line)
    if found is None:
        raise WireError(f"no record: {_shown(line)}")
    node, name, seconds, milliseconds, serial = found.groups()
    milli = int(milliseconds)
    if milli > 999:
        raise WireError(f"more than 999 milliseconds: {_shown(line)}")
    return Record(line, node, name or b"", int(seconds), milli, int(serial), found.end())


@lru_cache(maxsize=1024)
def type_number(name: bytes) -> int:
    """Return the number of a record type's name, of `UNKNOWN[1199]` or `1199`; else 0."""
    known = NUMBERS.get(name.decode("ascii", "replace"))
    if known is not None:
        return known
    found = _unknown(name)
    return int(found[1]) if found else 0


class Lines:
    """Cuts a stream, in whatever pieces it comes, into lines without their newlines.

    A line longer than `longest` bytes is given in parts of that many: a stream without a
    newline takes no more memory than that. Empty lines are left out.
    """

    def __init__(self, longest: int = 1 << 20) -> None:
        self._longest = longest
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the lines that `data` completes."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._taken() + whole[0]
        for line in whole:
            yield from self._parts(line)
        self._pieces.append(rest)
        self._held += len(rest)
        if self._held > self._longest:
            *parts, rest = self._parts(self._taken())
            yield from parts
            self._pieces, self._held = [rest], len(rest)

    def end(self) -> Iterator[bytes]:
        """Give the last line, if it has no newline."""
        yield from self._parts(self._taken())

    def _taken(self) -> bytes:
        held = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return held

    def _parts(self, line: bytes) -> Iterator[bytes]:
        for start in range(0, len(line), self._longest):
            yield line[start : start + self._longest]


def _shown(line: bytes) -> str:
    part = line[:MOST_SHOWN].decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in part)
