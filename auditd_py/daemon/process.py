"""What the daemon does to its own process, and what it can tell of others."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from typing import Final

from auditd_py.errors import LogError
from auditd_py.netlink.uapi import UNSET_ID, SignalInfo
from auditd_py.record.daemon_record import Sender

# signals that must keep their meaning; all others are ignored, as nothing may end the daemon
# by accident
_KEPT: Final = frozenset({
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT,
    signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
})  # fmt: skip


def ignore_signals() -> None:
    """Ignore every signal that means nothing to the daemon."""
    for number in signal.valid_signals() - _KEPT:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass  # the C library keeps some real-time signals to itself


def lift_limits() -> None:
    """Take away limits that would end the daemon: file size, CPU time; and few open files."""
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
        try:
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            pass  # without the right the inherited limit stays
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client of the collector is one


def raise_priority(boost: int, previous_boost: int = 0) -> None:
    """Set the nice value to what it was before the daemon, less `boost`. Raises OSError."""
    if boost != previous_boost:
        os.nice(previous_boost - boost)


def protect_from_oom_killer() -> bool:
    """Ask the kernel to end anything else first; return whether it will."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-1000")
    except OSError:
        return False
    return True


def own_sender() -> Sender:
    """Return this process as the records about it name it."""
    return Sender(
        auid=_proc_number("self/loginuid"),
        uid=os.getuid(),
        session=_proc_number("self/sessionid"),
        pid=os.getpid(),
        context=_context("self"),
    )


def sender_of(info: SignalInfo) -> Sender:
    """Return who sent a signal; what /proc no longer knows is unset."""
    try:
        uid = os.stat(f"/proc/{info.pid}").st_uid
    except OSError:
        uid = UNSET_ID
    return Sender(
        auid=info.auid,
        uid=uid,
        session=_proc_number(f"{info.pid}/sessionid"),
        pid=info.pid,
        context=info.context.decode("utf-8", "surrogateescape"),
    )


def sender_by_pid(pid: int, uid: int) -> Sender:
    """Return who sent a signal of which its receiver knows only these (siginfo)."""
    return Sender(
        auid=_proc_number(f"{pid}/loginuid"),
        uid=uid,
        session=_proc_number(f"{pid}/sessionid"),
        pid=pid,
        context=_context(str(pid)),
    )


def command_of(pid: int) -> str:
    """Return the name of process `pid`, `?` if it cannot be told."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return "?"


class PidFile:
    """The file that names the daemon, held as a lock for as long as it runs.

    Raises LogError when another daemon holds it (with that daemon's pid in the message) or it
    cannot be made.
    """

    def __init__(self, path: str, fd: int = -1) -> None:
        self.path = path
        self._fd = fd  # where it is held already
        if fd < 0:
            self._open()

    @property
    def fd(self) -> int:
        """The descriptor that holds the lock."""
        return self._fd

    def _open(self) -> None:
        path = self.path
        try:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(path, os.strerror(error.errno or 0), error.errno or 0) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(self._fd, 0o644)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise LogError(path, f"a daemon with pid {holder or '?'} is already running") from None
        except OSError as error:
            os.close(self._fd)
            raise LogError(path, os.strerror(error.errno or 0), error.errno or 0) from None

    def write(self) -> None:
        """Put this process's pid into the file."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file and give the lock back."""
        try:
            os.unlink(self.path)
        except OSError:
            pass
        os.close(self._fd)


class ReadyPipe:
    """The parent's wait for its daemon (start without -n).

    `detach` forks: the parent stays inside it until the child calls `report`, then exits with
    the status reported, or 1 if the child is gone before.
    """

    def __init__(self) -> None:
        self._write_fd = -1

    def detach(self) -> None:
        """Become a daemon of its own session with nothing on its standard descriptors."""
        read_fd, write_fd = os.pipe()
        if os.fork():
            os.close(write_fd)
            answer = os.read(read_fd, 1)
            os._exit(answer[0] if answer else 1)
        os.close(read_fd)
        self._write_fd = write_fd
        os.chdir("/")
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)

    def report(self, status: int) -> None:
        """End the parent with `status`; later calls do nothing."""
        if self._write_fd >= 0:
            os.write(self._write_fd, bytes([status]))
            os.close(self._write_fd)
            self._write_fd = -1


def _proc_number(name: str) -> int:
    try:
        with open(f"/proc/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return UNSET_ID


def _context(process: str) -> str:
    try:
        with open(
            f"/proc/{process}/attr/current", encoding="utf-8", errors="surrogateescape"
        ) as file:
            return file.read().strip("\0\n ")
    except OSError:
        return ""
