"""The client's side of one server: what is on the way, what comes back, when to try again.

HOT: 1 µs a record. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.remote.frame import (
    FATAL,
    MAX_SEQUENCE,
    REPLY,
    WARN,
    Decoder,
    Kind,
    encode,
    encode_records,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_BEAT: Final = b""  # in the place of a record: a heartbeat
_GREETING: Final = 0  # the sequence of the first heartbeat of a connection
_DONE: Final = None  # and a record that was acknowledged after one that was not


class Trouble(StrEnum):
    """What can happen; the value is the keyword of audisp-remote.conf that says what to do."""

    NETWORK_FAILURE = "network_failure_action"
    DISK_LOW = "disk_low_action"
    DISK_FULL = "disk_full_action"
    DISK_ERROR = "disk_error_action"
    REMOTE_ENDING = "remote_ending_action"
    GENERIC_ERROR = "generic_error_action"
    GENERIC_WARNING = "generic_warning_action"
    QUEUE_ERROR = "queue_error_action"
    STARTUP_FAILURE = "startup_failure_action"
    OVERFLOW = "overflow_action"


@dataclass(slots=True)
class Answers:
    """What one read of the connection told.

    `released` records, the oldest, need not be kept any longer; `lost` records were refused and
    are not sent again. `greeting` is what the server said to `Window.greet`. `troubles` has each kind once, with the server's words about the first.
    After `error` the connection is of no use: what follows is `Window.restart` with a new one.
    """

    released: int = 0
    lost: int = 0
    troubles: dict[Trouble, str] = field(default_factory=dict)
    greeting: bytes | None = None
    error: WireError | None = None


class Window:
    """The records on the way to a server: at most `size`, in order, until it answers.

    `given_up` are the troubles after which a refused record is not sent again. After all others
    it stays, and `restart` sends it anew, with those that have no answer.

    `ordered`, once agreed on with the server after `greet`: it takes nothing after a record it
    refused until `greet` is said again. So all behind the first refused record stay.
    """

    def __init__(self, size: int, given_up: Container[Trouble] = ()) -> None:
        self.size = size
        self.given_up = given_up
        self.waiting = 0  # answers to come
        self.ordered = False
        self._greeting = False  # is on the way, and nothing else
        self._stopped = False  # ordered, and a record was refused
        self._entries: deque[bytes | None] = deque()
        self._refused = 0  # the first entries: refused, and to be sent again
        self._next = 1  # sequence of the next message
        self._decoder = Decoder()

    @property
    def room(self) -> int:
        """How many records may be sent now."""
        if self.refused or self._greeting:
            return 0
        return max(0, self.size - len(self._entries))

    @property
    def refused(self) -> bool:
        """Whether a record was refused and not sent again since; then there is no room."""
        return self._refused > 0 or self._stopped

    @property
    def records(self) -> int:
        """How many records are not released."""
        return sum(1 for _ in self._unreleased())

    def send(self, texts: list[bytes]) -> bytes:
        """Return the messages of more records, at most `room`, as `fits` makes them, not empty."""
        data = encode_records(texts, self._next)
        self._entries.extend(texts)
        self.waiting += len(texts)
        self._next = (self._next + len(texts)) & MAX_SEQUENCE
        return data

    def heartbeat(self) -> bytes:
        """Return a message that asks whether the server lives."""
        data = encode(Kind.HEARTBEAT, self._next)
        self._entries.append(_BEAT)
        self.waiting += 1
        self._next = (self._next + 1) & MAX_SEQUENCE
        return data

    def greet(self, text: bytes) -> bytes:
        """Return a heartbeat with `text`, the first message of a connection.

        Also on the same one, if no answers are to come. Nothing else is sent before its answer
        is there; `restart` follows.
        """
        self._decoder = Decoder()
        self.waiting, self._greeting, self.ordered = 1, True, False
        return encode(Kind.HEARTBEAT, _GREETING, text)

    def entry(self, place: int) -> bytes | None:
        """Return a record that is not released by its place, from 0 on."""
        return next(islice(self._unreleased(), place, None), None)

    def release(self, amount: int) -> int:
        """Forget at most so many records, the oldest: the server has them; return how many."""
        entries = list(self._unreleased())
        self._entries = deque(entries[amount:])
        return min(amount, len(entries))

    def _unreleased(self) -> Iterator[bytes | None]:
        return (entry for entry in self._entries if entry != _BEAT)

    def restart(self) -> bytes:
        """Return the messages of all that was not acknowledged: on a new connection.

        Also on the same one, if no answers are to come.
        """
        self._decoder = Decoder()
        self._entries = deque(self._unreleased())
        texts = [entry for entry in self._entries if entry is not _DONE]
        self._refused = 0
        self._greeting = self._stopped = False
        self.waiting = len(texts)
        data = encode_records(texts, self._next)
        self._next = (self._next + len(texts)) & MAX_SEQUENCE
        return data

    def receive(self, data: bytes | bytearray | memoryview) -> Answers:
        """Return what the answers in `data` mean."""
        answers = Answers()
        expected = (self._next - self.waiting) & MAX_SEQUENCE
        for kind, sequence, text in self._decoder.take(data):
            if kind == Kind.ENDING:
                answers.troubles.setdefault(Trouble.REMOTE_ENDING, _words(text, "it ends"))
            elif self._greeting:
                if kind != Kind.ACK or sequence != _GREETING:
                    answers.error = WireError(f"an answer of type {kind:#x} to the first heartbeat")
                    return answers
                answers.greeting, self._greeting, self.waiting = text, False, 0
                expected = self._next
            elif not self.waiting or sequence != expected:
                answers.error = WireError(f"an answer to message {sequence}, not {expected}")
                return answers
            else:
                if kind == Kind.ACK and not self._refused:
                    self._done(answers)
                elif not self._judge(answers, kind, text):
                    return answers
                self.waiting -= 1
                expected = (expected + 1) & MAX_SEQUENCE
        answers.error = self._decoder.error
        return answers

    def _judge(self, answers: Answers, kind: int, text: bytes) -> bool:
        """Note an answer that is no plain acknowledgement, or one behind a refused record."""
        trouble = _TROUBLES.get(kind)
        if trouble is None and kind != Kind.ACK:
            trouble = _by_mask(kind)
            if trouble is None:
                answers.error = WireError(f"an answer of the unknown type {kind:#x}")
                return False
        if trouble is not None:
            answers.troubles.setdefault(trouble, _words(text, f"type {kind:#x}"))
        if trouble is None or not kind & FATAL:
            self._done(answers)  # a warning: the record was written
        elif trouble in self.given_up and not self._stopped:
            answers.lost += 1
            self._done(answers)
            self._stopped = self.ordered
        else:
            self._refused += 1
            self._stopped = self.ordered
            self._pass_done(answers)
        return True

    def _done(self, answers: Answers) -> None:
        if self._refused and self._entries[self._refused] == _BEAT:
            del self._entries[self._refused]
        elif self._refused:
            self._entries[self._refused] = _DONE
        elif self._entries.popleft() != _BEAT:
            answers.released += 1
        if self._refused or (self._entries and self._entries[0] is _DONE):
            self._pass_done(answers)

    def _pass_done(self, answers: Answers) -> None:
        """Step over what was acknowledged before, to the next entry without an answer."""
        entries = self._entries
        while not self._refused and entries and entries[0] is _DONE:
            entries.popleft()
            answers.released += 1
        if self._refused:
            while self._refused < len(entries) and entries[self._refused] is _DONE:
                self._refused += 1


class Retry:
    """When to try again: at once, then every `pause_s`, until the attempts are used up."""

    def __init__(self, pause_s: float, most_tries: int, most_time_s: float) -> None:
        self._pause_s = pause_s
        self._most_tries = most_tries
        self._most_time_s = most_time_s
        self._tries = 0
        self._since = 0.0

    def failed(self, now: float) -> float | None:
        """Return how long to wait; None: the attempts are used up, and counting begins anew."""
        if not self._tries:
            self._since = now
        self._tries += 1
        if self._tries >= self._most_tries or now - self._since >= self._most_time_s:
            self._tries = 0
            return None
        return 0.0 if self._tries == 1 else self._pause_s

    def succeeded(self) -> None:
        """Begin anew: a server has acknowledged something."""
        self._tries = 0


_TROUBLES: Final[dict[int, Trouble]] = {
    Kind.DISKLOW: Trouble.DISK_LOW,
    Kind.DISKFULL: Trouble.DISK_FULL,
    Kind.DISKERROR: Trouble.DISK_ERROR,
}


def _by_mask(kind: int) -> Trouble | None:
    if not kind & REPLY or not kind & (FATAL | WARN):
        return None
    return Trouble.GENERIC_ERROR if kind & FATAL else Trouble.GENERIC_WARNING


def _words(text: bytes, default: str) -> str:
    said = text.decode("utf-8", "replace").strip("\0\n ")
    return "".join(c if c.isprintable() else "?" for c in said)[:200] or default
