"""The running daemon: found by its pid file, asked by a signal, heard by a file it writes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from typing import Final

_LOOK_S: Final = 0.01


class NoAnswerError(Exception):
    """Why there is none."""


def ask(run_dir: str, number: int, name: str, limit_s: float) -> str:
    """Send a signal to the daemon of `run_dir` and return the file `name` it then writes there.

    Raises NoAnswerError.
    """
    path = os.path.join(run_dir, name)
    before = _identity(path)
    daemon = _daemon(os.path.join(run_dir, "auditd.pid"))
    try:
        signal.pidfd_send_signal(daemon, number)
        _wait(daemon, path, before, limit_s)
    except OSError as error:
        raise NoAnswerError(f"the daemon cannot be asked: {error.strerror}") from None
    finally:
        os.close(daemon)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise NoAnswerError(f"{path}: {error.strerror}") from None


def _wait(daemon: int, path: str, before: tuple[int, int] | None, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while (now := _identity(path)) is None or now == before:
        if select.select([daemon], [], [], _LOOK_S)[0]:
            raise NoAnswerError("the daemon ended")
        if time.monotonic() > deadline:
            raise NoAnswerError(f"the daemon wrote no {path} in {limit_s:.0f} s")


def _daemon(path: str) -> int:
    """Return a pidfd of the daemon that holds the pid file. Raises NoAnswerError."""
    try:
        with open(path, encoding="ascii") as file:
            daemon = os.pidfd_open(int(file.read()))
            # only now: while it holds the lock the pid is its own, and the descriptor stays so
            if _locked(file.fileno()):
                return daemon
            os.close(daemon)
    except (OSError, ValueError):
        pass
    raise NoAnswerError(f"no daemon runs ({path})")


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
