"""auditd_py.actions.exec with real programs in a root-owned folder."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions import exec as exec_action
from auditd_py.actions.exec import Exec, check_program
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = Incident(Condition.DISK_FULL, "/x")
TOO_LARGE = Incident(Condition.LOG_SIZE, "/x")


@pytest.fixture
def program(log_dir: Path) -> Callable[..., str]:
    """Make a program of root's that is a shell script."""

    def make(script: str, name: str = "program", mode: int = 0o750) -> str:
        path = log_dir / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return str(path)

    return make


@pytest.fixture
def run(given, in_thread) -> Callable[..., object]:
    """Run a program as the daemon would: run(path, incident, **settings)."""
    return lambda path, incident=FULL, **settings: in_thread(
        lambda: Exec(given(path, **settings)).run(incident)
    )


def gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def ended(pid: int) -> bool:
    # init takes its time to reap what others left
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_program_gets_nothing_but_its_name(log_dir, program, run):
    out = log_dir / "out"
    path = program(
        f"exec 3>{out}\ncat /proc/$$/environ >&3\necho; cat /proc/$$/cmdline | tr '\\0' '|' >&3"
    )
    run(path)
    assert out.read_text() == f"/bin/sh|{path}|"


def test_a_program_starts_in_the_root_folder_in_a_session_of_its_own(log_dir, program, run):
    out = log_dir / "out"
    here = os.getcwd()
    run(program(f'echo $$ $(readlink /proc/$$/cwd) $(cut -d" " -f5,6 /proc/$$/stat) >{out}'))
    pid, cwd, group, session = out.read_text().split()
    assert cwd == "/"
    assert pid == group == session
    assert os.getcwd() == here


def test_a_program_has_no_descriptor_of_the_daemon(log_dir, program, run):
    out = log_dir / "out"
    fd = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        run(program(f"ls -l /proc/$$/fd >{out}"))
    finally:
        os.close(fd)
    shown = dict(re.findall(r"(\d+) -> (.*)", out.read_text()))
    assert shown.pop("0") == "/dev/null"
    assert shown.pop("2") == "/dev/null"
    # the shell's own: its output saved, and the script
    assert set(shown.values()) <= {str(out), "/dev/null", str(log_dir / "program")}


def test_a_program_has_every_signal_as_at_boot(log_dir, program, given, in_thread):
    out = log_dir / "out"
    # exec: a shell blocks signals for a moment when it starts a program
    path = program(f"exec grep -E '^Sig(Blk|Ign)' /proc/self/status >{out}")
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def blocked() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
        Exec(given(path)).run(FULL)

    try:
        in_thread(blocked)
    finally:
        signal.signal(signal.SIGUSR2, before)
    masks = dict(line.split(":\t") for line in out.read_text().splitlines())
    assert masks["SigBlk"] == "0" * 16
    # 32 and 33 are the C library's own; its posix_spawn leaves them ignored
    assert int(masks["SigIgn"], 16) & ~(3 << 31) == 0


def test_the_daemons_protection_from_the_oom_killer_is_not_inherited(log_dir, program, run):
    out = log_dir / "out"
    score = Path("/proc/self/oom_score_adj")
    before = score.read_text()
    score.write_text("300")  # lowering it needs a capability, raising it shows the same
    try:
        run(program(f"until grep -qx 0 /proc/$$/oom_score_adj; do :; done; echo yes >{out}"))
    finally:
        score.write_text(before)
    assert out.read_text() == "yes\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [("exit 3", "ended with status 3"), ("kill -KILL $$", "was ended by SIGKILL")],
)
def test_a_program_that_fails_is_told(program, run, services, script, message):
    with pytest.raises(ActionError, match=message):
        run(program(script))
    assert services.told == []


def test_the_end_of_a_program_is_told(program, run, services):
    path = program("exit 0")
    run(path)
    assert services.told == [("info", f"{path} ended with status 0")]


def test_a_program_that_cannot_be_started_is_told(log_dir, run):
    path = log_dir / "program"
    path.write_bytes(b"\x00\x01")
    path.chmod(0o750)
    with pytest.raises(ActionError, match="cannot be run: Exec format error"):
        run(str(path))


@pytest.mark.parametrize(("incident", "resumed"), [(TOO_LARGE, 1), (FULL, 0)])
def test_logging_goes_on_after_a_program_for_the_size_only(
    program, services, run, incident, resumed
):
    run(program("exit 0"), incident)
    assert services.resumed == resumed


def test_logging_goes_on_after_a_program_for_the_size_that_failed(program, services, run):
    with pytest.raises(ActionError):
        run(program("exit 1"), TOO_LARGE)
    assert services.resumed == 1


def test_logging_goes_on_when_the_program_for_the_size_is_refused(run, services):
    with pytest.raises(ActionError, match="No such file"):
        run("/var/log/no-such-program", TOO_LARGE)
    assert services.resumed == 1


@pytest.mark.slow
@pytest.mark.parametrize("ignoring", [False, True], ids=["obeys SIGTERM", "ignores SIGTERM"])
def test_a_program_over_its_time_is_ended_with_all_it_started(
    log_dir, program, run, monkeypatch, ignoring
):
    monkeypatch.setattr(exec_action, "_GRACE_S", 0.1)
    out = log_dir / "out"
    trap = "trap '' TERM; " if ignoring else ""
    path = program(f"{trap}sleep 1000 & echo $$ $! >{out}; wait")
    with pytest.raises(ActionError, match=r"took longer than exec_timeout \(1 s\)"):
        run(path, exec_timeout=1)
    program_pid, child = map(int, out.read_text().split())
    assert gone(program_pid)  # reaped, no zombie
    wait_for(lambda: ended(child), "the program's child has ended")


def test_no_zombie_stays(log_dir, program, run):
    out = log_dir / "out"
    run(program(f"echo $$ >{out}"))
    assert gone(int(out.read_text()))


def test_a_rehearsal_says_so_to_the_program(log_dir, program, given, in_thread, services):
    out = log_dir / "out"
    path = program(f"cat /proc/$$/environ >{out}")
    shown = in_thread(lambda: Exec(given(path)).rehearse(TOO_LARGE))
    assert out.read_bytes() == b"AUDITD_REHEARSAL=1\0"
    assert str(shown).startswith(f"{path} ended with status 0")
    assert services.resumed == 0


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o555, 0o550])
def test_modes_that_only_root_can_write_are_allowed(program, mode):
    check_program(program("", mode=mode))


@pytest.mark.parametrize("mode", [0o700, 0o770, 0o757, 0o4755, 0o640, 0o777])
def test_other_modes_are_refused(program, mode):
    with pytest.raises(ActionError, match=f"has mode {mode:04o}"):
        check_program(program("", mode=mode))


def test_a_program_of_another_user_is_refused(program):
    path = program("")
    os.chown(path, 65534, 0)
    with pytest.raises(ActionError, match="owned by uid 65534"):
        check_program(path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("program", "must be an absolute path"),
        ("/var/log", "is not a regular file"),
        ("/no/such/program", "No such file or directory"),
        ("/etc/hostname/x", "Not a directory"),
    ],
)
def test_what_is_no_program_is_refused(path, message):
    with pytest.raises(ActionError, match=message):
        check_program(path)


def test_a_program_others_could_exchange_is_refused(log_dir, program):
    program("", "program")
    log_dir.chmod(0o777)
    with pytest.raises(ActionError, match="others than root can change"):
        check_program(str(log_dir / "program"))
    log_dir.chmod(0o1777)
    check_program(str(log_dir / "program"))


def test_links_of_roots_are_followed(log_dir, program):
    program("", "program")
    (log_dir / "folder").mkdir(0o755)
    (log_dir / "folder" / "up").symlink_to("..")
    (log_dir / "link").symlink_to("folder/up/./program")
    check_program(str(log_dir / "link"))
    (log_dir / "absolute").symlink_to(log_dir / "link")
    check_program(str(log_dir / "absolute"))


def test_links_of_others_and_loops_are_refused(log_dir, program):
    program("", "program")
    (log_dir / "link").symlink_to("program")
    os.lchown(log_dir / "link", 65534, 0)
    (log_dir / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        with pytest.raises(ActionError, match=f"{name} is not followed"):
            check_program(str(log_dir / name))
