"""audisp-remote and Debian's auditd: as its client, and as its plugin."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from auditd_py.remote.store import old_texts
from tests.plugins.test_remote import configure, forward, line, serve
from tests.programs import Auditd, Peers, free_port, settings_text, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SENT = re.compile(rb"^type=SYSCALL msg=audit\(1700000000.000:.*$", re.MULTILINE)
pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("root"), pytest.mark.slow]
__all__ = ["forward", "serve"]  # fixtures


class DebianCollector:
    """Debian's auditd that listens on loopback and leaves this host's kernel alone.

    `enter` goes before the command, see Link.enter.
    """

    def __init__(
        self, folder: Path, peers: Peers, enter: Sequence[str] = (), **settings: object
    ) -> None:
        self.address, self.port = "127.0.0.1", free_port()
        self.log = folder / "audit.log"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "plugins.d").mkdir(exist_ok=True)
        values = {
            "log_file": self.log, "local_events": "no", "write_logs": "yes", "log_format": "RAW",
            "flush": "NONE", "num_logs": 2, "max_log_file": 800, "max_log_file_action": "IGNORE",
            "space_left": 2, "space_left_action": "IGNORE", "admin_space_left": 1,
            "admin_space_left_action": "IGNORE", "disk_full_action": "SUSPEND",
            "disk_error_action": "SUSPEND", "plugin_dir": folder / "plugins.d",
            "tcp_listen_port": self.port, "tcp_listen_queue": 5, "tcp_max_per_addr": 16,
            "use_libwrap": "no", "tcp_client_max_idle": 0, **settings,
        }  # fmt: skip
        (folder / "auditd.conf").write_text(settings_text(values))
        self._command = [*enter, peers.tool("auditd"), "-n", "-s", "nochange", "-c", str(folder)]
        self._peers = peers
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, env=self._peers.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._listens, "Debian's auditd listens")

    def _listens(self) -> bool:
        assert self.process.poll() is None, "Debian's auditd ended"
        place = f"/proc/{self.process.pid}/net"
        with open(f"{place}/tcp6") as six, open(f"{place}/tcp") as four:
            return f":{self.port:04X} 0000" in six.read() + four.read()

    def numbers(self) -> list[int]:
        """Return the serials of the records it wrote that we sent."""
        text = self.log.read_bytes() if self.log.exists() else b""
        return [int(n) for n in re.findall(rb"type=SYSCALL msg=audit\(1700000000.000:(\d+)", text)]

    def end(self, *, kill: bool = False) -> None:
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(15)


@pytest.fixture
def debian_collector(log_dir: Path, peers: Peers) -> Iterator[Callable[..., DebianCollector]]:
    running: list[DebianCollector] = []

    def start(**settings: Any) -> DebianCollector:
        running.append(DebianCollector(log_dir / "collector", peers, **settings))
        return running[-1]

    yield start
    for collector in running:
        collector.end()


def test_debians_auditd_writes_every_record_once_and_in_order(debian_collector, forward):
    collector = debian_collector()
    plugin = forward(collector)
    plugin.send(*[line(n) for n in range(20_000)])
    assert plugin.finish() == (0, "")
    assert collector.numbers() == list(range(20_000))


@pytest.fixture
def our_collector(auditd) -> Callable[..., Auditd]:
    """Start our daemon as a collector."""

    def start() -> Auditd:
        port = free_port()
        daemon: Auditd = auditd(local_events="no", tcp_listen_port=port, use_libwrap="no")
        daemon.port = port  # type: ignore[attr-defined]
        return daemon

    return start


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("client", ["forward", "debian_forward"])
@pytest.mark.parametrize("server", ["our_collector", "debian_collector"])
def test_ours_and_debians_understand_each_other(request, server, client, address):
    collector = request.getfixturevalue(server)()
    records = [line(n) for n in range(2000)]
    settings = {"remote_server": address, "port": collector.port}
    run = request.getfixturevalue(client)
    if client == "forward":
        plugin = run(**settings)
        plugin.send(*records)
        assert plugin.finish() == (0, "")
    else:
        assert run(records, **settings).returncode == 0
    log = collector.log.read_bytes()
    assert SENT.findall(log) == records


def test_it_answers_heartbeats(debian_collector, forward, tmp_path):
    collector = debian_collector(tcp_client_max_idle=2)
    plugin = forward(collector, heartbeat_timeout=1, network_failure_action="stop")
    plugin.send(line(0))
    wait_for(lambda: collector.numbers() == [0], "the record")
    with pytest.raises(subprocess.TimeoutExpired):
        plugin.process.wait(4)
    assert plugin.finish() == (0, "")


def arrived(collector: DebianCollector, amount: int) -> None:
    wait_for(lambda: len(collector.numbers()) > amount, f"{amount} records")


@pytest.mark.slow
def test_it_is_ended_and_killed_under_load_and_nothing_is_lost(debian_collector, forward):
    collector = debian_collector()
    plugin = forward(
        collector, max_tries_per_record=100, max_time_per_record=60, queue_depth=100_000
    )
    for n in range(10):
        plugin.send(*[line(i) for i in range(n * 3000, n * 3000 + 3000)])
        arrived(collector, n * 3000 + 500)
        collector.end(kill=n % 2 == 0)
        collector.start()
    status, _ = plugin.finish()
    assert status == 0
    assert sorted(set(collector.numbers())) == list(range(30_000))


@pytest.mark.kernel
@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("which", ["auditd", "debian_auditd"])
def test_it_is_a_plugin_of_the_daemon(request, serve, log_dir, tmp_path, which):
    server = serve()
    configure(tmp_path, server)
    program = log_dir / "audisp-remote"
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from auditd_py.plugins.remote import main; sys.exit(main(sys.argv[1:]))"
    )
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c {shlex.quote(code)} -c {tmp_path}/remote.conf\n"
    )
    program.chmod(0o750)
    plugins = log_dir / "with-remote"
    plugins.mkdir(mode=0o750)
    (plugins / "au-remote.conf").write_text(
        f"active = yes\ndirection = out\npath = {program}\ntype = always\nformat = string\n"
    )
    (plugins / "au-remote.conf").chmod(0o640)
    daemon = request.getfixturevalue(which)(plugin_dir=plugins)
    wait_for(lambda: any(b"type=DAEMON_START" in text for text in server.texts), "a record arrives")
    logged = daemon.log.read_bytes()
    assert all(text in logged for text in server.texts)
    assert b"type=EOE" not in b"".join(server.texts)


@pytest.fixture
def debian_forward(
    peers: Peers, log_dir: Path
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run Debian's audisp-remote with these settings and records, to its end."""

    def run(
        records: list[bytes], enter: Sequence[str] = (), **settings: object
    ) -> subprocess.CompletedProcess[bytes]:
        upper = log_dir / "upper"
        (upper / "audit").mkdir(parents=True, exist_ok=True)
        (log_dir / "work").mkdir(exist_ok=True)
        conf = upper / "audit" / "audisp-remote.conf"
        conf.write_text(settings_text({"transport": "tcp", "format": "managed", **settings}))
        conf.chmod(0o640)
        overlay = f"lowerdir=/etc,upperdir={upper},workdir={log_dir}/work"
        program = peers.place / "sbin" / "audisp-remote"
        return subprocess.run(
            [*enter, "unshare", "-m", "sh", "-c", f"mount -t overlay overlay -o {overlay} /etc && exec {program}"],
            env=peers.environment, input=b"".join(text + b"\n" for text in records),
            stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip

    return run


def test_debians_client_is_served(serve, debian_forward):
    server = serve()
    records = [line(n) for n in range(500)]
    done = debian_forward(records, remote_server="127.0.0.1", port=server.port, queue_depth=1000)
    assert done.returncode == 0
    server.has(500)


def test_a_queue_that_debians_client_left_is_sent(serve, debian_forward, forward, log_dir):
    queue = log_dir / "q"
    records = [line(n) for n in range(12)]
    debian_forward(
        records, remote_server="127.0.0.1", port=free_port(), mode="forward", queue_file=queue,
        queue_depth=32, max_tries_per_record=1, max_time_per_record=1,
    )  # fmt: skip
    left = old_texts(queue.read_bytes()).texts
    assert left
    server = serve()
    plugin = forward(server, mode="forward", queue_file=queue)
    wait_for(lambda: server.texts == left, "what it left arrives")
    status, told = plugin.finish()
    assert status == 0
    assert f"{len(left)} records of the C daemon's queue taken over" in told
    assert left == records[-len(left) :]
