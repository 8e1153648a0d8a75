"""Rows between hosts: collectors under senders.c, and forwarders before a collector.

No row needs the kernel's audit slot, but it is held all the same: two daemons on two cores would
measure each other.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Sample
from benchmarks.programs import (
    LOG_PARENT,
    PEERS,
    ROOT,
    START_S,
    STOP_S,
    ProgramError,
    compiled,
    end_with_parent,
    peer_environment,
)
from benchmarks.rows import Kind, Who
from tests import slot
from tests.link import HERE, IPV4, THERE, Link

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.rows import Network, Row

QUIET_S: Final = 20.0
POLL_S: Final = 0.002


def measure_network(row: Row, who: Who, repetition: int, ours: tuple[str, ...]) -> Sample:
    """Return what `who` does with the load of `row`. Raises RefusedError and ProgramError."""
    network = row.network
    assert network is not None
    with slot.taken(), contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT)
        stack.callback(shutil.rmtree, folder)
        if network.kind is Kind.FORWARD:
            there, here, address = [], [], "127.0.0.1"
            if network.delay_ms:
                line = Link()
                stack.callback(line.close)
                line.set(delay=network.delay_ms / 2000)
                there, here, address = line.enter(THERE), line.enter(HERE), IPV4[THERE]
            port, _ = stack.enter_context(collector(Who.C, folder, row.flush, ours, there))
            forwarder = stack.enter_context(_forwarder(who, folder, address, port, here))
            return _forward(row, network, who, repetition, (folder, forwarder))
        port, server = stack.enter_context(collector(who, folder, row.flush, ours))
        return _collect(row, network, who, repetition, (folder, port, server.pid))


def _collect(
    row: Row, network: Network, who: Who, repetition: int, parts: tuple[str, int, int]
) -> Sample:
    folder, port, pid = parts
    records = network.records.get(who, 0)
    before_kib = rss_kib_of(pid)
    arguments = [str(number) for number in (port, network.clients, network.window, records, 300)]
    with subprocess.Popen(
        [compiled("senders"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as senders:
        assert senders.stdin
        assert senders.stdout
        if senders.stdout.readline() != b"ready\n":
            raise ProgramError(f"the senders did not connect to {who}")
        time.sleep(0.5)
        os.sync()
        cpu_s = cpu_s_of(pid)
        took_s = 0.0
        if records:
            senders.stdin.write(b"g")
            said = senders.stdout.readline().split()
            if len(said) != 3:
                raise ProgramError(f"the senders were not answered by {who}")
            took_s = (int(said[1]) - int(said[0])) / 1e9
        cpu_s, after_kib = cpu_s_of(pid) - cpu_s, rss_kib_of(pid)
        senders.stdin.close()
    amount = records * network.clients or network.clients
    logged = _logged(folder) if records else amount
    rss_kib = (before_kib, after_kib)
    return _sample(row, who, repetition, (amount, logged), (took_s, cpu_s), rss_kib)


def _forward(
    row: Row,
    network: Network,
    who: Who,
    repetition: int,
    parts: tuple[str, subprocess.Popen[bytes]],
) -> Sample:
    folder, forwarder = parts
    records = network.records[who]
    text = b"node=bench type=SYSCALL msg=audit(1700000000.000:%010d): arch=c000003e "
    data = b"".join((text % n).ljust(299, b"x") + b"\n" for n in range(records))
    last = b":%010d): " % (records - 1)
    log = os.path.join(folder, "audit.log")
    started = time.monotonic()
    feeder = threading.Thread(target=feed, args=(forwarder, data))
    feeder.start()
    size, moved_at = os.path.getsize(log), started
    while time.monotonic() - moved_at < QUIET_S:
        now = os.path.getsize(log)
        if now > size:
            size, moved_at = now, time.monotonic()
            if last in tail(log):
                break
        time.sleep(POLL_S)
    took_s = moved_at - started
    cpu_s, rss_kib = cpu_s_of(forwarder.pid), rss_kib_of(forwarder.pid)
    feeder.join(STOP_S)
    return _sample(row, who, repetition, (records, _logged(folder)), (took_s, cpu_s), (rss_kib,))


def feed(forwarder: subprocess.Popen[bytes], data: bytes) -> None:
    """Give a forwarder its records."""
    assert forwarder.stdin
    with contextlib.suppress(BrokenPipeError):
        forwarder.stdin.write(data)
        forwarder.stdin.flush()


def _sample(  # noqa: PLR0917
    row: Row,
    who: Who,
    repetition: int,
    events: tuple[int, int],
    took: tuple[float, float],
    rss_kib: tuple[int, ...],
) -> Sample:
    (amount, logged), (took_s, cpu_s) = events, took
    return Sample(
        row=row.name, who=who.value, repetition=repetition, events=amount, logged=logged,
        records=logged, lost=0, load_s=round(took_s, 6), drained_s=round(took_s, 6) or None,
        cpu_s=round(cpu_s, 6), rss_kib=rss_kib,
    )  # fmt: skip


@contextlib.contextmanager
def collector(  # noqa: PLR0917
    who: Who,
    folder: str,
    flush: str,
    ours: tuple[str, ...],
    enter: Sequence[str] = (),
    more: str = "",
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a collector with `more` settings; give its port and process."""
    port = _free_port()
    text = f"""\
local_events = no
write_logs = yes
log_file = {folder}/audit.log
log_group = root
log_format = RAW
flush = {flush}
freq = 50
max_log_file = 9999
num_logs = 0
max_log_file_action = IGNORE
name_format = NONE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = {folder}/plugins.d
tcp_listen_port = {port}
tcp_listen_queue = 128
tcp_max_per_addr = 1024
use_libwrap = no
{more}"""
    os.mkdir(os.path.join(folder, "plugins.d"), 0o750)
    command, environment = list(ours), dict(os.environ)
    if who is Who.C:
        command, environment = [os.path.join(PEERS, "sbin", "auditd")], peer_environment()
    else:
        text += f"run_dir = {folder}/run\n"
    write(os.path.join(folder, "auditd.conf"), text)
    process = subprocess.Popen(
        [*enter, *command, "-n", "-c", folder], cwd=ROOT, env=environment, preexec_fn=end_with_parent,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        end(process)


@contextlib.contextmanager
def _forwarder(
    who: Who, folder: str, address: str, port: int, enter: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    text = f"remote_server = {address}\nport = {port}\nmode = immediate\nformat = managed\n"
    path, environment = os.path.join(folder, "audisp-remote.conf"), dict(os.environ)
    command = [sys.executable, "-m", "auditd_py", "audisp-remote", "-c", path]
    if who is Who.C:
        # it has one place for its settings
        text += "queue_depth = 200000\n"
        upper = os.path.join(folder, "upper")
        os.makedirs(os.path.join(upper, "audit"))
        os.mkdir(os.path.join(folder, "work"))
        path, environment = os.path.join(upper, "audit", "audisp-remote.conf"), peer_environment()
        overlay = f"lowerdir=/etc,upperdir={upper},workdir={folder}/work"
        tool = os.path.join(PEERS, "sbin", "audisp-remote")
        shell = f"mount -t overlay overlay -o {overlay} /etc && exec {tool}"
        command = ["unshare", "-m", "sh", "-c", shell]
    write(path, text)
    process = subprocess.Popen(
        [*enter, *command], cwd=ROOT, env=environment, preexec_fn=end_with_parent,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.7)  # to start
    try:
        yield process
    finally:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        end(process)


def write(path: str, text: str) -> None:
    """Make a file that is not there."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as file:
        file.write(text)


def _free_port() -> int:
    while True:  # not one of those that clients get: it would be taken in the meantime
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    listening = f":{port:04X} "
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        for name in ("tcp", "tcp6"):
            with open(f"/proc/{process.pid}/net/{name}", encoding="ascii") as table:
                if any(listening in line and " 0A " in line for line in table):
                    time.sleep(0.5)
                    return
        time.sleep(0.05)
    raise ProgramError("a collector did not start")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(path: str) -> bytes:
    """Return the end of a log."""
    with open(path, "rb") as log:
        log.seek(max(0, os.path.getsize(path) - 1024))
        return log.read()


def _logged(folder: str) -> int:
    with open(os.path.join(folder, "audit.log"), "rb") as log:
        return log.read().count(b"node=bench ")


def cpu_s_of(pid: int) -> float:
    """Return the processor time of a process."""
    return time.clock_gettime((~pid << 3) | 2)  # see Taker.cpu_s


def rss_kib_of(pid: int) -> int:
    """Return the memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
