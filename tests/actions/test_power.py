"""auditd_py.actions.power. What would change the host is replaced in every test (conftest)."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions import power
from auditd_py.actions.power import Halt, Single
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident
from tests.conftest import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
FULL = Incident(Condition.DISK_FULL, "/x")
RUN = power.run_command  # before it is replaced; for harmless programs
TOLD = "The audit system has no disk space left and is now {} for admin corrective action.\n"


@pytest.mark.parametrize(
    ("action", "systemd", "command"),
    [
        (Single, "/", ["systemctl", "rescue"]),
        (Single, "/no/systemd", ["/sbin/init", "1"]),
        (Halt, "/", ["systemctl", "poweroff"]),
        (Halt, "/no/systemd", ["/sbin/init", "0"]),
    ],
)
def test_the_command_is_that_of_the_init_system(action, systemd, command, given, monkeypatch):
    monkeypatch.setattr(power, "_SYSTEMD", systemd)
    noted: list[list[str]] = []
    monkeypatch.setattr(power, "run_command", lambda argv, *_: noted.append(list(argv)))
    action(given()).run(FULL)
    assert noted == [["wall"], command]


@pytest.mark.parametrize(
    ("action", "what"),
    [(Single, "changing the system to single user mode"), (Halt, "halting the system")],
)
def test_terminals_are_told_before_the_command_runs_and_the_daemon_ends(
    given, services, commands, action, what
):
    action(given()).run(FULL)
    assert commands[0] == (["wall"], TOLD.format(what))
    assert len(commands) == 2
    text = f"The audit daemon is now {what} and exiting due to no space left on logging partition"
    assert services.told == [("alert", text)]
    assert services.stopped == 1


def test_a_rehearsal_runs_nothing(given, services, commands, monkeypatch):
    monkeypatch.setattr(power, "_SYSTEMD", "/")
    assert "Then run systemctl poweroff and end the daemon" in Halt(given()).rehearse(FULL)
    assert commands == []
    assert services.stopped == 0


def test_the_daemon_goes_on_when_the_command_fails(given, services, monkeypatch):
    def refuse(argv, text="", limit_s=0.0) -> None:
        if list(argv) != ["wall"]:
            raise ActionError("systemctl: no")

    monkeypatch.setattr(power, "run_command", refuse)
    with pytest.raises(ActionError, match="systemctl: no"):
        Halt(given()).run(FULL)
    assert services.stopped == 0


def test_the_command_runs_when_terminals_cannot_be_told(given, services, monkeypatch):
    def refuse(argv, text="", limit_s=0.0) -> None:
        if list(argv) == ["wall"]:
            raise ActionError("wall: No such file or directory")

    monkeypatch.setattr(power, "run_command", refuse)
    Halt(given()).run(FULL)
    assert services.told[1:] == [
        ("warning", "terminals were not told: wall: No such file or directory")
    ]
    assert services.stopped == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sh", "-c", "echo sorry >&2; exit 4"], "exit status 4: sorry"),
        (["/no/such/program"], "/no/such/program: No such file or directory"),
        (["sleep", "100"], "sleep 100: took longer than 0 s"),
    ],
)
def test_a_command_that_fails_is_told(argv, message):
    with pytest.raises(ActionError, match=message):
        RUN(argv, limit_s=0.2)


def test_a_command_gets_its_input_and_a_small_environment(tmp_path):
    out = tmp_path / "out"
    RUN(["sh", "-c", f"cat >{out}; env | cut -d= -f1 | sort | xargs >>{out}"], "text\n")
    assert out.read_text() == "text\nLC_ALL PATH PWD\n"


# In a mount namespace of its own the system's list of logins names the test's terminal only.
WALL = """
import struct, subprocess, sys
from auditd_py.actions import power
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
with open("/run/utmp", "wb") as utmp:
    for line in sys.argv[1:]:
        # utmp(5): type 7 is a user's process
        entry = struct.pack("=h2xi32s4s32s256s", 7, 1, line.encode(), b"t", b"root", b"")
        utmp.write(entry.ljust(384, b"\\0"))
power.tell_terminals("The audit system is now halting.")
"""


@pytest.fixture
def terminals(root) -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    yield master, os.ttyname(slave).removeprefix("/dev/")
    os.close(slave)
    os.close(master)


def wall(*lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "-m", sys.executable, "-c", WALL, *lines],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_the_terminal_of_a_login_shows_the_message(terminals):
    master, line = terminals
    done = wall(line)
    if "unshare" in done.stderr or "mount" in done.stderr:
        unavailable(f"needs a mount namespace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert b"The audit system is now halting." in os.read(master, 4096)


def test_a_terminal_that_is_not_read_holds_nothing_up(terminals):
    _, line = terminals
    full = os.open(f"/dev/{line}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        while select.select([], [full], [], 0)[1]:
            os.write(full, b"x" * 4096)
    finally:
        os.close(full)
    other_master, other_slave = pty.openpty()
    try:
        done = wall(line, os.ttyname(other_slave).removeprefix("/dev/"))
        if "unshare" in done.stderr or "mount" in done.stderr:
            unavailable(f"needs a mount namespace: {done.stderr}")
        assert done.returncode == 0, done.stderr
        assert b"The audit system is now halting." in os.read(other_master, 4096)
    finally:
        os.close(other_slave)
        os.close(other_master)


def test_a_daemon_for_tests_runs_none_of_the_commands(tmp_path):
    code = (
        "import sys; from tests.actions import harmless_auditd as h; h.replace(sys.argv[1]);"
        "from auditd_py.actions import power; power.tell_terminals('x'); power.run_command(['x', 'y'])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "notes")], cwd=ROOT, check=True)
    assert (tmp_path / "notes").read_text() == "wall\nx y\n"
