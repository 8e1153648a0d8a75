"""Notices that somebody changed the kernel's rules, its enabled flag or its audit pid."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.daemon.kernel import Kernel

_EVERY_S: Final = 30.0  # where no record tells of a change, because auditing is off
_SETTLE_S: Final = 0.2  # a rule file is many changes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel had: its rules as audit_rule_data, in its order."""

    rules: tuple[bytes, ...]
    enabled: int
    pid: int


class RuleWatch:
    """Compares what the kernel has with what it had.

    `record(text)` writes a DAEMON_CONFIG record; `changes` counts them. `seen` is None while it is
    not watching.
    """

    def __init__(self, kernel: Kernel, record: Callable[[str], None]) -> None:
        self.changes = 0
        self.seen: Seen | None = None
        self._kernel = kernel
        self._record = record
        self._touched = asyncio.Event()

    def touch(self) -> None:
        """Take note that the kernel recorded a change of its configuration."""
        self._touched.set()

    async def run(self, *, wanted: Callable[[], bool]) -> None:
        """Watch until cancelled, for as long as `wanted`."""
        while True:
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._touched.wait()
                await asyncio.sleep(_SETTLE_S)
            except TimeoutError:
                pass
            self._touched.clear()
            if not wanted():
                self.seen = None
                continue
            try:
                now = await self._look()
            except AuditError as error:
                log.warning("the kernel does not tell its rules", reason=str(error))
                continue
            if self.seen is not None:
                for text in differences(self.seen, now, os.getpid()):
                    self.changes += 1
                    log.warning(f"the kernel's audit configuration changed: {text}")
                    self._record(f"{text} res=success")
            self.seen = now

    async def _look(self) -> Seen:
        rules = await self._kernel.rules()
        await self._kernel.backlog()  # brings the status up to date
        status = self._kernel.status
        return Seen(tuple(rules), status.enabled, status.pid)


def differences(before: Seen, now: Seen, own_pid: int) -> list[str]:
    """Return what changed, each as the fields of a record."""
    found = []
    if before.rules != now.rules:
        old, new = Counter(before.rules), Counter(now.rules)
        added, removed = (new - old).total(), (old - new).total()
        what = "rules-changed" if added or removed else "rules-reordered"
        found.append(f"op={what} added={added} removed={removed} rules={len(now.rules)}")
    if before.enabled != now.enabled:
        found.append(f"op=enabled-changed enabled={now.enabled} old={before.enabled}")
    if before.pid != now.pid:
        ours = "yes" if now.pid == own_pid else "no"
        found.append(f"op=pid-changed audit_pid={now.pid} old={before.pid} ours={ours}")
    return found
