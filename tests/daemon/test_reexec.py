"""auditd --reexec: the new version takes over, and nothing is lost between."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon import handover
from auditd_py.daemon.reexec import SIGNAL
from tests.daemon.test_collector import (  # noqa: F401  fixtures
    ACK,
    collector,
    logged,
    message,
    port,
    said,
    sender,
    text,
)
from tests.programs import GETPGID, Actor, Auditd, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.netlink.control import Control

ROOT = Path(__file__).parent.parent.parent
PID = 0


def reexec(daemon: Auditd) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditd_py", "auditd", "--reexec", "-c", str(daemon.conf)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def of_operation(daemon: Auditd, operation: str) -> list[str]:
    return [
        line.text
        for line in daemon.lines()
        if line.type == "DAEMON_CONFIG" and line.field("op") == operation
    ]


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("pause_s", [0.01, 0], ids=["8000 a second", "all the kernel gives"])
def test_four_times_under_load_no_serial_is_missing(
    audit: Control, auditd: Callable[..., Auditd], pause_s: float
):
    daemon = auditd()
    inode = os.stat(f"/proc/{daemon.process.pid}").st_ino
    code = (
        f"import time\nend = time.monotonic() + {8 if pause_s else 5}\n"
        "while time.monotonic() < end:\n"
        f" for _ in range(80): os.getpgid(0)\n if {pause_s}: time.sleep({pause_s})\n"
        "os.getpgid(0)"
    )
    actor = Actor(code)
    audit.add_rule(syscall_rule(GETPGID, (PID, actor.pid), key=b"reexec"))
    lost = audit.status().lost
    actor.go()
    for _ in range(4):
        done = reexec(daemon)
        assert (done.returncode, done.stderr) == (0, "")
    actor.process.communicate(timeout=60)
    assert actor.process.returncode == 0
    wait_for(lambda: audit.status().backlog == 0, "the kernel has sent its backlog")
    audit.user_message(b"op=last", 1120)
    wait_for(lambda: b"op=last" in daemon.log.read_bytes(), "the last record")
    assert os.stat(f"/proc/{daemon.process.pid}").st_ino == inode
    assert audit.status().pid == daemon.process.pid
    lines = re.findall(
        rb"^type=(?!DAEMON_)\S+ msg=audit\(\S+:(\d+)\)", daemon.log.read_bytes(), re.MULTILINE
    )
    serials = {int(serial) for serial in lines}
    first, last = min(serials), max(serials)
    assert last - first > 10_000
    missing = [n for n in range(first, last) if n not in serials]
    assert missing == [], daemon.state()
    assert audit.status().lost == lost
    config = of_operation(daemon, "reexec")
    assert len(config) == 4
    assert all(re.search(r"ver=\S+ auid=\d+ uid=0 ses=\d+ pid=\d+.* res=success$", one)
               for one in config)  # fmt: skip
    state = daemon.state()
    assert (state["events missing"], state["kernel records lost"]) == ("0", "0")
    received = int(state["records received"])
    assert received >= len(lines)
    assert daemon.stop() == 0
    assert [line.type for line in daemon.lines() if line.type.startswith("DAEMON_")] == [
        "DAEMON_START", *4 * ["DAEMON_CONFIG"], "DAEMON_END",
    ]  # fmt: skip


@pytest.mark.slow
def test_clients_stay_connected_and_a_message_cut_in_two_arrives(collector, sender):  # noqa: F811
    daemon, client = collector(), sender()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    whole = message(text(2) + b"\n", 2)
    client.socket.sendall(whole[:30])
    wait_for(lambda: f"bytes {len(message(text(1) + bytes(1), 1)) + 30}" in str(daemon.state()),
             "the first part is read")  # fmt: skip
    assert reexec(daemon).returncode == 0
    client.socket.sendall(whole[30:])
    assert client.reply() == (ACK, 2, b"")
    other = sender()
    other.send(3)
    assert other.reply() == (ACK, 3, b"")
    assert logged(daemon) == [1, 2, 3]
    assert said(daemon, "DAEMON_CLOSE") == []
    assert len(said(daemon, "DAEMON_ACCEPT")) == 2
    state = daemon.state()
    assert (state["active connections"], state["total connections"]) == ("2", "2")


@pytest.mark.slow
def test_the_counters_go_on_also_for_prometheus(collector, sender, log_dir):  # noqa: F811
    path = log_dir / "metrics.sock"
    daemon, client = collector(metrics_listen=path), sender()
    client.send(*range(10))
    assert [client.reply()[1] for _ in range(10)] == list(range(10))
    assert reexec(daemon).returncode == 0
    wait_for(lambda: daemon.told().count("serving metrics") == 2, "it listens again")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(str(path))
        asking.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        said = b"".join(iter(lambda: asking.recv(65536), b""))
    # ten records, DAEMON_START, DAEMON_ACCEPT, DAEMON_CONFIG
    assert b"auditd_records_written_total 13.0" in said
    assert b"auditd_clients_connected 1.0" in said


@pytest.mark.slow
def test_the_new_version_has_the_whole_time_of_the_watchdog(collector):  # noqa: F811
    daemon = collector()
    assert reexec(daemon).returncode == 0
    for state in ("RELOADING=1", "WATCHDOG=1", "READY=1"):
        daemon.wait_state(state)


@pytest.mark.slow
def test_clients_that_never_stop_lose_nothing_and_get_each_answer_once(collector, sender):  # noqa: F811
    daemon = collector(flush="SYNC")
    clients = [sender() for _ in range(5)]
    jobs = subprocess.Popen(
        [sys.executable, "-m", "auditd_py", "auditd", "--reexec", "-c", str(daemon.conf)], cwd=ROOT
    )
    number = 0
    rounds = 0
    while jobs.poll() is None or rounds < 20:
        rounds += jobs.poll() is not None
        for client in clients:
            client.send(*range(number, number + 20))
        for client in clients:
            answers = [client.reply() for _ in range(20)]
            assert answers == [(ACK, n, b"") for n in range(number, number + 20)]
        number += 20
    assert jobs.returncode == 0
    assert sorted(logged(daemon)) == sorted(5 * list(range(number)))
    assert said(daemon, "DAEMON_CLOSE") == []


def plugin_file(daemon_folder: Path, output: Path, pids: Path, pause: float = 0.0) -> Path:
    program = daemon_folder / "plugin.py"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        f"out = open({str(output)!r}, 'ab', 0)\n"
        f"for line in sys.stdin.buffer:\n out.write(line); time.sleep({pause})\n"
    )
    program.chmod(0o750)
    folder = daemon_folder / "plugins.d"
    folder.mkdir()
    (folder / "keeps.conf").write_text(f"active = yes\npath = {program}\nformat = string\n")
    return folder


@pytest.mark.slow
def test_a_plugin_goes_on_and_gets_each_record_once(collector, sender, log_dir):  # noqa: F811
    output, pids = log_dir / "out", log_dir / "pids"
    folder = plugin_file(log_dir, output, pids, pause=0.0005)
    daemon = collector(plugin_dir=folder, distribute_network="yes", q_depth=20_000)
    client = sender()
    client.send(*range(3000))
    for _ in range(2):
        assert reexec(daemon).returncode == 0
    client.send(*range(3000, 3500))
    assert [client.reply()[1] for _ in range(3500)] == list(range(3500))
    wait_for(lambda: b":3499)" in output.read_bytes(), "the plugin has read all")
    assert daemon.stop() == 0
    found = [
        int(n) for n in re.findall(rb"type=TEST msg=audit\(1.000:(\d+)\)", output.read_bytes())
    ]
    assert found == list(range(3500))
    assert len(pids.read_text().split()) == 1
    assert output.read_bytes().count(b"op=reexec") == 2


@pytest.mark.parametrize("fault", ["config", "import"])
@pytest.mark.slow
def test_a_version_that_cannot_start_is_not_executed(collector, sender, fault, log_dir):  # noqa: F811
    if fault == "import":  # the new version lacks a library
        (log_dir / "sitecustomize.py").write_text(
            f"import sys, os\nif os.path.exists({str(log_dir / 'broken')!r}):"
            " sys.modules['uvloop'] = None\n"
        )
        os.environ["PYTHONPATH"], before = f"{log_dir}:{ROOT}", os.environ.get("PYTHONPATH")
    try:
        daemon = collector()
    finally:
        if fault == "import":
            os.environ["PYTHONPATH"] = before or ""
    client = sender()
    if fault == "import":
        (log_dir / "broken").touch()
    else:
        conf = daemon.conf / "auditd.conf"
        conf.write_text(conf.read_text() + "flush = SOMETIMES\n")
    os.kill(daemon.process.pid, SIGNAL)
    wait_for(lambda: of_operation(daemon, "reexec"), "it is refused")
    (record,) = of_operation(daemon, "reexec")
    assert record.endswith("res=failed")
    assert f" pid={os.getpid()}" in record
    assert f" uid={os.getuid()} " in record
    assert ("SOMETIMES" if fault == "config" else "uvloop") in daemon.told()
    assert "the daemon goes on as it is" in daemon.told()
    answer = (daemon.run / "auditd.reexec").read_text()
    assert answer.startswith("failed: the new version cannot start")
    client.send(1)
    assert client.reply() == (ACK, 1, b"")


@pytest.mark.slow
def test_signals_that_come_meanwhile_are_done_later(collector, sender):  # noqa: F811
    daemon, client = collector(num_logs=3), sender()
    client.send(1)
    client.reply()
    os.kill(daemon.process.pid, SIGNAL)
    deadline = time.monotonic() + 20
    while not of_operation(daemon, "reexec") and time.monotonic() < deadline:
        os.kill(daemon.process.pid, signal.SIGCONT)
        os.kill(daemon.process.pid, signal.SIGUSR2)
    wait_for(lambda: of_operation(daemon, "reexec"), "the new version runs")
    client.send(2)
    assert client.reply() == (ACK, 2, b"")
    os.kill(daemon.process.pid, signal.SIGTERM)
    assert daemon.process.wait(20) == 0


@pytest.mark.slow
def test_a_daemon_in_the_background_and_new_settings(auditd, log_dir):
    daemon = auditd("-l", ready=False, local_events="no")  # detaches
    assert daemon.process.wait(20) == 0
    pid = int((daemon.run / "auditd.pid").read_text())
    try:
        daemon.configure(local_events="no", log_file=log_dir / "other.log")
        done = reexec(daemon)
        assert (done.returncode, done.stderr) == (0, "")
        assert int((daemon.run / "auditd.pid").read_text()) == pid
        assert of_operation(daemon, "reexec")  # in the new log
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not (daemon.run / "auditd.pid").exists(), "it has ended")


def test_without_a_daemon_there_is_no_answer(log_dir):
    daemon = Auditd(log_dir, (), {"local_events": "no"})
    done = reexec(daemon)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no daemon runs" in done.stderr


def test_a_state_of_another_format_is_refused(log_dir):
    daemon = Auditd(log_dir, (), {"local_events": "no"})
    for number, status in ((handover.FORMAT, 0), (handover.FORMAT + 1, 1)):
        done = subprocess.run(
            [sys.executable, "-m", "auditd_py", "auditd", "-c", str(daemon.conf),
             "--check-takeover", str(number)],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
