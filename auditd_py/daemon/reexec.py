"""SIGRTMIN+25: the daemon executes the new version of itself, and nothing is lost between.

The new version is tried in a child process first. Then everything that was received goes to the
log, reading stops, and execv keeps the process: its pid, its standing with the kernel, and the
descriptors that `handover` names. The kernel fills the event socket meanwhile.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import os
import re
import signal
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

from auditd_py import __version__
from auditd_py.daemon import handover, process
from auditd_py.daemon.state import write_report
from auditd_py.netlink.uapi import RecordType
from auditd_py.record.daemon_record import Sender, reexec_text

if TYPE_CHECKING:
    from auditd_py.daemon.app import Daemon

SIGNAL: Final = signal.SIGRTMIN + 25  # with which systemd's manager re-executes itself
ANSWER: Final = "auditd.reexec"  # in run_dir: what became of it

_CHECK_LIMIT_S: Final = 60.0  # cold caches, a slow disk
_QUIET_LIMIT_S: Final = 60.0  # for an action or a compression to end
_LOOK_S: Final = 0.1
_GAP_BUFFER: Final = 1 << 30  # bytes of records that may come while nobody reads
_GAP_SHARE: Final = 8  # and the part of the memory that is free
_SIGINFO: Final = 128  # size of struct signalfd_siginfo (linux/signalfd.h)
_SFD: Final = os.O_NONBLOCK | os.O_CLOEXEC
_SHOWN: Final = 600  # characters of what a check that failed says

# what would end the new version, or be lost, before it has its handlers
_DELAYED: Final = frozenset({
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
})  # fmt: skip

log = structlog.get_logger()


class ReexecError(Exception):
    """Why the daemon goes on as it is."""


def hold_signal() -> None:
    """Keep SIGNAL for `Reexecution`. To be called before there is another thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})


class Reexecution:
    """Waits for SIGNAL, and does what it asks. `command` and `folder` are how it was started."""

    def __init__(self, daemon: Daemon, command: tuple[str, ...], folder: str) -> None:
        self._daemon = daemon
        self._command = command
        self._folder = folder
        self._busy = False
        self._fd = -1

    def listen(self) -> None:
        """Take SIGNAL from now on, and those that were delayed."""
        mask = (1 << (SIGNAL - 1)).to_bytes(8, sys.byteorder)  # sigset_t; the rest is zero
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.signalfd(-1, mask.ljust(128, b"\0"), _SFD)
        if self._fd < 0:
            log.error("--reexec will not work", reason=os.strerror(ctypes.get_errno()))
        else:
            asyncio.get_running_loop().add_reader(self._fd, self._asked)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _DELAYED)

    def _asked(self) -> None:
        pid, uid = struct.unpack_from("=II", os.read(self._fd, _SIGINFO), 12)
        sender = process.sender_by_pid(pid, uid)
        if not self._busy:
            self._busy = True
            self._daemon.spawn(self._run(sender))

    async def _run(self, sender: Sender) -> None:
        daemon = self._daemon
        who = f"pid={sender.pid} auid={sender.auid} subj={sender.context or '?'}"
        log.info(f"re-execution requested by {who}", level="notice")
        daemon.notify_reloading()
        try:
            await self._check()
            await self._quiet()
            await self._execute(sender)
        except ReexecError as error:
            for line in str(error).splitlines():
                log.error(line)
            log.error("the daemon goes on as it is")
            text = reexec_text(__version__, sender, "failed")
            daemon.pipeline.daemon_record(RecordType.DAEMON_CONFIG, text)
            answer(daemon, f"failed: {error}")
        finally:
            self._busy = False
            daemon.notify_ready()

    async def _check(self) -> None:
        """Have the new version say that it could start. Raises ReexecError."""
        words = [*self._command, "--check-takeover", str(handover.FORMAT)]

        def check() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(  # noqa: S603  our own command
                words, cwd=self._folder, capture_output=True, stdin=subprocess.DEVNULL,
                timeout=_CHECK_LIMIT_S, check=False,
            )  # fmt: skip

        try:
            done = await asyncio.get_running_loop().run_in_executor(None, check)
        except OSError as error:
            raise ReexecError(f"{words[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise ReexecError(f"the new version did not start in {_CHECK_LIMIT_S:.0f} s") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-_SHOWN:]
            raise ReexecError(f"the new version cannot start: {said or done.returncode}")

    async def _quiet(self) -> None:
        """Wait for what execv would end. Raises ReexecError."""
        daemon, loop = self._daemon, asyncio.get_running_loop()
        deadline = loop.time() + _QUIET_LIMIT_S
        while daemon.actions.running or daemon.keeper.busy:
            if loop.time() > deadline:
                raise ReexecError("an action, a compression or an indexing has not ended")
            await asyncio.sleep(_LOOK_S)
        file = daemon.log_file
        if daemon.writes(daemon.config) and (file.suspended or file.failed):
            raise ReexecError("the log is not written; resume it first")

    async def _execute(self, sender: Sender) -> None:
        daemon = self._daemon
        daemon.source.enlarge(_gap_buffer(daemon.config.receive_buffer << 20))
        daemon.source.stop()
        daemon.collector.pause()
        if daemon.fleet is not None:
            await daemon.fleet.stop()
        await daemon.pipeline.settle()
        await daemon.log_file.rest()
        # no other task runs from here on
        state, descriptors = self._state(sender)
        memory = handover.leave(state, descriptors)
        signal.pthread_sigmask(signal.SIG_BLOCK, _DELAYED)
        daemon.feed_watchdog()  # its whole time is the new version's
        try:
            os.chdir(self._folder)
            os.execv(self._command[0], self._command)  # noqa: S606
        except OSError as error:
            handover.take_back(memory, descriptors)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _DELAYED)
            daemon.source.start()
            daemon.collector.resume()
            if daemon.fleet is not None:
                daemon.spawn(daemon.fleet.run())
            raise ReexecError(f"{self._command[0]}: {error.strerror}") from None

    def _state(self, sender: Sender) -> tuple[dict[str, Any], list[int]]:
        daemon = self._daemon
        descriptors: list[int] = []
        source = daemon.source.kept
        state: dict[str, Any] = {
            "version": __version__,
            "sender": dataclasses.asdict(sender),
            "priority_boost": daemon.config.priority_boost,
            "source": None,
            "status_lost": daemon.kernel.status.lost,
            "lost": daemon.kernel.lost,
            "dismissals": daemon.kernel.dismissals,
            "gaps": daemon.pipeline.gaps.kept(),
            "serial": daemon.pipeline.serial,
            "received": dataclasses.asdict(daemon.source.counters),
            "written": dataclasses.asdict(daemon.log_file.counters),
        }
        if source is not None:
            state["source"] = (os.dup(source[0]), source[1])
            descriptors.append(state["source"][0])
        if daemon.pid_file is not None:
            state["pid_file"] = (daemon.pid_file.path, os.dup(daemon.pid_file.fd))
            descriptors.append(state["pid_file"][1])
        for name, part in (("dispatcher", daemon.dispatcher), ("collector", daemon.collector)):
            state[name], more = part.leave()
            descriptors += more
        return state, descriptors


def _gap_buffer(usual: int) -> int:
    """Return how many bytes may wait in the event socket while nobody reads it.

    The kernel gives up on a socket that stays full for half a second (kauditd_thread), and with
    it the standing of this process; the memory is taken only while it is needed.
    """
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = re.search(r"^MemAvailable: *(\d+) kB", file.read(), re.MULTILINE)
    free = int(kib[1]) << 10 if kib else 0
    return max(usual, min(_GAP_BUFFER, free // _GAP_SHARE))


def answer(daemon: Daemon, text: str) -> None:
    """Tell `auditd --reexec` what became of it."""
    path = os.path.join(daemon.config.run_dir, ANSWER)
    try:
        write_report(path, text + "\n", daemon.config.log_group.gid)
    except OSError as error:
        log.error("the answer cannot be written", path=path, reason=error.strerror)


def sender_of(before: handover.Handover) -> Sender:
    """Return who asked the process before this one."""
    return Sender(**before.state["sender"])
