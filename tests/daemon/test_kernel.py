"""The daemon on the real kernel: what it writes, and what it does when told."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from auditd_py.netlink.uapi import StatusMask
from tests.programs import (
    EXECVE,
    GETPGID,
    OPENAT,
    Actor,
    Auditd,
    Line,
    parse_log,
    syscall_rule,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.netlink.control import Control

    StartAuditd = Callable[..., Auditd]

pytestmark = pytest.mark.kernel

PID = 0
KEY = b"auditd-py-test"


def act(audit: Control, code: str, *numbers: int) -> bytes:
    actor = Actor(code)
    for number in numbers:
        audit.add_rule(syscall_rule(number, (PID, actor.pid), key=KEY))
    return actor.run()


def keyed(lines: list[Line]) -> list[Line]:
    return [
        line
        for line in lines
        if line.type == "SYSCALL" and line.field("key") == f'"{KEY.decode()}"'
    ]


def event_types(lines: list[Line], serial: int) -> list[str]:
    return [line.type for line in lines if line.serial == serial]


def test_an_opened_file_is_on_disk_with_all_its_records(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    act(audit, "os.open('/etc/hostname', os.O_RDONLY)", OPENAT)
    wait_for(lambda: keyed(daemon.lines()), "the event")
    assert daemon.stop() == 0
    lines = daemon.lines()
    found = keyed(lines)[-1]
    assert event_types(lines, found.serial) == ["SYSCALL", "CWD", "PATH", "PROCTITLE"]
    path = next(line for line in lines if (line.type, line.serial) == ("PATH", found.serial))
    assert path.field("name") == '"/etc/hostname"'


def test_every_event_is_written_once_and_in_order(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    act(audit, "for _ in range(20000): os.getpgid(0)", GETPGID)
    assert daemon.stop() == 0
    found = keyed(daemon.lines())
    assert len(found) == 20000
    assert [line.serial for line in found] == sorted({line.serial for line in found})
    assert "lost by the kernel 0, events missing 0" in daemon.told()


def test_a_single_event_is_on_disk_within_20_ms(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    code = "import time\nfor _ in range(9):\n os.getpgid(0)\n print(time.time(), flush=True)\n sys.stdin.readline()"
    actor = Actor(code)
    try:
        audit.add_rule(syscall_rule(GETPGID, (PID, actor.pid), key=KEY))
        assert actor.process.stdin
        assert actor.process.stdout
        delays = []
        for count in range(1, 9):
            actor.go()
            made = float(actor.process.stdout.readline())
            while len(keyed(daemon.lines())) < count:
                assert time.time() - made < 5
            delays.append(time.time() - made)
            # idle again before the next one
            wakeups = ""
            while wakeups != (wakeups := daemon.state()["wake-ups"]):
                pass
    finally:
        actor.end()
    assert statistics.median(delays) < 0.020


def test_an_execve_with_thousands_of_arguments_is_whole(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    code = "os.execv('/bin/true', ['true'] + ['argument-%05d' % i for i in range(5000)])"
    act(audit, code, EXECVE)
    assert daemon.stop() == 0
    lines = daemon.lines()
    serial = keyed(lines)[-1].serial
    text = " ".join(line.text for line in lines if (line.type, line.serial) == ("EXECVE", serial))
    assert f"argc={5001}" in text
    assert [f'a{i}="argument-{i - 1:05d}"' in text for i in (1, 2500, 5000)] == [True] * 3


def test_the_longest_message_is_written_whole(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    audit.user_message(b"op=test " + b"x" * 8000 + b"END", 1120)
    assert daemon.stop() == 0
    (line,) = [line for line in daemon.lines() if line.type == "TEST"]
    assert "x" * 8000 + "END'" in line.text


def test_a_record_type_nobody_knows_is_numbered(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    audit.user_message(b"op=future", 2999)
    assert daemon.stop() == 0
    assert [line.field("op") for line in daemon.lines() if line.type == "UNKNOWN[2999]"] == [
        "future"
    ]


def test_a_message_cannot_forge_a_line(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    audit.user_message(b"op=a\ntype=USER_LOGIN msg=audit(1.002:3): forged", 1120)
    assert daemon.stop() == 0
    assert [line.type for line in daemon.lines() if "forged" in line.text] == ["TEST"]


def test_names_are_added_when_enriched(audit: Control, auditd: StartAuditd):
    daemon = auditd(log_format="ENRICHED")
    act(audit, "os.setresuid(4242, 65534, 0); os.getpgid(0)", GETPGID)
    assert daemon.stop() == 0
    (found,) = keyed(daemon.lines())
    suffix = found.text.partition("\x1d")[2]
    assert suffix.startswith("ARCH=x86_64 SYSCALL=getpgid AUID=")
    assert ' UID="unknown(4242)" GID="root" EUID="nobody" SUID="root" ' in suffix


def test_the_node_name_stands_before_each_record(audit: Control, auditd: StartAuditd):
    daemon = auditd(name_format="USER", name="web-1")
    audit.user_message(b"op=test", 1120)
    assert daemon.stop() == 0
    assert {line.split(b" ")[0] for line in daemon.log.read_bytes().splitlines()} == {b"node=web-1"}


def test_the_daemon_starts_and_ends_in_the_log(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    pid = daemon.process.pid
    assert audit.status().pid == pid
    assert (daemon.run / "auditd.pid").read_text() == f"{pid}\n"
    assert daemon.stop() == 0
    lines = daemon.lines()
    assert lines[0].type == "DAEMON_START"
    assert lines[0].text.startswith("op=start ver=")
    assert f" pid={pid} uid=0 " in lines[0].text
    assert lines[-1].type == "DAEMON_END"
    assert lines[-1].serial == lines[0].serial + 1
    assert audit.status().pid == 0
    assert not (daemon.run / "auditd.pid").exists()


def kill_from(session: str, pid: int, number: int) -> int:
    """Send a signal from a process with the login uid `session`, empty for none."""
    code = (
        "import os, sys\n"
        "if sys.argv[1]: open('/proc/self/loginuid', 'w').write(sys.argv[1])\n"
        "os.kill(int(sys.argv[2]), int(sys.argv[3]))\n"
        "print(os.getpid(), flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code, session, str(pid), str(int(number))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    SENDERS.append(process)
    assert process.stdout
    return int(process.stdout.readline())


SENDERS: list[subprocess.Popen[bytes]] = []


def daemon_types(lines: list[Line]) -> list[str]:
    """Return the lines' types; without what the kernel says of its pid, at times too late."""
    return [line.type for line in lines if line.type != "CONFIG_CHANGE"]


@pytest.fixture(autouse=True)
def _end_senders():
    yield
    while SENDERS:
        SENDERS.pop().communicate(timeout=20)


@pytest.mark.parametrize(("login", "auid"), [("4711", "4711"), ("", "0")])
@pytest.mark.parametrize(
    ("number", "record", "operation"),
    [
        (signal.SIGHUP, "DAEMON_CONFIG", "op=reconfigure state=changed "),
        (signal.SIGUSR1, "DAEMON_ROTATE", "op=rotate-logs "),
        (signal.SIGUSR2, "DAEMON_RESUME", "op=resume-logging "),
        (signal.SIGTERM, "DAEMON_END", "op=terminate "),
    ],
)
def test_a_signal_is_recorded_with_who_sent_it(
    audit: Control, auditd: StartAuditd, *, number, record, operation, login, auid
):
    daemon = auditd()
    sender = kill_from(login, daemon.process.pid, number)
    wait_for(lambda: [line for line in daemon.lines() if line.type == record], record)
    # without a login uid the kernel names the sender's uid (audit_signal_info, kernel/audit.c)
    (line,) = [line for line in daemon.lines() if line.type == record]
    assert line.text.startswith(operation)
    assert line.field("auid") == auid
    assert line.field("pid") == str(sender)
    assert line.field("res") == "success"


def test_a_reload_changes_the_format_and_the_file(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    old, new = daemon.log, daemon.folder / "other.log"
    daemon.configure(log_format="ENRICHED", log_file=new)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_state("RELOADING=1")
    daemon.wait_state("READY=1")
    audit.user_message(b"op=test", 1120)
    assert daemon.stop() == 0
    assert daemon_types(parse_log(new.read_bytes()))[-3:] == ["DAEMON_CONFIG", "TEST", "DAEMON_END"]
    assert b"TEST" not in old.read_bytes()
    assert all("\x1d" in line.text for line in parse_log(new.read_bytes()) if line.field("auid"))


def test_a_wrong_file_leaves_the_old_settings(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    daemon.configure(log_format="PLAIN", freq="many")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the settings are unchanged" in daemon.told(), "the refusal")
    audit.user_message(b"op=test", 1120)
    assert daemon.stop() == 0
    lines = daemon.lines()
    (line,) = [line for line in lines if line.type == "DAEMON_CONFIG"]
    assert line.text.startswith("op=reconfigure state=no-change auid=")
    assert line.field("res") == "failed"
    assert "TEST" in [line.type for line in lines]
    assert "log_format" in daemon.told()
    assert "freq" in daemon.told()


def test_the_state_report_has_the_c_daemons_keys_first(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    audit.user_message(b"op=test", 1120)
    state = daemon.state()
    assert list(state)[:6] == [
        "audit version", "current time", "process priority", "writing to logs",
        "current log size", "max log size",
    ]  # fmt: skip
    assert state["writing to logs"] == "yes"
    assert state["registered with the kernel"] == "yes"
    assert (daemon.run / "auditd.state").stat().st_mode & 0o777 == 0o640


def test_a_second_daemon_is_refused_and_told_the_first(
    audit: Control, auditd: StartAuditd, log_dir
):
    first = auditd()
    size = first.log.stat().st_size
    done = subprocess.run(
        [sys.executable, "-m", "auditd_py", "auditd", "-n", "-c", str(first.conf)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"pid={first.process.pid}" in done.stderr
    assert audit.status().pid == first.process.pid
    assert (first.run / "auditd.pid").read_text() == f"{first.process.pid}\n"
    assert first.log.stat().st_size >= size
    assert [line.type for line in first.lines()].count("DAEMON_START") == 1


def test_a_daemon_that_was_killed_in_silence_can_be_started_again(
    audit: Control, auditd: StartAuditd
):
    first = auditd()
    audit.set_status(StatusMask.ENABLED, enabled=0)  # so that the kernel does not notice
    first.process.kill()
    first.process.wait(20)
    assert audit.status().pid == first.process.pid
    second = auditd()
    assert audit.status().pid == second.process.pid
    assert second.stop() == 0


@pytest.mark.slow
def test_a_killed_daemon_can_be_started_again_and_no_line_is_torn(
    audit: Control, auditd: StartAuditd
):
    actor = Actor("for _ in range(60000): os.getpgid(0)")
    audit.add_rule(syscall_rule(GETPGID, (PID, actor.pid), key=KEY))
    try:
        first = auditd()
        actor.go()
        wait_for(lambda: first.log.stat().st_size > 1 << 20, "load")
        first.process.kill()
        first.process.wait(20)
        second = auditd()
        actor.process.wait(60)
        assert second.stop() == 0
    finally:
        actor.end()
    lines = second.lines()  # every line must be a record
    types = [line.type for line in lines]
    assert types.count("DAEMON_START") == 2
    assert types.count("DAEMON_END") == 1
    assert len({line.serial for line in keyed(lines)}) == len(keyed(lines))


def test_write_logs_no_keeps_no_file(audit: Control, auditd: StartAuditd):
    daemon = auditd(write_logs="no")
    audit.user_message(b"op=test", 1120)
    assert daemon.state()["writing to logs"] == "no"
    assert daemon.stop() == 0
    assert not daemon.log.exists()


def test_without_local_events_the_kernel_is_left_alone(audit: Control, auditd: StartAuditd):
    daemon = auditd(local_events="no")
    assert audit.status().pid == 0
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "DAEMON_CONFIG" in [line.type for line in daemon.lines()], "reload")
    assert daemon.stop() == 0
    assert [line.type for line in daemon.lines()] == ["DAEMON_START", "DAEMON_CONFIG", "DAEMON_END"]


def test_in_the_foreground_records_go_to_standard_output(audit: Control, auditd: StartAuditd):
    daemon = auditd("-f")
    audit.user_message(b"op=test", 1120)
    daemon.process.terminate()
    out, _ = daemon.process.communicate(timeout=20)
    assert daemon_types(parse_log(out))[-2:] == ["TEST", "DAEMON_END"]
    assert not daemon.log.exists()


@pytest.mark.parametrize(("word", "enabled"), [("enable", 1), ("d", 0), ("nochange", 0), ("", 0)])
def test_the_state_at_start_is_set(audit: Control, auditd: StartAuditd, word, enabled):
    audit.set_status(StatusMask.ENABLED, enabled=0)
    daemon = auditd("-n", "-s", word)
    assert audit.status().enabled == enabled
    assert daemon.stop() == 0


@pytest.mark.slow
def test_without_n_the_parent_returns_when_the_daemon_is_ready(audit: Control, auditd: StartAuditd):
    audit.set_status(StatusMask.ENABLED, enabled=0)
    parent = auditd("-s", "nochange")
    assert parent.process.wait(20) == 0
    pid = int((parent.run / "auditd.pid").read_text())
    assert audit.status().pid == pid
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end")
    types = [line.type for line in parent.lines()]
    assert (types[0], types[-1]) == ("DAEMON_START", "DAEMON_END")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_during_the_start_is_obeyed_once_it_runs(
    audit: Control, auditd: StartAuditd, number
):
    daemon = auditd(ready=False)
    while not (daemon.run / "auditd.pid").exists():
        assert daemon.process.poll() is None
    daemon.process.send_signal(number)
    if number == signal.SIGHUP:
        wait_for(daemon.log.exists, "the log")
        wait_for(lambda: "DAEMON_CONFIG" in [line.type for line in daemon.lines()], "reload")
        assert daemon.stop() == 0
    assert daemon.process.wait(20) == 0
    types = [line.type for line in daemon.lines()]
    assert (types[0], types[-1]) == ("DAEMON_START", "DAEMON_END")
    assert audit.status().pid == 0


def test_without_n_a_failed_start_is_the_parents_exit_status(audit: Control, auditd: StartAuditd):
    first = auditd()
    second = subprocess.run(
        [sys.executable, "-m", "auditd_py", "auditd", "-c", str(first.conf)], timeout=30,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert second.returncode == 1


def test_looking_on_changes_nothing_and_shows_the_same(audit: Control, auditd: StartAuditd):
    daemon = auditd()
    before = audit.status()
    path = daemon.folder / "seen.log"
    observer = auditd("--observe", "--output", str(path), ready=False)
    wait_for(path.exists, "the observer runs")
    audit.user_message(b"op=first", 1120)
    wait_for(lambda: b"op=first" in path.read_bytes(), "the observer sees")
    act(audit, "for _ in range(500): os.getpgid(0)", GETPGID)
    audit.user_message(b"op=last", 1120)
    wait_for(lambda: b"op=last" in path.read_bytes(), "the observer has seen all")
    observer.process.terminate()
    assert observer.process.wait(20) == 0
    assert audit.status().pid == before.pid == daemon.process.pid
    assert daemon.stop() == 0
    seen = path.read_bytes().split(b"\n")
    assert len(keyed(parse_log(path.read_bytes()))) == 500
    assert set(seen) <= set(daemon.log.read_bytes().split(b"\n"))


def test_a_stalled_disk_does_not_stop_the_daemon(audit: Control, auditd: StartAuditd, loop_mount):
    import fcntl
    import struct

    place = loop_mount(64)
    daemon = auditd(log_file=place / "audit.log")
    directory = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, 0xC0045877, struct.pack("i", 0))  # FIFREEZE
        act(audit, "for _ in range(10000): os.getpgid(0)", GETPGID)
        state = daemon.state()
        assert int(state["bytes waiting for the disk"]) > 0
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_state("RELOADING=1")
    finally:
        fcntl.ioctl(directory, 0xC0045878, struct.pack("i", 0))  # FITHAW
        os.close(directory)
    assert daemon.stop() == 0
    assert len(keyed(daemon.lines())) == 10000


def test_a_full_disk_is_told_counted_and_survived(audit: Control, auditd: StartAuditd, loop_mount):
    place = loop_mount(2)
    daemon = auditd(log_file=place / "audit.log", space_left=1, admin_space_left=0)
    act(audit, "for _ in range(10000): os.getpgid(0)", GETPGID)
    wait_for(lambda: "no space left on logging partition" in daemon.told(), "the fault")
    wait_for(lambda: int(daemon.state()["records received"]) >= 30000, "all records are received")
    state = daemon.state()
    assert state["logging suspended"] == "yes"
    assert state["thresholds crossed"] == "space_left, disk full"
    unwritten = int(state["records unwritten"])
    assert unwritten > 0
    (place / "audit.log").unlink()
    daemon.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "Audit daemon resumed logging." in daemon.told(), "resumed")
    audit.user_message(b"op=test", 1120)
    assert daemon.stop() == 0
    lines = daemon.lines()
    assert daemon_types(lines) == ["DAEMON_RESUME", "TEST", "DAEMON_END"]
    assert lines[0].field("unwritten") == str(unwritten)


@pytest.mark.slow
def test_a_report_interval_writes_the_state_by_itself(audit: Control, auditd: StartAuditd):
    daemon = auditd(report_interval="1s")
    wait_for((daemon.run / "auditd.state").exists, "the report")
    assert daemon.stop() == 0
    assert not (daemon.run / "auditd.state").exists()
