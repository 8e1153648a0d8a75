"""How each plugin begins: signals wait from the first moment until it is ready for them.

The daemon, and an administrator, may send a signal as soon as there is a process; what has no
handler yet would end it. Nothing else is imported before that is prevented.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Final

from auditd_py import __version__

HELD: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

USAGE: Final = {
    "af_unix": """\
usage: audisp-af_unix [MODE PATH string|binary [DEPTH]]
A plugin of auditd: gives the records on its standard input to programs that
connect to the socket PATH of that MODE. DEPTH: records that wait for each.
""",
    "filter": """\
usage: audisp-filter allowlist|blocklist FILE PROGRAM [ARGUMENTS]
       audisp-filter --check FILE
A plugin of auditd: another plugin, PROGRAM, gets only some of the events.
  allowlist    what an expression in FILE matches is dropped
  blocklist    only what one matches is passed on
  --check      tell what is wrong with FILE
""",
    "nats": """\
usage: audisp-nats [-c FILE]
A plugin of auditd: publishes the records on its standard input to a stream of
a NATS cluster.
  -c FILE      settings, default /etc/auditd_py/audisp-nats.conf
""",
    "remote": """\
usage: audisp-remote [-c FILE]
A plugin of auditd: sends the records on its standard input to a collector.
  -c FILE      settings, default /etc/auditd_py/audisp-remote.conf
""",
    "syslog": """\
usage: audisp-syslog [PRIORITY] [FACILITY] [interpret]
A plugin of auditd: the records on its standard input go to the system log.
  PRIORITY     LOG_EMERG to LOG_DEBUG, default LOG_INFO
  FACILITY     LOG_USER, LOG_DAEMON, LOG_AUTH, LOG_AUTHPRIV, LOG_SYSLOG,
               LOG_LOCAL0 to LOG_LOCAL7, default LOG_USER
  interpret    names for numbers
""",
}


def hold_signals() -> None:
    """Let signals wait; Input delivers them when it has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def af_unix() -> int:
    """Run audisp-af_unix; return its exit status."""
    return run("af_unix")


def filter() -> int:  # noqa: A001  the plugin's name
    """Run audisp-filter; return its exit status."""
    return run("filter")


def json() -> int:
    """Run audisp-json; return its exit status."""
    return run("json")


def nats() -> int:
    """Run audisp-nats; return its exit status."""
    return run("nats")


def remote() -> int:
    """Run audisp-remote; return its exit status."""
    return run("remote")


def syslog() -> int:
    """Run audisp-syslog; return its exit status."""
    return run("syslog")


def run(module: str, arguments: list[str] | None = None) -> int:
    """Run a plugin with `arguments`, the process's own by default; return its exit status."""
    hold_signals()
    words = sys.argv[1:] if arguments is None else arguments
    if words == ["--version"]:
        sys.stdout.write(f"audisp-{module} version {__version__}\n")
        return 0
    if module in USAGE and words in (["-h"], ["--help"]):
        sys.stdout.write(USAGE[module])
        return 0
    status: int = import_module(f"auditd_py.plugins.{module}").main(words)
    return status
