"""The collector: our daemon as the log of other hosts."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.programs import Auditd, Peers, free_port, parse_log, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

HEAD = struct.Struct("<IBBIHI")
ACK, DISKLOW, ENDING = 0x40000000, 0x50000001, 0x40000001
DISKFULL, DISKERROR = 0x60000001, 0x60000002


def message(text: bytes, sequence: int, kind: int = 0) -> bytes:
    return HEAD.pack(0xFF0000FE, 0, 0, kind, len(text), sequence) + text


def text(number: int) -> bytes:
    return b"node=web1 type=TEST msg=audit(1.000:%d): n=%d" % (number, number)


class Sender:
    """A client."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str = "") -> None:
        self.socket = socket.create_connection((host, port), 10, (source, 0) if source else None)
        if source:  # nothing stays behind that would keep the port from others
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._data = b""

    def send(self, *numbers: int) -> None:
        self.socket.sendall(b"".join(message(text(n) + b"\n", n) for n in numbers))

    def reply(self) -> tuple[int, int, bytes] | None:
        """Return type, sequence and text of the next reply, None at the end."""
        while len(self._data) < 16 or len(self._data) < 16 + self._size():
            block = self.socket.recv(65536)
            if not block:
                return None
            self._data += block
        _, _, _, kind, size, sequence = HEAD.unpack(self._data[:16])
        said, self._data = self._data[16 : 16 + size], self._data[16 + size :]
        return kind, sequence, said

    def _size(self) -> int:
        return int(HEAD.unpack(self._data[:16])[4])

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def collector(auditd: Callable[..., Auditd], port: int) -> Callable[..., Auditd]:
    """Start the daemon as a collector of other hosts' records alone."""

    def start(**settings: object) -> Auditd:
        values = {"local_events": "no", "tcp_listen_port": port, "use_libwrap": "no"}
        return auditd(**{**values, "tcp_max_per_addr": 99, **settings})

    return start


@pytest.fixture
def sender(port: int) -> Iterator[Callable[..., Sender]]:
    with contextlib.ExitStack() as stack:

        def connect(**arguments: object) -> Sender:
            client = Sender(port, **arguments)  # type: ignore[arg-type]
            stack.callback(client.close)
            return client

        yield connect


def logged(daemon: Auditd) -> list[int]:
    return [line.serial for line in daemon.lines() if line.type == "TEST"]


def said(daemon: Auditd, kind: str) -> list[str]:
    texts = [line.text for line in daemon.lines() if line.type == kind]
    return [re.sub(r"port=\d+", "port=N", text) for text in texts]


def test_each_record_is_written_and_acknowledged(collector, sender):
    daemon, client = collector(), sender()
    for number in range(5):
        client.send(number)
        assert client.reply() == (ACK, number, b"")
        assert logged(daemon) == list(range(number + 1))
    assert text(3) + b"\n" in daemon.log.read_bytes()
    client.close()
    wait_for(lambda: said(daemon, "DAEMON_CLOSE"), "it is noticed")
    assert said(daemon, "DAEMON_ACCEPT") == ["addr=127.0.0.1 port=N res=success"]
    assert said(daemon, "DAEMON_CLOSE") == ["addr=127.0.0.1 port=N res=success"]


def test_many_at_once_are_acknowledged_in_order(collector, sender):
    daemon, client = collector(flush="SYNC"), sender()
    client.send(*range(500))
    assert [client.reply() for _ in range(500)] == [(ACK, number, b"") for number in range(500)]
    assert logged(daemon) == list(range(500))


def test_byte_by_byte_it_is_the_same(collector, sender):
    daemon, client = collector(), sender()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in message(text(7), 7):
        client.socket.sendall(bytes([byte]))
    assert client.reply() == (ACK, 7, b"")
    assert logged(daemon) == [7]


def test_a_heartbeat_is_answered(collector, sender):
    collector()
    client = sender()
    client.socket.sendall(message(b"", 3, kind=1))
    assert client.reply() == (ACK, 3, b"")


def test_a_record_cannot_forge_another_line(collector, sender):
    daemon, client = collector(), sender()
    client.socket.sendall(message(text(1) + b"\ntype=TEST msg=audit(1.000:99): forged", 1))
    assert client.reply() == (ACK, 1, b"")
    assert logged(daemon) == [1]


def test_a_length_that_is_too_large_ends_the_connection_with_a_reason(collector, sender):
    daemon, client = collector(), sender()
    client.socket.sendall(HEAD.pack(0xFF0000FE, 0, 0, 0, 60_000, 1))
    assert client.reply() is None
    wait_for(lambda: "client is disconnected addr=127.0.0.1 reason=" in daemon.told(), "it is told")


@pytest.mark.parametrize("plain", ["yes", "no"])
def test_plain_lines_are_taken_where_that_is_set(collector, sender, plain):
    daemon, client = collector(tcp_plain_clients=plain), sender()
    client.socket.sendall(text(1) + b"\n" + text(2) + b"\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.reply() is None
    wait_for(lambda: said(daemon, "DAEMON_CLOSE"), "it has ended")
    assert logged(daemon) == ([1, 2] if plain == "yes" else [])


@pytest.mark.slow
def test_one_address_has_as_many_connections_as_are_allowed(collector, sender):
    daemon = collector(tcp_max_per_addr=2)
    first, second = sender(), sender()
    for number, client in enumerate((first, second)):
        client.send(number)
        assert client.reply() == (ACK, number, b"")
    third = sender()
    with contextlib.suppress(ConnectionResetError):
        assert third.reply() is None
    refused = "op=dup addr=127.0.0.1 port=N res=no"
    wait_for(lambda: said(daemon, "DAEMON_ACCEPT")[2:] == [refused], "it is recorded")
    first.send(5)
    assert first.reply() == (ACK, 5, b"")


def test_a_port_that_is_not_allowed_is_refused(collector, sender):
    daemon = collector(tcp_client_ports="1-1023")
    client = sender()
    with contextlib.suppress(ConnectionResetError):
        assert client.reply() is None
    wait_for(lambda: said(daemon, "DAEMON_ACCEPT"), "it is recorded")
    assert said(daemon, "DAEMON_ACCEPT") == ["op=port addr=127.0.0.1 port=N res=no"]


def test_both_address_families_are_served_by_one_listener(collector, sender):
    daemon = collector()
    four, six = sender(), sender(host="::1")
    four.send(4)
    six.send(6)
    assert (four.reply(), six.reply()) == ((ACK, 4, b""), (ACK, 6, b""))
    assert sorted(said(daemon, "DAEMON_ACCEPT")) == [
        "addr=127.0.0.1 port=N res=success", "addr=::1 port=N res=success",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_silent_client_is_disconnected(collector, sender):
    daemon = collector(tcp_client_max_idle=1)
    client = sender()
    assert client.reply() is None
    assert "client was silent for too long addr=127.0.0.1" in daemon.told()


@pytest.mark.slow
def test_a_failing_disk_is_answered_and_what_is_written_is_too(fault_fs, collector, sender):
    daemon = collector(log_file=fault_fs.place / "audit.log", disk_error_action="SYSLOG")
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    fault_fs.fail("EIO")
    client.send(2)
    assert client.reply() == (DISKERROR, 2, b"disk write error")
    fault_fs.fail("ok")
    wait_for(lambda: "resumed logging" in daemon.told(), "it goes on")
    client.send(3)
    assert client.reply() == (ACK, 3, b"")
    assert logged(daemon) == [1, 3]


@pytest.mark.slow
def test_a_suspended_log_is_answered(fault_fs, collector, sender):
    daemon = collector(log_file=fault_fs.place / "audit.log", disk_error_action="SUSPEND")
    client = sender()
    fault_fs.fail("EIO")
    client.send(1)
    assert client.reply() in (
        (DISKERROR, 1, b"disk write error"), (DISKERROR, 1, b"remote logging suspended"),
    )  # fmt: skip
    client.send(2)
    assert client.reply() == (DISKERROR, 2, b"remote logging suspended")
    fault_fs.fail("ok")
    daemon.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "resumed logging" in daemon.told(), "it goes on")
    client.send(3)
    assert client.reply() == (ACK, 3, b"")


@pytest.mark.slow
def test_a_full_disk_is_answered(fault_fs, collector, sender):
    collector(log_file=fault_fs.place / "audit.log", disk_full_action="SYSLOG")
    client = sender()
    fault_fs.fail("EDQUOT")
    client.send(1)
    assert client.reply() == (DISKFULL, 1, b"disk full")


@pytest.mark.slow
def test_low_space_is_told_and_the_record_is_written(loop_mount, collector, sender):
    place = loop_mount(32)
    daemon = collector(log_file=place / "audit.log", space_left=400, admin_space_left=1)
    wait_for(lambda: daemon.state()["thresholds crossed"] == "space_left", "it is low")
    client = sender()
    client.send(1)
    assert client.reply() == (DISKLOW, 1, b"")
    assert logged(daemon) == [1]


@pytest.mark.slow
def test_without_a_log_records_are_acknowledged_all_the_same(collector, sender):
    collector(write_logs="no")
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")


def test_at_its_end_the_daemon_says_goodbye(collector, sender):
    daemon, client = collector(), sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    assert daemon.stop() == 0
    assert client.reply() == (ENDING, 0, b"")
    assert client.reply() is None


def test_a_port_that_is_taken_stops_the_start(collector, port):
    with socket.create_server(("127.0.0.1", port)):
        daemon = collector(ready=False)
        assert daemon.process.wait(20) == 1
    assert "cannot listen for records of other hosts" in daemon.told()
    assert said(daemon, "DAEMON_ABORT")[0].startswith("op=network-init ")


@pytest.mark.slow
def test_a_reload_begins_to_listen(auditd, port, sender):
    daemon = auditd(local_events="no", use_libwrap="no")
    daemon.configure(local_events="no", use_libwrap="no", tcp_listen_port=port)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_state("RELOADING=1")
    daemon.wait_state("READY=1")
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")


@pytest.mark.slow
def test_a_reload_that_fails_does_not_listen(auditd, port, log_dir):
    daemon = auditd(local_events="no", use_libwrap="no")
    (log_dir / "wide").mkdir()
    (log_dir / "wide").chmod(0o777)
    daemon.configure(
        local_events="no", tcp_listen_port=port, log_file=log_dir / "wide" / "audit.log"
    )
    daemon.log = log_dir / "audit.log"
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_state("RELOADING=1")
    daemon.wait_state("READY=1")
    assert "the settings are unchanged" in daemon.told()
    assert daemon.state()["listening for network connections"] == "no"
    with pytest.raises(ConnectionRefusedError):
        Sender(port)


def test_the_state_report_has_each_client(collector, sender):
    daemon, client = collector(), sender()
    client.send(1, 2)
    assert (client.reply(), client.reply()) == ((ACK, 1, b""), (ACK, 2, b""))
    state = daemon.state()
    assert (state["active connections"], state["total connections"]) == ("1", "1")
    (row,) = [value for key, value in state.items() if key.startswith("client 127.0.0.1 port ")]
    assert row.startswith("records 2, bytes ")


def as_node(name: bytes, number: int) -> bytes:
    return message(text(number).replace(b"node=web1 ", b"node=%s " % name if name else b""), number)


@pytest.mark.parametrize("wrong", [b"web2", b"", b"web1\x1d"])
def test_a_name_that_is_not_the_clients_ends_the_connection(collector, sender, wrong):
    daemon, client = collector(node_check="reject"), sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    client.socket.sendall(as_node(wrong, 2) + as_node(b"web1", 3))
    assert client.reply() is None
    wait_for(lambda: "which is not its own" in daemon.told(), "it is told")
    assert logged(daemon) == [1]
    assert daemon.state()["records with another's node name"] == "1"


def test_a_wrong_name_may_be_just_told(collector, sender):
    daemon, client = collector(node_check="log"), sender()
    for number in (1, 2):
        client.socket.sendall(as_node(b"web%d" % number, number))
        assert client.reply() == (ACK, number, b"")
    assert logged(daemon) == [1, 2]
    assert "a record of the node web2, which is not its own addr=127.0.0.1" in daemon.told()


def test_a_name_that_another_address_uses_is_refused(collector, sender):
    daemon, four, six = collector(node_check="reject"), sender(), sender(host="::1")
    four.send(1)
    assert four.reply() == (ACK, 1, b"")
    six.send(2)
    assert six.reply() is None
    again = sender()  # the same host
    again.send(3)
    assert again.reply() == (ACK, 3, b"")
    assert logged(daemon) == [1, 3]


@pytest.fixture
def nodes(log_dir: Path) -> Path:
    folder = log_dir / "nodes"
    folder.mkdir(mode=0o700)
    return folder


def numbers(log: Path) -> list[int]:
    return [line.serial for line in parse_log(log.read_bytes())]


def test_each_node_has_a_log_of_its_own(collector, sender, nodes):
    daemon, one, other = collector(collector_log_dir=nodes, flush="SYNC"), sender(), sender()
    one.send(1, 2)
    other.socket.sendall(as_node(b"../web2", 3) + as_node(b"", 4) + as_node(b"../web2", 5))
    assert [one.reply() for _ in range(2)] == [(ACK, 1, b""), (ACK, 2, b"")]
    assert [other.reply() for _ in range(3)] == [(ACK, n, b"") for n in (3, 4, 5)]
    assert numbers(nodes / "web1" / "audit.log") == [1, 2]
    assert numbers(nodes / "%2E.%2Fweb2" / "audit.log") == [3, 5]
    assert numbers(nodes / "127.0.0.1" / "audit.log") == [4]
    assert logged(daemon) == []
    assert (nodes / "web1" / "audit.log").stat().st_mode & 0o777 == 0o600
    assert int(daemon.state()["records written"]) >= 5


@pytest.mark.slow
def test_more_nodes_than_logs_may_be_open(collector, sender, nodes):
    collector(collector_log_dir=nodes, flush="NONE")
    client = sender()
    for turn in range(2):
        client.socket.sendall(b"".join(as_node(b"n%d" % n, turn * 200 + n) for n in range(200)))
        assert [client.reply() for _ in range(200)] == [
            (ACK, turn * 200 + n, b"") for n in range(200)
        ]
    assert [numbers(nodes / f"n{n}" / "audit.log") for n in range(200)] == [
        [n, 200 + n] for n in range(200)
    ]


@pytest.mark.slow
def test_the_log_of_a_node_rotates_for_itself(collector, sender, nodes):
    daemon = collector(collector_log_dir=nodes, max_log_file=1, max_log_file_action="ROTATE")
    client = sender()
    for first in range(0, 2600, 100):
        client.socket.sendall(b"".join(
            message(text(n) + b" " + b"x" * 1000, n) for n in range(first, first + 100)
        ))  # fmt: skip
        assert all(client.reply() for _ in range(100))
    assert sorted(path.name for path in (nodes / "web1").iterdir()) == [
        "audit.log", "audit.log.1", "audit.log.2",
    ]  # fmt: skip
    logs = [nodes / "web1" / f"audit.log{end}" for end in (".2", ".1", "")]
    assert [n for log in logs for n in numbers(log)] == list(range(2600))
    assert not daemon.log.with_name("audit.log.1").exists()


@pytest.mark.slow
def test_a_reload_begins_and_ends_logs_of_nodes(collector, sender, nodes, port):
    daemon, client = collector(), sender()
    base = {"local_events": "no", "tcp_listen_port": port, "use_libwrap": "no"}
    for number, more in enumerate(({}, {"collector_log_dir": nodes}, {})):
        daemon.configure(tcp_max_per_addr=99, **base, **more)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_state("RELOADING=1")
        daemon.wait_state("READY=1")
        client.send(number)
        assert client.reply() == (ACK, number, b"")
    assert logged(daemon) == [0, 2]
    assert numbers(nodes / "web1" / "audit.log") == [1]


@pytest.mark.slow
def test_a_disk_that_fails_a_node_is_answered_and_it_goes_on(fault_fs, collector, sender):
    nodes = fault_fs.place / "nodes"
    for path in ("nodes", "nodes/web1"):
        (fault_fs.place.with_name("backing") / path).mkdir(mode=0o700)
    daemon = collector(collector_log_dir=nodes, disk_error_action="SYSLOG")
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    fault_fs.fail("EIO")
    client.send(2)
    assert client.reply() == (DISKERROR, 2, b"disk write error")
    fault_fs.fail("ok")
    wait_for(lambda: "resumed logging" in daemon.told(), "it goes on")
    client.send(3)
    assert client.reply() == (ACK, 3, b"")
    lines = parse_log((nodes / "web1" / "audit.log").read_bytes())
    assert [line.serial for line in lines if line.type == "TEST"] == [1, 3]
    assert lines[1].text.endswith(" unwritten=1")


def resident_kib(daemon: Auditd) -> int:
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


@pytest.mark.slow
def test_two_thousand_clients_take_little_and_the_silent_ones_hold_up_nobody(
    collector, sender, port
):
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    daemon = collector(tcp_max_per_addr=1024, tcp_listen_queue=1024)
    first = sender()
    first.send(0)
    assert first.reply() == (ACK, 0, b"")
    before = resident_kib(daemon)
    with contextlib.ExitStack() as stack:
        idle = []
        for number in range(2000):
            source = (f"127.0.1.{number % 4 + 1}", 0)
            idle.append(socket.create_connection(("127.0.0.1", port), 10, source))
            stack.callback(idle[-1].close)
        wait_for(lambda: daemon.state()["total connections"] == "2001", "all are there")
        for silent in idle[::10]:  # in the middle of a message
            silent.sendall(message(text(1), 1)[:30])
        started = time.monotonic()
        for number in range(200):
            first.send(number)
            assert first.reply() == (ACK, number, b"")
        assert time.monotonic() - started < 5
        assert resident_kib(daemon) - before < 2000 * 20
        assert len(clients(daemon).stdout.splitlines()) == 2002


def clients(daemon: Auditd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "auditd_py", "auditd", "--clients", "-c", str(daemon.conf)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_command_lists_the_clients_with_their_timers(collector, sender):
    daemon = collector(tcp_keepalive_time=600)
    four, six = sender(), sender(host="::1")
    four.send(1, 2)
    assert four.reply()
    six.send(3)
    assert six.reply()
    head, *rows = [re.split(r"  +", row) for row in clients(daemon).stdout.splitlines()]
    assert head[:3] == ["ADDRESS", "PORT", "TRANSPORT"]
    said = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert set(said) == {"127.0.0.1", "::1"}
    first = said["127.0.0.1"]
    assert first["PORT"] == str(four.socket.getsockname()[1])
    assert (first["TRANSPORT"], first["IDENTITY"], first["RECORDS"]) == ("tcp", "none", "2")
    left = re.fullmatch(r"keepalive in (\S+) s, retransmits 0", first["TIMER"])
    assert left
    assert 590 < float(left[1]) <= 600


def test_without_a_daemon_the_command_says_so(collector):
    daemon = collector()
    assert daemon.stop() == 0
    done = clients(daemon)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no daemon runs" in done.stderr


@pytest.mark.slow
def test_plugins_get_records_of_other_hosts_where_that_is_set(collector, sender, log_dir):
    folder = log_dir / "plugins.d"
    folder.mkdir()
    out, program = log_dir / "out", log_dir / "copy.sh"
    program.write_text(f"#!/bin/sh\nexec cat > {out}\n")
    program.chmod(0o750)
    (folder / "copy.conf").write_text(f"active = yes\npath = {program}\n")
    (folder / "copy.conf").chmod(0o640)
    daemon = collector(distribute_network="yes", plugin_dir=folder)
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    wait_for(lambda: text(1) + b"\n" in out.read_bytes(), "the plugin has it")
    assert daemon.stop() == 0


@pytest.mark.slow
def test_fifty_clients_at_once(collector, sender):
    daemon = collector()
    failures: list[object] = []

    def work(client: Sender, first: int) -> None:
        for begin in range(first, first + 640, 64):
            client.send(*range(begin, begin + 64))
            replies = [client.reply() for _ in range(64)]
            failures.extend(n for n in range(64) if replies[n] != (ACK, begin + n, b""))

    clients = [sender() for _ in range(50)]
    threads = [threading.Thread(target=work, args=(c, i * 640)) for i, c in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    found = logged(daemon)
    assert sorted(found) == list(range(32_000))


@pytest.mark.peer
@pytest.mark.slow
def test_debians_forwarder_sends_to_it(collector, peers: Peers, log_dir: Path, port):
    daemon = collector()
    upper = log_dir / "upper"
    (upper / "audit").mkdir(parents=True)
    (log_dir / "work").mkdir()
    conf = upper / "audit" / "audisp-remote.conf"
    conf.write_text(
        f"remote_server = 127.0.0.1\nport = {port}\nmode = immediate\nformat = managed\n"
    )
    conf.chmod(0o640)
    overlay = f"lowerdir=/etc,upperdir={upper},workdir={log_dir}/work"
    tool = peers.tool("audisp-remote")
    program = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"mount -t overlay overlay -o {overlay} /etc && exec {tool}"],
        stdin=subprocess.PIPE, env=peers.environment,
    )  # fmt: skip
    program.communicate(b"".join(text(n) + b"\n" for n in range(2000)), timeout=60)
    wait_for(lambda: len(logged(daemon)) == 2000, "all have come")
    assert logged(daemon) == list(range(2000))
    assert parse_log(daemon.log.read_bytes())


@pytest.mark.slow
def test_it_listens_to_the_addresses_of_the_settings_alone(collector, sender, port):
    collector(tcp_listen_addr="127.0.0.2 ::1")
    for host in ("127.0.0.2", "::1"):
        client = sender(host=host)
        client.send(1)
        assert client.reply() == (ACK, 1, b"")
    with pytest.raises(ConnectionRefusedError):
        Sender(port)


@pytest.mark.slow
def test_a_mapped_address_counts_as_ipv4(collector, sender):
    daemon = collector(tcp_max_per_addr=2)
    for host in ("127.0.0.1", "::ffff:127.0.0.1"):
        client = sender(host=host)
        client.send(1)
        assert client.reply() == (ACK, 1, b"")
    third = sender()
    with contextlib.suppress(ConnectionResetError):
        assert third.reply() is None
    refused = "op=dup addr=127.0.0.1 port=N res=no"
    wait_for(lambda: said(daemon, "DAEMON_ACCEPT")[2:] == [refused], "it is recorded")


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "admitted"), [("auditd: 127.0.0.1", False), ("sshd: ALL", True)])
def test_hosts_deny_is_asked_first(collector, sender, log_dir, rule, admitted):
    files = log_dir / "etc"
    files.mkdir()
    (files / "hosts.deny").write_text(rule + "\n")
    (files / "hosts.allow").write_text("auditd: 127.0.0.2\n")
    mount = f"mount --bind {files}/hosts.deny /etc/hosts.deny"
    mount += f" && mount --bind {files}/hosts.allow /etc/hosts.allow"
    daemon = collector(
        enter=["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"],
        use_libwrap="yes", tcp_client_ports="1-1023",
    )  # fmt: skip
    client = sender()
    with contextlib.suppress(ConnectionResetError):
        assert client.reply() is None
    wait_for(lambda: said(daemon, "DAEMON_ACCEPT"), "it is recorded")
    reason = "port" if admitted else "wrap"
    assert said(daemon, "DAEMON_ACCEPT") == [f"op={reason} addr=127.0.0.1 port=N res=no"]


@pytest.mark.slow
def test_garbage_before_the_first_message_is_skipped(collector, sender):
    daemon, client = collector(), sender()
    client.socket.sendall(b"\0\1rubbish\xfe\0\0")
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    assert logged(daemon) == [1]


@pytest.mark.slow
def test_a_message_of_an_unknown_type_is_a_record(collector, sender):
    daemon, client = collector(), sender()
    client.socket.sendall(message(text(1), 1, kind=77))
    assert client.reply() == (ACK, 1, b"")
    assert logged(daemon) == [1]


def timer(port: int) -> tuple[int, int]:
    """Return the kernel's timer of our end of a connection to a port: which, and hundredths."""
    with open("/proc/net/tcp6", encoding="ascii") as file:
        rows = [row.split() for row in file]
    (found,) = [row[5] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    kind, _, when = found.partition(":")
    return int(kind, 16), int(when, 16)


@pytest.mark.slow
@pytest.mark.parametrize("time_s", [0, 600, 7200])
def test_the_kernel_looks_after_silent_clients(collector, sender, port, time_s):
    keepalive = 2  # as /proc/net/tcp numbers its timers
    collector(tcp_keepalive_time=time_s)
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    wait_for(lambda: timer(port)[0] == (keepalive if time_s else 0), "the acknowledgement is taken")
    assert time_s - 20 <= timer(port)[1] / 100 <= time_s


@pytest.mark.slow
def test_a_client_that_does_not_read_costs_nothing_to_the_others(collector, sender):
    daemon = collector()
    slow, other = sender(), sender()
    slow.socket.setblocking(False)
    stream = b"".join(message(b"", n, kind=1) for n in range(1, 50_000))
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 64 << 20:
            sent += slow.socket.send(stream[sent % len(stream) :])
            other.send(sent)
            assert other.reply() == (ACK, sent, b"")
    assert sent < 64 << 20  # it is not read from when it does not read
    assert memory_mib(daemon) < 120
    for number in range(1000):
        other.send(number)
        assert other.reply() == (ACK, number, b"")


def memory_mib(daemon: Auditd) -> float:
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4 / 1024


@pytest.mark.slow
def test_a_client_in_the_middle_of_a_message_holds_nobody_up(collector, sender):
    collector()
    half = [sender() for _ in range(50)]
    for client in half:
        client.socket.sendall(message(text(1), 1)[:20])
    other = sender()
    other.send(7)
    assert other.reply() == (ACK, 7, b"")
    for client in half:
        client.socket.sendall(message(text(1), 1)[20:])
        assert client.reply() == (ACK, 1, b"")


@pytest.mark.slow
def test_two_thousand_clients_at_once(collector, sender):
    daemon = collector(tcp_max_per_addr=1024)
    clients = [sender(source=f"127.0.1.{n % 250 + 1}") for n in range(2000)]
    before = memory_mib(daemon)
    for number, client in enumerate(clients):
        client.send(number)
    assert [client.reply() for client in clients] == [(ACK, n, b"") for n in range(2000)]
    assert sorted(logged(daemon)) == list(range(2000))
    assert daemon.state()["active connections"] == "2000"
    assert memory_mib(daemon) - before < 40


@pytest.mark.slow
def test_an_acknowledgement_waits_for_the_disk(fault_fs, collector, sender):
    collector(log_file=fault_fs.place / "audit.log", flush="SYNC")
    client = sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    fault_fs.fail("block")
    client.send(2)
    client.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        client.reply()
    fault_fs.fail("ok")
    client.socket.settimeout(10)
    assert client.reply() == (ACK, 2, b"")
