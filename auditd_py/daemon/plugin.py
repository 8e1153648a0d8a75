"""One plugin: its process, and the socket it reads records from.

The daemon keeps a descriptor of the plugin's end of the socket. So what a plugin that ends had
not read is still there and is sent to its successor, and how much it has read is known at any
time; its end of file still comes when the daemon closes its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from auditd_py.daemon import handover
from auditd_py.dispatch.frame import Format
from auditd_py.dispatch.queue import PluginQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.config.plugin import PluginSettings

SO_SNDBUFFORCE: Final = 32

_BUFFER: Final = 4 << 20  # bytes on the way; memory is taken only while they are unread
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_FIRST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 30.0
_HEALTHY_S: Final = 3600.0  # after so long its restarts are forgotten
_STUCK_S: Final = 5.0  # unread for so long: does it still have its end of the socket?
_EOF_S: Final = 3.0  # to end by itself, and again for as long as it goes on reading
_LONGEST_EOF_S: Final = 20.0
_TERM_S: Final = 2.0

log = structlog.get_logger()


class Plugin:
    """A plugin that runs, or will again. `on_drop(plugin, records)` is told of a full queue."""

    def __init__(
        self,
        settings: PluginSettings,
        depth: int,
        max_restarts: int,
        on_drop: Callable[[Plugin, int], None],
    ) -> None:
        self.settings = settings
        self.restarts = 0
        self.active = True
        self.max_restarts = max_restarts
        form = Format.BINARY if settings.binary else Format.STRING
        self.queue = PluginQueue(form, depth)
        self.pid = 0
        self._on_drop = on_drop
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self._pidfd = -1
        self._writing = False
        self._flushing = False
        self._ended = asyncio.Event()
        self._restart: asyncio.TimerHandle | None = None
        self._stopping = False
        self._started_at = 0.0
        self._read_at = 0.0  # when it was last seen to have read something
        self._unread = 0

    def start(self) -> bool:
        """Start the process; a plugin that cannot be started is told and left alone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            ours.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, _BUFFER // 2)
        except PermissionError:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER // 2)
        ours.setblocking(False)
        settings = self.settings
        try:
            self.pid = _spawn(settings.path, settings.args, theirs.fileno())
        except OSError as error:
            ours.close()
            theirs.close()
            log.error(f"plugin {settings.name} cannot be started", reason=error.strerror)
            self._give_up()
            return False
        self._socket, self._theirs = ours, theirs
        self._ended.clear()
        self._started_at = self._read_at = time.monotonic()
        self._watch_end()
        self._flush()
        return True

    def leave(self) -> tuple[dict[str, Any], list[int]]:
        """Return what `go_on` needs, and the descriptors to pass."""
        waiting, sent, offset = self.queue.kept()
        sockets = (self._socket, self._theirs)
        fds = [os.dup(sock.fileno()) for sock in sockets if sock is not None]
        state = {
            "settings": dataclasses.asdict(self.settings),
            "pid": self.pid,
            "descriptors": fds,
            "waiting": [(handover.text(chunk), records) for chunk, records in waiting],
            "sent": list(map(handover.text, sent)),
            "offset": offset,
            "most": self.queue.most,
            "dropped": self.queue.dropped,
            "restarts": self.restarts,
            "started_at": self._started_at,
        }
        return state, fds

    def go_on(self, state: dict[str, Any], fds: list[int]) -> None:
        """Be the plugin that the process before this one left; its process may run, or not."""
        queue = self.queue
        queue.go_on(
            [(handover.data(chunk), records) for chunk, records in state["waiting"]],
            list(map(handover.data, state["sent"])),
            state["offset"],
        )
        queue.most, queue.dropped = state["most"], state["dropped"]
        self.restarts, self._started_at = state["restarts"], state["started_at"]
        if not fds:
            self.start()  # it had ended and was to be started again
            return
        self._socket, self._theirs = (socket.socket(fileno=fd) for fd in fds)
        self._socket.setblocking(False)
        self.pid, self._read_at = state["pid"], time.monotonic()
        self._watch_end()
        self._flush()

    def _watch_end(self) -> None:
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._on_end)

    def give(self, chunk: bytes, records: int) -> None:
        """Queue `records` whole records for it."""
        if not self.active:
            self.queue.dropped += records
            return
        if self.queue.records + records > self.queue.depth:
            self._flush()
        dropped = self.queue.put(chunk, records)
        if dropped:
            self._on_drop(self, dropped)
        if not self._flushing and not self._writing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def check(self) -> None:
        """Look whether it reads; to be called every few seconds."""
        if self._socket is None or self._theirs is None:
            return
        now = time.monotonic()
        self._note_unread()
        if not self._unread:
            self._read_at = now
        elif now - self._read_at > _STUCK_S and not self._has_input():
            log.error(f"plugin {self.settings.name} closed its input")
            os.kill(self.pid, signal.SIGKILL)  # and it is started again
        if self.restarts and now - self._started_at > _HEALTHY_S:
            self.restarts = 0

    async def stop(self) -> None:
        """End it: let it read what waits, then end of file, SIGTERM, SIGKILL."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._socket is None:
            self.queue.clear()
            return
        deadline = self._loop.time() + _LONGEST_EOF_S
        await self._drain(deadline)
        self._close_ours()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                log.warning(f"plugin {self.settings.name} does not end, sending {number.name}")
                self._signal(number)
            if await self._wait_end(_EOF_S if number is None else _TERM_S, deadline):
                break
        self.queue.clear()

    async def _drain(self, deadline: float) -> None:
        # for as long as it goes on reading
        while self.queue.records and self._socket is not None and self._loop.time() < deadline:
            before = self._unread
            self._flush()
            if await self._wait_end(0.05, deadline):
                return
            if self._unread == before and time.monotonic() - self._read_at > _EOF_S:
                return

    async def _wait_end(self, limit_s: float, deadline: float) -> bool:
        """Wait until it has ended; longer while it reads what it was sent."""
        while not self._ended.is_set():
            before = self._note_unread()
            try:
                async with asyncio.timeout(limit_s):
                    await self._ended.wait()
            except TimeoutError:
                if self._note_unread() == before or self._loop.time() > deadline:
                    return False
        return True

    def _note_unread(self) -> int:
        if self._theirs is not None:
            (unread,) = struct.unpack(
                "=i", fcntl.ioctl(self._theirs.fileno(), termios.FIONREAD, bytes(4))
            )
            if unread < self._unread:
                self._read_at = time.monotonic()
            self._unread = unread
            self.queue.unread(unread)
        return self._unread

    def _has_input(self) -> bool:
        assert self._theirs is not None
        try:
            ours = os.fstat(self._theirs.fileno()).st_ino
            return os.stat(f"/proc/{self.pid}/fd/0").st_ino == ours
        except OSError:
            return False

    def _flush(self) -> None:
        self._flushing = False
        if self._socket is None:
            return
        while vector := self.queue.vector():
            try:
                self.queue.sent(os.writev(self._socket.fileno(), vector))
            except BlockingIOError:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._socket.fileno(), self._flush)
                break
            except OSError:
                return  # its end is told by the kernel as well
        else:
            self._stop_writing()
        self._note_unread()

    def _stop_writing(self) -> None:
        if self._writing and self._socket is not None:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _close_ours(self) -> None:
        self._stop_writing()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status = os.waitpid(self.pid, 0)
        self.queue.rewind(self._note_unread())
        self._close_ours()
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None
        self._unread = self.pid = 0
        self._ended.set()
        if not self._stopping:
            self._start_again(_how(status))

    def _start_again(self, how: str) -> None:
        name = self.settings.name
        log.error(f"plugin {name} terminated unexpectedly", how=how)
        self.restarts += 1
        if self.restarts > self.max_restarts:
            log.error(f"plugin {name} has exceeded max_restarts")
            self._give_up()
            return
        backoff_s = min(_FIRST_BACKOFF_S * 2 ** (self.restarts - 1), _LONGEST_BACKOFF_S)
        self._restart = self._loop.call_later(backoff_s, self._start_late)

    def _start_late(self) -> None:
        self._restart = None
        self.start()

    def _give_up(self) -> None:
        self.active = False
        dropped = self.queue.clear()
        if dropped:
            self._on_drop(self, dropped)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass


def _spawn(path: str, args: tuple[str, ...], stdin: int) -> int:
    # the daemon ignores most signals, which its children would inherit
    actions = (
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    pid = os.posix_spawn(
        path, [path, *args], _ENVIRONMENT, file_actions=actions,
        setsigmask=(), setsigdef=_SIGNALS,
    )  # fmt: skip
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write("0")  # the daemon's protection is not meant for its children
    except OSError:
        pass
    return pid


_SIGNALS: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
