"""How each plugin begins: signals wait from the first moment until it is ready for them.

The daemon, and an administrator, may send a signal as soon as there is a process; what has no
handler yet would end it. Nothing else is imported before that is prevented.
"""

from __future__ import annotations

import signal
from importlib import import_module
from typing import Final

HELD: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def hold_signals() -> None:
    """Let signals wait; Input delivers them when it has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def af_unix() -> int:
    """Run audisp-af_unix; return its exit status."""
    return _run("af_unix")


def filter() -> int:  # noqa: A001  the plugin's name
    """Run audisp-filter; return its exit status."""
    return _run("filter")


def json() -> int:
    """Run audisp-json; return its exit status."""
    return _run("json")


def remote() -> int:
    """Run audisp-remote; return its exit status."""
    return _run("remote")


def syslog() -> int:
    """Run audisp-syslog; return its exit status."""
    return _run("syslog")


def _run(module: str) -> int:
    hold_signals()
    status: int = import_module(f"auditd_py.plugins.{module}").main()
    return status
