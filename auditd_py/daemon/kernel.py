"""The daemon's standing with the kernel: registered or not, and what the kernel lost."""

from __future__ import annotations

import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog

from auditd_py.daemon.process import command_of
from auditd_py.errors import AuditError, KernelError
from auditd_py.netlink.control import Control
from auditd_py.netlink.uapi import SignalInfo, Status, StatusMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.daemon.source import Source

T = TypeVar("T")

log = structlog.get_logger()

SIGNAL_INFO_LIMIT_S = 3.0


class Kernel:
    """Asks the kernel from a thread of its own, and keeps the audit pid.

    `lost` counts records the kernel says it lost since `open`, `dismissals` the times the
    audit pid or the event socket was gone; `registered` tells whether the pid is ours.
    """

    def __init__(self, source: Source | None) -> None:
        self.status = Status()
        self.registered = False
        self.dismissals = 0
        self.lost = 0
        self._source = source
        self._control: Control | None = None
        self._pool = ThreadPoolExecutor(1, "control")

    async def open(self) -> Status:
        """Open the control socket and return the kernel's status. Raises KernelError."""
        self._control = await self._run(Control)
        self.status = await self._run(self._control.status)
        return self.status

    def close(self) -> None:
        """Close the socket; requests under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._control is not None:
            self._control.close()

    def go_on(self, lost: int, status_lost: int, dismissals: int) -> None:
        """Count on from where the process before this one was, and keep its standing."""
        self.lost = lost + max(0, self.status.lost - status_lost)
        self.dismissals = dismissals
        self.registered = self.status.pid == os.getpid()

    async def set_enabled(self, *, enabled: bool) -> None:
        """Switch auditing on or off. Raises KernelError."""
        assert self._control is not None
        control = self._control
        await self._run(lambda: control.set_status(StatusMask.ENABLED, enabled=int(enabled)))

    async def has_other_daemon(self) -> bool:
        """Return whether another daemon is registered and alive.

        A pid in the status says little: the kernel keeps that of a daemon that was killed until
        it has a record for it. Asked to take the pid back, it looks, and refuses if the daemon
        answers. Raises KernelError.
        """
        assert self._control is not None
        if self.status.pid in {0, os.getpid()}:
            return False
        try:
            await self._run(self._control.release_pid)
        except KernelError as error:
            if error.errno == errno.EACCES:
                return True
            raise
        return False

    async def register(self) -> None:
        """Become the kernel's audit daemon. Raises KernelError."""
        assert self._source is not None
        await self._source.register(os.getpid())
        self.registered = True

    async def release(self) -> None:
        """Give the audit pid back, if it is ours."""
        if not self.registered or self._control is None:
            return
        self.registered = False
        try:
            await self._run(self._control.release_pid)
        except AuditError as error:
            log.warning("the audit pid could not be given back", reason=str(error))

    async def backlog(self) -> int:
        """Return how many records wait inside the kernel, 0 if it does not say."""
        await self._poll()
        return self.status.backlog

    async def rules(self) -> list[bytes]:
        """Return every loaded rule as its audit_rule_data. Raises KernelError."""
        assert self._control is not None
        return await self._run(self._control.rules)

    async def signal_info(self) -> SignalInfo | None:
        """Return who sent the last signal; None if the kernel does not say in time."""
        if self._control is None or not self.registered:
            return None
        try:
            async with asyncio.timeout(SIGNAL_INFO_LIMIT_S):
                return await self._run(self._control.signal_info)
        except (AuditError, TimeoutError):
            return None

    def dismiss(self) -> None:
        """Take note that records no longer reach this daemon."""
        self.registered = False
        self.dismissals += 1

    async def watch(
        self,
        interval_s: Callable[[], float],
        retry_s: Callable[[], float],
        on_status: Callable[[], None],
    ) -> None:
        """Poll the status for ever, and take the audit pid back when it was lost.

        `retry_s` 0 leaves it lost. `on_status` is called after each poll.
        """
        while True:
            lost_pid = self._source is not None and not self.registered
            await asyncio.sleep(retry_s() if lost_pid and retry_s() else interval_s())
            await self._poll()
            if self._source is not None:
                await self._keep_pid(retry_s())
            on_status()

    async def _keep_pid(self, retry_s: float) -> None:
        assert self._source is not None
        if self.registered and self.status.pid != os.getpid():
            self.dismiss()
            holder = self.status.pid
            log.error(
                "this daemon is no longer the kernel's audit daemon, events do not reach it",
                pid=holder or "none",
                process=command_of(holder) if holder else "-",
            )
        if not self.registered and retry_s:
            try:
                await self.register()
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    log.error("taking the audit pid back failed", reason=str(error))
                if error.errno in (errno.EBADF, errno.ENOTSOCK, errno.ENOTCONN):
                    self._source.close()  # the next attempt opens another
            else:
                log.warning("this daemon is the kernel's audit daemon again")

    async def _poll(self) -> None:
        if self._control is None:
            return
        try:
            found = await self._run(self._control.status)
        except AuditError as error:
            log.warning("the kernel does not tell its audit status", reason=str(error))
            return
        # somebody may have set the kernel's counter back to 0
        before = self.status.lost if self.status.lost <= found.lost else 0
        self.lost += found.lost - before
        self.status = found

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
