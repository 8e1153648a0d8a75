"""audisp-af_unix: records for whoever connects to a socket, each client at its own pace."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.plugins.input import Input
from auditd_py.plugins.listener import Listener
from auditd_py.plugins.outlet import TELL_EVERY_S
from auditd_py.plugins.system_log import teller
from auditd_py.plugins.wire import message
from auditd_py.record.record import type_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM: Final = "audisp-af_unix"
MOST_CLIENTS: Final = 32
STATE: Final = "af_unix.state"  # beside the socket, at SIGUSR1

_BLOCK: Final = 1 << 16  # few enough records that a client which reads keeps up
_GRACE_S: Final = 0.005  # for clients whose queue is full, once a block
_SEND_BUFFER: Final = 1 << 20
_END_S: Final = 1.0
_VECTOR: Final = 256
_USAGE: Final = "arguments: [MODE PATH string|binary [DEPTH]]"


@dataclass(slots=True)
class Request:
    """What the arguments ask for."""

    mode: int = 0o640
    path: str = "/run/audit/audispd_events"
    binary: bool = False
    depth: int = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    tell = teller(PROGRAM)
    try:
        request = parse(sys.argv[1:] if arguments is None else arguments)
        # first, so that no signal ends the plugin once its socket is there
        source = Input(signals=(signal.SIGUSR1,), block=_BLOCK)
        listener = Listener(request.path, request.mode)
    except ValueError as error:
        tell(str(error))
        return 1
    except OSError as error:
        tell(f"{request.path}: {error.strerror or error}")
        return 1
    server = Server(source, listener, request, tell)
    try:
        server.run()
    except WireError as error:
        tell(f"standard input: {error}")
        return 1
    finally:
        server.close()
    return 0


def parse(words: Sequence[str]) -> Request:
    """Return the request; raises ValueError for words that are none."""
    if not words:
        return Request()
    if len(words) not in (3, 4):
        raise ValueError(_USAGE)
    mode, path, form = words[:3]
    if not mode.isdecimal() or not set(mode) <= set("01234567") or int(mode, 8) > 0o777:
        raise ValueError(f"{mode}: an octal mode up to 0777 is allowed; {_USAGE}")
    if not path.startswith("/") or len(os.fsencode(path)) > 107:
        raise ValueError(f"{path}: an absolute path of at most 107 bytes is allowed; {_USAGE}")
    if form not in ("string", "binary"):
        raise ValueError(f"{form}: string or binary is allowed; {_USAGE}")
    depth = words[3] if len(words) == 4 else "512"
    if not depth.isdecimal() or not 1 <= int(depth) <= 99999:
        raise ValueError(f"{depth}: a queue of 1 to 99999 records is allowed; {_USAGE}")
    return Request(int(mode, 8), path, form == "binary", int(depth))


class Client:
    """One client: its socket, what waits for it, and what it lost."""

    def __init__(self, connection: socket.socket, number: int, depth: int) -> None:
        self.connection = connection
        self.number = number
        self.dropped = 0
        self.told = 0
        self.told_at = float("-inf")
        self.waiting: deque[bytes] = deque()
        self._depth = depth
        self._offset = 0

    @property
    def full(self) -> bool:
        """Whether the next record would be dropped."""
        return len(self.waiting) >= self._depth

    def put(self, frames: Sequence[bytes]) -> None:
        """Queue what there is room for; the rest is lost to this client."""
        room = self._depth - len(self.waiting)
        self.waiting.extend(frames[:room])
        self.dropped += max(0, len(frames) - room)

    def send(self) -> None:
        """Send what the socket takes; raises OSError when the client has gone."""
        while self.waiting:
            data = memoryview(b"".join(islice(self.waiting, _VECTOR)))
            try:
                sent = self.connection.send(data[self._offset :]) + self._offset
            except BlockingIOError:
                return
            while self.waiting and sent >= len(self.waiting[0]):
                sent -= len(self.waiting.popleft())
            self._offset = sent


class Server:
    """The clients, and what they get."""

    def __init__(
        self, source: Input, listener: Listener, request: Request, tell: Callable[[str], None]
    ) -> None:
        self._source = source
        self._listener = listener
        self._request = request
        self._tell = tell
        self._clients: dict[int, Client] = {}
        self._accepted = 0
        self._records = 0
        source.selector.register(listener.socket, selectors.EVENT_READ, self._accept)

    def run(self) -> None:
        """Pass records on until the input ends; raises WireError."""
        for batch in self._source.batches():
            if signal.SIGUSR1 in self._source.happened:
                self._write_state()
            self._source.happened.clear()
            self._records += len(batch)
            if batch and self._clients:
                self._pass_on(self._framed(batch))

    def close(self) -> None:
        """Give clients a moment for what waits, and remove the socket."""
        self._source.selector.unregister(self._listener.socket)
        self._listener.close()
        deadline = time.monotonic() + _END_S
        while any(c.waiting for c in self._clients.values()) and time.monotonic() < deadline:
            self._source.wait(0.1)
        for client in list(self._clients.values()):
            self._remove(client)

    def _framed(self, lines: list[bytes]) -> list[bytes]:
        if not self._request.binary:
            return [line + b"\n" for line in lines]
        if self._source.stream.binary:
            version = self._source.stream.version
            return [message(line, type_number(_type(line)), version) for line in lines]
        return [message(line, 0) for line in lines]

    def _pass_on(self, frames: list[bytes]) -> None:
        """Queue records for all clients, in portions; wait a little for those who read."""
        patience_s = _GRACE_S
        portion = max(1, self._request.depth // 2)
        for start in range(0, len(frames), portion):
            for client in list(self._clients.values()):
                self._send(client)
            if patience_s > 0 and any(client.full for client in self._clients.values()):
                patience_s -= self._wait_for_room(patience_s)
            for client in list(self._clients.values()):
                client.put(frames[start : start + portion])
        for client in list(self._clients.values()):
            self._send(client)
            self._report(client)

    def _wait_for_room(self, limit_s: float) -> float:
        """Return how long it took until a full client took something."""
        began = time.monotonic()
        with selectors.PollSelector() as waiting:
            for client in self._clients.values():
                if client.full:
                    waiting.register(client.connection, selectors.EVENT_WRITE)
            for key, _ in waiting.select(limit_s):
                client_or_none = self._clients.get(key.fd)
                if client_or_none is not None:
                    self._send(client_or_none)
        return time.monotonic() - began

    def _send(self, client: Client) -> None:
        try:
            client.send()
        except OSError:
            self._remove(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.waiting else 0)
        if self._source.selector.get_key(client.connection).events != events:
            data = self._source.selector.get_key(client.connection).data
            self._source.selector.modify(client.connection, events, data)

    def _accept(self, _mask: int) -> None:
        try:
            connection = self._listener.socket.accept()[0]
        except OSError:
            return  # gone again, or no descriptor is free: the next wake-up tries again
        if len(self._clients) >= MOST_CLIENTS:
            connection.close()
            self._tell(f"{MOST_CLIENTS} clients are connected: one more is refused")
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._accepted += 1
        client = Client(connection, self._accepted, self._request.depth)
        self._clients[connection.fileno()] = client
        self._source.selector.register(
            connection, selectors.EVENT_READ, lambda mask: self._ready(client, mask)
        )

    def _ready(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            try:
                if not client.connection.recv(4096):  # what clients say is not listened to
                    self._remove(client)
                    return
            except BlockingIOError:
                pass
            except OSError:
                self._remove(client)
                return
        if mask & selectors.EVENT_WRITE:
            self._send(client)

    def _remove(self, client: Client) -> None:
        if self._clients.pop(client.connection.fileno(), None) is None:
            return
        self._source.selector.unregister(client.connection)
        client.connection.close()
        self._report(client, last=True)

    def _report(self, client: Client, *, last: bool = False) -> None:
        now = time.monotonic()
        fresh = client.dropped - client.told
        if fresh and (last or now - client.told_at >= TELL_EVERY_S):
            client.told, client.told_at = client.dropped, now
            self._tell(
                f"client {client.number} is too slow: {fresh} records dropped,"
                f" {client.dropped} since it connected"
            )

    def _write_state(self) -> None:
        lines = [
            f"records = {self._records}",
            f"clients = {len(self._clients)}",
            f"accepted = {self._accepted}",
        ]
        lines += [
            f"client {c.number} = {len(c.waiting)} waiting, {c.dropped} dropped"
            for c in self._clients.values()
        ]
        path = os.path.join(os.path.dirname(self._request.path), STATE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(path, flags, 0o640), "w", encoding="ascii") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            self._tell(f"{path}: {error.strerror}")


def _type(line: bytes) -> bytes:
    return line.partition(b"type=")[2].partition(b" ")[0]


if __name__ == "__main__":
    sys.exit(main())
