"""Tells systemd how the service is (sd_notify(3), sd_watchdog_enabled(3))."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends states to the socket that NOTIFY_SOCKET names; does nothing without one."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        env = dict(os.environ) if environment is None else environment
        path = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_s = 0.0
        if env.get("WATCHDOG_USEC", "").isdigit() and env.get("WATCHDOG_PID", "") in (
            "",
            str(os.getpid()),
        ):
            self.watchdog_s = int(env["WATCHDOG_USEC"]) / 1_000_000
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )

    def send(self, *states: str) -> None:
        """Send states such as READY=1; a service manager that does not listen is no fault."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(states).encode(), self._address)
        except OSError:
            pass
