"""Keeps the log: opens it as the settings say, and acts on what happens to it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from auditd_py.config.words import Compression
from auditd_py.daemon.compressor import Compressor
from auditd_py.daemon.helper import Helper
from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.daemon.writer import UNWRITTEN
from auditd_py.errors import LogError
from auditd_py.log.flush import flush_policy
from auditd_py.log.space import Limit
from auditd_py.netlink.uapi import RecordType
from auditd_py.record.daemon_record import signalled_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.values import Space
    from auditd_py.daemon.pipeline import Pipeline
    from auditd_py.log.incident import Condition, Incident, Response
    from auditd_py.record.daemon_record import Sender

_TICK_S: Final = 2.0  # between two looks at the disk

_R = TypeVar("_R")

log = structlog.get_logger()


class LogKeeper:
    """The log of a running daemon.

    `act(incident)` runs the action set for it; `has_space()` is called when the log takes records
    again; `spawn` makes a task of the daemon's.
    """

    def __init__(
        self,
        config: DaemonConfig,
        pipeline: Pipeline,
        act: Callable[[Incident], None],
        has_space: Callable[[], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.file = LogFile(loop, config.write_queue << 20, self)
        self.compressor = Compressor(self.file)
        self.indexer = Helper("auditd_py.daemon.index_program", "rotated logs cannot be indexed")
        self.archiver = Helper(
            "auditd_py.daemon.archive_program", "rotated logs cannot be archived"
        )
        self._config = config
        self._pipeline = pipeline
        self._act = act
        self._has_space = has_space
        self._spawn = spawn

    @property
    def busy(self) -> bool:
        """Whether a program works on archives."""
        return self.compressor.busy or self.indexer.busy or self.archiver.busy

    async def open(
        self, config: DaemonConfig, responses: Mapping[Condition, Response], *, to_stdout: bool
    ) -> None:
        """Open the log as `config` says. Raises LogError or OSError: nothing has changed then."""
        await self.file.open(log_settings(config, responses, to_stdout=to_stdout))
        self._config = config
        self._spawn(self._put_away())

    async def watch(self) -> None:
        """Look after disk and clock until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.file.tick()

    async def rotate(self, sender: Sender | None) -> None:
        """Begin a new log, with the record that says who asked for it."""
        text = signalled_text("rotate-logs", sender, "success" if sender else "failed")
        try:
            done = await self._first_record(RecordType.DAEMON_ROTATE, text, self.file.rotate)
        except (LogError, OSError) as error:
            log.error("the log cannot be rotated", reason=str(error))
        else:
            if not done:
                log.info("Log rotation disabled (num_logs < 2), skipping", level="notice")

    async def resume(self, sender: Sender | None) -> None:
        """Go on with the log, with the record that says who asked for it and what is missing."""
        try:
            await self._resume(sender, rearm=True)
        except (LogError, OSError) as error:
            log.error("logging stays suspended", reason=str(error))

    async def _resume(self, sender: Sender | None, *, rearm: bool) -> None:
        was_closed = self.file.suspended or self.file.failed
        text = signalled_text("resume-logging", sender, f"success{UNWRITTEN.decode()}")
        await self._first_record(
            RecordType.DAEMON_RESUME, text, lambda line: self.file.resume(line, rearm=rearm)
        )
        if was_closed:
            log.info("Audit daemon resumed logging.", level="notice")

    async def _first_record(
        self, kind: int, text: str, give: Callable[[bytes], asyncio.Future[_R]]
    ) -> _R:
        given: asyncio.Future[asyncio.Future[_R]] = asyncio.get_running_loop().create_future()
        self._pipeline.daemon_record(kind, text, lambda line: given.set_result(give(line)))
        return await (await given)

    async def _put_away(self) -> None:
        """Compress, index and archive what was rotated."""
        config = self._config
        if config.compress_logs is not Compression.NONE:
            await self.compressor.run(str(config.compress_logs))
        if config.index_logs:
            await self.indexer.run(config.log_file)
        if config.archive_to:
            await self.archiver.run(config.log_file, config.archive_to)

    # what the log tells, see logfile.Watcher

    def incident(self, incident: Incident) -> None:
        """Run the action that is set for it."""
        self._act(incident)

    def log_recoverable(self) -> None:
        """Write again after a fault."""
        self._spawn(self._recover())

    async def _recover(self) -> None:
        if not self.file.failed:
            return
        # not told when it fails: that it failed was, and the next attempt is two seconds away
        with contextlib.suppress(LogError, OSError):
            await self._resume(None, rearm=False)

    def log_rotated(self) -> None:
        """Say so, and put away what was rotated."""
        log.info("Audit daemon rotating log files")
        self._spawn(self._put_away())

    def log_told(self, level: str, text: str) -> None:
        """Log it."""
        log.info(text, level=level)

    def log_has_space(self) -> None:
        """Let records come again."""
        self._has_space()


def log_settings(
    config: DaemonConfig, responses: Mapping[Condition, Response], *, to_stdout: bool
) -> LogSettings:
    """Return where and how `config` stores records."""
    policy = flush_policy(config.flush, config.freq)
    if to_stdout:
        return LogSettings(None, config.log_group.gid, policy)
    return LogSettings(
        config.log_file,
        config.log_group.gid,
        policy,
        limit=config.max_log_file << 20,
        num_logs=config.num_logs,
        rotate_every=config.rotate_interval,
        keep_days=config.keep_days,
        keep_total=config.keep_total << 20,
        space_left=_limit(config.space_left),
        admin_space_left=_limit(config.admin_space_left),
        responses=responses,
        node_dir=config.collector_log_dir,
    )


def _limit(space: Space) -> Limit:
    return Limit(space.amount, space.percent)
