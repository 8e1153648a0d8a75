"""auditd_py.daemon.kernel and source when the audit pid or the event socket is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from auditd_py.config.daemon import load
from auditd_py.daemon.app import Daemon, Options
from auditd_py.daemon.kernel import Kernel
from auditd_py.daemon.source import Source
from auditd_py.daemon.syslog import MessageSink
from auditd_py.netlink.uapi import StatusMask
from tests.programs import settings_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from auditd_py.netlink.control import Control
    from auditd_py.netlink.datagram import Batch

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

TEST = 1120


def break_socket(source: Source) -> None:
    """Put a socket that nobody can receive from in the place of the event socket."""
    with socket.socket() as unconnected:
        os.dup2(unconnected.fileno(), source._fd)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Standing:
    """A Source and a Kernel on this test's loop, and what they told."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.failures: list[OSError] = []
        self.looks = 0
        self.on_records: Callable[[], None] = lambda: None
        self.source = Source(asyncio.get_running_loop(), self._take, self.failures.append)
        self.kernel = Kernel(self.source)

    def _take(self, batch: Batch) -> bool:
        self.texts += [text for _, text in batch.texts()]
        self.on_records()
        return True

    def _looked(self) -> None:
        self.looks += 1

    async def start(self) -> None:
        await self.kernel.open()
        self.source.open(1 << 20)
        self.source.start()
        await self.kernel.register()

    async def watch(self, retry_s: float) -> None:
        await self.kernel.watch(lambda: 0.01, lambda: retry_s, self._looked)

    async def sees(self, audit: Control, text: bytes) -> None:
        audit.user_message(text, TEST)
        await until(lambda: any(text in found for found in self.texts))


@pytest.fixture
async def standing(audit: Control) -> AsyncIterator[Standing]:
    audit.set_status(StatusMask.ENABLED, enabled=1)
    found = Standing()
    await found.start()
    try:
        yield found
    finally:
        if audit.status().pid == os.getpid():
            audit.release_pid()
        found.kernel.close()
        found.source.close()


async def test_a_lost_audit_pid_is_noticed_and_taken_back(
    audit: Control, standing: Standing, capsys
):
    watch = asyncio.create_task(standing.watch(0.01))
    await standing.sees(audit, b"op=first")
    audit.release_pid()
    await until(lambda: standing.kernel.dismissals == 1 and standing.kernel.registered)
    assert audit.status().pid == os.getpid()
    await standing.sees(audit, b"op=second")
    watch.cancel()
    assert standing.kernel.dismissals == 1
    told = capsys.readouterr().out
    assert "no longer the kernel's audit daemon" in told
    assert "the kernel's audit daemon again" in told


async def test_with_audit_pid_retry_0_a_lost_audit_pid_stays_lost(
    audit: Control, standing: Standing, capsys
):
    watch = asyncio.create_task(standing.watch(0))
    audit.release_pid()
    await until(lambda: standing.kernel.dismissals)
    looks = standing.looks
    await until(lambda: standing.looks >= looks + 3)
    watch.cancel()
    assert audit.status().pid == 0
    assert (standing.kernel.dismissals, standing.kernel.registered) == (1, False)
    assert "no longer the kernel's audit daemon" in capsys.readouterr().out


async def test_a_socket_that_dies_while_records_come_is_told_once(
    audit: Control, standing: Standing
):
    standing.on_records = lambda: break_socket(standing.source)
    audit.user_message(b"op=test", TEST)
    await until(lambda: standing.failures)
    for _ in range(100):
        await asyncio.sleep(0)  # a socket in error is ready all the time
    assert [error.errno for error in standing.failures] == [errno.ENOTCONN]


@pytest.fixture
async def daemon(audit: Control, log_dir: Path) -> AsyncIterator[Daemon]:
    conf = log_dir / "auditd.conf"
    conf.write_text(
        settings_text({
            "log_file": log_dir / "audit.log", "run_dir": log_dir / "run", "audit_pid_retry": 1,
            "status_interval": 1, "receive_buffer": 1, "priority_boost": 0,
        })
    )  # fmt: skip
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        oom_score_adj = file.read()
    ready: list[int] = []
    config = load(str(conf), allow_links=False).config
    messages = MessageSink(to_syslog=False, to_stderr=True)
    found = Daemon(Options(str(conf)), config, messages, ready.append)
    running = asyncio.create_task(found.run())
    await until(lambda: ready or running.done())
    assert ready == [0]
    try:
        yield found
    finally:
        found._stop.set()
        assert await running == 0
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(oom_score_adj)


async def test_a_dead_event_socket_is_counted_and_opened_again(
    audit: Control, daemon: Daemon, log_dir: Path
):
    log = log_dir / "audit.log"
    audit.user_message(b"op=first", TEST)
    while daemon.source._timer is None:  # set while records come
        await asyncio.sleep(0)
    break_socket(daemon.source)
    await until(lambda: daemon.kernel.dismissals == 1 and daemon.kernel.registered)
    audit.user_message(b"op=second", TEST)
    await until(lambda: b"op=second" in log.read_bytes())
    assert daemon.kernel.dismissals == 1
