"""One connection to a server at a time: looked up, connected, encrypted; it never blocks.

It moves when its descriptor does, in the loop of the plugin's input, and tells what came of it:
`received` and `failure` are for the owner to look at after each turn of the loop.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

_BLOCK: Final = 1 << 18
_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE

Address = tuple[int, str, tuple[str, int] | tuple[str, int, int, int]]


class BusyError(Exception):
    """A handshake goes on in a thread; `descriptor` is readable when there is news of it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.descriptor = descriptor


class Protected(Protocol):
    """A connection as ssl.SSLSocket is one that does not block."""

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises OSError, of ssl those that want something."""

    def recv(self, size: int, /) -> bytes:
        """Return what came."""

    def send(self, data: memoryview, /) -> int:
        """Send some of `data`, return how much; to be called with the same data until it does."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def close(self) -> None:
        """Let go of it."""


Wrap = Callable[[socket.socket, str], Protected]


class State(Enum):
    """How far a connection is."""

    DOWN = auto()
    LOOKING_UP = auto()
    CONNECTING = auto()
    SHAKING_HANDS = auto()
    UP = auto()


class Link:
    """A connection to the first of `servers` that can be reached; all times in seconds.

    `wrap` makes the connection an encrypted one, None leaves it plain.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        servers: tuple[str, ...],
        port: int,
        local_port: int = 0,
        wrap: Wrap | None = None,
    ) -> None:
        self.state = State.DOWN
        self.server = ""  # the one connected to, or tried
        self.failure = ""  # why it went down
        self.received: list[bytes] = []
        self.moved_at = 0.0  # when the state changed
        self._selector = selector
        self._servers = servers
        self._port = port
        self._local_port = local_port
        self._wrap = wrap
        self._socket: socket.socket | Protected | None = None
        self._busy = -1  # descriptor of a handshake in a thread
        self._out = bytearray()
        self._candidates: deque[Address] = deque()
        self._lookup: _Lookup | None = None
        self._mask = 0
        self._broken = ""  # why the present attempt, or connection, is over

    @property
    def unsent(self) -> int:
        """Bytes that the connection did not take yet."""
        return len(self._out)

    def open(self, now: float) -> None:
        """Begin to connect; `state` tells how it goes."""
        self.failure = ""
        self._move(State.LOOKING_UP, now)
        self._lookup = _Lookup(self._servers, self._port, self._selector)
        self.turn(now)

    def close(self) -> None:
        """Let go of the connection, whatever its state."""
        if self._lookup is not None:
            self._lookup.close()
            self._lookup = None
        self._drop()
        self._candidates.clear()
        self.state, self._broken = State.DOWN, ""

    def send(self, data: bytes) -> None:
        """Send; what the connection does not take at once goes as soon as it does."""
        self._out += data
        self._flush()

    def turn(self, now: float, limit_s: float = 0.0) -> None:
        """Go on with what waits for something else than the descriptor; call it each turn."""
        if self.state is State.LOOKING_UP and self._lookup is not None and self._lookup.done:
            self._candidates.extend(self._lookup.addresses)
            self.failure = self._lookup.failure
            self._lookup.close()
            self._lookup = None
            self._next(now)
        elif (
            self.state in (State.CONNECTING, State.SHAKING_HANDS)
            and limit_s
            and now - self.moved_at > limit_s
        ):
            self._failed(f"{self.server}: no answer in {limit_s:.0f} s", now)
        elif self._broken and self.state is State.UP:
            self.close()
        elif self._broken:
            self._failed(self._broken, now)

    def _next(self, now: float) -> None:
        """Connect to the next address, or be down."""
        while self._candidates:
            family, self.server, address = self._candidates.popleft()
            self._move(State.CONNECTING, now)
            try:
                self._connect(family, address)
            except OSError as error:
                self._drop()
                self.failure = f"{self.server}: {error.strerror or error}"
                continue
            return
        self._move(State.DOWN, now)

    def _connect(self, family: int, address: tuple[object, ...]) -> None:
        connection = socket.socket(family, socket.SOCK_STREAM)
        self._socket = connection
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._local_port:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("", self._local_port))
        result = connection.connect_ex(address)
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        self._mask = _WRITE
        self._selector.register(connection, _WRITE, self._on_event)

    def _on_event(self, mask: int) -> None:
        if self._broken:
            return  # that is dealt with at the next turn
        try:
            if self.state is State.CONNECTING:
                self._on_connected()
            elif self.state is State.SHAKING_HANDS:
                self._shake_hands()
            else:
                if mask & ~_WRITE:
                    self._receive()
                if mask & _WRITE:
                    self._flush()
        except OSError as error:
            self._break(error)

    def _on_connected(self) -> None:
        assert isinstance(self._socket, socket.socket)
        result = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            raise OSError(result, os.strerror(result))
        self.failure = ""
        if self._wrap is None:
            self._up()
            return
        self._watch(0)
        self._protected = self._socket = self._wrap(self._socket, self.server)
        self._watch(_WRITE)
        self.state = State.SHAKING_HANDS
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._protected.do_handshake()
        except BusyError as busy:
            self._watch(0)
            self._busy = busy.descriptor
            self._selector.register(self._busy, _READ, self._on_news)
        except ssl.SSLWantReadError:
            self._watch(_READ)
        except ssl.SSLWantWriteError:
            self._watch(_WRITE)
        else:
            self._up()

    def _on_news(self, mask: int) -> None:
        self._forget_news()
        self._on_event(mask)

    def _forget_news(self) -> None:
        if self._busy >= 0:
            self._selector.unregister(self._busy)
            self._busy = -1

    def _up(self) -> None:
        self.state = State.UP
        self._candidates.clear()
        self._watch(_READ)

    def _receive(self) -> None:
        assert self._socket is not None
        for _ in range(16):  # of TLS one record at a time
            try:
                data = self._socket.recv(_BLOCK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ssl.SSLWantWriteError:
                self._watch(_READ | _WRITE)
                return
            if not data:
                self._end("the server closed the connection")
                return
            self.received.append(data)
            if self._wrap is None:
                return

    def _flush(self) -> None:
        if self._socket is None or self.state is not State.UP:
            return
        try:
            while self._out:
                size = self._socket.send(memoryview(self._out)[:_BLOCK])
                del self._out[:size]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._break(error)
            return
        self._watch(_READ | _WRITE if self._out else _READ)

    def _watch(self, mask: int) -> None:
        if self._socket is None or mask == self._mask:
            return
        if not mask:
            self._selector.unregister(self._socket)
        elif not self._mask:
            self._selector.register(self._socket, mask, self._on_event)
        else:
            self._selector.modify(self._socket, mask, self._on_event)
        self._mask = mask

    def _break(self, error: OSError) -> None:
        reason = getattr(error, "verify_message", "") or error.strerror or str(error)
        self._end(reason)

    def _end(self, reason: str) -> None:
        self._broken = self.failure = f"{self.server}: {reason}"
        self._watch(0)

    def _failed(self, reason: str, now: float) -> None:
        self._drop()
        self.failure = reason
        self._next(now)

    def _drop(self) -> None:
        self._forget_news()
        if self._socket is not None:
            self._watch(0)
            self._socket.close()
        self._socket, self._mask = None, 0
        self._out.clear()

    def _move(self, state: State, now: float) -> None:
        self.state, self.moved_at, self._broken = state, now, ""


class _Lookup:
    """The addresses of host names, found in a thread: a slow name server holds up nothing."""

    def __init__(
        self, servers: tuple[str, ...], port: int, selector: selectors.BaseSelector
    ) -> None:
        self.addresses: list[Address] = []
        self.failure = ""
        self.done = False
        self._selector = selector
        self._ours, self._theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        selector.register(self._ours, _READ, lambda _mask: None)
        arguments = (servers, port, socket.AI_NUMERICHOST)
        if self._ask(*arguments):
            self.done = True
            os.close(self._theirs)
        else:
            self.addresses.clear()
            threading.Thread(target=self._run, args=(servers, port), daemon=True).start()

    def _run(self, servers: tuple[str, ...], port: int) -> None:
        self._ask(servers, port, 0)
        self.done = True
        os.close(self._theirs)  # which wakes the loop

    def _ask(self, servers: tuple[str, ...], port: int, flags: int) -> bool:
        whole = True
        for server in servers:
            try:
                found = socket.getaddrinfo(
                    server, port, type=socket.SOCK_STREAM, flags=flags | socket.AI_NUMERICSERV
                )
            except OSError as error:
                self.failure = f"{server}: {error.strerror or error}"
                whole = False
                continue
            self.addresses += [(item[0], server, item[4]) for item in found]  # type: ignore[misc]
        return whole

    def close(self) -> None:
        """Forget about it."""
        self._selector.unregister(self._ours)
        os.close(self._ours)
