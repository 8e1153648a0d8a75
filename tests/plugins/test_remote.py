"""audisp-remote as the daemon runs it, before a server that does what a test wants."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from auditd_py.errors import WireError
from auditd_py.remote.frame import FATAL, REPLY, encode
from auditd_py.remote.receiver import DISK_ERROR, DISK_FULL, Receiver, ending
from auditd_py.remote.stream import Position, answer, record_sum
from tests.programs import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugins.plugin_process import Plugin

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.slow]


def line(number: int) -> bytes:
    return b"type=SYSCALL msg=audit(1700000000.000:%d): arch=c000003e syscall=1" % number


class Server:
    """A collector. `answer` makes the replies to a batch, and may raise OSError to hang up."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0, context=None) -> None:
        self.texts: list[bytes] = []
        self.beats = self.connections = 0
        self.failures: list[str] = []
        self.peers: list[tuple[str, int]] = []
        self.answer: Callable[[object], bytes] = lambda batch: batch.written()  # type: ignore[attr-defined]
        self.greeting: Callable[[bytes, int], bytes] = lambda _stream, _next: b""
        self.hellos: list[tuple[bytes, int]] = []
        self.raw = b""
        self.plain = False
        self._context = context
        self._stop = threading.Event()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self._listener.settimeout(0.05)
        self.address: str = address
        self.port: int = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client, peer = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self.peers.append(peer)
            try:
                client.settimeout(5)
                if self._context:
                    client = self._context.wrap_socket(client, server_side=True)
                self._client = client
                self._serve(client)
            except (OSError, WireError) as error:
                self.failures.append(str(error))
            finally:
                client.close()
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        receiver = Receiver(plain=self.plain)
        client.settimeout(0.05)
        while not self._stop.is_set():
            try:
                data = client.recv(1 << 18)
            except TimeoutError:
                continue
            if not data:
                break
            batch = receiver.feed(data)
            if batch.hello:
                # by default as the C daemon does
                self.hellos.append(batch.hello)
                client.sendall(batch.greeting(self.greeting(*batch.hello)))
                continue
            self.beats += len(batch._silent)
            replies = self.answer(batch)
            if replies is not None:
                self.texts += batch.texts
                client.sendall(replies)

    def say(self, data: bytes) -> None:
        """Send something nobody asked for."""
        assert self._client
        self._client.sendall(data)

    def has(self, amount: int) -> None:
        """Wait for so many records, and that they are those from 0 on."""
        wait_for(lambda: len(self.texts) >= amount, f"{amount} records")
        assert self.texts == [line(n) for n in range(amount)]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(*arguments, **options) -> Server:
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def forward(start, tmp_path: Path) -> Callable[..., Plugin]:
    """Start the plugin with these settings."""

    def make(server: Server | None = None, **settings: object) -> Plugin:
        configure(tmp_path, server, **settings)
        plugin: Plugin = start("remote", "-c", str(tmp_path / "remote.conf"))
        return plugin

    return make


def configure(folder: Path, server: Server | None, **settings: object) -> None:
    values = {"state_file": folder / "state", **settings}
    if server is not None:
        values = {"remote_server": server.address, "port": server.port, **values}
    path = folder / "remote.conf"
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))


def state(plugin: Plugin, folder: Path) -> dict[str, str]:
    path = folder / "state"
    path.unlink(missing_ok=True)
    plugin.signal(signal.SIGUSR1)
    wait_for(path.exists, "state report")
    return dict(row.split(" = ", 1) for row in path.read_text().splitlines())


def said(plugin: Plugin, text: str) -> None:
    """Wait until it says this."""
    assert plugin.process.stderr
    while row := plugin.process.stderr.readline().decode():
        if text in row:
            return
    raise AssertionError(f"it never said: {text}")


def test_every_record_arrives_in_order_and_the_exit_status_says_so(serve, forward):
    server = serve()
    plugin = forward(server)
    plugin.send(*[line(n) for n in range(5000)])
    assert plugin.finish() == (0, "")
    server.has(5000)


def test_over_ipv6_and_as_binary(serve, forward):
    server = serve("::1")
    plugin = forward(server, format="managed")
    plugin.send_binary(*[line(n) for n in range(20)])
    assert plugin.finish() == (0, "")
    server.has(20)


def test_end_of_event_records_are_not_sent(serve, forward):
    server = serve()
    plugin = forward(server)
    plugin.send(line(0), b"type=EOE msg=audit(1.000:7): ", line(1))
    plugin.finish()
    server.has(2)


def test_a_window_of_one_waits_for_each_answer(serve, forward):
    server = serve()
    seen = []

    def answer(batch):
        seen.append(len(batch.texts))
        return batch.written()

    server.answer = answer
    plugin = forward(server, window=1)
    plugin.send(*[line(n) for n in range(50)])
    assert plugin.finish()[0] == 0
    server.has(50)
    assert set(seen) == {1}


def test_after_a_break_it_goes_on_at_the_first_unacknowledged(serve, forward):
    server = serve()
    calls = []

    def answer(batch):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise OSError("cut")
        return batch.written()

    server.answer = answer
    plugin = forward(server, window=20, max_tries_per_record=100, network_failure_action="syslog")
    for n in range(0, 400, 10):
        plugin.send(*[line(n + i) for i in range(10)])
    assert plugin.finish()[0] == 0
    server.has(400)
    assert server.connections > 2


def test_the_second_server_is_used_while_the_first_is_away(serve, forward):
    server = serve("::1")
    plugin = forward(server, remote_server="127.0.0.1 ::1")
    plugin.send(line(0))
    server.has(1)
    assert plugin.finish()[0] == 0


def test_names_are_looked_up_and_unknown_ones_told(serve, forward):
    server = serve()
    plugin = forward(server, remote_server="nowhere.invalid localhost")
    plugin.send(line(0))
    server.has(1)
    assert plugin.finish()[0] == 0
    plugin = forward(remote_server="nowhere.invalid", max_tries_per_record=1)
    plugin.send(line(0))
    said(plugin, "the server cannot be reached: nowhere.invalid")


def test_it_sends_from_the_port_of_the_settings(serve, forward):
    server = serve()
    port = free_port()
    plugin = forward(server, local_port=port)
    plugin.send(line(0))
    server.has(1)
    assert server.peers[0][1] == port
    assert plugin.finish()[0] == 0


@pytest.mark.slow
def test_an_idle_server_gets_heartbeats(serve, forward):
    server = serve()
    plugin = forward(server, heartbeat_timeout=1)
    plugin.send(line(0))
    wait_for(lambda: server.beats >= 1, "a heartbeat")
    assert plugin.finish()[0] == 0
    server.has(1)


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_a_network_failure(serve, forward):
    server = serve()
    server.answer = lambda _batch: b""
    plugin = forward(server, max_tries_per_record=1, max_time_per_record=1)
    plugin.send(line(0))
    status, told = plugin.wait()
    assert status == 1
    assert "the server cannot be reached: 127.0.0.1: no answer in 1 s; ending" in told
    assert "1 records are not sent" in told


@pytest.mark.slow
def test_a_server_away_at_the_start_is_waited_for(serve, forward):
    port = free_port()
    plugin = forward(remote_server="127.0.0.1", port=port, max_tries_per_record=1)
    plugin.send(line(0))
    said(plugin, "the server cannot be reached: 127.0.0.1: Connection refused")
    server = serve(port=port)
    server.has(1)
    assert plugin.finish() == (0, "")


@pytest.mark.slow
def test_records_that_nobody_takes_make_it_fail(forward):
    plugin = forward(remote_server="127.0.0.1", port=free_port(), network_retry_time=10)
    plugin.send(line(0), line(1))
    status, told = plugin.finish()
    assert status == 1
    assert "2 records are not sent" in told


def test_low_space_is_told_and_nothing_sent_twice(serve, forward):
    server = serve()
    server.answer = lambda batch: batch.written(disk_low=True)
    plugin = forward(server, disk_low_action="syslog")
    plugin.send(line(0))
    said(plugin, "the server's disk is nearly full")
    plugin.send(line(1), line(2))
    assert plugin.finish() == (0, "")
    server.has(3)


def refusing(server: Server, times: int, refusal=DISK_FULL) -> None:
    """Let the server refuse its first batches."""
    calls: list[int] = []

    def answer(batch):
        calls.append(1)
        if len(calls) <= times:
            server.say(batch.replies(0, refusal))
            return None
        return batch.written()

    server.answer = answer


@pytest.mark.slow
def test_what_a_full_disk_refused_is_sent_until_it_is_taken(serve, forward):
    server = serve()
    refusing(server, 1)
    plugin = forward(server)
    plugin.send(line(0), line(1))
    server.has(2)
    status, told = plugin.finish()
    assert status == 0
    assert told.count("the server's disk is full: disk full") == 1


@pytest.mark.parametrize("action", ["ignore", "syslog", "warn_once_continue"])
def test_what_is_given_up_is_counted_as_lost(serve, forward, tmp_path, action):
    server = serve()
    refusing(server, 1, DISK_ERROR)
    plugin = forward(server, disk_error_action=action)
    plugin.send(line(99))
    wait_for(lambda: server.connections, "the plugin runs")
    wait_for(lambda: state(plugin, tmp_path)["records lost"] == "1", "the record is lost")
    plugin.send(line(0))
    server.has(1)
    wait_for(lambda: state(plugin, tmp_path)["records acknowledged"] == "1", "the next arrives")
    status, told = plugin.finish()
    assert status == 0
    assert ("cannot write to its disk" in told) == (action != "ignore")


def test_a_suspended_one_goes_on_after_usr2(serve, forward, tmp_path):
    server = serve()
    refusing(server, 1)
    plugin = forward(server, disk_full_action="suspend")
    plugin.send(line(0))
    said(plugin, "sending is suspended until SIGUSR2")
    plugin.send(line(1))
    assert state(plugin, tmp_path)["suspended"] == "yes"
    assert server.texts == []
    plugin.signal(signal.SIGUSR2)
    server.has(2)
    assert plugin.finish()[0] == 0


def test_stop_ends_it_with_the_record_left(serve, forward):
    server = serve()
    refusing(server, 1)
    plugin = forward(server, disk_full_action="stop")
    plugin.send(line(0))
    status, told = plugin.wait()
    assert status == 1
    assert "the server's disk is full: disk full; ending" in told


def test_unknown_errors_have_their_action(serve, forward):
    server = serve()
    server.answer = lambda batch: b"".join(
        encode(REPLY | FATAL | 77, n, b"out of tape") for n in batch._sequences
    )
    plugin = forward(server)
    plugin.send(line(0))
    said(plugin, "the server reports an error: out of tape")
    assert plugin.finish()[0] == 0


def test_a_program_is_run_if_it_is_roots_alone(serve, forward, log_dir):
    server = serve()
    refusing(server, 1)
    program = log_dir / "program"
    program.write_text(f"#!/bin/sh\necho ran > {log_dir}/ran\n")
    program.chmod(0o750)
    plugin = forward(server, disk_full_action=f"exec {program}")
    plugin.send(line(0))
    wait_for((log_dir / "ran").exists, "the program ran")
    assert plugin.finish()[0] == 0
    program.chmod(0o755)
    status, told = forward(server, disk_full_action=f"exec {program}").wait()
    assert status == 6
    assert "has mode 0755, 0750 is allowed" in told


@pytest.mark.parametrize(("action", "command"), [("single", "rescue|1"), ("halt", "poweroff|0")])
def test_single_and_halt_run_their_command(serve, tmp_path, action, command):
    """The commands are noted, not run."""
    server = serve()
    refusing(server, 1)
    configure(tmp_path, server, disk_full_action=action)
    code = (
        "import sys; from tests.actions.harmless_auditd import replace; replace(sys.argv[1]);"
        "from auditd_py.plugins.remote import main; sys.exit(main(sys.argv[2:]))"
    )
    notes = tmp_path / "notes"
    done = subprocess.run(
        [sys.executable, "-c", code, str(notes), "-c", str(tmp_path / "remote.conf")],
        input=line(0) + b"\n", capture_output=True, timeout=30, cwd=os.getcwd(),
    )  # fmt: skip
    assert done.returncode == 1
    wall, change = notes.read_text().splitlines()
    assert wall == "wall"
    assert change.split()[-1] in command.split("|")


@pytest.mark.slow
def test_a_server_that_ends_is_reconnected_to(serve, forward):
    server = serve()
    plugin = forward(server)
    plugin.send(line(0))
    server.has(1)
    server.say(ending())
    said(plugin, "the server ends")
    plugin.send(line(1))
    server.has(2)
    assert server.connections == 2
    assert plugin.finish()[0] == 0


def test_a_senseless_answer_breaks_the_connection_and_nothing_is_lost(serve, forward):
    server = serve()
    calls: list[int] = []

    def answer(batch):
        calls.append(1)
        if len(calls) == 1:
            server.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return None
        return batch.written()

    server.answer = answer
    plugin = forward(server)
    plugin.send(line(0), line(1))
    server.has(2)
    assert plugin.finish()[0] == 0


def test_too_many_records_are_dropped_and_told(forward, tmp_path):
    plugin = forward(
        remote_server="127.0.0.1", port=free_port(), queue_depth=10, max_tries_per_record=1
    )
    plugin.send(*[line(n) for n in range(50)])
    said(plugin, "too many records wait, the newest are dropped: 40 records since the start")
    found = state(plugin, tmp_path)
    assert (found["current queue depth"], found["records dropped"]) == ("10", "40")
    assert plugin.terminate()[0] == 1


@pytest.mark.slow
def test_records_for_a_slow_server_are_not_dropped(serve, forward):
    server = serve()
    pause = threading.Event()

    def answer(batch):
        pause.wait(0.002)
        return batch.written()

    server.answer = answer
    plugin = forward(server, queue_depth=20, window=10)
    plugin.send(*[line(n) for n in range(2000)])
    assert plugin.finish() == (0, "")
    server.has(2000)


def test_hup_reads_the_settings_again(serve, forward, tmp_path):
    first, second = serve(), serve()
    plugin = forward(first)
    plugin.send(line(0))
    first.has(1)
    configure(tmp_path, second)
    plugin.hang_up()
    said(plugin, "the settings are read again")
    plugin.send(line(0))
    second.has(1)
    (tmp_path / "remote.conf").write_text("port = x\n")
    plugin.hang_up()
    said(plugin, "the settings there were are kept")
    assert plugin.finish()[0] == 0


def test_bare_lines_on_request(serve, forward):
    server = serve()
    server.plain = True
    plugin = forward(server, format="ascii")
    plugin.send(*[line(n) for n in range(3000)])
    assert plugin.finish() == (0, "")
    server.has(3000)


def test_wrong_settings_and_arguments_are_told(start, forward, tmp_path):
    status, told = forward(remote_server="a", queue_depth="x").wait()
    assert status == 6
    assert "remote.conf:3: queue_depth: x: 1 to 1048576 records is allowed" in told
    assert start("remote", "-x").wait() == (6, "audisp-remote: arguments: [-c FILE]\n")


def test_sigterm_ends_it_after_what_waits_is_sent(serve, forward):
    server = serve()
    plugin = forward(server)
    plugin.send(line(0))
    server.has(1)
    plugin.send(*[line(n) for n in range(1, 500)])
    assert plugin.terminate() == (0, "")
    server.has(500)


def test_what_the_server_has_is_not_sent_again(serve, forward):
    server = serve()
    server.greeting = lambda _stream, _next: answer(Position(2, record_sum(line(1))))
    plugin = forward(server)
    plugin.send(line(0), line(1), line(2))
    assert plugin.finish() == (0, "")
    assert server.texts == [line(2)]


@pytest.mark.parametrize("position", [Position(9), Position(2, 12345)])
def test_where_another_counted_in_its_name_all_is_sent_in_another(serve, forward, position):
    server = serve()
    server.greeting = lambda _stream, _next: answer(
        position if len(server.hellos) == 1 else Position()
    )
    plugin = forward(server)
    plugin.send(line(0), line(1), line(2))
    assert plugin.finish() == (0, "")
    server.has(3)
    (first, _), (second, _) = server.hellos
    assert first != second
