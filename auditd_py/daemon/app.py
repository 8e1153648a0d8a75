"""The daemon from start to end: one task group owns everything that runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py import __version__
from auditd_py.config.words import LogFormat
from auditd_py.daemon import handover, process, reexec
from auditd_py.daemon.action_runner import ActionRunner, LoopServices
from auditd_py.daemon.collector import Collector
from auditd_py.daemon.dispatcher import Dispatcher
from auditd_py.daemon.keeper import LogKeeper
from auditd_py.daemon.kernel import Kernel
from auditd_py.daemon.live import LiveLine
from auditd_py.daemon.metrics_server import MetricsServer
from auditd_py.daemon.names import NameService
from auditd_py.daemon.node import NodeError, node_name
from auditd_py.daemon.notify import Notifier
from auditd_py.daemon.pipeline import Pipeline
from auditd_py.daemon.reexec import Reexecution
from auditd_py.daemon.reload import Reloader
from auditd_py.daemon.report import Reporter
from auditd_py.daemon.rule_watch import RuleWatch
from auditd_py.daemon.source import Source
from auditd_py.errors import ActionError, ConfigError, KernelError, LogError
from auditd_py.netlink.uapi import RecordType
from auditd_py.record.daemon_record import (
    Sender,
    abort_text,
    reexec_text,
    signalled_text,
    start_text,
)
from auditd_py.record.enrich import Enricher
from auditd_py.record.line import LineFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.daemon.fleet import Fleet
    from auditd_py.daemon.handover import Handover
    from auditd_py.daemon.syslog import MessageSink
    from auditd_py.log.incident import Incident

log = structlog.get_logger()

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1

_NAMES_KEPT_S: Final = 300.0  # a user renamed elsewhere is seen after this
_DRAIN_LIMIT_S: Final = 1.0  # what the kernel still holds when the daemon is told to end


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for. `enable_state` is disable, enable or nochange.

    `command` and the working directory `folder` are how this process was started.
    """

    config_path: str
    allow_links: bool = False
    foreground: bool = False
    enable_state: str = "enable"
    live: bool = False
    command: tuple[str, ...] = ()
    folder: str = "/"


class Daemon:
    """One daemon. `ready(status)` is told when it runs (0) or failed to start."""

    def __init__(
        self,
        options: Options,
        config: DaemonConfig,
        messages: MessageSink,
        ready: Callable[[int], None],
        before: Handover | None = None,
    ) -> None:
        self.options = options
        self.messages = messages
        self.config = config
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        self._notifier = Notifier()
        self._stop = asyncio.Event()
        self._interrupted = False
        self.names = NameService(self._loop)
        self.pipeline = Pipeline(LineFormatter(), None, self.names, self._resume_source)
        services = LoopServices(
            self._loop, tell=_tell, resume_logging=self._resume_after_action, stop=self._stop.set
        )
        self.actions = ActionRunner(services, platform.node())
        self.keeper = LogKeeper(
            config, self.pipeline, self.run_action, self._resume_source, self.spawn
        )
        self.log_file = self.keeper.file
        self.source = Source(self._loop, self.pipeline.batch, self._source_failed)
        self.kernel = Kernel(self.source if config.local_events else None)
        self.dispatcher = Dispatcher(config, self.actions.run)
        self.collector = Collector(
            config,
            self.pipeline,
            self.log_file,
            self.dispatcher,
            lambda: self.writes(self.config),
        )
        self.fleet: Fleet | None = None
        if config.jetstream_url:
            from auditd_py.daemon.fleet import Fleet  # an extra, of some MiB

            self.fleet = Fleet(
                config, self.log_file, self.dispatcher, lambda: self.writes(self.config)
            )
        self.rule_watch = RuleWatch(self.kernel, self._record_config)
        self.pid_file: process.PidFile | None = None
        self.reporter = Reporter(self)
        self._tasks: asyncio.TaskGroup | None = None
        self._waiting: list[Coroutine[None, None, None]] = []  # asked for before it ran
        self.metrics = MetricsServer(self)
        self._reloader = Reloader(self)
        self._before = before
        self._reexecution = Reexecution(self, options.command, options.folder)

    async def run(self) -> int:
        """Run until told to end; return the exit status."""
        self._handle_signals()  # from DAEMON_START on there is to be a DAEMON_END
        try:
            started = await self._start()
        except (ActionError, KernelError, LogError, NodeError) as error:
            log.error(str(error))
            started = False
        if not started:
            self._ready(EXIT_FAILED)
            await self._end(unwind=True)
            return EXIT_FAILED
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for work in self._waiting:
                    tasks.create_task(work)
                self._waiting.clear()
                running = [tasks.create_task(work) for work in self._work()]
                await self.metrics.start(self.config)
                self._announce()
                await self._stop.wait()
                if self.fleet is not None:
                    await self.fleet.stop()
                self._tasks = None
                for task in running:
                    task.cancel()
        finally:
            await self._end(unwind=False)
        return EXIT_OK

    def formatter(self, config: DaemonConfig, node: bytes) -> LineFormatter:
        """Return the formatter `config` asks for; names already known are kept."""
        enricher = None
        if config.log_format is LogFormat.ENRICHED:
            enricher = self.pipeline.formatter.enricher or Enricher()
        return LineFormatter(node, enricher)

    async def open_log(self, config: DaemonConfig) -> None:
        """Open the log as `config` says.

        Raises ActionError, LogError or OSError; log and actions are then what they were.
        """
        actions = await self._loop.run_in_executor(None, self.actions.load, config)
        await self.keeper.open(config, actions.responses, to_stdout=self.options.foreground)
        self.actions.use(actions)

    def writes(self, config: DaemonConfig) -> bool:
        """Return whether records are written anywhere."""
        return config.write_logs or self.options.foreground

    def notify_reloading(self) -> None:
        """Tell the service manager that settings are being read again."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={usec}")

    def notify_ready(self) -> None:
        """Tell the service manager that the daemon runs."""
        self._notifier.send("READY=1", self.reporter.status_line())

    def feed_watchdog(self) -> None:
        """Tell the service manager that the daemon does not stand still."""
        self._notifier.send("WATCHDOG=1")

    # start

    async def _start(self) -> bool:
        config = self.config
        status = None
        if self._before is not None:
            handover.restore(self.source.counters, self._before.state["received"])
            handover.restore(self.log_file.counters, self._before.state["written"])
        if config.local_events:
            status = await self.kernel.open()
            if await self.kernel.has_other_daemon():
                log.error(
                    "another audit daemon is running; stop it first, or look on with --observe",
                    pid=status.pid,
                    process=process.command_of(status.pid),
                )
                return False
        self.pid_file = self._locked_pid_file(os.path.join(config.run_dir, "auditd.pid"))
        node = await self._loop.run_in_executor(None, node_name, config.name_format, config.name)
        self.pipeline.formatter = self.formatter(config, node)
        if self.writes(config):
            await self.open_log(config)
            self.pipeline.log_file = self.log_file
            to = "standard output" if self.options.foreground else config.log_file
            log.info("writing records", to=to)
        await self.dispatcher.start(self._before)
        self.pipeline.dispatcher = self.dispatcher
        own = process.own_sender()
        self._record_start(own)
        self.pid_file.write()
        if not process.protect_from_oom_killer():
            log.warning("the kernel may end this daemon when memory is short (oom_score_adj)")
        if status is not None and not await self._take_over(status.enabled, own):
            return False
        return await self._listen(own)

    def _locked_pid_file(self, path: str) -> process.PidFile:
        before = self._before
        if before is None or "pid_file" not in before.state:
            return process.PidFile(path)
        former, fd = before.state["pid_file"]
        held = process.PidFile(former, before.take(fd))
        if former == path:
            return held
        held.remove()
        return process.PidFile(path)

    def _record_start(self, own: Sender) -> None:
        if self._before is not None:
            state = self._before.state
            self.pipeline.serial = state["serial"]
            self.pipeline.gaps.go_on(state["gaps"])
            text = reexec_text(__version__, reexec.sender_of(self._before))
            self.pipeline.daemon_record(RecordType.DAEMON_CONFIG, text)
            return
        config = self.config
        log_format = str(config.log_format) if self.writes(config) else "nolog"
        kernel = platform.release()[:56]
        self.pipeline.daemon_record(
            RecordType.DAEMON_START, start_text(__version__, log_format, kernel, own)
        )

    async def _take_over(self, enabled: int, own: Sender) -> bool:
        before = self._before
        if before is not None and before.state["source"] is not None:
            fd, drops_before = before.state["source"]
            sock = socket.socket(fileno=before.take(fd))
            self.source.adopt(sock, self.config.receive_buffer << 20, drops_before)
            state = before.state
            self.kernel.go_on(state["lost"], state["status_lost"], state["dismissals"])
            self.source.start()
            if not self.kernel.registered:
                log.warning("the audit pid is not this daemon's any more")
            return True
        self.source.open(self.config.receive_buffer << 20)
        wanted = self.options.enable_state
        if wanted != "nochange" and enabled < 2:
            try:
                await self.kernel.set_enabled(enabled=wanted == "enable")
            except KernelError as error:
                return self._abort("set-enable", own, error)
        self.source.start()
        try:
            await self.kernel.register()
        except KernelError as error:
            return self._abort("set-pid", own, error)
        return True

    async def _listen(self, own: Sender) -> bool:
        try:
            await self.collector.start(self._before)
        except (OSError, ConfigError) as error:
            self.pipeline.daemon_record(RecordType.DAEMON_ABORT, abort_text("network-init", own))
            log.error(
                "cannot listen for records of other hosts, exiting",
                port=self.config.tcp_listen_port,
                reason=getattr(error, "strerror", None) or str(error),
            )
            return False
        return True

    def _abort(self, operation: str, own: Sender, error: KernelError) -> bool:
        self.pipeline.daemon_record(RecordType.DAEMON_ABORT, abort_text(operation, own))
        hint = ""
        if error.errno == errno.EEXIST:
            hint = ": another audit daemon is running"
        elif error.errno == errno.EPERM:
            hint = (
                ": not allowed here; in a container or with locked settings use local_events = no"
            )
        log.error(
            f"unable to {operation.replace('-', ' audit ')}{hint}, exiting", reason=str(error)
        )
        return False

    def _announce(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before.close()
            log.info(f"auditd {__version__} goes on from {before.state['version']}", level="notice")
            self.notify_ready()
            reexec.answer(self, f"auditd {__version__} runs now")
            return
        state = {"enable": "enable", "disable": "disable"}.get(
            self.options.enable_state, "nochange"
        )
        log.info(
            f"Init complete, auditd {__version__} listening for events (startup state {state})",
            level="notice",
        )
        self.notify_ready()
        self._ready(EXIT_OK)

    def _work(self) -> list[Coroutine[None, None, None]]:
        work = [
            self._report_regularly(),
            self._forget_names(),
            self.keeper.watch(),
            self.dispatcher.watch(),
            self.collector.watch(),
        ]
        if self.fleet is not None:
            work.append(self.fleet.run())
        if self.config.local_events:
            self.pipeline.on_config_change = self.rule_watch.touch
            self.rule_watch.touch()  # what it finds first is what it compares with
            work.append(self.rule_watch.run(wanted=lambda: self.config.watch_rules))
            work.append(
                self.kernel.watch(
                    lambda: self.config.status_interval,
                    lambda: self.config.audit_pid_retry,
                    self._look_at_losses,
                )
            )
        else:
            work.append(self._look_at_losses_regularly())
        if self._notifier.watchdog_s:
            work.append(self._feed_watchdog())
        if self.options.live:
            work.append(LiveLine(self.source, self.kernel, self.log_file).run())
        return work

    # while it runs

    def _handle_signals(self) -> None:
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._stop.set,
            signal.SIGINT: self._interrupt,
            signal.SIGHUP: lambda: self.spawn(self._reloader.reload()),
            signal.SIGUSR1: lambda: self.spawn(self._rotate_log()),
            signal.SIGUSR2: lambda: self.spawn(self._resume_logging()),
            signal.SIGCONT: lambda: self.spawn(self.reporter.write_state()),
        }
        for number, handler in handlers.items():
            self._loop.add_signal_handler(number, handler)
        self._reexecution.listen()

    def _interrupt(self) -> None:
        # the kernel does not note who sent this one (audit_signal_info, kernel/audit.c)
        self._interrupted = True
        self._stop.set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` as a task of the daemon's, once it runs; never, if it ends."""
        if self._tasks is None:
            self._waiting.append(work)
        else:
            self._tasks.create_task(work)

    async def sender(self) -> Sender | None:
        """Return who sent the signal being handled, None if it cannot be told."""
        info = await self.kernel.signal_info()
        return process.sender_of(info) if info else None

    async def _rotate_log(self) -> None:
        sender = await self.sender()
        if self.writes(self.config) and not self.options.foreground:
            await self.keeper.rotate(sender)

    async def _resume_logging(self) -> None:
        sender = await self.sender()
        log.info("Audit daemon is attempting to resume logging.", level="notice")
        self.dispatcher.resume()
        if self.writes(self.config):
            await self.keeper.resume(sender)

    def _resume_after_action(self) -> None:
        self.spawn(self.keeper.resume(None))

    async def _report_regularly(self) -> None:
        while True:
            interval_s = self.config.report_interval
            await asyncio.sleep(interval_s or 3600)
            if interval_s and interval_s == self.config.report_interval:
                await self.reporter.write_state()

    async def _forget_names(self) -> None:
        while True:
            await asyncio.sleep(_NAMES_KEPT_S)
            if self.pipeline.formatter.enricher is not None:
                self.pipeline.formatter.enricher.forget_names()

    async def _feed_watchdog(self) -> None:
        while True:
            self.feed_watchdog()
            await asyncio.sleep(self._notifier.watchdog_s / 2)

    async def _look_at_losses_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.config.status_interval)
            self._look_at_losses()

    def _look_at_losses(self) -> None:
        self.reporter.look_at_losses()
        self._notifier.send(self.reporter.status_line())

    def _record_config(self, text: str) -> None:
        self.pipeline.daemon_record(RecordType.DAEMON_CONFIG, text)

    def _resume_source(self) -> None:
        self.source.resume()
        self.collector.resume()
        if self.fleet is not None:
            self.fleet.log.resume()

    def run_action(self, incident: Incident) -> None:
        """Run the action set for an incident of the log."""
        if self.options.foreground:
            self._stop.set()  # standard output was closed
        else:
            self.actions.run(incident)

    def _source_failed(self, error: OSError) -> None:
        # Kernel.watch registers again, which opens another socket
        self.source.close()
        self.kernel.dismiss()
        log.error("the kernel's audit socket failed", reason=os.strerror(error.errno or errno.EIO))

    # end

    async def _end(self, *, unwind: bool) -> None:
        if not unwind:
            self._notifier.send("STOPPING=1")
            log.info("The audit daemon is exiting.", level="notice")
            await self._finish_records()
        await self.pipeline.settle()
        self.source.close()
        await self.dispatcher.stop()
        with contextlib.suppress(OSError, LogError):
            await self.log_file.close()
        await self.actions.close()
        self.kernel.close()
        if self.pid_file is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.config.run_dir, "auditd.state"))
            self.pid_file.remove()
        for work in self._waiting:
            work.close()
        if not unwind:
            log.info(self.reporter.summary())

    async def _finish_records(self) -> None:
        # the kernel hands over its backlog while the pid is still ours; what is in the socket
        # after that is ours as well
        sender = None
        if self.kernel.registered:
            sender = None if self._interrupted else await self.sender()
            deadline = self._loop.time() + _DRAIN_LIMIT_S
            while await self.kernel.backlog() and self._loop.time() < deadline:
                await self._drain()
        await self.metrics.stop()
        await self.kernel.release()
        self.source.stop()
        await self._drain()
        self.source.count_congestion()
        # what has not come by now never will: the open window, then what it leaves
        self.pipeline.gaps.end_window()
        self.pipeline.gaps.end_window()
        await self.collector.stop()
        self.pipeline.daemon_record(RecordType.DAEMON_END, signalled_text("terminate", sender))

    async def _drain(self) -> None:
        while not self.source.drain():
            await self.pipeline.settle()
            await self.log_file.settle()
            self.source.resume()


def _tell(level: str, text: str) -> None:
    log.info(text, level=level)
