"""All plugins: which run, what they get, and what happens when one is too slow."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from auditd_py.config.plugin import PluginSettings, load_plugins
from auditd_py.config.words import ActionWord
from auditd_py.daemon.plugin import Plugin
from auditd_py.dispatch import frame
from auditd_py.errors import ConfigError
from auditd_py.log.incident import Condition, Incident

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.plugin import Loaded
    from auditd_py.daemon.handover import Handover

_CHECK_S: Final = 2.0
_TELL_S: Final = 60.0

log = structlog.get_logger()


class Dispatcher:
    """The plugins of a daemon. `act(incident)` runs overflow_action single or halt."""

    def __init__(self, config: DaemonConfig, act: Callable[[Incident], None]) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.suspended = False
        self.unqueued = 0  # records that came while suspended
        self.overflowed = False
        self._config = config
        self._act = act
        self._acted = False
        self._told: dict[str, int] = {}
        self._told_at = 0.0

    @property
    def active(self) -> int:
        """How many plugins run or are about to."""
        return sum(plugin.active for plugin in self.plugins.values())

    @property
    def dropped(self) -> int:
        """Records that a plugin did not get, summed over all plugins."""
        return sum(plugin.queue.dropped for plugin in self.plugins.values())

    def leave(self) -> tuple[dict[str, Any], list[int]]:
        """Return what `start` needs of the process before this one, and descriptors to pass."""
        left = [plugin.leave() for plugin in self.plugins.values() if plugin.active]
        state = {
            "plugins": [state for state, _ in left],
            "suspended": self.suspended,
            "unqueued": self.unqueued,
            "overflowed": self.overflowed,
        }
        return state, [fd for _, fds in left for fd in fds]

    async def start(self, before: Handover | None = None) -> None:
        """Start what plugin_dir makes active; a file with errors is told and left out.

        Plugins that the process before this one left go on, if their settings are the same.
        """
        loaded = await self._load(self._config.plugin_dir)
        for problem in loaded.problems:
            log.error(str(problem))
        if before is not None:
            self._go_on(before)
            suspended = self.suspended
            await self.reload(self._config, loaded)
            self.suspended = suspended
            return
        for name, settings in loaded.plugins.items():
            self._start(name, Plugin(settings, *self._limits(), self._on_drop))
        if not self.plugins:
            log.info("No plugins found, not dispatching events")

    def give(self, lines: bytes, types: Sequence[int], version: int) -> None:
        """Queue whole `lines`, whose record types are `types`, for each plugin.

        `version` is that of the binary format, see frame.
        """
        if self.suspended:
            self.unqueued += len(types)
            return
        messages = b""
        for plugin in self.plugins.values():
            if plugin.settings.binary:
                messages = messages or frame.binary(lines, types, version)
                plugin.give(messages, len(types))
            else:
                plugin.give(lines, len(types))

    async def watch(self) -> None:
        """Look after the plugins until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            for plugin in self.plugins.values():
                plugin.check()
            self._tell_drops()

    async def load(self, config: DaemonConfig) -> Loaded:
        """Return what plugin_dir of `config` makes active now.

        Raises ConfigError if a file has errors.
        """
        loaded = await self._load(config.plugin_dir)
        if loaded.problems:
            raise ConfigError(loaded.problems)
        return loaded

    async def reload(self, config: DaemonConfig, loaded: Loaded) -> None:
        """Run the plugins `loaded`: what changed is started again, the rest goes on."""
        self._config = config
        self.suspended = self._acted = False
        gone = [
            name
            for name, plugin in self.plugins.items()
            if loaded.plugins.get(name) != plugin.settings or not plugin.active
        ]
        await asyncio.gather(*(self.plugins.pop(name).stop() for name in gone))
        depth, max_restarts = self._limits()
        for name, settings in loaded.plugins.items():
            plugin = self.plugins.get(name)
            if plugin is None:
                self._start(name, Plugin(settings, depth, max_restarts, self._on_drop))
            else:
                plugin.restarts, plugin.max_restarts = 0, max_restarts
                plugin.queue.depth = max(depth, plugin.queue.depth)

    def resume(self) -> None:
        """Queue records again after overflow_action suspend."""
        if self.suspended:
            log.info("plugins get records again", not_queued=self.unqueued)
        self.suspended = self._acted = False

    async def stop(self) -> None:
        """End all plugins, at the same time."""
        await asyncio.gather(*(plugin.stop() for plugin in self.plugins.values()))
        self._told_at = 0.0
        self._tell_drops()

    def _go_on(self, before: Handover) -> None:
        state = before.state["dispatcher"]
        self.suspended, self.unqueued = state["suspended"], state["unqueued"]
        self.overflowed = state["overflowed"]
        for left in state["plugins"]:
            values = left["settings"]
            settings = PluginSettings(
                values["name"], values["path"], tuple(values["args"]), values["binary"],
                tuple(values["identity"]),
            )  # fmt: skip
            plugin = Plugin(settings, *self._limits(), self._on_drop)
            self.plugins[settings.name] = plugin
            plugin.go_on(left, [before.take(fd) for fd in left["descriptors"]])

    def _start(self, name: str, plugin: Plugin) -> None:
        self.plugins[name] = plugin
        if plugin.start():
            log.info(f"plugin {name} initialized", pid=plugin.pid)

    def _limits(self) -> tuple[int, int]:
        return self._config.q_depth, self._config.max_restarts

    async def _load(self, directory: str) -> Loaded:
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(None, load_plugins, directory)
        for warning in loaded.warnings:
            log.warning(str(warning))
        return loaded

    def _on_drop(self, plugin: Plugin, records: int) -> None:
        self.overflowed = True
        word = self._config.overflow_action.word
        if self._acted or word in (ActionWord.IGNORE, ActionWord.SYSLOG):
            return
        self._acted = True
        log.error(f"the queue of plugin {plugin.settings.name} is full", dropped=records)
        if word == ActionWord.SUSPEND:
            self.suspended = True
            log.error(
                "records are not queued for plugins any more; SIGUSR2 resumes it", level="alert"
            )
        else:
            self._act(Incident(Condition.QUEUE_FULL, self._config.log_file))

    def _tell_drops(self) -> None:
        if self._config.overflow_action.word == ActionWord.IGNORE:
            return
        now = time.monotonic()
        dropped = {name: plugin.queue.dropped for name, plugin in self.plugins.items()}
        if dropped == self._told or (self._told_at and now - self._told_at < _TELL_S):
            return
        for name, records in dropped.items():
            if records != self._told.get(name, 0):
                log.error(f"queue to plugin {name} is full - dropped {records} records so far")
                self._told_at = now
        self._told = dropped
