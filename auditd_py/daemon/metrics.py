"""The counters of a daemon as metrics of Prometheus. Needs prometheus-client: the extra metrics."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from auditd_py import __version__
from auditd_py.log.incident import Condition
from auditd_py.log.space import Free

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from auditd_py.daemon.app import Daemon
    from auditd_py.daemon.fleet import Fleet

_THRESHOLDS: Final = {
    Condition.SPACE_LEFT: "space_left",
    Condition.ADMIN_SPACE_LEFT: "admin_space_left",
    Condition.DISK_FULL: "disk_full",
}


class Metrics:
    """Reads the counters when it is asked; nothing is counted twice."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._free: Free | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics, and their content type, in the form that `accept` asks for."""
        loop = asyncio.get_running_loop()
        self._free = await loop.run_in_executor(None, self._free_space)
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def describe(self) -> list[Metric]:
        """Return nothing: what there is depends on the settings."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of now."""
        yield InfoMetricFamily("auditd_build", "The running version.", {"version": __version__})
        for name, about, count in self._counts():
            yield CounterMetricFamily(f"auditd_{name}", about, count)
        for name, about, value in self._values():
            yield GaugeMetricFamily(f"auditd_{name}", about, value)
        yield from self._plugins()
        yield from self._thresholds()
        if self._daemon.fleet is not None:
            yield from _fleet(self._daemon.fleet)

    def _counts(self) -> Iterator[tuple[str, str, float]]:
        daemon = self._daemon
        daemon.source.count_congestion()
        received, written = daemon.source.counters, daemon.log_file.counters
        losses, compressor = daemon.reporter.losses, daemon.keeper.compressor
        collector, actions = daemon.collector, daemon.actions
        yield "records_received", "Records that came from the kernel.", received.records
        yield "records_written", "Records written to the log.", written.written
        yield "wakeups", "Times the daemon looked at the event socket.", received.wakeups
        yield "lost_records", "Records the kernel lost.", losses.kernel_lost
        yield "missing_events", "Events whose serial never came.", losses.missing_events
        yield "socket_full", "Sends of the kernel that found the socket full.", losses.congested
        yield "unwritten_records", "Records that could not be written.", losses.unwritten
        yield "audit_pid_losses", "Times the audit pid was lost.", daemon.kernel.dismissals
        yield "rule_changes", "Changes of the rules that were noticed.", daemon.rule_watch.changes
        yield "log_written_bytes", "Bytes written to the log.", written.written_bytes
        yield "log_flushes", "Times the log was forced to disk.", written.flushes
        yield "log_errors", "Faults of the log: writes, flushes, rotations.", written.errors
        yield "log_torn_lines", "Lines found cut short when the log was opened.", written.torn
        yield "log_rotations", "Rotations of the log.", written.rotations
        yield "log_archives_removed", "Rotated logs removed.", written.removed
        yield "log_archives_compressed", "Rotated logs compressed.", compressor.done
        yield "log_compression_failures", "Compressions that failed.", compressor.failed
        keeper = daemon.keeper
        yield "log_indexing_failures", "Runs that could not index.", keeper.indexer.failed
        yield "log_archiving_failures", "Runs that could not archive.", keeper.archiver.failed
        unqueued = daemon.dispatcher.unqueued
        yield "unqueued_records", "Records not queued for plugins: suspended.", unqueued
        yield "clients_accepted", "Connections of other hosts accepted.", collector.total
        yield "clients_refused", "Connections of other hosts refused.", collector.refused
        yield "misnamed_records", "Wrong node names that node_check found.", collector.misnamed
        yield "actions_failed", "Actions that failed.", actions.failed
        yield "actions_overrun", "Actions that took longer than they may.", actions.overran
        yield "messages_dropped", "Own messages that nothing could take.", daemon.messages.dropped
        yield "name_lookups_abandoned", "Look-ups of names given up.", daemon.names.timeouts

    def _values(self) -> Iterator[tuple[str, str, float]]:
        daemon = self._daemon
        config, status, log_file = daemon.config, daemon.kernel.status, daemon.log_file
        if config.local_events:
            registered = daemon.kernel.registered
            yield "registered", "Whether this is the kernel's audit daemon.", registered
            yield "kernel_enabled", "The kernel's auditing: 0 off, 1 on, 2 locked.", status.enabled
            yield "kernel_backlog_records", "Records waiting in the kernel.", status.backlog
            limit = status.backlog_limit
            yield "kernel_backlog_limit_records", "Records that may wait in the kernel.", limit
        yield "log_suspended", "Whether logging is suspended.", log_file.suspended
        yield "log_failed", "Whether the log waits for its disk.", log_file.failed
        yield "log_size_bytes", "Size of the log.", log_file.counters.size
        yield "log_limit_bytes", "max_log_file; 0 = no limit.", config.max_log_file << 20
        yield "log_queue_bytes", "Bytes waiting for the disk.", log_file.waiting_bytes
        yield "log_queue_limit_bytes", "write_queue.", config.write_queue << 20
        longest = log_file.counters.longest_rotation_s
        yield "log_longest_rotation_seconds", "The longest rotation.", longest
        if self._free is not None:
            yield "log_free_bytes", "Free space on the disk of the log.", self._free.free
            yield "log_disk_bytes", "Size of the disk of the log.", self._free.total
        yield "clients_connected", "Hosts that are connected.", len(daemon.collector.clients)
        yield "plugin_queue_limit_records", "q_depth.", config.q_depth
        yield "plugins_suspended", "Whether queueing is suspended.", daemon.dispatcher.suspended

    def _plugins(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "auditd_plugin_running", "Whether a plugin's process runs.", labels=["plugin"]
        )
        waiting = GaugeMetricFamily(
            "auditd_plugin_queue_records", "Records waiting for a plugin.", labels=["plugin"]
        )
        dropped = CounterMetricFamily(
            "auditd_plugin_dropped_records", "Records a plugin did not get.", labels=["plugin"]
        )
        restarts = CounterMetricFamily(
            "auditd_plugin_restarts", "Restarts; forgotten after a healthy hour.", labels=["plugin"]
        )
        for name, plugin in self._daemon.dispatcher.plugins.items():
            running.add_metric([name], plugin.pid != 0)
            waiting.add_metric([name], plugin.queue.records)
            dropped.add_metric([name], plugin.queue.dropped)
            restarts.add_metric([name], plugin.restarts)
        yield from (running, waiting, dropped, restarts)

    def _thresholds(self) -> Iterator[Metric]:
        if self._free is None:
            return
        watch = self._daemon.log_file.space
        limit = GaugeMetricFamily(
            "auditd_log_threshold_bytes", "Free space that is too little.", labels=["threshold"]
        )
        crossed = GaugeMetricFamily(
            "auditd_log_threshold_crossed", "Whether there is less.", labels=["threshold"]
        )
        for condition, amount in watch.limits(self._free).items():
            limit.add_metric([_THRESHOLDS[condition]], amount)
            crossed.add_metric([_THRESHOLDS[condition]], condition in watch.crossed)
        yield from (limit, crossed)

    def _free_space(self) -> Free | None:
        daemon = self._daemon
        if not daemon.config.write_logs or daemon.options.foreground:
            return None
        try:
            found = os.statvfs(os.path.dirname(daemon.config.log_file))
        except OSError:
            return None
        block = found.f_frsize
        return Free(found.f_bavail * block, found.f_blocks * block, block)


def _fleet(fleet: Fleet) -> Iterator[Metric]:
    counters = fleet.counters
    for name, about, count in (
        ("messages", "Messages of the stream.", counters.messages),
        ("redelivered_messages", "Messages that came again.", counters.redelivered),
        ("rejected_messages", "Messages of no use, put away.", counters.rejected),
        ("records", "Records of the stream written.", counters.records),
        ("known_records", "Records that were written before.", counters.duplicates),
        ("vanished_records", "Claimed records no longer in the stream.", counters.vanished),
        ("gaps", "Places in the stream where records are missing.", counters.gaps),
        ("settled_claims", "Claims of an earlier time that were settled.", counters.settled),
        ("nodes_taken", "Nodes taken.", counters.taken),
        ("nodes_given", "Nodes given back.", counters.given),
        ("nodes_lost", "Nodes that another collector took.", counters.lost),
        ("reconnections", "Connections to a server after one broke.", counters.reconnects),
    ):
        yield CounterMetricFamily(f"auditd_fleet_{name}", about, count)
    for name, about, value in (
        ("connected", "Whether a NATS server is reached.", fleet.connected),
        ("nodes", "Nodes of this collector.", len(fleet.nodes)),
        ("waiting_messages", "Messages waiting in the stream.", fleet.waiting),
        ("pending_claims", "Claims that wait for other collectors.", fleet.pending),
    ):
        yield GaugeMetricFamily(f"auditd_fleet_{name}", about, value)
