"""Plugins people run already, under our daemon and under the C daemon: 100,000 events for each."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.programs import Actor, Peers, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditd_py.netlink.control import Control

pytestmark = [
    pytest.mark.kernel, pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(400),
]  # fmt: skip

GETPGID = 121
EVENTS = 100_000
PACED = """
import time
due = time.monotonic()
for n in range({events} // 50):
    for _ in range(50):
        os.getpgid(0)
    due += 0.008
    time.sleep(max(0, due - time.monotonic()))
"""


class Listener:
    """Counts, for each serial, how often a receiver got the SYSCALL record of an event."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.lines: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        raise NotImplementedError

    def take(self, line: bytes) -> None:
        if b'key="plug"' in line and b"type=SYSCALL " in line:
            serial = int(line.partition(b"): ")[0].rpartition(b":")[2])
            self.seen[serial] = self.seen.get(serial, 0) + 1
            if len(self.lines) < 100:
                self.lines.append(line[line.index(b"type=SYSCALL ") :].rstrip())

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


class SyslogListener(Listener):
    """A log daemon at `path`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        super().__init__()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.take(self._socket.recv(65536))
            except TimeoutError:
                continue
        self._socket.close()


class Collector(Listener):
    """What audisp-remote sends to: acknowledges each message."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port: int = self._server.getsockname()[1]
        super().__init__()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(0.2)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve(client)
        self._server.close()

    def _serve(self, client: socket.socket) -> None:
        data = b""
        while not self._stop.is_set():
            try:
                block = client.recv(65536)
            except TimeoutError:
                continue
            if not block:
                return
            data += block
            while len(data) >= 16:
                magic, _, _, kind, size, sequence = struct.unpack("<IBBIHI", data[:16])
                assert magic == 0xFF0000FE
                if len(data) < 16 + size:
                    break
                if kind == 0:
                    self.take(data[16 : 16 + size])
                client.sendall(struct.pack("<IBBIHI", magic, 0, 0, 0x40000000, 0, sequence))
                data = data[16 + size :]


class Lines(Listener):
    """Looks at a file of JSON lines that laurel writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__()

    def _run(self) -> None:
        pass

    def read(self) -> None:
        self.seen.clear()
        for path in self._folder.glob("audit.log*"):
            for line in path.read_bytes().splitlines():
                event = json.loads(line)
                if event.get("SYSCALL", {}).get("key") == "plug":
                    serial = int(event["ID"].rpartition(":")[2])
                    self.seen[serial] = self.seen.get(serial, 0) + 1


class OurLines(Lines):
    """Looks at the file that audisp-json writes."""

    def read(self) -> None:
        self.seen.clear()
        for line in (self._folder / "audit.log").read_bytes().splitlines():
            event = json.loads(line)
            if "plug" in event.get("keys", ()) and "CONFIG_CHANGE" not in event["types"]:
                serial = int(event["serial"])
                self.seen[serial] = self.seen.get(serial, 0) + 1


@pytest.fixture
def wrapped(peers: Peers, log_dir: Path) -> Callable[..., Path]:
    """Make a plugin of one of Debian's programs: wrapped(name, before, *arguments)."""

    def make(name: str, before: str, *arguments: str) -> Path:
        place = peers.place / ("usr/sbin" if name == "laurel" else "sbin") / name
        libraries = peers.environment["LD_LIBRARY_PATH"]
        program = log_dir / f"{name}.sh"
        program.write_text(
            f"#!/bin/sh\n{before}\nexport LD_LIBRARY_PATH={libraries}\nexec {place} {' '.join(arguments)}\n"
        )
        program.chmod(0o750)
        return program

    return make


@pytest.fixture
def folder(log_dir: Path) -> Callable[[Path], Path]:
    """Give a plugins.d with this one program."""

    def make(program: Path) -> Path:
        place = log_dir / "with-plugin"
        place.mkdir(mode=0o750)
        conf = place / "one.conf"
        conf.write_text(
            f"active = yes\ndirection = out\npath = {program}\ntype = always\nformat = string\n"
        )
        conf.chmod(0o640)
        return place

    return make


@pytest.fixture
def syslog_plugin(log_dir: Path, wrapped: Callable[..., Path]) -> Iterator[tuple[Path, Listener]]:
    dev = log_dir / "dev"
    dev.mkdir()
    os.mknod(dev / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    listener = SyslogListener(dev / "log")
    program = wrapped(
        "audisp-syslog",
        f'[ "$IN" ] || IN=1 exec unshare -m sh -c "mount --bind {dev} /dev && exec $0"',
        "LOG_INFO",
    )
    yield program, listener
    listener.close()


@pytest.fixture
def remote_plugin(log_dir: Path, wrapped: Callable[..., Path]) -> Iterator[tuple[Path, Listener]]:
    collector = Collector()
    upper = log_dir / "upper"
    (upper / "audit").mkdir(parents=True)
    (log_dir / "work").mkdir()
    conf = upper / "audit" / "audisp-remote.conf"
    conf.write_text(
        f"remote_server = 127.0.0.1\nport = {collector.port}\ntransport = tcp\nmode = immediate\n"
        "queue_depth = 20000\nformat = managed\nheartbeat_timeout = 0\n"
    )
    conf.chmod(0o640)
    overlay = f"lowerdir=/etc,upperdir={upper},workdir={log_dir}/work"
    program = wrapped(
        "audisp-remote",
        f'[ "$IN" ] || IN=1 exec unshare -m sh -c "mount -t overlay overlay -o {overlay} /etc && exec $0"',
    )
    yield program, collector
    collector.close()


@pytest.fixture
def laurel_plugin(log_dir: Path, wrapped: Callable[..., Path]) -> Iterator[tuple[Path, Listener]]:
    out = log_dir / "laurel"
    out.mkdir()
    conf = log_dir / "laurel.toml"
    conf.write_text(
        f'directory = "{out}"\nuser = "root"\n\n[auditlog]\nfile = "audit.log"\n'
        "size = 500000000\ngenerations = 5\n\n[transform]\n\n[translate]\n\n[enrich]\n\n[filter]\n"
    )
    conf.chmod(0o640)
    listener = Lines(out)
    yield wrapped("laurel", "", "--config", str(conf)), listener
    listener.close()


@pytest.fixture
def json_plugin(log_dir: Path) -> Iterator[tuple[Path, Listener]]:
    """Our audisp-json."""
    out, program = log_dir / "json", log_dir / "json.sh"
    out.mkdir()
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m auditd_py audisp-json "
        f"--schema own --output file:{out}/audit.log\n"
    )
    program.chmod(0o750)
    listener = OurLines(out)
    yield program, listener
    listener.close()


def load(audit: Control) -> None:
    """Make the events, 6,250 a second."""
    actor = Actor(PACED.format(events=EVENTS))
    rule = syscall_rule(GETPGID, (0, actor.pid), key=b"plug")
    audit.add_rule(rule)
    try:
        actor.go()
        actor.process.wait(120)
        actor.process.communicate()
    finally:
        audit.delete_rule(rule)


@pytest.mark.parametrize("which", ["syslog", "remote", "laurel", "json"])
def test_under_our_daemon_every_event_arrives_once(
    request: pytest.FixtureRequest, audit: Control, folder, auditd, which
):
    program, listener = request.getfixturevalue(f"{which}_plugin")
    daemon = auditd(plugin_dir=folder(program), q_depth=99_999, max_log_file=0)
    load(audit)
    wait_for(lambda: arrived(listener) >= EVENTS, f"{which} has all", limit_s=60)
    state = daemon.state()
    assert "dropped 0, restarts 0" in state["plugin one"]
    assert daemon.stop() == 0
    assert arrived(listener) == EVENTS
    assert set(listener.seen.values()) == {1}
    logged = {line.serial: line for line in daemon.lines() if 'key="plug"' in line.text}
    assert set(listener.seen) <= set(logged)
    text = daemon.log.read_bytes()
    assert all(line in text for line in listener.lines[:20])


@pytest.mark.parametrize("which", ["syslog", "remote", "laurel"])
def test_under_the_c_daemon_it_is_the_same(
    request: pytest.FixtureRequest, audit: Control, folder, debian_auditd, which
):
    program, listener = request.getfixturevalue(f"{which}_plugin")
    daemon = debian_auditd(plugin_dir=folder(program), q_depth=99_999)
    load(audit)
    wait_for(lambda: arrived(listener) >= EVENTS, f"{which} has all", limit_s=90)
    daemon.end()
    assert arrived(listener) == EVENTS
    assert set(listener.seen.values()) == {1}
    text = daemon.log.read_bytes()
    assert all(line in text for line in listener.lines[:20])


def arrived(listener: Listener) -> int:
    if isinstance(listener, Lines):
        listener.read()
    return len(listener.seen)
