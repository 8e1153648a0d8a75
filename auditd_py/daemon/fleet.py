"""Records of a fleet: nodes of a NATS JetStream stream, shared with other collectors.

Each collector says in the bucket that it lives, looks at which nodes there are, takes those that
are nobody's, and gives back those beyond its share. Needs nats-py: the extra fleet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import ssl
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import structlog
from nats.js import api
from nats.js.errors import NotFoundError

from auditd_py.daemon.fleet_bucket import (
    ALIVE,
    AWAY,
    NODE,
    Bucket,
    Copy,
    LostError,
    bucket_name,
)
from auditd_py.daemon.fleet_connection import SecureClient, connection_options, end, is_secure
from auditd_py.daemon.fleet_log import FleetLog
from auditd_py.daemon.fleet_node import Node, settle
from auditd_py.errors import ConfigError, WireError
from auditd_py.remote.claims import NodeKey, pack_key, parse_key
from auditd_py.remote.fleet import node_of_subject
from auditd_py.remote.sharing import share

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.logfile import LogFile

MOST_BLOCKS: Final = 32  # in memory, of all nodes, beside the next message of each
_MAKING: Final = 8  # consumers at a time
_LEAVE_S: Final = 5.0
_RETRY_S: Final = 5.0
_TELL_S: Final = 60.0
_LOOKS: Final = 4  # in the time of a lease

log = structlog.get_logger()


class Fleet:
    """Takes nodes of the stream, and gives them back; `log` is what their messages go to.

    A message is acknowledged when its records are written and flushed. While the log is full
    nothing is fetched.
    """

    def __init__(
        self,
        config: DaemonConfig,
        log_file: LogFile,
        dispatcher: Dispatcher,
        writes: Callable[[], bool],
    ) -> None:
        self.config = config
        self.name = config.jetstream_collector or os.uname().nodename.replace(".", "_")
        self.session = secrets.token_hex(8)
        self.stream = config.jetstream_stream
        self.log = FleetLog(config, log_file, dispatcher, writes, self.told_once)
        self.counters = self.log.counters
        self.nodes: dict[str, Node] = {}
        self.connection = SecureClient(secure=is_secure(config))
        self.js = self.connection.jetstream()
        self.bucket = Bucket(self.connection, "")
        self.copy = Copy(self.connection, self.bucket, 1, self.told_once)
        self.slots = asyncio.Semaphore(MOST_BLOCKS)
        self.making = asyncio.Semaphore(_MAKING)
        self._started = time.time_ns()
        self._place = ""
        self._beaten = 0  # revision of what it said last
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._closed = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._working: set[asyncio.Task[None]] = set()
        self._settling: set[str] = set()
        self._told: dict[str, float] = {}

    @property
    def connected(self) -> bool:
        """Whether a server can be reached."""
        return self.connection.is_connected

    @property
    def server(self) -> str:
        """The server in use, without what a password could be in; empty if there is none."""
        url = self.connection.connected_url
        return f"{url.hostname}:{url.port}" if url is not None and self.connected else ""

    @property
    def waiting(self) -> int:
        """How many messages wait in the stream behind the last one of each node."""
        return sum(node.waiting for node in self.nodes.values())

    @property
    def pending(self) -> int:
        """How many claims in this collector's nodes wait for other collectors."""
        return sum(len(node.key.pending) for node in self.nodes.values())

    async def run(self) -> None:
        """Work until `stop` or cancelled; nodes are given back then."""
        self._ended.clear()
        self._stopping.clear()
        try:
            while not self._stopping.is_set():
                try:
                    await self._serve()
                except ConfigError as error:
                    self.told_once(str(error))
                except AWAY as error:
                    self.told_once(f"no work with the stream {self.stream}: {_reason(error)}")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._stopping.wait()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Give all nodes back, and end `run`."""
        self._stopping.set()
        self._closed.set()
        await self._ended.wait()

    def obey(self, config: DaemonConfig) -> None:
        """Take settings as they are after a reload."""
        self.config = self.log.config = config

    # connection

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        options = await loop.run_in_executor(None, connection_options, self.config)
        self._place = await loop.run_in_executor(None, _place_of, self.config.log_file)
        self._closed.clear()
        self.connection = SecureClient(secure=is_secure(self.config))
        stopping = asyncio.create_task(self._stopping.wait())
        connecting = asyncio.create_task(
            self.connection.connect(
                **options,
                name=f"auditd {self.name}",
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
            )
        )
        try:
            await asyncio.wait({stopping, connecting}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return
            await connecting
            log.info("connected to NATS", server=self.server, collector=self.name)
            self.js = self.connection.jetstream()
            await self._work()
        finally:
            await end((stopping, connecting))
            with contextlib.suppress(*AWAY):
                await self.connection.close()

    async def _work(self) -> None:
        """Share nodes until told to stop, or the connection is closed for good."""
        replicas = await self._check_stream()
        self.bucket = Bucket(self.connection, bucket_name(self.stream))
        self.copy = Copy(self.connection, self.bucket, replicas, self.told_once)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self.spawn(self.copy.run())
            self.spawn(self._beat())
            looking = self.spawn(self._look_regularly())
            try:
                await self._closed.wait()
                if self._stopping.is_set():
                    await end((looking,))
                    await self._leave()
            finally:
                while self._working:  # one that goes on once more may have begun others
                    await end(self._working)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` as a task that ends with the connection."""
        task = self._tasks.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def _check_stream(self) -> int:
        """Return how many replicas the stream has; tell what is wrong with it."""
        try:
            info = await self.js.stream_info(self.stream)
        except NotFoundError:
            raise _StreamError(
                f"there is no stream {self.stream}: docs/fleet.md says how it is made"
            ) from None
        config = info.config
        if config.retention != api.RetentionPolicy.WORK_QUEUE:
            raise _StreamError(f"the stream {self.stream} has not the retention workqueue")
        replicas = config.num_replicas or 1
        if replicas < 3 or config.storage != api.StorageType.FILE:
            self.told_once(
                f"the stream {self.stream} has {replicas} replicas in {config.storage}: records "
                "that were acknowledged can be lost with a server"
            )
        return replicas

    async def _on_error(self, error: Exception) -> None:
        self.told_once(f"NATS: {_reason(error)}")

    async def _on_disconnected(self) -> None:
        if not self._stopping.is_set():
            log.warning("the connection to NATS broke")

    async def _on_reconnected(self) -> None:
        self.counters.reconnects += 1
        log.info("connected to NATS again", server=self.server)

    async def _on_closed(self) -> None:
        self._closed.set()

    def told_once(self, text: str) -> None:
        """Log a warning, the same one at most once a minute."""
        now = time.monotonic()
        if now - self._told.get(text, -_TELL_S) >= _TELL_S:
            if len(self._told) > 100:
                self._told.clear()
            self._told[text] = now
            log.warning(text)

    # sharing

    def key_name(self, subject: str) -> str:
        """Return the key of the node with that subject."""
        return NODE + subject

    async def _beat(self) -> None:
        beat = {"session": self.session, "started": self._started, "place": self._place}
        value = json.dumps(beat).encode()
        while True:
            await self.copy.fresh.wait()
            if not self._yields():
                with contextlib.suppress(*AWAY):
                    self._beaten = await self.bucket.put(ALIVE + self.name, value)
            await asyncio.sleep(self.config.jetstream_lease / _LOOKS)

    async def _look_regularly(self) -> None:
        pause_s = self.config.jetstream_lease / _LOOKS
        loop = asyncio.get_running_loop()
        while True:
            await self.copy.fresh.wait()
            try:
                await self._look(loop.time())
            except AWAY as error:
                self.told_once(f"the stream {self.stream} cannot be looked at: {_reason(error)}")
            before = loop.time()
            await asyncio.sleep(pause_s)
            if loop.time() - before > pause_s * 2:  # it was this one that was away
                self.copy.heard = dict.fromkeys(self.copy.heard, loop.time())

    async def _look(self, now: float) -> None:
        if self._yields():
            for node in self.nodes.values():
                node.leave()
            return
        info = await self.js.stream_info(self.stream, subjects_filter=">")
        keys = self._keys()
        living = self._living(now)
        owners = {
            subject: key.owner if key.owner == self.name or living.get(key.owner) == key.session
            else ""  # it died, or began anew: everybody may have its nodes
            for subject, key in keys.items()
        }  # fmt: skip
        for subject in info.state.subjects or ():
            if node_of_subject(subject):
                owners.setdefault(subject, "")
            else:
                self.told_once(f"the stream has messages for {subject}, which is no node's")
        take, give = share(self.name, owners, self.nodes.keys() | self._settling, living.keys())
        gone = self.nodes.keys() - owners.keys()  # removed by an administrator
        for subject in (*give, *gone):
            if subject in self.nodes and self.nodes[subject].ready:
                self.nodes[subject].leave()
        for subject in take:
            revision = self.copy.revisions.get(self.key_name(subject), 0)
            self._begin(subject, keys.get(subject, NodeKey()), revision)
        for subject, key in keys.items():
            self._tend(subject, key, (info.state.subjects or {}).get(subject, 0))

    def _living(self, now: float) -> dict[str, str]:
        """Return the collectors that were heard of in the time of a lease, and their sessions."""
        living = {self.name: self.session}
        for name, (_, value) in self.copy.entries.items():
            heard = now - self.copy.heard.get(name, 0.0) < self.config.jetstream_lease
            if name.startswith(ALIVE) and heard:
                living.setdefault(name.removeprefix(ALIVE), _beat_of(value).session)
        return living

    def _keys(self) -> dict[str, NodeKey]:
        keys: dict[str, NodeKey] = {}
        for name, (_, value) in self.copy.entries.items():
            if name.startswith(NODE):
                try:
                    keys[name.removeprefix(NODE)] = parse_key(value)
                except WireError as error:
                    self.told_once(f"the key {name} in the bucket {self.bucket.name}: {error}")
        return keys

    def _yields(self) -> bool:
        """Return whether a collector of the same name lives that was there before this one.

        Not one with the same log: that was killed, or it would have the lock of the pid file.
        """
        name = ALIVE + self.name
        revision, value = self.copy.entries.get(name, (0, b""))
        beat = _beat_of(value)
        silent_s = asyncio.get_running_loop().time() - self.copy.heard.get(name, 0.0)
        if beat.session in ("", self.session) or beat.place == self._place:
            return False
        if revision < self._beaten or silent_s >= self.config.jetstream_lease:
            return False
        self.told_once(f"another collector has the name of this one, {self.name}")
        return beat.started < self._started

    def _begin(self, subject: str, key: NodeKey, revision: int) -> None:
        node = self.nodes[subject] = Node(self, subject, key, revision)
        node.begin()

    def ended(self, subject: str) -> None:
        """Take note that a node is no longer this collector's."""
        self.nodes.pop(subject, None)

    def _tend(self, subject: str, key: NodeKey, messages: int) -> None:
        """Do what others, or an earlier time, left to do for a node."""
        node = self.nodes.get(subject)
        if node is not None:
            node.look(key, messages)
            return
        mine = any(owner == self.name for owner, _ in key.pending)
        if mine and subject not in self._settling:
            self._settling.add(subject)
            self.spawn(self._settle(subject))

    async def _settle(self, subject: str) -> None:
        """Settle this collector's claims of a node that another one has."""
        name = self.key_name(subject)
        try:
            while (found := await self.bucket.get(name)) is not None:
                key = parse_key(found[1])
                if not await settle(self, subject, key):
                    return
                key.updates, key.by = key.updates + 1, self.session
                with contextlib.suppress(LostError):
                    await self.bucket.update(name, pack_key(key), found[0])
                    return
        except WireError as error:
            self.told_once(f"the key {name} in the bucket {self.bucket.name}: {error}")
        finally:
            self._settling.discard(subject)

    async def _leave(self) -> None:
        """Give everything back, so that others need not wait for the lease to end."""
        for node in self.nodes.values():
            node.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.gather(*(node.left() for node in self.nodes.values()))
                with contextlib.suppress(*AWAY):
                    await self.bucket.delete(ALIVE + self.name)
        if self.nodes:
            log.warning("nodes could not be given back", nodes=len(self.nodes))

    async def delete_consumer(self, name: str) -> None:
        """Remove a consumer, if it is there."""
        while name:
            try:
                await self.js.delete_consumer(self.stream, name)
            except NotFoundError:
                return
            except AWAY:
                await asyncio.sleep(0.5)
            else:
                return

    async def delete_consumers_of(self, subject: str) -> None:
        """Remove all consumers of a subject: what a collector left that was killed."""
        offset = 0
        with contextlib.suppress(*AWAY):
            while found := await self.js.consumers_info(self.stream, offset):
                offset += len(found)
                for one in found:
                    if one.config.filter_subject == subject:
                        await self.delete_consumer(one.name)


class _StreamError(OSError):
    """The stream is not as it should be."""


@dataclass(frozen=True, slots=True)
class _Beat:
    """What a collector says regularly: which process it is, since when, and where its log is."""

    session: str = ""
    started: int = 0
    place: str = ""


def _beat_of(value: bytes) -> _Beat:
    try:
        found = json.loads(value)
        return _Beat(str(found["session"]), int(found["started"]), str(found["place"]))
    except (ValueError, KeyError, TypeError):
        return _Beat()


def _place_of(log_file: str) -> str:
    """Return what only one machine says of one log. Reads a file."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read()
    except (OSError, UnicodeError):
        machine = ""
    return sha256(f"{machine}\n{os.uname().nodename}\n{log_file}".encode()).hexdigest()[:16]


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of a server is refused: {error.verify_message}"
    description: Any = getattr(error, "description", None) or getattr(error, "strerror", None)
    return str(description or str(error) or type(error).__name__)
