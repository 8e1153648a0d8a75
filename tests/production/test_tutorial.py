"""The tutorial's commands, run as they are shown, where the package is installed."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.production.debian import ENVIRONMENT, ROOT, Debian
from tests.programs import wait_for
from tests.shown import prints, shown

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PAGE = ROOT / "docs" / "tutorial.md"


def is_gone(pid: str) -> bool:
    return not Path("/proc", pid).exists()


def holds(log: Path, mark: bytes) -> bool:
    return mark in log.read_bytes()


def test_the_tutorial_prints_what_it_shows(installed: Debian, audit: Control):
    installed.apt("update")
    installed.apt("install", "dma", "openssl")
    (installed.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    installed.run(
        "touch", "-a", "/etc/shadow", "/usr/bin/id"
    )  # the overlay copies them now, not later
    before = (installed.root / "etc/auditd_py/auditd.conf").read_text()
    log = installed.root / "var/log/audit/audit.log"
    installed.run("auditd")
    try:
        for block in shown(PAGE):
            assert not block.reason
            done = subprocess.run(
                ["chroot", installed.root, "bash", "-ec", block.commands], env=ENVIRONMENT,
                cwd="/", capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            where = f"tutorial.md:{block.line}:\n{done.stdout}{done.stderr}"
            if done.returncode or not prints(block.output or "", done.stdout):
                pytest.fail(where)
            mark = b"op=%d " % block.line
            audit.user_message(mark)  # what the commands did is in the log when this is
            wait_for(partial(holds, log, mark), "the log")
        assert (installed.root / "etc/auditd_py/auditd.conf").read_text() == before
    finally:
        for name in ("audit-collector", "audit"):
            pid_file = installed.root / "run" / name / "auditd.pid"
            if pid_file.exists():
                pid = pid_file.read_text().strip()
                subprocess.run(["kill", pid], check=False)
                wait_for(partial(is_gone, pid), "it ends")
    assert audit.status().pid == 0
