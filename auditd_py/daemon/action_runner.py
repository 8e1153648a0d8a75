"""Runs the actions of auditd.conf: each in a thread of its own, none in the way of anything.

What an action does wrong is logged and counted here and goes no further.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.actions import texts
from auditd_py.actions.base import make_actions
from auditd_py.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from auditd_py.actions.base import Action
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.log.incident import Condition, Incident, Response

_CLOSE_LIMIT_S: Final = 2.0


class LoopServices:
    """What the daemon does for its actions: from any thread to callables on the event loop.

    `log` is the callable for `tell` itself, for whoever is on the event loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        tell: Callable[[str, str], None],
        resume_logging: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self.log = tell
        self._loop = loop
        self._resume_logging = resume_logging
        self._stop = stop

    def tell(self, level: str, text: str) -> None:
        self.call(self.log, level, text)

    def resume_logging(self) -> None:
        self.call(self._resume_logging)

    def stop(self) -> None:
        self.call(self._stop)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the daemon is gone, the action is the last to know


@dataclass(frozen=True, slots=True)
class Configured:
    """The actions of some settings: what is set, as written, and what it stands for."""

    config: DaemonConfig
    actions: Mapping[Condition, Action]

    @property
    def responses(self) -> Mapping[Condition, Response]:
        """What the log's writer does at once."""
        return {condition: action.response for condition, action in self.actions.items()}

    def setting(self, condition: Condition) -> str:
        """Return what is set for `condition`, as auditd.conf writes it."""
        return f"{condition} = {getattr(self.config, condition.value)}"


@dataclass(slots=True)
class _Running:
    setting: str
    timer: asyncio.TimerHandle
    over: bool = False


class ActionRunner:
    """Runs what is configured for an incident. All on the event loop, but for `load`.

    Counted: actions `failed`, that `overran` their time, and `skipped` because the one before
    was not done.
    """

    def __init__(self, services: LoopServices, host: str) -> None:
        self.failed = 0
        self.overran = 0
        self.skipped = 0
        self._services = services
        self._log = services.log
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._configured: Configured | None = None
        self._running: dict[tuple[Condition, str], _Running] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """How many actions run now."""
        return len(self._running)

    def load(self, config: DaemonConfig) -> Configured:
        """Return the actions `config` names, to be used or not. As make_actions, in any thread."""
        return Configured(config, make_actions(config, self._host, self._services))

    def use(self, configured: Configured) -> None:
        """Run these from now on; those that run already go on."""
        self._configured = configured

    def run(self, incident: Incident) -> None:
        """Start the action for `incident`; returns at once and raises nothing."""
        configured = self._configured
        if configured is None:
            return
        condition = incident.condition
        self._announce(incident, configured.config)
        setting = configured.setting(condition)
        key = (condition, setting)
        if key in self._running:
            self.skipped += 1
            self._log("error", f"{setting}: not started again, the last one still runs")
            return
        action = configured.actions[condition]
        thread = threading.Thread(
            target=self._work, args=(key, action, incident), name=f"{condition}", daemon=True
        )
        timer = self._loop.call_later(action.limit_s, self._over, key, action.limit_s)
        self._running[key] = _Running(setting, timer)
        self._idle.clear()
        try:
            thread.start()
        except RuntimeError as error:
            self._ended(key, f"cannot be started: {error}")

    async def close(self, limit_s: float = _CLOSE_LIMIT_S) -> None:
        """Wait a moment for what runs, and name what is left alone."""
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            for running in self._running.values():
                self._log("warning", f"{running.setting}: still runs, not waited for")
        for running in self._running.values():
            running.timer.cancel()

    def _announce(self, incident: Incident, config: DaemonConfig) -> None:
        word = getattr(config, incident.condition.value).word
        if texts.announced(incident.condition, word):
            self._log(*texts.warning(incident, config))

    def _over(self, key: tuple[Condition, str], limit_s: float) -> None:
        running = self._running[key]
        running.over = True
        self.overran += 1
        self._log("error", f"{running.setting}: took longer than {limit_s:.0f} s")

    def _ended(self, key: tuple[Condition, str], failure: str) -> None:
        running = self._running.pop(key)
        running.timer.cancel()
        if not self._running:
            self._idle.set()
        if failure:
            self.failed += 1
            self._log("error", f"{running.setting}: {failure}")
        elif running.over:
            self._log("notice", f"{running.setting}: done at last")

    # in the action's thread

    def _work(self, key: tuple[Condition, str], action: Action, incident: Incident) -> None:
        failure = ""
        try:
            action.run(incident)
        except ActionError as error:
            failure = str(error)
        except BaseException as error:  # noqa: BLE001  around one action, also if it exits
            failure = f"failed: {error!r}"
        self._services.call(self._ended, key, failure)
