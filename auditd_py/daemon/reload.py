"""SIGHUP: read auditd.conf again and change over, completely or not at all."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import structlog

from auditd_py.config.daemon import load
from auditd_py.config.keywords import changed, restart_needed
from auditd_py.daemon import process
from auditd_py.daemon.node import NodeError, node_name
from auditd_py.errors import ActionError, ConfigError, LogError
from auditd_py.netlink.uapi import RecordType
from auditd_py.record.daemon_record import reconfigured_text, signalled_text

if TYPE_CHECKING:
    from auditd_py.config.daemon import Loaded
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.app import Daemon
    from auditd_py.record.daemon_record import Sender

log = structlog.get_logger()

_FAILED = "reconfigure state=no-change"


class Reloader:
    """Changes a daemon's settings while it runs, one reload at a time."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._busy = False

    async def reload(self) -> None:
        """Do what SIGHUP asks; a failure leaves the old settings and is recorded."""
        daemon = self._daemon
        if self._busy:
            sender = await daemon.sender()
            log.error("a reload is in progress, this one is refused")
            self._record(signalled_text(_FAILED, sender, "failed"))
            return
        self._busy = True
        daemon.notify_reloading()
        sender = await daemon.sender()
        try:
            log.info(f"config change requested by {_who(sender)}", level="notice")
            await self._change_over()
        except (ActionError, ConfigError, NodeError, LogError, OSError) as error:
            for line in str(error).splitlines():
                log.error(line)
            log.error("the settings are unchanged")
            self._record(signalled_text(_FAILED, sender, "failed"))
        else:
            self._record(reconfigured_text(sender))
        finally:
            self._busy = False
            daemon.notify_ready()

    async def _change_over(self) -> None:
        daemon, old = self._daemon, self._daemon.config
        loop = asyncio.get_running_loop()
        options = daemon.options
        loaded = await loop.run_in_executor(
            None, lambda: _load(options.config_path, allow_links=options.allow_links)
        )
        for warning in loaded.warnings:
            log.warning(str(warning))
        new = _reloadable(old, loaded.config)
        differing = changed(old, new)
        node = await loop.run_in_executor(None, node_name, new.name_format, new.name)
        formatter = daemon.formatter(new, node)
        wanted = daemon.writes(new)
        plugins = await daemon.dispatcher.load(new)
        await daemon.metrics.reload(new)
        try:
            await daemon.collector.reload(new)
        except (ConfigError, OSError):
            await daemon.metrics.start(old)
            raise
        process.raise_priority(new.priority_boost, old.priority_boost)
        if wanted and (not daemon.log_file.suspended or differing & _LOG_KEYWORDS):
            try:
                await daemon.open_log(new)
            except (ActionError, LogError, OSError):
                process.raise_priority(old.priority_boost, new.priority_boost)
                await daemon.collector.reload(old)
                await daemon.metrics.start(old)
                raise
        await daemon.dispatcher.reload(new, plugins)
        daemon.pipeline.formatter = formatter
        daemon.pipeline.log_file = daemon.log_file if wanted else None
        if daemon.fleet is not None:
            daemon.fleet.obey(new)
        daemon.config = new
        if formatter.enricher is not None:
            formatter.enricher.forget_names()
        if differing:
            log.info("settings changed", keywords=",".join(sorted(differing)))

    def _record(self, text: str) -> None:
        self._daemon.pipeline.daemon_record(RecordType.DAEMON_CONFIG, text)


# a change of one of them ends a suspension
_LOG_KEYWORDS = frozenset(
    {
        "write_logs",
        "log_file",
        "collector_log_dir",
        "log_group",
        "flush",
        "freq",
        "num_logs",
        "max_log_file",
        "max_log_file_action",
        "rotate_interval",
        "space_left",
        "space_left_action",
        "admin_space_left",
        "admin_space_left_action",
        "disk_full_action",
        "disk_error_action",
    }
)


def _load(path: str, *, allow_links: bool) -> Loaded:
    # a start without a file has the defaults; a reload must not fall back to them
    os.stat(path)
    return load(path, allow_links=allow_links)


def _reloadable(old: DaemonConfig, new: DaemonConfig) -> DaemonConfig:
    # what only a restart can change keeps its value, and is named
    fixed = sorted(restart_needed(old, new))
    if fixed:
        log.warning("these settings change at the next start only", keywords=",".join(fixed))
    return new.model_copy(update={name: getattr(old, name) for name in fixed})


def _who(sender: Sender | None) -> str:
    if sender is None:
        return "an unknown process"
    return f"pid={sender.pid} auid={sender.auid} subj={sender.context or '?'}"
