"""Every condition of the log with every action it allows: what the daemon does, and what becomes
of records meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller

from auditd_py.config.keywords import KEYWORDS
from auditd_py.log.incident import Condition
from tests.programs import Actor, Auditd, parse_log, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditd_py.netlink.control import Control
    from tests.conftest import FaultFs

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]

GETPGID = 121
TEST = 1120
SIZE, SPACE, ADMIN = Condition.LOG_SIZE, Condition.SPACE_LEFT, Condition.ADMIN_SPACE_LEFT
FULL, ERROR = Condition.DISK_FULL, Condition.DISK_ERROR

TOLD = {
    SIZE: "Audit daemon log file is larger than max size",
    SPACE: "Audit daemon is low on disk space for logging.",
    ADMIN: "Audit daemon is low on disk space for logging.",
    FULL: "Audit daemon has no space left on logging partition",
    ERROR: "Audit daemon detected an error writing an event to disk (Input/output error)",
}


class Mailbox:
    """What a mail server got."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        self.mails.append(envelope.content)  # type: ignore[attr-defined]
        return "250 OK"


@dataclass
class Stage:
    """A daemon, and how to bring about a condition."""

    audit: Control
    daemon: Auditd
    happen: Callable[[], None]
    cure: Callable[[], None]
    commands: Path
    ran: Path
    mailbox: Mailbox

    def say(self, what: str) -> None:
        """Let the kernel have a record."""
        self.audit.user_message(f"op={what}".encode(), TEST)

    def logged(self) -> list[str]:
        """Return what was said and is in one of the logs, whole."""
        found = []
        for path in sorted(self.daemon.log.parent.glob("audit.log*"), reverse=True):
            found += [
                str(line.field("op"))
                for line in parse_log(path.read_bytes())
                if line.type == "TEST"
            ]
        return found


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    audit: Control,
    log_dir: Path,
    auditd: Callable[..., Auditd],
    mailbox: tuple[Mailbox, int],
) -> Callable[[Condition, str], Stage]:
    """Set up a daemon whose `condition` has the action `word`."""

    def begin(condition: Condition, word: str) -> Stage:
        program, ran = log_dir / "program", log_dir / "ran"
        program.write_text(f"#!/bin/sh\nset > {ran}\n")
        program.chmod(0o750)
        action = f"exec {program}" if word == "exec" else word
        settings: dict[str, object] = {
            condition.value: action, "num_logs": 5, "smtp_server": "127.0.0.1",
            "smtp_port": mailbox[1], "action_mail_acct": "admin@example.org",
        }  # fmt: skip
        place, happen, cure = _bring_about(condition, request, audit, settings)
        commands = log_dir / "commands"
        daemon = auditd(log_file=place / "audit.log", commands=commands, **settings)
        return Stage(audit, daemon, happen, cure, commands, ran, mailbox[0])

    return begin


def _bring_about(
    condition: Condition,
    request: pytest.FixtureRequest,
    audit: Control,
    settings: dict[str, object],
) -> tuple[Path, Callable[[], None], Callable[[], None]]:
    if condition is SIZE:
        settings |= {"max_log_file": 1}
        return request.getfixturevalue("log_dir"), lambda: _fill_log(audit), lambda: None
    if condition in (SPACE, ADMIN):
        limits = {"space_left": 12, "admin_space_left": 1 if condition is SPACE else 11}
        settings |= limits
        place: Path = request.getfixturevalue("loop_mount")(32)
        ballast = place / "ballast"
        return place, lambda: _fill_disk(ballast, 10 << 20), ballast.unlink
    fault: FaultFs = request.getfixturevalue("fault_fs")
    name = "EDQUOT" if condition is FULL else "EIO"

    def happen() -> None:
        fault.fail(name)
        audit.user_message(b"op=trigger", TEST)

    return fault.place, happen, lambda: fault.fail("ok")


def _fill_log(audit: Control) -> None:
    actor = Actor("for _ in range(4000): os.getpgid(0)")
    rule = syscall_rule(GETPGID, (0, actor.pid))
    audit.add_rule(rule)
    try:
        actor.run()
    finally:
        audit.delete_rule(rule)


def _fill_disk(path: Path, leave: int) -> None:
    found = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)


def allowed(condition: Condition) -> list[str]:
    return [str(word) for word in KEYWORDS[condition.value].words]


CASES = [(condition, word) for condition in TOLD for word in allowed(condition)]
STOPS = {"suspend", "exec", "single", "halt"}


def test_the_table_has_every_condition_and_action():
    assert len(CASES) == 34


@pytest.mark.parametrize(("condition", "word"), CASES, ids=str)
def test_a_condition_leads_to_its_action(
    stage: Callable[[Condition, str], Stage], condition: Condition, word: str
):
    it = stage(condition, word)
    it.say("before")
    wait_for(lambda: it.logged() == ["before"], "the first record")
    it.happen()
    _check_what_was_done(it, condition, word)
    if word in ("single", "halt"):
        assert it.daemon.process.wait(20) == 0
        return
    resumes = word == "exec" and condition is SIZE
    if resumes:
        wait_for(lambda: "resumed logging" in it.daemon.told(), "the program's end resumes")
    _check_records(it, condition, writes=word not in STOPS or resumes)


def _check_what_was_done(it: Stage, condition: Condition, word: str) -> None:
    told = it.daemon.told
    if word == "exec":
        wait_for(it.ran.exists, "the program ran")
        wait_for(lambda: "ended with status 0" in told(), "its end is told")
    if word in ("single", "halt"):
        wait_for(
            lambda: it.commands.exists() and len(it.commands.read_text().split("\n")) > 2, word
        )
        commands = it.commands.read_text().splitlines()
        assert commands[0] == "wall"
        assert (
            commands[1]
            in {
                "single": ("systemctl rescue", "/sbin/init 1"),
                "halt": ("systemctl poweroff", "/sbin/init 0"),
            }[word]
        )
    if word == "suspend":
        wait_for(lambda: "Audit daemon is suspending logging due to" in told(), "it is told")
    if word == "email":
        wait_for(lambda: it.mailbox.mails, "the mail")
        assert str(it.daemon.log).encode() in it.mailbox.mails[0].replace(b"=\r\n", b"")
    if condition in (SPACE, ADMIN):
        crossed = "space_left" if condition is SPACE else "admin_space_left"
        if word not in ("rotate", "single", "halt"):
            wait_for(lambda: crossed in it.daemon.state()["thresholds crossed"], "it is crossed")
    if word in ("rotate", "keep_logs"):
        wait_for(lambda: "Audit daemon rotating log files" in told(), "it rotates")
    if word in ("syslog", "email") or (condition is FULL and word != "ignore"):
        wait_for(lambda: TOLD[condition] in told(), "it is told")


def _settled(it: Stage) -> int:
    """Return how many records are unwritten, when all that there were so far have come."""
    received = [-1, -1]
    state: dict[str, str] = {}

    def nothing_comes() -> bool:
        nonlocal state
        state = it.daemon.state()
        received[:] = [received[1], int(state["records received"])]
        return it.audit.status().backlog == 0 and received[0] == received[1]

    wait_for(nothing_comes, "all records have come")
    return int(state["records unwritten"])


def _check_records(it: Stage, condition: Condition, *, writes: bool) -> None:
    broken = condition in (FULL, ERROR)
    before = _settled(it) if broken or not writes else 0
    it.say("during")
    if broken or not writes:
        wait_for(lambda: int(it.daemon.state()["records unwritten"]) > before, "it is counted")
    it.cure()
    if not writes:
        it.daemon.process.send_signal(signal.SIGUSR2)
    if broken or not writes:
        wait_for(lambda: "Audit daemon resumed logging." in it.daemon.told(), "it goes on")
    it.say("after")
    wait_for(lambda: "after" in it.logged(), "the last record")
    lost = 0
    lines = []
    for path in it.daemon.log.parent.glob("audit.log*"):
        lines += parse_log(path.read_bytes())
    lost = sum(int(line.field("unwritten") or 0) for line in lines)
    state = it.daemon.state()
    assert lost == int(state["records unwritten"])
    assert it.daemon.stop() == 0
    expected = ["before", "after"] if broken or not writes else ["before", "during", "after"]
    assert [op for op in it.logged() if op != "trigger"] == expected
    assert int(state["records received"]) >= int(state["records written"]) + lost - 1


def test_rotating_under_the_kernels_load_loses_nothing(
    audit: Control, auditd: Callable[..., Auditd]
):
    daemon = auditd(max_log_file=1, max_log_file_action="ROTATE", num_logs=999)
    actor = Actor("for _ in range(60000): os.getpgid(0)")
    rule = syscall_rule(GETPGID, (0, actor.pid), key=b"load")
    audit.add_rule(rule)
    lost = audit.status().lost
    actor.go()
    rotated = 0
    while actor.process.poll() is None and rotated < 400:  # fewer than num_logs allows
        daemon.process.send_signal(signal.SIGUSR1)
        wait_for(lambda n=rotated: archives(daemon) > n, "it rotates")  # type: ignore[misc]
        rotated = archives(daemon)
    actor.process.communicate()
    audit.delete_rule(rule)
    assert daemon.stop() == 0
    serials = []
    for path in sorted(daemon.log.parent.glob("audit.log*"), key=_number, reverse=True):
        lines = parse_log(path.read_bytes())
        serials += [
            line.serial for line in lines if line.type == "SYSCALL" and 'key="load"' in line.text
        ]
    assert len(serials) == len(set(serials)) == 60000
    assert serials == sorted(serials)
    assert rotated > 10
    assert audit.status().lost == lost


def archives(daemon: Auditd) -> int:
    return len(list(daemon.log.parent.glob("audit.log.*")))


def _number(path: Path) -> int:
    return int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0


def test_thresholds_and_the_forecast_are_in_the_state_report(
    audit: Control, auditd: Callable[..., Auditd], loop_mount: Callable[[int], Path]
):
    place = loop_mount(32)
    daemon = auditd(log_file=place / "audit.log", space_left=12, admin_space_left=6)
    _fill_disk(place / "ballast", 10 << 20)
    wait_for(lambda: daemon.state()["thresholds crossed"] == "space_left", "it is crossed")
    state = daemon.state()
    assert state["space_left setting"] == "12 MiB"
    assert state["admin_space_left setting"] == "6 MiB"
    assert state["file system space action performed"] == "yes"
    assert state["admin space action performed"] == "no"
    assert state["space forecast"] == "not filling up"
    assert 9 <= int(state["Logging partition free space"].split()[0]) <= 10


def test_compression_is_done_beside_the_daemon(audit: Control, auditd: Callable[..., Auditd]):
    daemon = auditd(max_log_file_action="ROTATE", compress_logs="zstd")
    for number in range(3):
        audit.user_message(f"op=n{number}".encode(), TEST)
        daemon.process.send_signal(signal.SIGUSR1)
        wait_for(lambda n=number: archives(daemon) == n + 1, "it rotates")  # type: ignore[misc]
    wait_for(
        lambda: (
            sorted(path.name for path in daemon.log.parent.glob("audit.log.*"))
            == ["audit.log.1.zst", "audit.log.2.zst", "audit.log.3.zst"]
        ),
        "all are compressed",
    )
    assert daemon.state()["rotated logs compressed"] == "3"
    assert daemon.stop() == 0
