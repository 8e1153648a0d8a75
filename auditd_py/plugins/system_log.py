"""Lines for the system log's socket, as programs that call syslog() send them (RFC 3164)."""

from __future__ import annotations

import errno
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.plugins.outlet import SocketSink

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET: Final = "/dev/log"
PRIORITIES: Final = {
    name: number
    for number, name in enumerate(
        ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
    )
}
FACILITIES: Final = {
    "USER": 1, "DAEMON": 3, "AUTH": 4, "SYSLOG": 5, "AUTHPRIV": 10,
    **{f"LOCAL{number}": 16 + number for number in range(8)},
}  # fmt: skip

_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


def head(facility: int, priority: int, name: str, now: time.struct_time) -> bytes:
    """Return what stands before a message; the time is the local one."""
    stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {time.strftime('%H:%M:%S', now)}"
    return f"<{facility << 3 | priority}>{stamp} {name}: ".encode("ascii")


class LogSink(SocketSink):
    """The log daemon's socket; messages end with a NUL, which only streams need."""

    def send(self, data: bytes | memoryview) -> int:
        """See Sink."""
        return super().send(data[:-1]) + 1 if self.whole else super().send(data)


def connect(path: str = SOCKET) -> LogSink:
    """Return the log daemon's socket, of whichever kind it is; raises OSError."""
    try:
        return _connected(path, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
    return _connected(path, socket.SOCK_STREAM)


def teller(program: str, path: str = SOCKET) -> Callable[[str], None]:
    """Return a function that tells the administrator: standard error and the system log.

    It never fails and never waits; a program whose log daemon is away says it in vain.
    """

    def tell(text: str) -> None:
        line = "".join(c if c.isprintable() else "?" for c in text)
        start = head(FACILITIES["DAEMON"], PRIORITIES["WARNING"], program, time.localtime())
        try:
            sink = connect(path)
            try:
                sink.send(start + line.encode("utf-8", "replace") + b"\0")
            finally:
                sink.close()
        except OSError:
            pass
        try:
            sys.stderr.write(f"{program}: {line}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass

    return tell


def _connected(path: str, kind: socket.SocketKind) -> LogSink:
    connection = socket.socket(socket.AF_UNIX, kind)
    try:
        # not blocking from here on: a stream's listener that does not accept holds up nobody
        connection.setblocking(False)
        connection.connect(path)
        return LogSink(connection)
    except BaseException:
        connection.close()
        raise
