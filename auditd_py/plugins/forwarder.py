"""What plugins that send records on have in common: input, queue, actions, signals, the end.

Records go from standard input into a queue, and leave it when what they were sent to has them. How
they are sent is for the class of each plugin to say.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from auditd_py.config.table import Mode
from auditd_py.errors import ConfigError, LogError, WireError
from auditd_py.plugins.input import Input
from auditd_py.plugins.remote_actions import Actions, Verdict
from auditd_py.plugins.remote_report import Counts, write_report
from auditd_py.plugins.remote_store import FileQueue
from auditd_py.plugins.system_log import teller
from auditd_py.remote.queue import MemoryQueue
from auditd_py.remote.sender import Retry, Trouble
from auditd_py.remote.stream import STREAM_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditd_py.config.table import Loaded

EXIT_LEFT: Final = 1  # records are left in the queue, or an action ended the program
EXIT_CONFIG: Final = 6
SLOWEST_TURN_S: Final = 60.0

_END_S: Final = 2.0  # to send what waits when the input has ended, and again while it goes on
_MOST_END_S: Final = 15.0
_FIXED: Final = ("mode", "queue_file", "queue_depth", "queue_sync")  # the file is open
_USAGE: Final = "arguments: [-c FILE]"


class ForwarderConfig(Protocol):
    """The settings that all of them have, beside their actions."""

    @property
    def mode(self) -> Mode: ...
    @property
    def queue_file(self) -> str: ...
    @property
    def queue_depth(self) -> int: ...
    @property
    def queue_sync(self) -> bool: ...
    @property
    def network_retry_time(self) -> int: ...
    @property
    def max_tries_per_record(self) -> int: ...
    @property
    def max_time_per_record(self) -> int: ...
    @property
    def exec_timeout(self) -> int: ...
    @property
    def state_file(self) -> str: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """See pydantic.BaseModel."""


C = TypeVar("C", bound=ForwarderConfig)
L = TypeVar("L")


def run_program(
    name: str,
    path: str,
    arguments: Sequence[str],
    load: Callable[[str], Loaded[Any]],
    make: Callable[[str, Any, Callable[[str], None]], Forwarder[Any, Any]],
) -> int:
    """Run the plugin that `make` gives with the settings at `path`, or those of -c."""
    tell = teller(name)
    words = list(arguments)
    if words[:1] == ["-c"] and len(words) == 2:
        path = words[1]
    elif words:
        tell(_USAGE)
        return EXIT_CONFIG
    try:
        loaded = load(path)
        forwarder = make(path, loaded.config, tell)
    except ConfigError as error:
        for problem in error.problems:
            tell(str(problem))
        return EXIT_CONFIG
    for warning in loaded.warnings:
        tell(str(warning))
    return forwarder.run()


class Forwarder(ABC, Generic[C, L]):
    """A program from its settings on; `L` is what it sends with.

    Raises ConfigError if the files of the settings are of no use.
    """

    def __init__(
        self,
        path: str,
        config: C,
        tell: Callable[[str], None],
        load: Callable[[str], Loaded[C]],
    ) -> None:
        self.config = config
        self.counts = Counts()
        self.suspended = False
        self._path = path
        self._tell = tell
        self._load = load
        self._source = Input(signals=(signal.SIGUSR1, signal.SIGUSR2))
        self._actions = Actions(config, tell)
        self._queue = MemoryQueue(config.queue_depth, os.urandom(STREAM_SIZE))
        self._stopping = False
        self._reached = False  # a server, ever
        self._hopeless = False  # no attempt to reach one succeeded lately
        self._held: list[bytes] = []  # read, and too many for the queue
        self._due_at = 0.0  # the next attempt, or the next sending of what was refused
        self._retry = _retry(config)
        self._link = self._new_link(config)

    @abstractmethod
    def _new_link(self, config: C) -> L:
        """Return what to send with. Raises ConfigError."""

    @abstractmethod
    def _replace_link(self, link: L) -> None:
        """Go on with another link, as the settings have changed."""

    @abstractmethod
    def _close_link(self) -> None: ...

    @abstractmethod
    def _turn(self) -> None:
        """Look at what has happened, and send what goes."""

    @abstractmethod
    def _pause_s(self) -> float:
        """Return how long nothing needs to be done if nothing happens."""

    @abstractmethod
    def _text_of_record(self, line: bytes) -> bytes:
        """Return a record as it is queued."""

    @abstractmethod
    def _away(self, now: float) -> bool:
        """Return whether there is nobody to send to, and no attempt under way."""

    @abstractmethod
    def _report(self) -> str: ...

    @property
    def _unsent(self) -> int:
        """What has left the queue and not the program."""
        return 0

    def run(self) -> int:
        """Run until the input ends, or an action ends it; return the exit status."""
        try:
            self._open_queue()
            for batch in () if self._stopping else self._source.batches(self._pause_s):
                self._take(batch)
                self._signals()
                self._turn()
                if self._stopping:
                    break
            self._finish()
        except WireError as error:
            self._tell(f"standard input: {error}")
        self._close_link()
        self._queue.close()
        self._actions.wait(_END_S)
        left = self._queue.waiting + len(self._held)
        if left:
            kept = "kept in" if isinstance(self._queue, FileQueue) else "lost, not in"
            self._tell(f"{left} records are not sent, {kept} {self.config.queue_file}")
        return EXIT_LEFT if left or self._stopping else 0

    def _take(self, batch: list[bytes]) -> None:
        if not batch:
            return
        make = self._text_of_record
        texts = [make(line) for line in batch if line[5:9] != b"EOE " and line]
        if batch[0].startswith(b"node="):
            texts = [text for text in texts if b" type=EOE " not in text[:300]]
        self.counts.taken += len(texts)
        self._held += texts
        self._fill()

    def _fill(self) -> None:
        """Queue what was read. What the queue has no room for waits while a server is there.

        Nothing is read meanwhile, so that it is the daemon's queue that grows.
        """
        before = self._queue.waiting
        try:
            self._queue.put(self._held)
        except LogError as error:
            self._queue_failed(error)
        del self._held[: self._queue.waiting - before]
        if self._held and (self._hopeless or self.suspended):
            self.counts.dropped += len(self._held)
            self._held.clear()
            self._do(Trouble.OVERFLOW, f"{self.counts.dropped} records since the start")
        self._source.pause(reading=not self._held and not self._source.ending)

    def _failed(self, reason: str, now: float, trouble: Trouble | None = None) -> None:
        """Take note of a failed attempt; `trouble` is the network's by default."""
        self.counts.failures += 1
        pause = self._retry.failed(now)
        if pause is None:
            if trouble is None:
                trouble = Trouble.NETWORK_FAILURE if self._reached else Trouble.STARTUP_FAILURE
            self._hopeless = True
            self._do(trouble, reason)
            pause = float(self.config.network_retry_time)
        self._due_at = now + pause

    def _release_from_queue(self, amount: int) -> None:
        try:
            self._queue.release(amount)
        except LogError as error:
            self._queue_failed(error)

    def _rename(self) -> None:
        """Count from now on in a stream that nobody has."""
        try:
            self._queue.rename(os.urandom(STREAM_SIZE))
        except LogError as error:
            self._queue_failed(error)

    def _do(self, trouble: Trouble, text: str) -> Verdict:
        verdict = self._actions.take(trouble, text, time.monotonic())
        if verdict is Verdict.STOP:
            self._stopping = True
        elif verdict is Verdict.SUSPEND:
            self.suspended = True
        return verdict

    def _signals(self) -> None:
        happened = self._source.happened
        if signal.SIGHUP in happened:
            happened.discard(signal.SIGHUP)
            self._reload()
        if signal.SIGUSR2 in happened:
            happened.discard(signal.SIGUSR2)
            if self.suspended:
                self._tell("sending is resumed")
            self.suspended = False
            self._due_at = 0.0
        if signal.SIGUSR1 in happened:
            happened.discard(signal.SIGUSR1)
            try:
                write_report(self.config.state_file, self._report())
            except OSError as error:
                self._tell(f"{self.config.state_file}: {error.strerror or error}")

    def _reload(self) -> None:
        old = self.config
        try:
            new = self._load(self._path).config
            link = self._new_link(new)
        except ConfigError as error:
            for problem in error.problems:
                self._tell(str(problem))
            self._tell("the settings there were are kept")
            return
        names = _FIXED if isinstance(self._queue, FileQueue) else _FIXED[:2]
        fixed = [name for name in names if getattr(new, name) != getattr(old, name)]
        if fixed:
            self._tell(f"{', '.join(fixed)}: changes when the program is started again")
            new = new.model_copy(update={name: getattr(old, name) for name in fixed})
        self.config = self._actions.config = new
        self._replace_link(link)
        self._link, self._due_at = link, 0.0
        self._retry = _retry(self.config)
        if not isinstance(self._queue, FileQueue):
            self._queue.depth = self.config.queue_depth
        self._tell("the settings are read again")

    def _open_queue(self) -> None:
        config = self.config
        if config.mode is not Mode.FORWARD:
            return
        try:
            queue = FileQueue(config.queue_file, config.queue_depth, sync=config.queue_sync)
        except LogError as error:
            self._do(Trouble.QUEUE_ERROR, str(error))
            return
        self._queue = queue
        for note in queue.notes:
            self._tell(note)

    def _queue_failed(self, error: LogError) -> None:
        """Go on in memory, if the action lets it go on at all."""
        if isinstance(self._queue, FileQueue):
            broken = self._queue
            self._queue = broken.in_memory()
            broken.close()
        self._do(Trouble.QUEUE_ERROR, f"{error}; records wait in memory")

    def _finish(self) -> None:
        """Send what waits, for as long as it goes on."""
        end = time.monotonic() + _MOST_END_S
        sent, until = self.counts.sent, time.monotonic() + _END_S
        while (self._queue.waiting or self._unsent) and not self._stopping:
            now = time.monotonic()
            if self.counts.sent > sent:
                sent, until = self.counts.sent, now + _END_S
            away = self._hopeless and self._away(now)
            if now >= min(until, end) or self.suspended or away:
                break
            self._source.wait(max(0.0, min(self._pause_s(), until - now)))
            self._turn()


def _retry(config: ForwarderConfig) -> Retry:
    return Retry(config.network_retry_time, config.max_tries_per_record, config.max_time_per_record)
