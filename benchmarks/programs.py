"""What runs: the load, the floor, the C daemon and ours, each a process we started."""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final, Self

from auditd_py.netlink.uapi import RuleData
from benchmarks.rows import Row, Who

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE: Final = os.path.join(ROOT, ".cache", "bench")
PEERS: Final = os.path.join(ROOT, ".cache", "peers")
OURS: Final = (sys.executable, "-m", "auditd_py", "auditd")

LOG_PARENT: Final = "/var/log"  # auditd wants every component to be root's
NUM_LOGS: Final = 99
START_S: Final = 20.0
STOP_S: Final = 20.0

# linux/audit.h
AUDIT_FILTER_EXIT: Final = 0x04
AUDIT_ALWAYS: Final = 2
AUDIT_PID: Final = 0
AUDIT_ARCH: Final = 11
AUDIT_EQUAL: Final = 0x40000000

CPUCLOCK_SCHED: Final = 2  # include/linux/posix-timers_types.h
PR_SET_PDEATHSIG: Final = 1

LOAD_MARK: Final = 0x7E570000  # load.c: the last call of stage K carries this plus K


class ProgramError(Exception):
    """A program of the benchmark did not do its part."""


def compiled(name: str) -> str:
    """Return the path of `name`.c as a program, compiled if it is not or is older."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.c")
    program = os.path.join(CACHE, name)
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-o", program, source], check=True)
    return program


def peer_environment() -> dict[str, str]:
    """Return the environment the unpacked C tools find their libraries in."""
    folders = glob.glob(f"{PEERS}/usr/lib/*-linux-gnu") + glob.glob(f"{PEERS}/lib/*-linux-gnu")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}


def peer_version() -> str:
    """Return the version of the C daemon, as its auditctl says it."""
    tool = os.path.join(PEERS, "sbin", "auditctl")
    if not os.path.exists(tool):
        raise ProgramError("no C daemon to compare with: sh tools/peers.sh")
    said = subprocess.run([tool, "-v"], env=peer_environment(), capture_output=True, text=True)
    return said.stdout.split()[-1] if said.stdout else "unknown"


def auditd_conf(row: Row, folder: str) -> str:
    """Return auditd.conf for `row`, with space actions and plugins out of the way.

    So is rotation, unless the row is about it; no log is removed, so that all can be counted.
    """
    rotates = bool(row.max_log_file)
    return f"""\
local_events = yes
write_logs = yes
log_file = {folder}/audit.log
log_group = root
log_format = {row.log_format}
flush = {row.flush}
freq = 50
max_log_file = {row.max_log_file or 9999}
num_logs = {NUM_LOGS if rotates else 0}
max_log_file_action = {"ROTATE" if rotates else "IGNORE"}
priority_boost = 4
name_format = NONE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = {folder}/plugins.d
"""


class Taker:
    """A process that takes the records: a daemon on a log of its own, or the floor.

    Started with the kernel's slot free; `ready` returns when it is registered and idle.
    """

    def __init__(self, who: Who, row: Row, ours: tuple[str, ...]) -> None:
        self.who = who
        self.folder = tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT)
        self.log_path = os.path.join(self.folder, "audit.log")
        self._counts: mmap.mmap | None = None
        try:
            self._process = self._start(row, ours)
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self, control: Control) -> None:
        """Wait until the kernel names it as the daemon and it has nothing more to do."""
        deadline = time.monotonic() + START_S
        while control.status().pid != self.pid:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ProgramError(f"{self.who} did not start: {self._said()}")
            time.sleep(0.02)
        before, now = -1.0, self.cpu_s()
        while now - before > 0.005 and time.monotonic() < deadline:
            time.sleep(0.5)
            before, now = now, self.cpu_s()

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads so far, also of those that have ended."""
        # clock_getcpuclockid(3): nanoseconds, where /proc/PID/stat has ticks
        return time.clock_gettime((~self.pid << 3) | CPUCLOCK_SCHED)

    def rss_kib(self) -> int:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise ProgramError(f"{self.who} has ended: {self._said()}")

    def counted_events(self) -> int:
        """Return the ends of events that the floor, or a daemon's plugin, has counted."""
        assert self._counts is not None
        return int(struct.unpack_from("=Q", self._counts, 8)[0])

    def complain_if_gone(self) -> None:
        if self._process.poll() is not None:
            raise ProgramError(f"{self.who} has ended: {self._said()}")

    def stop(self) -> None:
        """Ask it to end, and insist if it does not."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(f"{self.who} did not end on SIGTERM, killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()

    def _start(self, row: Row, ours: tuple[str, ...]) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self.who is Who.FLOOR:
            command = [compiled("floor"), self._map_counts()]
        else:
            self._configure(row)
            command = [os.path.join(PEERS, "sbin", "auditd")] if self.who is Who.C else list(ours)
            command += ["-n", "-c", self.folder]
            if self.who is Who.C:
                environment = peer_environment()
        with open(os.path.join(self.folder, "said"), "wb") as said:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=ROOT,
                env=environment,
                preexec_fn=end_with_parent,
            )

    def _configure(self, row: Row) -> None:
        plugins = os.path.join(self.folder, "plugins.d")
        os.mkdir(plugins, 0o750)
        if row.plugin:
            counter = os.path.join(self.folder, "count")
            shutil.copy(compiled("count"), counter)
            os.chmod(counter, 0o750)
            settings = f"active = yes\npath = {counter}\nargs = {self._map_counts()}\n"
            path = os.path.join(plugins, "count.conf")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as conf:
                conf.write(settings + "type = always\nformat = string\n")
        text = auditd_conf(row, self.folder)
        if self.who is Who.OURS:
            # the C daemon of Debian 12 has no such keyword: its pid file is in /run
            os.mkdir(os.path.join(self.folder, "run"), 0o755)
            text += f"run_dir = {self.folder}/run\n"
        path = os.path.join(self.folder, "auditd.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as conf:
            conf.write(text)

    def _map_counts(self) -> str:
        path = os.path.join(self.folder, "counts")
        with open(path, "w+b") as counts:
            counts.truncate(16)
            self._counts = mmap.mmap(counts.fileno(), 16)
        return path

    def _said(self) -> str:
        with open(os.path.join(self.folder, "said"), errors="replace") as said:
            return said.read().strip()[-2000:] or "it said nothing"


class Load:
    """The process that makes the events; its rule must be loaded before `go`."""

    def __init__(self, row: Row, events: int, target: str) -> None:
        if row.rate:
            arguments = ["openat", str(row.rate), str(row.seconds), target]
            self._mark_register = "a3"
        else:
            arguments = ["getpgid", str(events // row.stages), str(row.stages)]
            self._mark_register = "a1"
        self._process = subprocess.Popen(
            [compiled("load"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        ready, arch, syscall = self._line().split()
        assert ready == b"ready"
        self._arch, self._syscall = int(arch), int(syscall)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def rule(self) -> bytes:
        """Return what `auditctl -a always,exit -F arch=b64 -S CALL -F pid=PID` loads."""
        return RuleData(
            AUDIT_FILTER_EXIT,
            AUDIT_ALWAYS,
            (self._syscall,),
            ((AUDIT_ARCH, AUDIT_EQUAL, self._arch), (AUDIT_PID, AUDIT_EQUAL, self.pid)),
        ).pack()

    def mark(self, stage: int) -> bytes:
        """Return what the SYSCALL record of the last event of `stage` contains, no other does."""
        return b" %s=%x " % (self._mark_register.encode(), LOAD_MARK + stage)

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"g")

    def times(self) -> tuple[float, float]:
        """Return when the stage began and ended, on the clock of time.monotonic, in seconds."""
        start_ns, end_ns, _ = self._line().split()
        return int(start_ns) / 1e9, int(end_ns) / 1e9

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProgramError("the load ended early")
        return line


def sync_write_s(folder: str) -> float:
    """Return how long one synchronous write of a record takes in `folder`."""
    path = os.path.join(folder, "probe")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o600)
    try:
        start = time.monotonic()
        for _ in range(100):
            os.write(fd, b"x" * 299 + b"\n")
        return (time.monotonic() - start) / 100
    finally:
        os.close(fd)
        os.unlink(path)


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
