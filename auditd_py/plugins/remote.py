"""audisp-remote: records to a collector on another host, in order, each until it is acknowledged.

The loop takes what the daemon sends, keeps a window of records on the way to the server, and
does what audisp-remote.conf says about whatever happens.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.config.remote import PATH, RemoteFormat, load
from auditd_py.config.table import Mode
from auditd_py.config.words import Transport
from auditd_py.errors import ConfigError, LogError, WireError
from auditd_py.plugins.input import Input
from auditd_py.plugins.remote_actions import Actions, Verdict, given_up
from auditd_py.plugins.remote_link import Link, State
from auditd_py.plugins.remote_report import Counts, report, write_report
from auditd_py.plugins.remote_store import FileQueue
from auditd_py.plugins.remote_tls import wrapping
from auditd_py.plugins.system_log import teller
from auditd_py.remote import tokens
from auditd_py.remote.frame import MAX_TEXT, fits
from auditd_py.remote.queue import MemoryQueue
from auditd_py.remote.sender import Answers, Retry, Trouble, Window
from auditd_py.remote.stream import STREAM_SIZE, hello, parse_answer, record_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.config.remote import RemoteConfig
    from auditd_py.plugins.remote_link import Wrap
    from auditd_py.remote.stream import Position

PROGRAM: Final = "audisp-remote"
EXIT_LEFT: Final = 1  # records are left in the queue, or an action ended the program
EXIT_CONFIG: Final = 6

_MOST_UNSENT: Final = 1 << 20  # bytes: with lines that nobody acknowledges
_LINES: Final = 4096  # such lines at a time
_END_S: Final = 2.0  # to send what waits when the input has ended, and again while it goes on
_MOST_END_S: Final = 15.0
_SLOWEST_TURN_S: Final = 60.0
_FIXED: Final = ("mode", "queue_file", "queue_depth", "queue_sync")  # the file is open
_USAGE: Final = "arguments: [-c FILE]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    tell = teller(PROGRAM)
    if words[:1] == ["-c"] and len(words) == 2:
        path = words[1]
    elif words:
        tell(_USAGE)
        return EXIT_CONFIG
    else:
        path = PATH
    try:
        loaded = load(path)
        forwarder = Forwarder(path, loaded.config, tell)
    except ConfigError as error:
        for problem in error.problems:
            tell(str(problem))
        return EXIT_CONFIG
    for warning in loaded.warnings:
        tell(str(warning))
    return forwarder.run()


class Forwarder:
    """The program, from its settings on. Raises ConfigError if their files are of no use."""

    def __init__(self, path: str, config: RemoteConfig, tell: Callable[[str], None]) -> None:
        self.config = config
        self.counts = Counts()
        self.suspended = False
        self._path = path
        self._tell = tell
        self._source = Input(signals=(signal.SIGUSR1, signal.SIGUSR2))
        self._actions = Actions(config, tell)
        self._window = Window(config.window, given_up(config))
        self._queue = MemoryQueue(config.queue_depth, os.urandom(STREAM_SIZE))
        self._stopping = False
        self._reached = False  # a server, ever
        self._up = False
        self._renamed = False  # since the connection was made
        self._hopeless = False  # no attempt to reach one succeeded lately
        self._held: list[bytes] = []  # read, and too many for the queue
        self._due_at = 0.0  # the next attempt, or the next sending of what was refused
        self._moved_at = 0.0  # when a server last answered, or had nothing to answer
        self._retry = _retry(config)
        self._link = self._new_link()

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
        self._link.close()
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
        most = tokens.MAX_TEXT if self.config.transport is Transport.KRB5 else MAX_TEXT
        texts = [fits(line, most) for line in batch if line[5:9] != b"EOE " and line]
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

    def _turn(self) -> None:
        """Look at the connection, and send what goes."""
        now = time.monotonic()
        link = self._link
        link.turn(now, self.config.max_time_per_record)
        for data in link.received:
            self._receive(data, now)
        link.received.clear()
        if link.state is State.DOWN:
            self._down(now)
        elif link.state is State.UP:
            if not self._up:
                self._came_up(now)
            if self.suspended:
                self._moved_at = now
            elif self.config.format is RemoteFormat.ASCII:
                self._send_lines()
            else:
                self._send(now)
        if self._held:
            self._fill()

    def _down(self, now: float) -> None:
        link = self._link
        self._up = False
        if link.failure:
            reason, link.failure = link.failure, ""
            self._failed(reason, now)
        wanted = self._queue.waiting and not self.suspended and not self._stopping
        if wanted and now >= self._due_at:
            link.open(now)
            if link.state is State.DOWN:
                self._down(now)  # it failed at once

    def _failed(self, reason: str, now: float) -> None:
        self.counts.failures += 1
        pause = self._retry.failed(now)
        if pause is None:
            trouble = Trouble.NETWORK_FAILURE if self._reached else Trouble.STARTUP_FAILURE
            self._hopeless = True
            self._do(trouble, reason)
            pause = float(self.config.network_retry_time)
        self._due_at = now + pause

    def _came_up(self, now: float) -> None:
        self._up = self._reached = True
        self._moved_at = now
        self.counts.connections += 1
        self._actions.over(Trouble.STARTUP_FAILURE, Trouble.REMOTE_ENDING)
        if self.config.format is RemoteFormat.ASCII:
            self._hopeless = False
        else:
            self._renamed = False
            self._greet()

    def _greet(self) -> None:
        """Ask the server which of our records it has, before any is sent."""
        self._link.send(self._window.greet(hello(self._queue.stream, self._queue.first)))

    def _greeted(self, greeting: bytes) -> None:
        """Go on behind the last record that the server has, if it is one of ours."""
        position = parse_answer(greeting)
        if position is not None:
            done = position.last - self._queue.first + 1
            if self._has(done, position):
                self._window.ordered = True
                self._skip(done)
            elif not self._renamed:
                # another counted in our name: a copy of this machine, or the queue of yesterday
                self._renamed = True
                self._rename()
                self._greet()
                return
        again = self._window.restart()
        if again:
            self._link.send(again)

    def _has(self, done: int, position: Position) -> bool:
        """Return whether a server at `position` can have got the oldest `done` records from us."""
        if done <= 0:
            return True
        if done > self._queue.waiting:
            return False
        on_the_way = self._window.records
        if done <= on_the_way:
            text = self._window.entry(done - 1)
        else:
            text = self._queue.next(done - 1 - on_the_way)
        return None in (text, position.sum) or record_sum(text or b"") == position.sum

    def _skip(self, done: int) -> None:
        """Release the oldest records, which the server has."""
        if done <= 0:
            return
        self._queue.take(done - self._window.release(done))
        self.counts.sent += done
        self._release_from_queue(done)

    def _rename(self) -> None:
        try:
            self._queue.rename(os.urandom(STREAM_SIZE))
        except LogError as error:
            self._queue_failed(error)

    def _send(self, now: float) -> None:
        window, queue, link = self._window, self._queue, self._link
        if not window.waiting and (not window.refused or now < self._due_at):
            idle = not (window.refused or queue.untaken)
            beat = self.config.heartbeat_timeout
            if idle and beat and now - self._moved_at >= beat:
                link.send(window.heartbeat())
                self._moved_at = now
            elif not idle:
                self._moved_at = now
        elif window.waiting and now - self._moved_at > self.config.max_time_per_record:
            link.close()
            link.failure = f"{link.server}: no answer in {self.config.max_time_per_record} s"
            self._down(now)
            return
        if window.refused and not window.waiting and now >= self._due_at:
            self._greet()
        # a few large writes rather than one for each answer
        if queue.untaken and (window.room * 4 >= window.size or not window.waiting):
            texts = queue.take(window.room)
            if texts:
                link.send(window.send(texts))

    def _send_lines(self) -> None:
        """Send with format = ascii: what the connection takes is gone."""
        while self._queue.untaken and self._link.unsent < _MOST_UNSENT:
            texts = self._queue.take(_LINES)
            self._link.send(b"\n".join(texts) + b"\n")
            self._queue.release(len(texts))
            self.counts.sent += len(texts)

    def _receive(self, data: bytes, now: float) -> None:
        if self.config.format is RemoteFormat.ASCII:
            return  # nobody answers lines
        answers = self._window.receive(data)
        self._moved_at = now
        if answers.greeting is not None:
            self._greeted(answers.greeting)
        if answers.released:
            self._release(answers, now)
        for trouble, text in answers.troubles.items():
            verdict = self._do(trouble, text)
            if trouble is Trouble.REMOTE_ENDING or verdict is Verdict.RECONNECT:
                self._link.close()
                self._due_at = now + self.config.network_retry_time
            elif self._window.refused:
                self._due_at = now + self.config.network_retry_time
        if answers.error is not None:
            self._link.close()
            self._link.failure = f"{self._link.server}: {answers.error}"

    def _release(self, answers: Answers, now: float) -> None:
        self.counts.sent += answers.released - answers.lost
        self.counts.lost += answers.lost
        if answers.released > answers.lost:
            self._retry.succeeded()
            self._hopeless = False
            self.counts.answered_at = now
            over = {Trouble.NETWORK_FAILURE, Trouble.DISK_FULL, Trouble.DISK_ERROR}
            self._actions.over(*over.difference(answers.troubles))
            if Trouble.DISK_LOW not in answers.troubles:
                self._actions.over(Trouble.DISK_LOW)
        self._release_from_queue(answers.released)

    def _release_from_queue(self, amount: int) -> None:
        try:
            self._queue.release(amount)
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
            text = report(self.config, self.counts, self._queue, self._link, self.suspended)
            try:
                write_report(self.config.state_file, text)
            except OSError as error:
                self._tell(f"{self.config.state_file}: {error.strerror or error}")

    def _reload(self) -> None:
        old = self.config
        try:
            loaded = load(self._path)
            self.config = loaded.config
            link = self._new_link()
        except ConfigError as error:
            self.config = old
            for problem in error.problems:
                self._tell(str(problem))
            self._tell("the settings there were are kept")
            return
        new = self.config
        names = _FIXED if isinstance(self._queue, FileQueue) else _FIXED[:2]
        fixed = [name for name in names if getattr(new, name) != getattr(old, name)]
        if fixed:
            self._tell(f"{', '.join(fixed)}: changes when the program is started again")
            self.config = new.model_copy(update={name: getattr(old, name) for name in fixed})
        self._link.close()
        self._link, self._due_at = link, 0.0
        self._up = False
        self._actions.config = self.config
        self._window.size, self._window.given_up = self.config.window, given_up(self.config)
        self._retry = _retry(self.config)
        if not isinstance(self._queue, FileQueue):
            self._queue.depth = self.config.queue_depth
        self._tell("the settings are read again")

    def _new_link(self) -> Link:
        config = self.config
        wrap: Wrap | None = None
        if config.transport is Transport.KRB5:
            # late: it loads the Kerberos library
            from auditd_py.plugins.remote_krb5 import protecting

            wrap = protecting(config)
        elif config.transport is Transport.TLS:
            wrap = wrapping(config)
        return Link(
            self._source.selector, config.remote_server, config.port, config.local_port, wrap
        )

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

    def _pause_s(self) -> float:
        """Return how long nothing needs to be done if nothing happens."""
        now = time.monotonic()
        due = [_SLOWEST_TURN_S]
        state = self._link.state
        if self.suspended:
            return _SLOWEST_TURN_S
        if state is State.DOWN and self._queue.waiting:
            due.append(self._due_at - now)
        elif state is State.UP:
            if self._window.waiting:
                due.append(self._moved_at + self.config.max_time_per_record - now)
            elif self._window.refused:
                due.append(self._due_at - now)
            elif self.config.heartbeat_timeout:
                due.append(self._moved_at + self.config.heartbeat_timeout - now)
        elif state is not State.DOWN:
            due.append(self._link.moved_at + self.config.max_time_per_record - now)
        return max(0.0, min(due) + 0.001)

    def _finish(self) -> None:
        """Send what waits, for as long as it goes on."""
        end = time.monotonic() + _MOST_END_S
        sent, until = self.counts.sent, time.monotonic() + _END_S
        while (self._queue.waiting or self._link.unsent) and not self._stopping:
            now = time.monotonic()
            if self.counts.sent > sent:
                sent, until = self.counts.sent, now + _END_S
            away = self._hopeless and self._link.state is State.DOWN and now < self._due_at
            if now >= min(until, end) or self.suspended or away:
                break
            self._source.wait(max(0.0, min(self._pause_s(), until - now)))
            self._turn()


def _retry(config: RemoteConfig) -> Retry:
    return Retry(config.network_retry_time, config.max_tries_per_record, config.max_time_per_record)
