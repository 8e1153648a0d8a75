"""Servers of NATS that tests run: a cluster with JetStream, and a publisher of records."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import nats
from nats.js import api

from auditd_py.daemon import fleet_connection
from auditd_py.remote.fleet import headers_of
from tests.programs import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

AWAY = (nats.errors.Error, nats.js.errors.APIError, OSError, TimeoutError)


class Cluster:
    """Three servers on loopback, or on another host, that keep streams in files below `folder`."""

    def __init__(self, folder: Path, more: str = "", scheme: str = "nats") -> None:
        self.folder = folder
        self.more = more  # lines of the servers' settings
        self.ports = [free_port() for _ in range(3)]
        self.routes = [free_port() for _ in range(3)]
        self.urls = [f"{scheme}://127.0.0.1:{port}" for port in self.ports]
        self.single = False  # the first server, alone
        self.address = "127.0.0.1"
        self.enter: list[str] = []  # see Link.enter
        self.servers: list[subprocess.Popen[bytes] | None] = [None, None, None]

    @staticmethod
    def available() -> bool:
        """Return whether there is a server to run."""
        return shutil.which("nats-server") is not None

    def start(self, number: int) -> None:
        """Start a server."""
        place = self.folder / f"server{number}"
        place.mkdir(exist_ok=True)
        routes = ", ".join(f'"nats://{self.address}:{port}"' for port in self.routes)
        cluster = (
            f"cluster {{ name: tests, listen: {self.address}:{self.routes[number]}, "
            f"routes: [{routes}] }}\n"
        )
        (place / "conf").write_text(
            f"server_name: server{number}\nlisten: {self.address}:{self.ports[number]}\n"
            f'jetstream {{ store_dir: "{place}", max_file_store: 2GB, max_memory_store: 256MB }}\n'
            f"{'' if self.single else cluster}{self.more}"
        )
        self.servers[number] = subprocess.Popen(
            [*self.enter, "nats-server", "-c", str(place / "conf"), "-l", str(place / "log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def move(self, address: str, enter: list[str]) -> None:
        """Go on with all servers on another host."""
        self.end()
        self.address, self.enter = address, enter
        self.urls = [f"nats://{address}:{port}" for port in self.ports]
        for number in range(3):
            self.start(number)

    def kill(self, number: int) -> None:
        """End a server by force."""
        server = self.servers[number]
        if server is not None:
            server.kill()
            server.wait(10)
            self.servers[number] = None

    def end(self) -> None:
        """End all."""
        for number, server in enumerate(self.servers):
            if server is not None:
                server.send_signal(signal.SIGCONT)
            self.kill(number)


class Publisher:
    """Publishes records of nodes, in an event loop of its own. `acknowledged` is by node."""

    def __init__(self, urls: Sequence[str], stream: str, **options: Any) -> None:
        self.stream = stream
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self._options = options
        self._urls = list(urls)
        self._loop = asyncio.new_event_loop()
        self._loads: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        async def connect() -> None:
            async def ignore(_: Exception) -> None:
                pass

            self.connection = await nats.connect(
                self._urls, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=ignore,
                connect_timeout=2, **self._options,
            )  # fmt: skip
            self.js = self.connection.jetstream(timeout=3)

        self.do(connect())

    def do(self, work: Coroutine[Any, Any, Any], limit_s: float = 30.0) -> Any:
        """Return what `work` gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit_s)

    def attempt(self, work: Callable[[], Coroutine[Any, Any, Any]], limit_s: float = 30.0) -> Any:
        """Return what `work` gives, once the servers can do it."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return self.do(work())
            except AWAY:
                assert time.monotonic() < deadline
                self.do(asyncio.sleep(0.2))

    def make_stream(self, **config: Any) -> None:
        """Make the stream."""
        wanted: dict[str, Any] = {
            "name": self.stream, "subjects": [f"audit.{self.stream}.*"], "num_replicas": 3,
            "retention": api.RetentionPolicy.WORK_QUEUE, "storage": api.StorageType.FILE,
            "duplicate_window": 120, **config,
        }  # fmt: skip
        self.attempt(lambda: self.js.add_stream(**wanted))

    def subject(self, node: str) -> str:
        """Return the subject of a node."""
        return f"audit.{self.stream}.{node}"

    def put(self, node: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish any message."""
        self.attempt(lambda: self.js.publish(self.subject(node), data, headers=headers))

    def send(self, node: str, count: int, runs_of: int = 50) -> None:
        """Publish the next records of a node, and return when they are acknowledged."""
        self.do(self._send(node, count, runs_of))

    async def _send(self, node: str, count: int, runs_of: int) -> None:
        while count > 0:
            amount = min(count, runs_of)
            await self._publish(node, amount)
            count -= amount

    async def _publish(self, node: str, count: int) -> None:
        first = self.sent.get(node, 0) + 1
        self.sent[node] = first + count - 1
        headers = {**headers_of(stream_of(node), first, count), "Nats-Msg-Id": f"{node}/{first}"}
        data = b"".join([record(node, number) for number in range(first, first + count)])
        while True:
            try:
                await self.js.publish(self.subject(node), data, headers=headers)
                break
            except AWAY:
                await asyncio.sleep(0.1)
        self.acknowledged[node] = first + count - 1

    def load(self, nodes: Sequence[str], runs_of: int = 50, pause_s: float = 0.02) -> None:
        """Publish records of nodes until `rest`."""

        async def publish(node: str) -> None:
            while True:
                await self._publish(node, runs_of)
                await asyncio.sleep(pause_s)

        async def begin() -> None:
            self._loads += [asyncio.create_task(publish(node)) for node in nodes]

        self.do(begin())

    def rest(self) -> None:
        """Publish no more; what was not acknowledged may have been stored all the same."""

        async def end() -> None:
            await fleet_connection.end(self._loads)
            self._loads.clear()

        self.do(end())

    def waiting(self) -> int:
        """Return how many messages the stream has."""
        info = self.attempt(lambda: self.js.stream_info(self.stream))
        return int(info.state.messages)

    def leader(self) -> str:
        """Return the server that leads the stream."""
        info = self.attempt(lambda: self.js.stream_info(self.stream))
        return str(info.cluster.leader)

    def close(self) -> None:
        """End."""
        with contextlib.suppress(Exception):
            self.do(self.connection.close(), 5.0)  # which may never have been

        async def cancel() -> None:
            await fleet_connection.end(asyncio.all_tasks() - {asyncio.current_task()})

        self.do(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def stream_of(node: str) -> bytes:
    """Return the name of the stream of a node's queue."""
    return node.encode().ljust(16, b"\0")


def record(node: str, number: int) -> bytes:
    """Return a line."""
    return b"node=%s type=TEST msg=audit(1.000:%d): n=%d\n" % (node.encode(), number, number)


def ready(cluster: Cluster) -> None:
    """Start all servers; return when they have a leader."""
    for number in range(3):
        cluster.start(number)
    publisher = None

    def leads() -> bool:
        nonlocal publisher
        try:
            publisher = publisher or Publisher(cluster.urls, "none")
            publisher.do(publisher.js.account_info(), 5)
        except (*AWAY, TimeoutError):
            return False
        return True

    try:
        wait_for(leads, "the cluster has a leader", 30)
    finally:
        if publisher is not None:
            publisher.close()
