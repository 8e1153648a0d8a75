"""A plugin as the daemon runs it: a process with a socket as standard input."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from auditd_py.plugins.wire import message
from auditd_py.record.record import parse_record
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CODE = """import sys
from auditd_py.plugins.start import hold_signals
hold_signals()
from auditd_py.plugins.{} import main
sys.exit(main({!r}, *{!r}))"""


class Plugin:
    """One plugin; `extra` are further arguments of its main, `enter` goes before the command."""

    def __init__(self, module: str, *arguments: str, extra: tuple[str, ...] = (),
                 stdout: int = subprocess.DEVNULL, enter: Sequence[str] = ()) -> None:  # fmt: skip
        self.run([*enter, sys.executable, "-c", CODE.format(module, arguments, extra)], stdout)

    def run(self, command: list[str], stdout: int) -> None:
        """Start a program as the daemon does."""
        self.input, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            command, stdin=theirs.fileno(), stdout=stdout, stderr=subprocess.PIPE,
            env={"PYTHONPATH": os.getcwd(), "TZ": "UTC"},
        )  # fmt: skip
        theirs.close()

    def send(self, *lines: bytes) -> None:
        """Send lines."""
        self.input.sendall(b"".join(line + b"\n" for line in lines))

    def send_binary(self, *lines: bytes, version: int = 1) -> None:
        """Send lines as messages."""
        self.input.sendall(
            b"".join(message(line, parse_record(line).type_number, version) for line in lines)
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.signal(signal.SIGHUP)

    def finish(self) -> tuple[int, str]:
        """End its input; return exit status and what it said."""
        self.input.close()
        return self.wait()

    def terminate(self) -> tuple[int, str]:
        """Send SIGTERM; return exit status and what it said."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for its end; return exit status and what it said."""
        assert self.process.stderr
        told = self.process.stderr.read().decode()
        return self.process.wait(20), told

    def end(self) -> None:
        """End it by force."""
        self.input.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


def catches(plugin: Plugin, number: signal.Signals) -> None:
    """Wait until a plugin has a handler for a signal."""

    def caught() -> bool:
        with open(f"/proc/{plugin.process.pid}/status", encoding="ascii") as file:
            masks = dict(line.split(":", 1) for line in file if ":" in line)
        return bool(int(masks["SigCgt"], 16) >> (number - 1) & 1)

    wait_for(caught, f"the plugin catches {number.name}")


def bound(path: Path, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """Return a socket at a path, with a limit for waiting."""
    found = socket.socket(socket.AF_UNIX, kind)
    found.settimeout(20)
    found.bind(str(path))
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found
