"""Records of other hosts: a listener, its clients, and the acknowledgement of what is written."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from auditd_py.config.hosts_access import ALLOW, DENY, may_connect
from auditd_py.config.words import NodeCheckWord, Transport
from auditd_py.daemon import handover
from auditd_py.daemon.channel import HandshakeError
from auditd_py.daemon.intake import Intake
from auditd_py.errors import ConfigError, WireError
from auditd_py.netlink.uapi import RecordType
from auditd_py.remote.node import NodeCheck, node_of
from auditd_py.remote.receiver import Receiver, ending
from auditd_py.tables.record_types import type_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.channel import Channel, Gate
    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.handover import Handover
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.pipeline import Pipeline
    from auditd_py.daemon.positions import Stream
    from auditd_py.remote.receiver import Batch

_LEAST_QUEUE: Final = 1024  # all clients come at once when a collector was restarted
_MOST_PROBES: Final = 32  # connections that wait for an old one of their address
_PROBE_S: Final = 3.0  # for an old connection of the same address to prove that it lives
_LAST_ACK: Final = 56  # tcpi_last_ack_recv in struct tcp_info (linux/tcp.h), milliseconds
_PATIENCE_S: Final = 900  # of the kernel for what is not acknowledged (tcp_retries2)
_JIFFY_S: Final = 0.01  # the coarsest tick of kernels, which count it in ticks
_SHAKE_S: Final = 5.0  # for a whole handshake
_MAX_SHAKING: Final = 32  # handshakes at a time
_WRITE_HIGH: Final = 64 << 10  # bytes of acknowledgements a client may leave unread

log = structlog.get_logger()


@dataclass(slots=True)
class ClientCounters:
    """What one client sent."""

    records: int = 0
    bytes: int = 0
    unwritten: int = 0


class Collector:
    """Listens on tcp_listen_port and writes what clients send to the log.

    A client gets its acknowledgement when its records are written, and flushed as the settings
    promise. While the log is full nobody is read from.
    """

    def __init__(
        self,
        config: DaemonConfig,
        pipeline: Pipeline,
        log_file: LogFile,
        dispatcher: Dispatcher,
        writes: Callable[[], bool],
    ) -> None:
        self.clients: set[Client] = set()
        self.total = 0
        self.refused = 0
        self.misnamed = 0  # times that node_check found a wrong name
        self.config = config
        self.log_file = log_file
        self._pipeline = pipeline
        self._dispatcher = dispatcher
        self.gate: Gate | None = None  # None: whoever connects, unencrypted
        self.shaking = 0  # handshakes under way
        self._intake = Intake(log_file, writes, self._log_is_full)
        self._intake.by_node = config.collector_log_dir is not None
        self._servers: list[asyncio.Server] = []
        self._probes = 0
        self._full = False

    @property
    def listening(self) -> bool:
        """Whether clients may connect."""
        return bool(self._servers)

    def pause(self) -> None:
        """Read from nobody until `resume`; what was read goes to the log."""
        self._full = True
        for client in self.clients:
            client.pause_reading()
        self._intake.hand_over()

    def leave(self) -> tuple[dict[str, Any], list[int]]:
        """Return what `start` needs of the process before this one, and descriptors to pass.

        Paused, and its answers given. Clients that cannot be passed on are let go.
        """
        listeners = [os.dup(sock.fileno()) for one in self._servers for sock in one.sockets]
        passed, closed = [], []
        for client in list(self.clients):
            state = client.leave()
            if state is not None:
                passed.append(state)
            elif client.accepted:
                closed.append(client.where)  # the process is another one when it is told
        state = {
            "where": self._where(self.config),
            "listeners": listeners,
            "clients": passed,
            "closed": closed,
            "total": self.total,
            "refused": self.refused,
            "misnamed": self.misnamed,
        }
        return state, listeners + [client["descriptor"] for client in passed]

    @staticmethod
    def _where(config: DaemonConfig) -> str:
        return repr((config.tcp_listen_port, config.tcp_listen_addr, str(config.transport)))

    async def _go_on(self, before: Handover) -> list[socket.socket]:
        """Take over the clients and return the listening sockets of the process before this one."""
        state = before.state["collector"]
        self.total, self.refused = state["total"], state["refused"]
        self.misnamed = state["misnamed"]
        same = state["where"] == self._where(self.config)
        closed = state["closed"] + [left["where"] for left in state["clients"] if not same]
        for where in closed:
            self.record(RecordType.DAEMON_CLOSE, f"{where} res=success")
        if not same:
            return []
        loop = asyncio.get_running_loop()
        for left in state["clients"]:
            sock = socket.socket(fileno=before.take(left["descriptor"]))
            sock.setblocking(False)
            client = Client(self)
            await client.go_on(left)
            await loop.connect_accepted_socket(partial(_same, client), sock)
        return [socket.socket(fileno=before.take(fd)) for fd in state["listeners"]]

    async def start(self, before: Handover | None = None) -> None:
        """Listen, if the settings say so. Raises OSError and ConfigError."""
        config = self.config
        socks = await self._go_on(before) if before is not None else []
        if config.tcp_listen_port is None:
            return
        loop = asyncio.get_running_loop()
        self.gate = await loop.run_in_executor(None, _gate, config)
        queue = max(config.tcp_listen_queue, _LEAST_QUEUE)
        if not socks and before is not None:
            before.close()  # or the address would be in use
        for sock in socks or _listeners(config.tcp_listen_addr, config.tcp_listen_port, queue):
            self._servers.append(
                await loop.create_server(lambda: Client(self), sock=sock, backlog=queue)
            )
        log.info("listening for records of other hosts", port=config.tcp_listen_port)

    async def reload(self, config: DaemonConfig) -> None:
        """Use other settings: listen if they say so and nobody did, or do not any more.

        Keys, certificates and the list of allowed clients are read again; who is connected stays,
        if still allowed. Raises OSError and ConfigError, and the settings are what they were.
        """
        before, self.config = self.config, config
        try:
            if config.tcp_listen_port is None:
                await self.stop()
            elif not self._servers:
                await self.start()
            else:
                loop = asyncio.get_running_loop()
                self.gate = await loop.run_in_executor(None, _gate, config)
        except (OSError, ConfigError):
            self.config = before
            raise
        for client in list(self.clients):
            client.set_keepalive(config)
            client.use_node_check()
            if client.identity and self.gate and not self.gate.permits(client.identity):
                client.replace("its identity is not allowed any more")
        self._intake.hand_over()
        self._intake.by_node = config.collector_log_dir is not None

    async def stop(self) -> None:
        """Take no more records, answer what is written, and say goodbye."""
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        self._intake.hand_over()
        await self.log_file.settle()
        for client in list(self.clients):
            client.say_ending()
        self._servers.clear()

    def resume(self) -> None:
        """Read again after the log was full."""
        if self._full:
            self._full = False
            for client in self.clients:
                client.resume_reading()

    def sweep(self) -> None:
        """Close clients that were silent for tcp_client_max_idle. To be called each second."""
        limit_s = self.config.tcp_client_max_idle
        if limit_s:
            now = time.monotonic()
            for client in list(self.clients):
                if now - client.heard_at > limit_s:
                    log.info("client was silent for too long", addr=client.address)
                    client.close()

    async def watch(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(1)
            self.sweep()

    # what clients ask

    def record(self, kind: int, text: str) -> None:
        """Write a record of the daemon's own about a client."""
        self._pipeline.daemon_record(kind, text)

    def names_of_others(self, client: Client) -> Iterator[bytes]:
        """Yield the node names that clients of other addresses use."""
        return (one.node for one in self.clients if one.address != client.address)

    def take(self, client: Client, batch: Batch) -> None:
        """Write the records of a batch, and answer it when that is done."""
        texts = batch.texts
        if batch.hello is not None:
            self._intake.greet(client, self.clients, batch)
        else:
            self._intake.take(client, batch)
        if texts and self.config.distribute_network and self._dispatcher.active:
            lines = b"\n".join(texts) + b"\n"
            self._dispatcher.give(lines, [_type_of(text) for text in texts], 1)

    def _log_is_full(self) -> None:
        self._full = True
        for client in self.clients:
            client.pause_reading()

    async def admits(self, client: Client) -> str:
        """Return why a connection is refused, by the word of DAEMON_ACCEPT; empty if it is not."""
        config = self.config
        if config.use_libwrap and not await asyncio.get_running_loop().run_in_executor(
            None, _wrapped, client.address
        ):
            return "wrap"
        ports = config.tcp_client_ports
        if not ports.first <= client.port <= ports.last:
            return "port"
        others = [
            one for one in self.clients if one is not client and one.address == client.address
        ]
        if len(others) >= config.tcp_max_per_addr:
            if self._probes >= _MOST_PROBES:
                return "dup"
            self._probes += 1
            try:
                others = await _living(others, config)
            finally:
                self._probes -= 1
        if len(others) >= config.tcp_max_per_addr:
            return "dup"
        return "handshake-limit" if self.gate and self.shaking >= _MAX_SHAKING else ""


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, collector: Collector) -> None:
        self.counters = ClientCounters()
        self.address, self.port = "", 0
        self.heard_at = self.connected_at = time.monotonic()
        self.identity = ""  # who it proved to be
        self.stream: Stream | None = None  # whose number is agreed on
        self.stream_name = b""
        self._collector = collector
        self._receiver = Receiver(plain=collector.config.tcp_plain_clients)
        self._transport: asyncio.Transport | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._accepted = False
        self._channel: Channel | None = None
        self._early = b""  # what came before it was admitted
        self._came = asyncio.Event()  # something did, or the end
        self._ended = False
        self._failed = False
        self._slow = False
        self._warned = False  # of a wrong name
        self._nodes: NodeCheck | None = None

    @property
    def transport(self) -> str:
        """The word of `transport` that it came by."""
        return str(self._collector.config.transport)

    @property
    def suffix(self) -> bytes:
        """What its records get at their end."""
        return self._channel.suffix if self._channel is not None else b""

    @property
    def where(self) -> str:
        """Its address and port as records have them."""
        return f"addr={self.address} port={self.port}"

    @property
    def accepted(self) -> bool:
        """Whether a record says that it may connect."""
        return self._accepted

    @property
    def connected(self) -> bool:
        """Whether the connection still stands."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_WRITE_HIGH)
        peer = transport.get_extra_info("peername")
        self.address, self.port = _address(peer), peer[1]
        self.set_keepalive(self._collector.config)
        self._transport.pause_reading()
        self._collector.clients.add(self)
        if self._accepted:  # by the process before this one
            self.resume_reading()
            return
        self._accepting = asyncio.get_running_loop().create_task(self._accept())
        self._accepting.add_done_callback(self._decided)

    def leave(self) -> dict[str, Any] | None:
        """Return what `go_on` needs, with a descriptor to pass; None if it has to connect again."""
        sock, transport = self._socket(), self._transport
        if sock is None or transport is None or transport.is_closing():
            return None
        receiver = self._receiver
        passable = self._accepted and self._channel is None and not self._failed and not self._ended
        answered = not self._slow and not transport.get_write_buffer_size()
        if not passable or not answered or (self.stream is not None and self.stream.broken):
            if self._accepted:
                self.say_ending()
            else:
                transport.abort()
            return None
        return {
            "descriptor": os.dup(sock.fileno()),
            "where": self.where,
            "opened": receiver.opened,
            "skipped": receiver.skipped,
            "rest": handover.text(receiver.rest),
            "counters": dataclasses.asdict(self.counters),
            "stream": handover.text(self.stream_name) if self.stream is not None else None,
            "node": handover.text(self.node),
            "heard_at": self.heard_at,
            "connected_at": self.connected_at,
        }

    async def go_on(self, state: dict[str, Any]) -> None:
        """Be the client that the process before this one left."""
        self._receiver.go_on(
            handover.data(state["rest"]), opened=state["opened"], skipped=state["skipped"]
        )
        handover.restore(self.counters, state["counters"])
        self.heard_at, self.connected_at = state["heard_at"], state["connected_at"]
        if state["stream"] is not None:
            name = handover.data(state["stream"])
            found = await self._collector.log_file.position(name, 0)
            if found is not None:
                self.stream, self.stream_name = found[0], name
        self.use_node_check()
        if self._nodes is not None and state["node"]:
            self._nodes.go_on(handover.data(state["node"]))
        self._accepted = True

    def _decided(self, accepting: asyncio.Task[None]) -> None:
        error = None if accepting.cancelled() else accepting.exception()
        if error is not None:  # a fault of ours must not keep its place
            log.error("a client cannot be admitted", addr=self.address)
            self.replace(repr(error))

    async def _accept(self) -> None:
        reason = await self._collector.admits(self)
        if self._transport is None or self._transport.is_closing():
            return
        where = self.where
        if reason:
            self._refuse(f"op={reason} {where} res=no")
            return
        text = f"{where} res=success"
        if self._collector.gate is not None:
            channel = self._collector.gate.channel()
            reason = await self._shake_hands(channel)
            if reason:
                self._refuse(channel.accepted(where, reason))
                return
            text = channel.accepted(where)
            self._channel, self.identity = channel, channel.identity
            if not self.connected:
                return
        self._accepted = True
        self.use_node_check()
        self._collector.total += 1
        self._collector.record(RecordType.DAEMON_ACCEPT, text)
        early, self._early = self._early, b""
        if early or self._channel:
            self.data_received(early)
        if self._ended:
            self._take(self._receiver.end())
            self.close()
        self.resume_reading()

    def _refuse(self, text: str) -> None:
        self._collector.refused += 1
        self._collector.record(RecordType.DAEMON_ACCEPT, text)
        if self._transport is not None:
            self._transport.close()

    async def _shake_hands(self, channel: Channel) -> str:
        """Return why they could not; empty if the channel is ready."""
        loop = asyncio.get_running_loop()
        self._collector.shaking += 1
        try:
            async with asyncio.timeout(_SHAKE_S):
                while not channel.ready:
                    data = await self._more()
                    if not data:
                        return "the client closed the connection"
                    if channel.blocking:
                        answer = await loop.run_in_executor(None, channel.shake, data)
                    else:
                        answer = channel.shake(data)
                    self._write(answer)
        except HandshakeError as error:
            self._write(error.answer)
            return str(error)
        except TimeoutError:
            return f"no handshake in {_SHAKE_S:.0f} s"
        finally:
            self._collector.shaking -= 1
        return ""

    async def _more(self) -> bytes:
        """Return what came during the handshake; empty at the end."""
        while not self._early and not self._ended and self._transport is not None:
            self._came.clear()
            self._transport.resume_reading()
            await self._came.wait()
        data, self._early = self._early, b""
        return data

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        if not self._accepted:
            # an event loop may read before it hears that it should not
            self._early += data
            self._came.set()
            self.pause_reading()
            return
        if self._failed:
            return
        self.counters.bytes += len(data)
        if self._channel is not None:
            try:
                data = self._channel.open(data)
            except WireError as error:
                self._fail(error)
                return
        batch = self._receiver.feed(data)
        if self._nodes is not None and batch.texts:
            self._check_nodes(batch, self._nodes)
        self._take(batch)
        if batch.error is not None:
            self._fail(batch.error)
        elif self._channel is not None and self._channel.ended:
            self.close()

    def _fail(self, error: WireError) -> None:
        self._failed = True
        log.warning("client is disconnected", addr=self.address, reason=str(error))
        self.close()

    def eof_received(self) -> bool:
        if not self._accepted:
            self._ended = True
            self._came.set()
            return True  # stay open until it is decided
        if not self._failed:
            self._take(self._receiver.end())
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._collector.clients.discard(self)
        self._transport = None
        self._ended = True
        self._came.set()
        if self._accepted:
            self._collector.record(RecordType.DAEMON_CLOSE, f"{self.where} res=success")

    def pause_writing(self) -> None:
        # a client that does not read its answers is not read from
        self._slow = True
        self.pause_reading()

    def resume_writing(self) -> None:
        self._slow = False
        self.resume_reading()

    def _check_nodes(self, batch: Batch, nodes: NodeCheck) -> None:
        """See that records have names that are this client's, as node_check says."""
        place = nodes.first_wrong(batch.texts, self._collector.names_of_others(self))
        if place is None:
            return
        self._collector.misnamed += 1
        name = node_of(batch.texts[place])[:100].decode("ascii", "backslashreplace")
        reason = f"a record of the node {name or '(none)'}, which is not its own"
        if self._collector.config.node_check is NodeCheckWord.REJECT:
            batch.cut(place, reason)
        elif not self._warned:
            self._warned = True
            log.warning("client sent " + reason, addr=self.address)

    def use_node_check(self) -> None:
        """Begin, or cease, to look at node names, as the settings say."""
        if self._collector.config.node_check is NodeCheckWord.OFF:
            self._nodes = None
        elif self._nodes is None:
            self._nodes = NodeCheck(self.identity)

    @property
    def node(self) -> bytes:
        """The node name in use, if names are looked at."""
        return self._nodes.name if self._nodes is not None else b""

    def _take(self, batch: Batch) -> None:
        if suffix := self.suffix:
            batch.texts = [text + suffix for text in batch.texts]
        if batch.texts or batch.wants_reply:
            self.counters.records += len(batch.texts)
            self._collector.take(self, batch)

    def send(self, data: bytes) -> None:
        """Send an answer, if the client is still there."""
        if self._channel is not None and data:
            if self._transport is None or self._transport.is_closing():
                return  # the channel has said that nothing follows
            try:
                data = self._channel.seal(data)
            except WireError as error:
                self._fail(error)
                return
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def say_ending(self) -> None:
        """Tell the client that the server ends, and close."""
        self.send(ending())
        self.close()

    def close(self) -> None:
        """Close the connection when what was sent is on its way."""
        if self._transport is not None and not self._transport.is_closing():
            if self._channel is not None:
                self._write(self._channel.goodbye())
            self._transport.close()

    def replace(self, reason: str) -> None:
        """Take no more from it, and close the connection at once."""
        log.info("client is disconnected", addr=self.address, reason=reason)
        self._failed = True
        self.stream_name = b""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from it."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from it again."""
        if self._transport is not None and self._accepted and not self._slow:
            with contextlib.suppress(RuntimeError):  # it reads already, or closes
                self._transport.resume_reading()

    def set_keepalive(self, config: DaemonConfig) -> None:
        """Have the kernel look whether it is still there."""
        sock = self._socket()
        if sock is None:
            return
        on = config.tcp_keepalive_time > 0
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(on))
            if on:
                _set_probes(
                    sock,
                    config.tcp_keepalive_time,
                    config.tcp_keepalive_intvl,
                    config.tcp_keepalive_probes,
                )

    def probe(self) -> None:
        """Have the kernel find out within three seconds whether it is still there."""
        sock = self._socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                _set_probes(sock, 1, 1, 1)

    def answered_since(self, moment: float) -> bool:
        """Whether its host acknowledged anything since then, by the monotonic clock."""
        sock = self._socket()
        if sock is None:
            return False
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK + 4)
        except OSError:
            return False
        silent_ms = int.from_bytes(info[_LAST_ACK:], sys.byteorder)
        return time.monotonic() - silent_ms / 1000 + _JIFFY_S >= moment

    def _socket(self) -> socket.socket | None:
        if self._transport is None:
            return None
        return cast("socket.socket | None", self._transport.get_extra_info("socket"))


def _same(client: Client) -> Client:
    return client


async def _living(clients: list[Client], config: DaemonConfig) -> list[Client]:
    """Return those that are still there; the connections of the others are closed.

    The kernel finds out by itself only of a peer that owes it nothing: where answers were not
    acknowledged it sends no probe, and may wait for minutes until it sends them again.
    """
    began = time.monotonic()
    for client in clients:
        client.probe()
    living: list[Client] = []
    while (  # the kernel decides, there is no event
        len(living) < len(clients)
        and time.monotonic() - began < _PROBE_S
        and all(client.connected for client in clients)
    ):
        await asyncio.sleep(0.05)
        living = [client for client in clients if client.answered_since(began)]
    if time.monotonic() - began < _PROBE_S:
        living = [client for client in clients if client.connected]
    for client in clients:
        if client in living:
            client.set_keepalive(config)
        elif client.connected:
            client.replace("it does not answer, and its host connects again")
    return living


def check_transport(config: DaemonConfig) -> None:
    """Raise ConfigError if a collector with these settings could not start."""
    if config.tcp_listen_port is not None:
        _gate(config)


def _gate(config: DaemonConfig) -> Gate | None:
    """Return what `transport` asks for, with its files read. Raises ConfigError."""
    match config.transport:
        case Transport.TLS:
            from auditd_py.daemon.tls import TlsGate

            return TlsGate(config)
        case Transport.KRB5:
            from auditd_py.daemon.krb5 import Krb5Gate

            return Krb5Gate(config)
    return None


def _set_probes(sock: socket.socket, idle_s: int, interval_s: int, probes: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
    # a connection with answers on the way is not probed: the same limit for these
    limit_s = idle_s + interval_s * probes
    shorter = limit_s < _PATIENCE_S
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, shorter * limit_s * 1000)


def _address(peer: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return an address as records have it: IPv4 as such, a link-local one with its zone."""
    address = peer[0].removeprefix("::ffff:")
    if len(peer) == 4 and peer[3] and "%" not in address:
        try:
            return f"{address}%{socket.if_indextoname(peer[3])}"
        except OSError:
            return f"{address}%{peer[3]}"
    return address


def _listeners(addresses: tuple[str, ...], port: int, queue: int) -> list[socket.socket]:
    """Return listening sockets: one for both address families, or those asked for.

    Raises OSError, and listens to none of them.
    """
    if not addresses:
        if socket.has_dualstack_ipv6():
            both = socket.create_server(
                ("::", port), family=socket.AF_INET6, backlog=queue, dualstack_ipv6=True
            )
            return [both]
        addresses = ("0.0.0.0",)  # noqa: S104  as asked for
    found: list[socket.socket] = []
    try:
        for address in addresses:
            # which knows the number of a zone
            family, *_, where = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            found.append(socket.create_server(where, family=family, backlog=queue))
    except OSError:
        for sock in found:
            sock.close()
        raise
    return found


def _wrapped(address: str) -> bool:
    """Return whether hosts.allow and hosts.deny let `address` in. Reads files."""
    return may_connect(_text(ALLOW), _text(DENY), address)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _type_of(text: bytes) -> int:
    name = text.partition(b"type=")[2].partition(b" ")[0]
    return type_number(name.decode("ascii", "replace")) or 0
