"""auditd_py.daemon.process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.process import PidFile, ReadyPipe, command_of, own_sender, sender_of
from auditd_py.errors import LogError
from auditd_py.netlink.uapi import UNSET_ID, SignalInfo
from auditd_py.record.daemon_record import Sender

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def gone() -> int:
    """Give the pid of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait(20)
    return process.pid


def test_a_pid_file_names_this_process(tmp_path: Path):
    file = PidFile(str(tmp_path / "run" / "auditd.pid"))
    file.write()
    assert (tmp_path / "run" / "auditd.pid").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "run" / "auditd.pid").stat().st_mode & 0o777 == 0o644
    file.remove()
    assert not (tmp_path / "run" / "auditd.pid").exists()


def test_a_second_holder_is_refused_and_told_the_first(tmp_path: Path):
    file = PidFile(str(tmp_path / "auditd.pid"))
    file.write()
    with pytest.raises(LogError, match=rf"a daemon with pid {os.getpid()} is already running"):
        PidFile(str(tmp_path / "auditd.pid"))
    assert (tmp_path / "auditd.pid").read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_pid_file_left_by_a_crash_is_taken_over(tmp_path: Path):
    (tmp_path / "auditd.pid").write_text("123456789\n")
    file = PidFile(str(tmp_path / "auditd.pid"))
    file.write()
    assert (tmp_path / "auditd.pid").read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "precious").write_text("text")
    (tmp_path / "auditd.pid").symlink_to(tmp_path / "precious")
    with pytest.raises(LogError, match=r"auditd\.pid: Too many levels of symbolic links"):
        PidFile(str(tmp_path / "auditd.pid"))
    assert (tmp_path / "precious").read_text() == "text"


def test_a_sender_that_is_gone_has_no_uid_and_no_session(gone: int):
    assert sender_of(SignalInfo(1000, gone)) == Sender(1000, UNSET_ID, UNSET_ID, gone)


def test_a_sender_that_runs_has_its_uid_and_session():
    found = sender_of(SignalInfo(1000, os.getpid(), b"system_u:\xff"))
    own = own_sender()
    assert (found.uid, found.session) == (os.getuid(), own.session)
    assert found.context == "system_u:\udcff"


def test_a_command_is_named_while_it_runs(gone: int):
    with open("/proc/self/comm", encoding="utf-8") as file:
        assert command_of(os.getpid()) == file.read().strip()
    assert command_of(gone) == "?"


@pytest.mark.parametrize(
    ("child", "status"), [("pipe.report(0)", 0), ("pipe.report(6)", 6), ("pass", 1)]
)
def test_the_parent_ends_as_its_daemon_reports(child: str, status: int):
    code = (
        "from auditd_py.daemon.process import ReadyPipe\n"
        f"pipe = ReadyPipe(); pipe.detach(); {child}"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == status


def test_a_process_that_stays_in_the_foreground_reports_to_nobody():
    ReadyPipe().report(0)
