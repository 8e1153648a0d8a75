"""Looks on: the kernel's read-only copy of the records, beside whatever daemon runs."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from typing import TYPE_CHECKING

import structlog

from auditd_py.config.words import LogFormat
from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.daemon.names import NameService
from auditd_py.daemon.node import NodeError, node_name
from auditd_py.daemon.pipeline import Pipeline
from auditd_py.daemon.source import Source
from auditd_py.errors import KernelError, LogError
from auditd_py.log.flush import Durability, FlushPolicy
from auditd_py.netlink.uapi import AUDIT_NLGRP_READLOG
from auditd_py.record.enrich import Enricher
from auditd_py.record.line import LineFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.log.incident import Incident

log = structlog.get_logger()


async def observe(config: DaemonConfig, output: str | None) -> int:
    """Write each record to the file `output`, or to standard output; return the exit status.

    Takes no audit pid and changes nothing. Records keep the format that `config` asks for.
    The kernel drops copies that are not read in time; they are counted and told at the end.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    failure: list[str] = []

    def fail(text: str) -> None:
        failure.append(text)
        stop.set()

    def resume() -> None:
        source.resume()

    watcher = _Watcher(fail, resume, stop if output is None else None)
    log_file = LogFile(loop, config.write_queue << 20, watcher)
    pipeline = Pipeline(LineFormatter(), log_file, NameService(loop), resume)
    source = Source(loop, pipeline.batch, lambda error: fail(f"audit socket: {error}"))
    descriptor = 1
    try:
        node = await loop.run_in_executor(None, node_name, config.name_format, config.name)
        enricher = Enricher() if config.log_format is LogFormat.ENRICHED else None
        pipeline.formatter = LineFormatter(node, enricher)
        source.open(config.receive_buffer << 20, groups=1 << AUDIT_NLGRP_READLOG - 1)
        if output is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(output, flags, 0o600)
        await log_file.open(LogSettings(None, 0, FlushPolicy(Durability.KERNEL), descriptor))
    except (KernelError, NodeError, LogError, OSError) as error:
        log.error(f"cannot observe: {error}")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    source.start()
    await stop.wait()
    source.stop()
    source.drain()
    await pipeline.settle()
    source.count_congestion()
    await log_file.close()
    for line in failure:
        log.error(line)
    log.info(
        f"records seen {source.counters.records}, "
        f"times the kernel found the socket full {source.counters.congested}"
    )
    source.close()
    return 1 if failure else 0


class _Watcher:
    # nothing to act upon: whoever looks on is told, and that is the end
    def __init__(
        self,
        fail: Callable[[str], None],
        resume: Callable[[], None],
        reader_gone: asyncio.Event | None,
    ) -> None:
        self._fail = fail
        self._resume = resume
        self._reader_gone = reader_gone

    def incident(self, incident: Incident) -> None:
        if self._reader_gone is not None and incident.reason == os.strerror(errno.EPIPE):
            self._reader_gone.set()  # no fault: whoever read standard output has seen enough
            return
        self._fail(f"{incident.function}: {incident.reason}")

    def log_recoverable(self) -> None:
        pass

    def log_rotated(self) -> None:
        pass

    def log_told(self, level: str, text: str) -> None:
        log.info(text, level=level)

    def log_has_space(self) -> None:
        self._resume()
