"""What a running daemon tells of itself: losses, the status line, the state report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py import __version__
from auditd_py.daemon.state import (
    LogState,
    Losses,
    PluginsState,
    State,
    allocator_kib,
    resident_kib,
    state_report,
    write_report,
)
from auditd_py.errors import KernelError
from auditd_py.log.space import Free, forecast
from auditd_py.netlink.diag import tcp_timers

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.app import Daemon
    from auditd_py.daemon.collector import Collector
    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.fleet import Fleet
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.netlink.diag import Timer

log = structlog.get_logger()

_LOSS_LOG_INTERVAL_S: Final = 60.0


class Reporter:
    """Reads the counters of all parts of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._losses_logged = Losses()
        self._losses_logged_at = 0.0
        self._started_at = time.monotonic()
        self._memory_at_start = allocator_kib()
        self._writing = asyncio.Lock()  # two at a time would use one temporary file

    @property
    def losses(self) -> Losses:
        """Every loss since the start."""
        daemon = self._daemon
        return Losses(
            daemon.kernel.lost,
            daemon.pipeline.gaps.missing,
            daemon.source.counters.congested,
            daemon.log_file.counters.unwritten,
        )

    def look_at_losses(self) -> None:
        """Bring the counters up to date; log a change, at most once a minute."""
        daemon = self._daemon
        daemon.source.count_congestion()
        daemon.pipeline.gaps.end_window()
        losses = self.losses
        now = time.monotonic()
        due = not self._losses_logged_at or now - self._losses_logged_at >= _LOSS_LOG_INTERVAL_S
        if losses != self._losses_logged and due:
            self._losses_logged, self._losses_logged_at = losses, now
            log.warning(f"records were lost or held up: {losses}")

    def status_line(self) -> str:
        """Return one line for the service manager."""
        daemon = self._daemon
        return (
            f"STATUS=records {daemon.source.counters.records}, "
            f"written {daemon.log_file.counters.written}, "
            f"backlog {daemon.kernel.status.backlog}; {self.losses}"
        )

    def summary(self) -> str:
        """Return one line for the end."""
        daemon = self._daemon
        seconds = time.monotonic() - self._started_at
        return (
            f"records received {daemon.source.counters.records}, written "
            f"{daemon.log_file.counters.written}, in {seconds:.0f} s; {self.losses}"
        )

    async def write_state(self) -> None:
        """Write the state report now."""
        async with self._writing:
            await self._write_state()

    async def _write_state(self) -> None:
        daemon = self._daemon
        path = os.path.join(daemon.config.run_dir, "auditd.state")
        if daemon.config.local_events:
            await daemon.kernel.backlog()
        daemon.source.count_congestion()
        loop = asyncio.get_running_loop()
        text = state_report(await loop.run_in_executor(None, self._state))
        try:
            await loop.run_in_executor(None, write_report, path, text, daemon.config.log_group.gid)
        except OSError as error:
            log.error("the state report cannot be written", path=path, reason=str(error))

    def _state(self) -> State:
        daemon = self._daemon
        config, counters = daemon.config, daemon.log_file.counters
        source, kernel = daemon.source.counters, daemon.kernel
        log_state = None
        if daemon.writes(config) and not daemon.options.foreground:
            log_state = _log_state(config, daemon.log_file)
        return State(
            version=__version__,
            time=time.strftime("%x %X"),
            priority=os.getpriority(os.PRIO_PROCESS, 0),
            writing=daemon.writes(config)
            and not (daemon.log_file.suspended or daemon.log_file.failed),
            log=log_state,
            plugins=_plugins_state(daemon.dispatcher, config.q_depth),
            losses=self.losses,
            clients=_clients(daemon.collector),
            allocator=(allocator_kib(), self._memory_at_start),
            ours={
                "records received": source.records,
                "records written": counters.written,
                "bytes written": counters.written_bytes,
                "flushes": counters.flushes,
                "write errors": counters.errors,
                "rotated logs removed": counters.removed,
                "rotated logs compressed": daemon.keeper.compressor.done,
                "compressions failed": daemon.keeper.compressor.failed,
                "indexings failed": daemon.keeper.indexer.failed,
                "archivings failed": daemon.keeper.archiver.failed,
                "records not given to plugins": daemon.dispatcher.dropped
                + daemon.dispatcher.unqueued,
                **_plugin_rows(daemon.dispatcher),
                "connections refused": daemon.collector.refused,
                "records with another's node name": daemon.collector.misnamed
                + (daemon.fleet.counters.misnamed if daemon.fleet is not None else 0),
                **_client_rows(daemon.collector),
                **(fleet_rows(daemon.fleet) if daemon.fleet is not None else {}),
                "actions failed": daemon.actions.failed,
                "actions over their time": daemon.actions.overran,
                "lines cut short before": counters.torn,
                "bytes waiting for the disk": daemon.log_file.waiting_bytes,
                "wake-ups": source.wakeups,
                "kernel backlog": kernel.status.backlog,
                "kernel backlog limit": kernel.status.backlog_limit,
                "times the audit pid was lost": kernel.dismissals,
                "rules watched": "yes" if daemon.rule_watch.seen is not None else "no",
                "rule changes noticed": daemon.rule_watch.changes,
                "registered with the kernel": "yes" if kernel.registered else "no",
                "own messages dropped": daemon.messages.dropped,
                "name look-ups given up": daemon.names.timeouts,
                "resident memory": f"{resident_kib()} KiB",
                "running for": f"{time.monotonic() - self._started_at:.0f} s",
            },
        )


def _clients(collector: Collector) -> tuple[int, int] | None:
    return (len(collector.clients), collector.total) if collector.listening else None


def _client_rows(collector: Collector) -> dict[str, object]:
    now = time.monotonic()
    clients = collector.clients.copy()  # this is not the event loop's thread
    timers: dict[tuple[str, int], Timer] = {}
    if clients:
        with contextlib.suppress(KernelError):  # then their timers are not known
            timers = tcp_timers(collector.config.tcp_listen_port or 0)
    return {
        f"client {client.address} port {client.port}": (
            f"records {client.counters.records}, bytes {client.counters.bytes}, "
            f"unwritten {client.counters.unwritten}, silent for {now - client.heard_at:.0f} s, "
            f"transport {client.transport}, identity {client.identity or 'none'}, timer "
            f"{timers.get((client.address.partition('%')[0], client.port), 'unknown')}"
        )
        for client in sorted(clients, key=lambda client: (client.address, client.port))
    }


def fleet_rows(fleet: Fleet) -> dict[str, object]:
    """Return what is to be told of the stream, and of each node."""
    counters = fleet.counters
    nodes = fleet.nodes.copy()  # this is not the event loop's thread
    return {
        "fleet collector": fleet.name,
        "fleet server": fleet.server or "none",
        "fleet nodes": len(nodes),
        "fleet messages": counters.messages,
        "fleet messages waiting": fleet.waiting,
        "fleet messages redelivered": counters.redelivered,
        "fleet messages rejected": counters.rejected,
        "fleet records written": counters.records,
        "fleet records known": counters.duplicates,
        "fleet records no longer in the stream": counters.vanished,
        "fleet gaps": counters.gaps,
        "fleet claims settled": counters.settled,
        "fleet claims of others pending": fleet.pending,
        "fleet nodes taken": counters.taken,
        "fleet nodes given back": counters.given,
        "fleet nodes lost": counters.lost,
        "fleet reconnections": counters.reconnects,
        **{
            f"fleet node {subject}": (
                f"{'at work' if node.ready else 'beginning'}, waiting {node.waiting}, "
                f"pending for others {len(node.key.pending)}"
            )
            for subject, node in sorted(nodes.items())
        },
    }


def _plugins_state(dispatcher: Dispatcher, size: int) -> PluginsState:
    queues = [plugin.queue for plugin in dispatcher.plugins.values()]
    return PluginsState(
        active=dispatcher.active,
        depth=max((queue.records for queue in queues), default=0),
        most=max((queue.most for queue in queues), default=0),
        size=size,
        overflowed=dispatcher.overflowed,
        suspended=dispatcher.suspended,
    )


def _plugin_rows(dispatcher: Dispatcher) -> dict[str, object]:
    return {
        f"plugin {name}": (
            f"pid {plugin.pid or 'none'}, waiting {plugin.queue.records}, "
            f"dropped {plugin.queue.dropped}, restarts {plugin.restarts}"
        )
        for name, plugin in dispatcher.plugins.items()
    }


def _log_state(config: DaemonConfig, log_file: LogFile) -> LogState:
    counters, watch = log_file.counters, log_file.space
    try:
        found = os.statvfs(os.path.dirname(config.log_file))
    except OSError:
        free, limits = None, {}
    else:
        block = found.f_frsize
        free = found.f_bavail * block
        limits = watch.limits(Free(free, found.f_blocks * block, block))
    return LogState(
        size=counters.size,
        limit_mib=config.max_log_file,
        archives=counters.archives,
        free=free,
        limits=limits,
        crossed=frozenset(watch.crossed),
        forecast=forecast(watch.full_in_s(time.monotonic())),
        suspended=log_file.suspended,
        disk_error=log_file.failed or counters.errors > 0,
        rotations=counters.rotations,
        rotation_s=(counters.rotation_s, counters.longest_rotation_s),
    )
