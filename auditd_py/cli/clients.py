"""auditd --clients: the hosts that send records to the running daemon."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import time
from typing import Final

_LIMIT_S: Final = 5.0
_LOOK_S: Final = 0.01
_ROW: Final = re.compile(r"client (\S+) port (\d+) = (.*)")
_HEAD: Final = (
    "ADDRESS", "PORT", "TRANSPORT", "IDENTITY", "RECORDS", "BYTES", "UNWRITTEN", "SILENT", "TIMER",
)  # fmt: skip


class _NoReportError(Exception):
    """Why there is nothing to show."""


def show_clients(run_dir: str) -> int:
    """Print a table of the clients of the daemon whose files are in `run_dir`; return the status.

    The daemon is asked for a state report, as SIGCONT does, and given 5 seconds.
    """
    try:
        report = _report(run_dir)
    except _NoReportError as error:
        print(f"auditd: {error}", file=sys.stderr)
        return 1
    rows = [_HEAD, *map(_cells, _ROW.findall(report))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _cells(found: tuple[str, str, str]) -> tuple[str, ...]:
    address, port, values = found
    fields, _, timer = values.partition(", timer ")
    names = dict(re.findall(r"(\w+)(?: for)? ([^,]*)", fields))
    wanted = ("transport", "identity", "records", "bytes", "unwritten", "silent")
    return (address, port, *(names.get(name, "?") for name in wanted), timer)


def _report(run_dir: str) -> str:
    """Return a state report of now. Raises _NoReportError."""
    path = os.path.join(run_dir, "auditd.state")
    before = _identity(path)
    daemon = _daemon(os.path.join(run_dir, "auditd.pid"))
    try:
        signal.pidfd_send_signal(daemon, signal.SIGCONT)
    except OSError as error:
        raise _NoReportError(f"the daemon cannot be asked: {error.strerror}") from None
    finally:
        os.close(daemon)
    deadline = time.monotonic() + _LIMIT_S
    while (now := _identity(path)) is None or now == before:
        if time.monotonic() > deadline:
            raise _NoReportError(f"the daemon wrote no {path} in {_LIMIT_S:.0f} s")
        time.sleep(_LOOK_S)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise _NoReportError(f"{path}: {error.strerror}") from None


def _daemon(path: str) -> int:
    """Return a pidfd of the daemon that holds the pid file. Raises _NoReportError."""
    try:
        with open(path, encoding="ascii") as file:
            daemon = os.pidfd_open(int(file.read()))
            # only now: while it holds the lock the pid is its own, and the descriptor stays so
            if _locked(file.fileno()):
                return daemon
            os.close(daemon)
    except (OSError, ValueError):
        pass
    raise _NoReportError(f"no daemon runs ({path})")


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
