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
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import structlog
from nats.js import api
from nats.js.errors import NotFoundError

from auditd_py.config.words import Flush, NodeCheckWord
from auditd_py.daemon.fleet_bucket import (
    ALIVE,
    AWAY,
    NODE,
    Bucket,
    Copy,
    LostError,
    bucket_name,
    place_of,
)
from auditd_py.daemon.fleet_connection import SecureClient, connection_options, is_secure
from auditd_py.daemon.fleet_node import Chunk, Node, after, settle
from auditd_py.errors import ConfigError, WireError
from auditd_py.remote.claims import NodeKey, pack_key, parse_key
from auditd_py.remote.fleet import node_of_subject
from auditd_py.remote.node import folder_name, node_of
from auditd_py.remote.sharing import share
from auditd_py.tables.record_types import type_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.positions import Origin
    from auditd_py.remote.fleet import Run

MOST_BLOCKS: Final = 32  # in memory, of all nodes, beside the next message of each
MOST_REJECTED: Final = 64  # files
_MAKING: Final = 8  # consumers at a time
_LEAVE_S: Final = 5.0
_RETRY_S: Final = 5.0
_TELL_S: Final = 60.0
_LOOKS: Final = 4  # in the time of a lease

log = structlog.get_logger()


@dataclass(slots=True)
class FleetCounters:
    """What came of the stream.

    `duplicates` are records that were known; `settled` claims of an earlier time of this
    collector; `lost` nodes that others took; `vanished` records that were claimed and are no
    longer in the stream; `gaps` places where numbers are missing.
    """

    messages: int = 0
    records: int = 0
    bytes: int = 0
    duplicates: int = 0
    redelivered: int = 0
    rejected: int = 0
    misnamed: int = 0
    gaps: int = 0
    settled: int = 0
    vanished: int = 0
    taken: int = 0
    given: int = 0
    lost: int = 0
    reconnects: int = 0


class Fleet:
    """Writes records of the stream to the log.

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
        self.counters = FleetCounters()
        self.name = config.jetstream_collector or os.uname().nodename.replace(".", "_")
        self.session = secrets.token_hex(8)
        self.stream = config.jetstream_stream
        self.log_file = log_file
        self.nodes: dict[str, Node] = {}
        self.connection = SecureClient(secure=is_secure(config))
        self.js = self.connection.jetstream()
        self.bucket = Bucket(self.connection, "")
        self.copy = Copy(self.connection, self.bucket, 1, self.told_once)
        self.slots = asyncio.Semaphore(MOST_BLOCKS)
        self.making = asyncio.Semaphore(_MAKING)
        self._writes = writes
        self._dispatcher = dispatcher
        self._room = asyncio.Event()
        self._started = time.time_ns()
        self._place = ""
        self._beaten = 0  # revision of what it said last
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._closed = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._settling: set[str] = set()
        self._told: dict[str, float] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None

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

    def resume(self) -> None:
        """Go on after the log was full."""
        self._room.set()

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
            stopping.cancel()
            connecting.cancel()
            with contextlib.suppress(*AWAY):
                await self.connection.close()

    async def _work(self) -> None:
        """Share nodes until told to stop, or the connection is closed for good."""
        replicas = await self._check_stream()
        self.bucket = Bucket(self.connection, bucket_name(self.stream))
        self.copy = Copy(self.connection, self.bucket, replicas, self.told_once)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            running = [
                tasks.create_task(work)
                for work in (self.copy.run(), self._beat(), self._look_regularly())
            ]
            try:
                await self._closed.wait()
                if self._stopping.is_set():
                    running.pop().cancel()
                    await self._leave()
            finally:
                self._tasks = None
                for node in self.nodes.values():
                    node.cancel()
                for task in running:
                    task.cancel()

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
        if self._tasks is None:
            return
        node = self.nodes[subject] = Node(self, subject, key, revision)
        node.begin(self._tasks)

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
        if mine and self._tasks is not None and subject not in self._settling:
            self._settling.add(subject)
            self._tasks.create_task(self._settle(subject))

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

    # what nodes ask

    async def room(self) -> None:
        """Return when the log takes records."""
        while self.log_file.full:
            self._room.clear()
            if self.log_file.full:  # what frees it may have come before
                await self._room.wait()
        while self.log_file.suspended or self.log_file.failed or not self._writes():
            self.told_once("records of the stream wait: the log is not written")
            await asyncio.sleep(0.5)

    async def append(self, lines: bytes, records: int, origin: Origin | None, folder: str) -> int:
        """Write lines; return how many of them are in the log, the first ones."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def tell(written: int) -> None:
            if not done.done():
                done.set_result(written)

        self.log_file.append(lines, records, tell, origin, folder)
        written = await done
        self.counters.records += written
        self.counters.bytes += len(lines)
        if self.config.distribute_network and self._dispatcher.active and written:
            whole = (
                lines if written == records else lines[: len(lines) - len(after(lines, written))]
            )
            types = [_type_of(text) for text in whole.split(b"\n")[:-1]]
            self._dispatcher.give(whole, types, 1)
        return written

    async def flush(self) -> None:
        """Return when all that is written now is flushed, if the settings want it flushed at all.

        What comes while a flush runs shares the next one.
        """
        if self.config.flush not in (Flush.INCREMENTAL, Flush.INCREMENTAL_ASYNC):
            return  # each write was, or none is
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self.log_file.settle())
            await asyncio.shield(self._flushing)
            return
        if self._next_flush is None or self._next_flush.done():
            self._next_flush = asyncio.create_task(self._flush_after(self._flushing))
        await asyncio.shield(self._next_flush)

    async def _flush_after(self, former: asyncio.Task[None]) -> None:
        await asyncio.wait({former})
        self._next_flush = None
        self._flushing = asyncio.create_task(self.log_file.settle())
        await self._flushing

    def check(self, subject: str, run: Run) -> None:
        """See that records are such, and have the node's name if node_check says so.

        Raises WireError.
        """
        if not is_printed(run.lines, run.count):
            raise WireError("characters that no record has")
        if self.config.node_check is NodeCheckWord.OFF:
            return
        prefix = b"node=" + node_of_subject(subject) + b" "
        if named(run.lines, run.count, prefix):
            return
        self.counters.misnamed += 1
        text = f"records with another node name than {node_of_subject(subject)!r}"
        if self.config.node_check is NodeCheckWord.REJECT:
            raise WireError(text)
        self.told_once(f"{subject}: {text}")

    def chunks(self, subject: str, run: Run, first: int, last: int, slot: bytes) -> list[Chunk]:
        """Return the records of a run with the numbers from `first` to `last`, by log."""
        lines = run.lines
        if first > run.first:
            lines = after(lines, first - run.first)
        count = last - first + 1
        if last < run.first + run.count - 1:
            lines = lines[: len(lines) - len(after(lines, count))]
        if self.config.collector_log_dir is None:
            return [Chunk(slot, first, count, lines, "")]
        name = node_of_subject(subject)
        if named(lines, count, b"node=" + name + b" "):
            return [Chunk(slot, first, count, lines, _folder(name))]
        chunks: list[Chunk] = []
        texts = lines.split(b"\n")[:-1]
        for node, group in groupby(texts, node_of):
            run_of_node = list(group)
            text = b"\n".join(run_of_node) + b"\n"
            chunks.append(Chunk(slot, first, len(run_of_node), text, _folder(node or name)))
            first += len(run_of_node)
        return chunks

    async def reject(self, subject: str, message: Msg, reason: str) -> None:
        """Put away a message that is of no use, and say so."""
        self.counters.rejected += 1
        place = place_of(message)
        sequence = place.sequence if place is not None else 0
        where = await asyncio.get_running_loop().run_in_executor(
            None, _kept, os.path.dirname(self.config.log_file), subject, sequence, message
        )
        log.error(
            "a message of the stream is not written", node=subject, sequence=sequence,
            reason=reason, kept=where or "no",
        )  # fmt: skip


class _StreamError(OSError):
    """The stream is not as it should be."""


def is_printed(lines: bytes, count: int) -> bool:
    """Return whether lines are as remote/stream's `printed` leaves them."""
    if b"\0" in lines or b"\r" in lines:
        return False
    marks = lines.count(b"\x1d")
    return marks <= 1 or (
        marks <= count and all(line.count(b"\x1d") <= 1 for line in lines.split(b"\n"))
    )


def named(lines: bytes, count: int, prefix: bytes) -> bool:
    """Return whether each of the lines begins with `prefix`."""
    return lines.startswith(prefix) and lines.count(b"\n" + prefix) == count - 1


def _kept(folder: str, subject: str, sequence: int, message: Msg) -> str:
    """Store a message in a file beside the log; return its path, empty if that cannot be."""
    place = os.path.join(folder, "rejected")
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        if len(os.listdir(place)) >= MOST_REJECTED:
            return ""
        path = os.path.join(place, f"{subject.replace('/', '_')}.{sequence}")
        fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with open(fd, "wb") as file:
            file.write(repr(dict(message.headers or {})).encode() + b"\n" + message.data)
    except OSError:
        return ""
    return path


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


def _type_of(text: bytes) -> int:
    name = text.partition(b"type=")[2].partition(b" ")[0]
    return type_number(name.decode("ascii", "replace")) or 0


_folder = lru_cache(1024)(folder_name)
