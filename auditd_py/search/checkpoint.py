"""Where a search ended, so that the next one goes on there (ausearch --checkpoint).

The file has the three lines of the C tool, `dev=`, `inode=` and `output=` with the last event that
was shown, which it reads as well. Behind the event stand our own words: from which byte of that
file to go on, the checksum of the file's first line, by which it is known again when it was compressed,
and the events behind that byte that were shown already.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.errors import AuditError
from auditd_py.record.event import ends_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.record.event import Event

    Key = tuple[bytes | None, int, int, int]

BAD_FILE: Final = 10  # or the log it names is gone
NOT_WRITTEN: Final = 11
CORRUPT: Final = 12

RECOVERY_S: Final = 2  # an event that much newer shows that the one looked for is gone
_SILENT_S: Final = 3600  # a node that says nothing for so long ends no event any more
_MOST_DONE: Final = 100_000

_event = re.compile(
    rb"(\S+) (\d{1,18})\.(\d{1,3}):(\d{1,18}) 0x([0-9A-Fa-f]{1,8})"
    rb"(?: offset=(\d{1,18}) first=(\S*) done=(\S*))?\s*"
).fullmatch


class CheckpointError(AuditError):
    """A checkpoint cannot be used or written; `status` is ausearch's exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Checkpoint:
    """A place in a log.

    `offset` is in bytes of the file as it was before compression, None where the C tool wrote
    the checkpoint. `first` tells the file's first line from others (reader.first_identity).
    """

    device: int
    inode: int
    last: Key
    record_type: int = 0
    offset: int | None = None
    first: bytes = b""
    done: set[Key] = field(default_factory=set)

    def text(self) -> bytes:
        """Return the file's bytes."""
        place = b""
        if self.offset is not None:
            done = b",".join(sorted(map(key_text, self.done)))
            place = b" offset=%d first=%b done=%b" % (self.offset, self.first, done)
        node = b"-" if self.last[0] is None else self.last[0]
        return b"dev=0x%X\ninode=%d\noutput=%b %b 0x%X%b\n" % (
            self.device, self.inode, node, key_text((None, *self.last[1:])), self.record_type, place,
        )  # fmt: skip


def key_text(key: Key) -> bytes:
    """Return an event's identity as `[node@]seconds.milliseconds:serial`."""
    node = b"" if key[0] is None else key[0] + b"@"
    return node + b"%d.%03d:%d" % key[1:]


def _key_of(text: bytes) -> Key:
    node, at, rest = text.rpartition(b"@")
    seconds, _, more = rest.partition(b".")
    milliseconds, _, serial = more.partition(b":")
    return (node if at else None), int(seconds), int(milliseconds), int(serial)


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Return the checkpoint in a file's bytes; raises CheckpointError."""
    values: dict[bytes, bytes] = {}
    for line in data.splitlines():
        name, equals, value = line.partition(b"=")
        if not equals or name not in (b"dev", b"inode", b"output") or name in values:
            raise CheckpointError(f"line {line[:60]!r} does not belong there", CORRUPT)
        values[name] = value
    found = _event(values.get(b"output", b""))
    if found is None:
        raise CheckpointError("output= is missing or wrong", CORRUPT)
    try:
        device, inode = int(values[b"dev"], 16), int(values[b"inode"])
        node, seconds, milliseconds, serial, number, offset, first, done = found.groups()
        key = (None if node == b"-" else node), int(seconds), int(milliseconds), int(serial)
        shown = {_key_of(text) for text in (done or b"").split(b",") if text}
    except (KeyError, ValueError):
        raise CheckpointError("dev=, inode= or an event is missing or wrong", CORRUPT) from None
    return Checkpoint(
        device, inode, key, int(number, 16),
        None if offset is None else int(offset), first or b"", shown,
    )  # fmt: skip


def read_checkpoint(path: str) -> Checkpoint | None:
    """Return the checkpoint of a file, None if there is no file; raises CheckpointError."""
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 24)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}", BAD_FILE) from error
    try:
        return parse_checkpoint(data)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}", error.status) from None


def write_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before, as a whole; raises CheckpointError."""
    aside = f"{path}.new"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(aside, flags, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(checkpoint.text())
            file.flush()
            os.fsync(descriptor)
        os.replace(aside, path)
    except OSError as error:
        raise CheckpointError(f"{path}: not written: {error.strerror}", NOT_WRITTEN) from error


class Skip:
    """Decides which events of a run are new: all after the checkpoint's."""

    def __init__(self, checkpoint: Checkpoint | None, *, by_time: bool = False) -> None:
        self._checkpoint = checkpoint
        self._by_time = by_time
        self._waiting = checkpoint is not None and (by_time or checkpoint.offset is None)

    def is_new(self, event: Event) -> bool:
        """Say whether an event comes after the checkpoint.

        Raises CheckpointError if those that come show that its event is gone.
        """
        point = self._checkpoint
        if point is None:
            return True
        if not self._waiting:
            return event.key not in point.done
        if self._by_time:
            return event.key[1:] > point.last[1:]
        if event.key == point.last:
            self._waiting = False
        elif event.seconds > point.last[1] + RECOVERY_S:
            raise CheckpointError(
                "the event of the checkpoint is not in its log: use -ts checkpoint to go on by time",
                BAD_FILE,
            )
        return False


def split_ended(events: Iterable[Event], latest: int) -> tuple[list[Event], list[Event]]:
    """Return which of the last events of a log are whole, and which may go on.

    Of each node's, in their order, none is given after one that may go on. `latest` is the time
    that the log has reached.
    """
    ended: list[Event] = []
    held: list[Event] = []
    stuck: set[bytes | None] = set()
    for event in events:
        over = event.seconds + _SILENT_S < latest or any(map(ends_event, _types(event)))
        if over and event.node not in stuck:
            ended.append(event)
        else:
            stuck.add(event.node)
            held.append(event)
    return ended, held


_type = re.compile(rb"^(?:node=[^ ]+ )?type=([^ ]+) ", re.MULTILINE).findall


def _types(event: Event) -> list[bytes]:
    return [name for record in event.records for name in _type(record.line)]


class Shown:
    """Remembers where the lines of shown events end, to tell those behind the place to go on."""

    def __init__(self) -> None:
        self._ends: dict[Key, int] = {}

    def add(self, key: Key, end: int) -> None:
        """Remember an event."""
        self._ends[key] = end
        if len(self._ends) > _MOST_DONE:
            for old in list(self._ends)[: _MOST_DONE // 2]:
                del self._ends[old]

    def behind(self, place: int) -> set[Key]:
        """Return the events that have lines behind a place."""
        return {key for key, end in self._ends.items() if end > place}
