"""The daemon's own messages: to the system log, to the terminal, or both.

The system log may be slow or gone; nobody waits for it. What it cannot take at once goes to
standard error if that is open, and is counted.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_SOCKET: Final = "/dev/log"
_FACILITY_DAEMON: Final = 3
_PRIORITIES: Final = {
    "debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2, "alert": 1,
}  # fmt: skip
_FALLBACK_RETRY_S: Final = 5.0


class MessageSink:
    """Where messages go; `dropped` counts those that nothing could take.

    `to_syslog` sends them to the system log, `to_stderr` shows them on standard error.
    """

    def __init__(self, *, to_syslog: bool, to_stderr: bool, ident: str = "auditd") -> None:
        self.dropped = 0
        self._to_syslog = to_syslog
        self._to_stderr = to_stderr
        self._ident = ident
        self._socket: socket.socket | None = None
        self._retry_at = 0.0

    def write(self, level: str, text: str) -> None:
        """Write one message; never waits, never raises."""
        shown = False
        if self._to_syslog:
            shown = self._send(level, text)
        if self._to_stderr or not shown:
            shown = self._show(level, text) or shown
        if not shown:
            self.dropped += 1

    def _send(self, level: str, text: str) -> bool:
        priority = _FACILITY_DAEMON << 3 | _PRIORITIES[level]
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"<{priority}>{stamp} {self._ident}[{os.getpid()}]: {text}"
        data = line.encode("utf-8", "surrogateescape").replace(b"\n", b" ")
        for _ in range(2):
            try:
                if self._socket is None:
                    if time.monotonic() < self._retry_at:
                        return False
                    self._socket = socket.socket(
                        socket.AF_UNIX,
                        socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                    )
                    self._socket.connect(_SOCKET)
                self._socket.send(data)
            except BlockingIOError:
                return False
            except OSError:
                # the log daemon was restarted, or there is none
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
                self._retry_at = time.monotonic()
            else:
                return True
        self._retry_at = time.monotonic() + _FALLBACK_RETRY_S
        return False

    def _show(self, level: str, text: str) -> bool:
        try:
            mark = "" if level in ("info", "notice") else f"{level}: "
            sys.stderr.write(f"{self._ident}: {mark}{text}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            return False
        return True


class _Logger:
    # what structlog calls with what the last processor returned
    def __init__(self, sink: MessageSink) -> None:
        self._sink = sink

    def _msg(self, level: str, text: str) -> None:
        self._sink.write(level, text)

    debug = info = warning = error = critical = exception = _msg


def configure(sink: MessageSink, *, debug: bool = False) -> structlog.typing.FilteringBoundLogger:
    """Make structlog write to `sink`; return a logger. A message's `level=` overrides its method's."""

    def render(
        _: object, method: str, event: MutableMapping[str, object]
    ) -> tuple[tuple[str, str], dict[str, object]]:
        level = str(event.pop("level", "error" if method == "exception" else method))
        text = str(event.pop("event"))
        trace = event.pop("exception", None)
        words = [f"{key}={_quoted(value)}" for key, value in event.items()]
        if trace:
            words.append(f"trace={_quoted(trace)}")
        return (level, " ".join([text, *words])), {}

    structlog.configure(
        processors=[structlog.processors.format_exc_info, render],
        logger_factory=lambda *_: _Logger(sink),
        wrapper_class=structlog.make_filtering_bound_logger("debug" if debug else "info"),
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
