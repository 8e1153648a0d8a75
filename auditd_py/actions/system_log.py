"""Lines in the system log in the form of RFC 5424, which say host, process and time in full."""

from __future__ import annotations

import errno
import os
import re
import socket
from datetime import datetime
from typing import Final

from auditd_py.errors import ActionError

_SOCKET: Final = "/dev/log"
_LIMIT_S: Final = 2.0  # a log daemon that does not read must not hold an action up
_FACILITY_DAEMON: Final = 3
_PRIORITIES: Final = {"alert": 1, "error": 3, "warning": 4, "notice": 5, "info": 6}
_HOST_MAX: Final = 255


def send(level: str, text: str, *, message_id: str, host: str) -> None:
    """Put one line into the system log.

    Raises ActionError when the log daemon did not take it within two seconds.
    """
    line = syslog_line(
        level, text, message_id=message_id, host=host, now=datetime.now().astimezone()
    )
    try:
        _deliver(line)
    except TimeoutError:
        raise ActionError(f"{_SOCKET}: not read for {_LIMIT_S:.0f} s") from None
    except OSError as error:
        raise ActionError(f"{_SOCKET}: {error.strerror or error}") from None


def syslog_line(level: str, text: str, *, message_id: str, host: str, now: datetime) -> bytes:
    """Return the line; RFC 5424, section 6. It has no BOM before the text: files would keep it."""
    priority = _FACILITY_DAEMON << 3 | _PRIORITIES[level]
    name = re.sub(r"[^!-~]", "", host)[:_HOST_MAX] or "-"
    stamp = now.isoformat(timespec="microseconds")
    head = f"<{priority}>1 {stamp} {name} auditd {os.getpid()} {message_id} -"
    clean = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return f"{head} {clean}".encode("utf-8", "surrogateescape")


def _deliver(line: bytes) -> None:
    try:
        _send_as(socket.SOCK_DGRAM, line)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
        _send_as(socket.SOCK_STREAM, line + b"\0")  # the end of a line as glibc's syslog() marks it


def _send_as(kind: socket.SocketKind, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.settimeout(_LIMIT_S)
        connection.connect(_SOCKET)
        connection.sendall(data)
