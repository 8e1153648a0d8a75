"""audisp-remote: records to a collector on another host, in order, each until it is acknowledged.

The loop takes what the daemon sends, keeps a window of records on the way to the server, and
does what audisp-remote.conf says about whatever happens.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.config.remote import PATH, RemoteConfig, RemoteFormat, load
from auditd_py.config.words import Transport
from auditd_py.plugins.forwarder import SLOWEST_TURN_S, Forwarder, run_program
from auditd_py.plugins.remote_actions import Verdict, given_up
from auditd_py.plugins.remote_link import Link, State
from auditd_py.plugins.remote_report import report
from auditd_py.plugins.remote_tls import wrapping
from auditd_py.remote import tokens
from auditd_py.remote.frame import MAX_TEXT, fits
from auditd_py.remote.sender import Answers, Trouble, Window
from auditd_py.remote.stream import hello, parse_answer, record_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.plugins.remote_link import Wrap
    from auditd_py.remote.stream import Position

PROGRAM: Final = "audisp-remote"

_MOST_UNSENT: Final = 1 << 20  # bytes: with lines that nobody acknowledges
_LINES: Final = 4096  # such lines at a time


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_program(PROGRAM, PATH, words, load, RemoteForwarder)


class RemoteForwarder(Forwarder[RemoteConfig, Link]):
    """The program, from its settings on. Raises ConfigError if their files are of no use."""

    def __init__(self, path: str, config: RemoteConfig, tell: Callable[[str], None]) -> None:
        self._window = Window(config.window, given_up(config))
        self._up = False
        self._renamed = False  # since the connection was made
        self._moved_at = 0.0  # when a server last answered, or had nothing to answer
        self._most = 0
        super().__init__(path, config, tell, load)

    @property
    def _unsent(self) -> int:
        return self._link.unsent

    def _text_of_record(self, line: bytes) -> bytes:
        return fits(line, self._most)

    def _away(self, now: float) -> bool:
        return self._link.state is State.DOWN and now < self._due_at

    def _report(self) -> str:
        return report(self.config, self.counts, self._queue, self._link, self.suspended)

    def _close_link(self) -> None:
        self._link.close()

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

    def _new_link(self, config: RemoteConfig) -> Link:
        wrap: Wrap | None = None
        if config.transport is Transport.KRB5:
            # late: it loads the Kerberos library
            from auditd_py.plugins.remote_krb5 import protecting

            wrap = protecting(config)
        elif config.transport is Transport.TLS:
            wrap = wrapping(config)
        self._most = tokens.MAX_TEXT if config.transport is Transport.KRB5 else MAX_TEXT
        return Link(
            self._source.selector, config.remote_server, config.port, config.local_port, wrap
        )

    def _replace_link(self, link: Link) -> None:  # noqa: ARG002  the new one is still down
        self._link.close()
        self._up = False
        self._window.size, self._window.given_up = self.config.window, given_up(self.config)

    def _pause_s(self) -> float:
        """Return how long nothing needs to be done if nothing happens."""
        now = time.monotonic()
        due = [SLOWEST_TURN_S]
        state = self._link.state
        if self.suspended:
            return SLOWEST_TURN_S
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
