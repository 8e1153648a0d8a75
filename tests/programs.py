"""Programs that tests run: our daemon, Debian's, and processes that make events."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditd_py.netlink.uapi import RuleData

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.netlink.control import Control

AUDIT_ARCH_X86_64 = 0xC000003E
EQUAL = 0x40000000
GETPGID, OPENAT, EXECVE = 121, 257, 59

_DEFAULTS = {
    "log_format": "RAW",
    "space_left": 2,
    "admin_space_left": 1,
    "space_left_action": "IGNORE",
    "admin_space_left_action": "IGNORE",
    "max_log_file_action": "IGNORE",
    "priority_boost": 0,
}


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 20.0) -> None:
    """Return when `condition` is true; fail the test when it takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_s} s: {what}"
        select.select([], [], [], 0.005)


def free_port() -> int:
    """Return a port that nobody has on any address.

    It is below those that the kernel gives to clients, which may keep it while a server is away.
    """
    while True:
        found = random.SystemRandom().randrange(20_000, 32_000)
        with (
            contextlib.suppress(OSError),
            socket.create_server(("::", found), family=socket.AF_INET6, dualstack_ipv6=True),
        ):
            return found


def settings_text(settings: dict[str, object]) -> str:
    """Return auditd.conf with `settings`."""
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


@dataclass(slots=True)
class Line:
    """One line of a log, taken apart."""

    type: str
    serial: int
    text: str

    def field(self, name: str) -> str | None:
        """Return the first value of the field `name`."""
        found = re.search(rf"(?:^|[ '\x1d]){re.escape(name)}=(\"[^\"]*\"|[^\s']+)", self.text)
        return found[1] if found else None


def parse_log(data: bytes) -> list[Line]:
    """Return the lines of a log; fails the test for one that is not a record."""
    lines = []
    for raw in data.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        found = re.fullmatch(
            r"(?:node=\S+ )?type=(\S+) msg=audit\(\d+\.\d{3}:(\d+)\): (.*)", raw, re.DOTALL
        )
        assert found, f"not a record: {raw!r}"
        lines.append(Line(found[1], int(found[2]), found[3]))
    return lines


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns  # an inode is used again soon


class Auditd:
    """Our daemon as a process; readiness and state come through its notify socket."""

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        settings: dict[str, object],
        program: tuple[str, ...] = ("-m", "auditd_py", "auditd"),
    ) -> None:
        self.folder = folder
        self.program = program
        self.enter: list[str] = []  # before the command: another namespace
        self.arguments = arguments
        self.conf = folder / "conf"
        self.log = folder / "audit.log"
        self.run = folder / "run"
        self.messages = folder / "messages"
        self.states: list[str] = []
        self.process: subprocess.Popen[bytes]
        self.conf.mkdir(exist_ok=True)
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        """Write auditd.conf."""
        values = {"log_file": self.log, "run_dir": self.run, **_DEFAULTS, **settings}
        self.log = Path(str(values["log_file"]))
        (self.conf / "auditd.conf").write_text(settings_text(values))

    def start(self) -> None:
        """Start the process."""
        # a path: an abstract name is not known in other network namespaces
        notify = self.folder / f"notify-{id(self)}"
        notify.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify))
        arguments = self.arguments or ("-n",)
        with self.messages.open("ab") as messages:
            self.process = subprocess.Popen(
                [*self.enter, sys.executable, *self.program, *arguments, "-c", str(self.conf)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if "-f" in arguments else messages,
                stderr=messages,
                env={**os.environ, "NOTIFY_SOCKET": str(notify), "LC_ALL": "C"},
                cwd=Path(__file__).parent.parent,
            )

    def wait_ready(self) -> None:
        """Return when the daemon says that it runs."""
        self.wait_state("READY=1")

    def wait_state(self, wanted: str, limit_s: float = 20.0) -> None:
        """Return when the daemon told systemd `wanted` (again)."""
        deadline = time.monotonic() + limit_s
        while True:
            self._notify.settimeout(max(0.01, min(0.2, deadline - time.monotonic())))
            try:
                states = self._notify.recv(4096).decode().split("\n")
            except TimeoutError:
                assert self.process.poll() is None, f"the daemon ended: {self.told()}"
                assert time.monotonic() < deadline, f"no {wanted}: {self.told()}"
                continue
            self.states += states
            if any(state.startswith(wanted) for state in states):
                return

    def told(self) -> str:
        """Return the daemon's own messages so far."""
        return self.messages.read_text()

    def lines(self) -> list[Line]:
        """Return the log."""
        return parse_log(self.log.read_bytes())

    def state(self) -> dict[str, str]:
        """Ask for a state report and return it."""
        path = self.run / "auditd.state"
        before = _version(path)
        os.kill(self.process.pid, signal.SIGCONT)
        wait_for(lambda: _version(path) != before, "state report")
        return dict(re.findall(r"^(.*?) (?:=|is:) (.*)$", path.read_text(), re.MULTILINE))

    def stop(self) -> int:
        """End the daemon with SIGTERM; return its exit status."""
        self.process.terminate()
        return self.process.wait(30)

    def end(self) -> None:
        """End the process if it still runs, by force if need be."""
        if not hasattr(self, "process"):
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        if self.process.stdout:
            self.process.stdout.close()
        self._notify.close()


class Peers:
    """Debian's auditd, unpacked."""

    def __init__(self, place: Path) -> None:
        self.place = place
        libraries = (place / "usr/lib", place / "lib")
        folders = [str(f) for top in libraries for f in top.glob("*-linux-gnu")]
        self.environment = {
            **os.environ, "LD_LIBRARY_PATH": ":".join(folders), "LC_ALL": "C", "TZ": "UTC",
        }  # fmt: skip

    def tool(self, name: str) -> str:
        """Return the path of one of the programs."""
        return str(
            next(
                p for p in (self.place / "sbin" / name, self.place / "usr/bin" / name) if p.exists()
            )
        )

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [self.tool(name), *arguments], env=self.environment, capture_output=True,
            text=True, errors="surrogateescape", stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def missing_library(self) -> str:
        """Return what the daemon needs and this system lacks, empty if nothing."""
        done = subprocess.run(
            ["ldd", self.tool("auditd")], env=self.environment, capture_output=True, text=True,
            timeout=20,
        )  # fmt: skip
        return " ".join(re.findall(r"(\S+) => not found", done.stdout))


class DebianAuditd:
    """Debian's daemon as a process."""

    def __init__(self, folder: Path, peers: Peers, settings: dict[str, object]) -> None:
        self.folder = folder
        self.log = folder / "audit.log"
        self._peers = peers
        self._settings = settings
        self.process: subprocess.Popen[bytes]

    def start(self, audit: Control) -> None:
        """Start it; return when the kernel knows it."""
        self.folder.mkdir(mode=0o700)
        plugins = self.folder / "plugins.d"
        plugins.mkdir()
        values = {
            "log_file": self.log, "local_events": "yes", "flush": "NONE", "num_logs": 5,
            "max_log_file": 800, "disk_full_action": "IGNORE", "disk_error_action": "SYSLOG",
            "plugin_dir": plugins, **_DEFAULTS, **self._settings,
        }  # fmt: skip
        (self.folder / "auditd.conf").write_text(settings_text(values))
        self.process = subprocess.Popen(
            [self._peers.tool("auditd"), "-n", "-c", str(self.folder)],
            env=self._peers.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: audit.status().pid == self.process.pid, "Debian's auditd is registered")

    def end(self) -> None:
        """End it."""
        if hasattr(self, "process") and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)


def syscall_rule(number: int, *fields: tuple[int, int], key: bytes = b"") -> bytes:
    """Return `-a always,exit -F arch=b64 -S number -F …` as the kernel takes it."""
    triples = [(11, EQUAL, AUDIT_ARCH_X86_64), *((f, EQUAL, v) for f, v in fields)]
    if key:
        triples.append((210, EQUAL, len(key)))
    return RuleData(4, 2, (number,), tuple(triples), key).pack()


class Actor:
    """A process that makes audited events when told to, so that rules can name its pid."""

    def __init__(self, code: str) -> None:
        program = "import os, sys\nsys.stdin.readline()\n" + code
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The process's pid."""
        return self.process.pid

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def run(self) -> bytes:
        """Let it begin and wait for its end; return what it printed."""
        out, _ = self.process.communicate(b"\n", timeout=60)
        assert self.process.returncode == 0
        return out

    def end(self) -> None:
        """End it by force."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()
