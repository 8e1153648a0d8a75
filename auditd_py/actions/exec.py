"""The action exec: a program of the administrator's."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import stat
from collections import deque
from typing import TYPE_CHECKING, Final

from auditd_py.actions.base import Action, Given
from auditd_py.config.checks import EXEC_MODES
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Response

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident

_GRACE_S: Final = 5.0  # between asking a program to end and ending it
_CLONE_FS: Final = 0x200  # linux/sched.h
_MAX_LINKS: Final = 40  # as the kernel, MAXSYMLINKS
_DEFAULT_SIGNALS: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_NULL: Final = (
    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
    (os.POSIX_SPAWN_DUP2, 1, 2),
)


class Exec(Action):
    """Runs a program and waits for its end; logging is suspended from before its start.

    Of max_log_file_action logging goes on when the program has ended. In the other cases the
    program sends SIGUSR2 itself, once there is something to resume for.
    """

    response = Response.SUSPEND

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self.limit_s = given.config.exec_timeout + 2 * _GRACE_S

    def run(self, incident: Incident) -> None:
        try:
            self._run({})
        finally:
            if incident.condition is Condition.LOG_SIZE:
                self.given.services.resume_logging()
        self.given.services.tell("info", f"{self.given.argument} ended with status 0")

    def rehearse(self, incident: Incident) -> str:
        self._run({"AUDITD_REHEARSAL": "1"})
        after = "once it ended" if incident.condition is Condition.LOG_SIZE else "after SIGUSR2"
        done = f"{self.given.argument} ended with status 0 (AUDITD_REHEARSAL=1)"
        return f"{done}; logging would go on {after}"

    def _run(self, environment: dict[str, str]) -> None:
        path = self.given.argument
        check_program(path)
        status = _run_program(path, environment, self.given.config.exec_timeout)
        if status < 0:
            raise ActionError(f"{path} was ended by {_signal_name(-status)}")
        if status > 0:
            raise ActionError(f"{path} ended with status {status}")


def check_program(path: str) -> None:
    """Raise ActionError unless `path` is a program that nobody but root can have put there.

    What is checked is what is run: each part of the path, links followed, can be changed by root
    alone.
    """
    if not path.startswith("/"):
        raise ActionError(f"{path}: must be an absolute path")
    try:
        found = _resolve(path)
    except OSError as error:
        raise ActionError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ActionError(f"{path} is not a regular file")
    if found.st_uid != 0:
        raise ActionError(f"{path} is owned by uid {found.st_uid}, must be root's")
    mode = stat.S_IMODE(found.st_mode)
    if mode not in EXEC_MODES:
        raise ActionError(f"{path} has mode {mode:04o}, 0750, 0755, 0555 or 0550 is allowed")


def _resolve(path: str) -> os.stat_result:
    rest, here, links = deque(path.split("/")), "/", 0
    found = os.lstat(here)
    while rest:
        part = rest.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            here = os.path.dirname(here)
            found = os.lstat(here)
            continue
        _check_directory(here, found)
        found = os.lstat(os.path.join(here, part))
        if not stat.S_ISLNK(found.st_mode):
            here = os.path.join(here, part)
            continue
        links += 1
        target = os.readlink(os.path.join(here, part))
        if links > _MAX_LINKS or found.st_uid != 0:
            raise ActionError(f"{path}: the link {os.path.join(here, part)} is not followed")
        rest.extendleft(reversed(target.split("/")))
        here = "/" if target.startswith("/") else here
        found = os.lstat(here)
    return found


def _check_directory(path: str, found: os.stat_result) -> None:
    # in a sticky directory the owner of a file, which is root, keeps it
    writable = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
    if found.st_uid != 0 or writable:
        raise ActionError(f"{path}: others than root can change what is in it")


def _run_program(path: str, environment: dict[str, str], limit_s: float) -> int:
    """Return the exit status, negative for a signal. Raises ActionError if it must be ended."""
    pid = _start(path, environment)
    ended = _wait(pid, limit_s)
    if not ended:
        _signal_group(pid, signal.SIGTERM)
        _wait(pid, _GRACE_S)
        _signal_group(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not ended:
        raise ActionError(f"{path} took longer than exec_timeout ({limit_s:.0f} s) and was ended")
    return os.waitstatus_to_exitcode(status)


def _start(path: str, environment: dict[str, str]) -> int:
    # the daemon ignores most signals, which its children would inherit, and a function run
    # between fork and exec is not safe with threads; posix_spawn lacks only the directory
    ctypes.CDLL(None).unshare(_CLONE_FS)  # of this thread alone
    os.chdir("/")
    inherited = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    close = [(os.POSIX_SPAWN_CLOSE, fd) for fd in inherited]
    try:
        pid = os.posix_spawn(
            path, [path], environment, file_actions=[*_NULL, *close],
            setsid=True, setsigmask=(), setsigdef=_DEFAULT_SIGNALS,
        )  # fmt: skip
    except OSError as error:
        raise ActionError(f"{path} cannot be run: {error.strerror}") from None
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write("0")  # the daemon's protection is not meant for its children
    except OSError:
        pass
    return pid


def _wait(pid: int, limit_s: float) -> bool:
    """Return whether the process has ended within `limit_s`; it stays a zombie for waitpid."""
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(limit_s * 1000))
    finally:
        os.close(fd)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
