"""audisp-nats: records to a stream of a NATS cluster, in order, each until it is acknowledged.

One message is on its way at a time, with all records that came meanwhile, up to message_size. Two
would not be faster where it matters, and the second could overtake the first when a server fails:
a collector would then take the first for one that it has.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditd_py.config.fleet import PATH, FleetConfig, load
from auditd_py.plugins.fleet_link import FleetLink, Message
from auditd_py.plugins.forwarder import SLOWEST_TURN_S, Forwarder, run_program
from auditd_py.plugins.remote_report import report_text
from auditd_py.remote.fleet import (
    HEADER_ROOM,
    ID_HEADER,
    Run,
    halves,
    headers_of,
    message_id,
    runs_of,
    stamp_of,
    subject_of,
)
from auditd_py.remote.frame import MAX_TEXT, fits
from auditd_py.remote.sender import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.plugins.fleet_link import Outcome

PROGRAM: Final = "audisp-nats"

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_HEAD: Final = 300  # bytes that have the name of a record's host and its event
_REST: Final = 1 << 16  # bytes of one event beyond message_size
_LEAST_SIZE: Final = MAX_TEXT + HEADER_ROOM


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_program(PROGRAM, PATH, words, load, FleetForwarder)


class FleetForwarder(Forwarder[FleetConfig, FleetLink]):
    """The program, from its settings on. Raises ConfigError if their files are of no use."""

    def __init__(self, path: str, config: FleetConfig, tell: Callable[[str], None]) -> None:
        self.messages = self.duplicates = 0
        self._size = 0  # bytes of a message that the servers take
        self._prefix = b""
        self._runs: deque[tuple[bytes, Run]] = deque()  # taken from the queue, with their nodes
        self._renew_at = 0  # number of the first record that was not in the queue at the start
        self._boot = _BOOT.read_text(encoding="ascii").strip()
        super().__init__(path, config, tell, load)

    def _new_link(self, config: FleetConfig) -> FleetLink:
        self._size = (config.message_size << 10) - _LEAST_SIZE
        self._prefix = b"node=%s " % (config.node_name or socket.gethostname()).encode()
        return FleetLink(self._source.selector, config)

    def _replace_link(self, link: FleetLink) -> None:  # noqa: ARG002  the new one is still idle
        self._link.close()

    def _close_link(self) -> None:
        self._link.close()

    def _open_queue(self) -> None:
        super()._open_queue()
        self._renew_at = self._queue.first + self._queue.waiting

    def _text_of_record(self, line: bytes) -> bytes:
        return fits(line if line.startswith(b"node=") else self._prefix + line, MAX_TEXT)

    def _away(self, now: float) -> bool:
        return not self._link.busy and now < self._due_at

    def _turn(self) -> None:
        now = time.monotonic()
        outcome = self._link.outcome()
        if outcome is not None:
            self._answered(outcome, now)
        ready = not (self._link.busy or self.suspended or self._stopping)
        if ready and now >= self._due_at:
            self._publish()
        if self._held:
            self._fill()

    def _publish(self) -> None:
        if not self._runs:
            self._cut()
        if self._runs:
            node, run = self._runs[0]
            headers = headers_of(run.stream, run.first, run.count)
            headers[ID_HEADER] = message_id(node, self._boot, run)
            subject = subject_of(self.config.site, node)
            self._link.publish(Message(subject, run.lines, headers))

    def _cut(self) -> None:
        """Take the next records from the queue.

        Those that were there at the start may be in the stream already, and keep their numbers. All
        others get a stream that nobody else has: the file may be a copy of another host's, or one
        of yesterday, whose next numbers a collector has already seen.
        """
        queue = self._queue
        if self._renew_at and queue.first >= self._renew_at:
            self._renew_at = 0
            self._rename()
        most = self._renew_at - queue.first if self._renew_at else queue.untaken
        texts = queue.take_size(self._size, most)
        if texts:
            self._take_rest(texts, most)
            self._runs += runs_of(queue.stream, queue.first, texts)

    def _take_rest(self, texts: list[bytes], most: int) -> None:
        """Take also what else there is of the last event: two messages may go to two collectors."""
        stamp = stamp_of(texts[-1])
        room = _REST
        while stamp and len(texts) < most and self._queue.untaken and room > 0:
            following = self._queue.next(0)
            if stamp not in following[:_HEAD]:
                break
            room -= len(following)
            texts += self._queue.take(1)

    def _answered(self, outcome: Outcome, now: float) -> None:
        node, run = self._runs[0]
        if outcome.too_large and run.count > 1:
            self._runs.popleft()
            self._runs.extendleft((node, half) for half in reversed(halves(run)))
            self._size = max(min(self._size, len(run.lines) // 2), 1)
        elif outcome.failed:
            self._failed(outcome.text, now, outcome.trouble)
        else:
            self._runs.popleft()
            self.messages += 1
            self.duplicates += outcome.duplicate
            self._acknowledged(run.count, now)

    def _acknowledged(self, count: int, now: float) -> None:
        self._reached, self._hopeless = True, False
        self._retry.succeeded()
        self._due_at = 0.0
        self.counts.sent += count
        self.counts.answered_at = now
        self._actions.over(
            Trouble.STARTUP_FAILURE,
            Trouble.NETWORK_FAILURE,
            Trouble.DISK_FULL,
            Trouble.GENERIC_ERROR,
        )
        self._release_from_queue(count)

    def _pause_s(self) -> float:
        if self.suspended or self._link.busy or not self._queue.waiting:
            return SLOWEST_TURN_S
        return max(0.0, min(SLOWEST_TURN_S, self._due_at - time.monotonic()) + 0.001)

    def _report(self) -> str:
        config, link = self.config, self._link
        self.counts.connections = link.connections
        target = {
            "server": link.server,
            "stream": config.stream,
            "site": config.site,
            "connection": "up" if link.connected else "down",
            "messages acknowledged": self.messages,
            "messages the stream had": self.duplicates,
        }
        return report_text(target, config, self.counts, self._queue, self.suspended)
