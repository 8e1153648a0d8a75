"""Standard input as the daemon feeds it, and what else happens to a plugin: the end, signals.

A plugin ends with its input and with SIGTERM, and survives SIGHUP. One loop does all: sockets
and pipes of a plugin's own are registered with `selector`, with a function as their data.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Final

from auditd_py.plugins.start import HELD
from auditd_py.plugins.wire import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from auditd_py.plugins.outlet import Outlet

BLOCK: Final = 1 << 18  # a socket pair holds about 200 KiB
MOST_AT_END: Final = 1 << 22  # read after SIGTERM: what the daemon sent before it

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Input:
    """Records from a descriptor, standard input by default, in batches.

    `happened` holds the signals that came since the plugin looked: SIGHUP, and those asked for
    with `signals`; the plugin takes out what it has dealt with. Only for the main thread. Also a
    file can be read, which a plugin is tried out with.
    """

    def __init__(
        self, descriptor: int = 0, *, signals: tuple[signal.Signals, ...] = (), block: int = BLOCK
    ) -> None:
        self.stream = Stream()
        self.happened: set[int] = set()
        self.ending = False
        # poll: epoll takes no regular files
        self.selector = selectors.PollSelector()
        self._descriptor = descriptor
        self._block = block
        self._read = False
        self._watched = -1
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(self._wake, selectors.EVENT_READ, self._drain_wakes)
        self.pause(reading=True)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number in (*_ENDING, signal.SIGHUP, *signals):
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    def batches(
        self, timeout_s: Callable[[], float | None] | None = None, *, outlet: Outlet | None = None
    ) -> Iterator[list[bytes]]:
        """Give the records of each read; none when a signal or a socket woke the plugin.

        None are given also when nothing has happened for as long as `timeout_s` says. Ends with the
        input or SIGTERM; then `ending` is true. Raises WireError as Stream.

        With an `outlet`, it is flushed when its sink takes more, and nothing is read while it is
        full and the sink is only slow: the daemon's own queue waits then, and says what happens.
        """
        while True:
            self._read = False
            self.wait(
                0 if self.ending else self._limit_s(timeout_s() if timeout_s else None, outlet)
            )
            if self.ending:
                yield self._rest()
                break
            if not self._read:
                yield []
                continue
            data = os.read(self._descriptor, self._block)
            if not data:
                self.ending = True
                yield self.stream.end()
                break
            yield self.stream.feed(data)
        self.pause(reading=False)

    def finish(self, outlet: Outlet, limit_s: float = 1.0) -> None:
        """Give an outlet time to pass on what waits, then close it."""
        self.pause(reading=False)
        deadline = time.monotonic() + limit_s
        outlet.flush(time.monotonic())
        while outlet.waiting and (now := time.monotonic()) < deadline:
            self.wait(min(self._limit_s(None, outlet) or 0.0, deadline - now))
            outlet.flush(time.monotonic())
        self._unwatch()
        outlet.close(time.monotonic())

    def _limit_s(self, timeout_s: float | None, outlet: Outlet | None) -> float | None:
        """Return how long to wait, with an outlet's sink watched as it needs."""
        if outlet is None:
            return timeout_s
        now = time.monotonic()
        outlet.flush(now)
        if not self.ending:
            self.pause(reading=not outlet.full or outlet.stalled(now))
        self._unwatch()
        if outlet.sink is not None and outlet.waiting:
            self._watched = outlet.sink.fileno()
            self.selector.register(self._watched, selectors.EVENT_WRITE, _nothing)
        pause_s = outlet.pause_s(now)
        return min((t for t in (timeout_s, pause_s) if t is not None), default=None)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self.selector.unregister(self._watched)
            self._watched = -1

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when something has happened, or nothing for so long."""
        for key, mask in self.selector.select(timeout_s):
            if key.data is None:
                self._read = True
            else:
                key.data(mask)

    def pause(self, *, reading: bool) -> None:
        """Stop or begin to read: what is not read waits in the daemon's queue."""
        registered = self._descriptor in self.selector.get_map()
        if reading and not registered:
            self.selector.register(self._descriptor, selectors.EVENT_READ)
        elif registered and not reading:
            self.selector.unregister(self._descriptor)

    def write(self, descriptor: int, data: bytes, limit_s: float = 1.0) -> bool:
        """Write all to a descriptor that does not block; say whether it took it.

        A reader that is slow holds up the plugin, and its daemon's queue, but not the plugin's
        end: then it has `limit_s`. Raises OSError if it cannot be written to, as to a reader
        that has gone.
        """
        left = memoryview(data)
        deadline: float | None = None
        with selectors.PollSelector() as waiting:
            waiting.register(descriptor, selectors.EVENT_WRITE)
            waiting.register(self._wake, selectors.EVENT_READ)
            while left:
                try:
                    left = left[os.write(descriptor, left) :]
                except BlockingIOError:
                    if self.ending and deadline is None:
                        deadline = time.monotonic() + limit_s
                    if deadline is not None and time.monotonic() > deadline:
                        return False
                    for key, _ in waiting.select(0.1 if deadline is not None else None):
                        if key.fd == self._wake:
                            self._drain_wakes(0)
        return True

    def _rest(self) -> list[bytes]:
        """Return what the daemon sent before SIGTERM."""
        batch: list[bytes] = []
        size = 0
        self.pause(reading=True)
        while size < MOST_AT_END:
            self._read = False
            self.wait(0)
            data = os.read(self._descriptor, self._block) if self._read else b""
            if not data:
                break
            size += len(data)
            batch += self.stream.feed(data)
        return batch

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in _ENDING:
            self.ending = True
        else:
            self.happened.add(number)

    def _drain_wakes(self, _mask: int) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass


def _nothing(_mask: int) -> None:
    """Only wake the loop."""
