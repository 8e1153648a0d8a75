"""The Debian package on a clean Debian 12: in place of auditd, and back."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tomllib
from pathlib import Path

import pytest

from tests.production.debian import ROOT, Debian, make
from tests.programs import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def test_two_builds_are_the_same(package: Path):
    again = ROOT / make("deb")
    assert hashlib.sha256(again.read_bytes()).digest() == (
        hashlib.sha256(package.read_bytes()).digest()
    )


def test_all_commands_run_on_a_clean_debian(installed: Debian):
    for command in COMMANDS:
        assert (
            Path(installed.run("sh", "-c", f"command -v {command}").stdout.strip()).name == command
        )
    assert installed.run("/sbin/auditctl", "-v").stdout.startswith("auditctl")
    assert installed.run("ausyscall", "x86_64", "openat", "--exact").stdout == "257\n"
    assert "no errors" in installed.run("auditd", "--check-config").stdout
    conf = installed.root / "tmp" / "auditd.conf"
    conf.write_text("log_file = /var/log/audit/audit.log\ncompress_logs = zstd\n")
    assert "no errors" in installed.run("auditd", "--check-config", "-c", "/tmp").stdout
    assert installed.run("auditctl", "--check", "/etc/auditd_py/rules.d").returncode == 0
    assert installed.run("dpkg", "--verify", "auditd-py").stdout == ""
    assert "migrate" in installed.run("auditd-py", "--help").stdout


def test_the_units_are_enabled_and_their_programs_there(installed: Debian):
    wants = installed.root / "etc/systemd/system/multi-user.target.wants"
    assert {"auditd-py.service", "audit-rules-py.service"} <= {p.name for p in wants.iterdir()}
    for unit in ("auditd-py", "audit-rules-py"):
        text = (installed.root / f"lib/systemd/system/{unit}.service").read_text()
        program = text.partition("\nExecStart=")[2].split()[0]
        assert (installed.root / program.lstrip("/")).exists()
    assert (installed.root / "lib/systemd/system/auditd.service").readlink() == (
        Path("auditd-py.service")
    )


def test_the_daemon_runs_without_the_kernel_there(installed: Debian):
    conf = installed.root / "etc/auditd_py/auditd.conf"
    conf.write_text(conf.read_text().replace("local_events = yes", "local_events = no"))
    installed.run("auditd")
    pid_file = installed.root / "run/audit/auditd.pid"
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the daemon ends")
    log = (installed.root / "var/log/audit/audit.log").read_text()
    assert [line.split()[0] for line in log.strip().split("\n")] == [
        "type=DAEMON_START",
        "type=DAEMON_END",
    ]


def test_it_takes_over_from_auditd_and_gives_back(debian: Debian, package: Path):
    debian.apt("update")
    debian.apt("install", "auditd", "audispd-plugins")
    etc = debian.root / "etc"
    conf = etc / "audit/auditd.conf"
    conf.write_text(conf.read_text().replace("num_logs = 5", "num_logs = 9"))
    (etc / "audit/rules.d/50-shadow.rules").write_text("-w /etc/shadow -p wa -k shadow\n")
    log = debian.root / "var/log/audit/audit.log"
    log.write_text("type=DAEMON_START msg=audit(1.000:1): before\n")
    before = {path: path.read_bytes() for path in (etc / "audit").rglob("*") if path.is_file()}
    shutil.copy(package, debian.root / "root" / "new.deb")

    said = debian.apt("install", "/root/new.deb").stdout
    assert "Removing auditd" in said
    assert "LOST" not in said
    assert "num_logs = 9\n" in (etc / "auditd_py/auditd.conf").read_text()
    assert (etc / "auditd_py/rules.d/50-shadow.rules").read_text().endswith("-k shadow\n")
    assert debian.run("auditd", "--check-config").returncode == 0
    assert "auditd-py" in (debian.root / "sbin/auditctl").read_text()

    debian.apt("install", "auditd")
    assert debian.run("dpkg-query", "-W", "-f", "${Status}", "auditd-py").stdout == (
        "deinstall ok config-files"
    )
    assert (debian.root / "sbin/auditctl").read_bytes().startswith(b"\x7fELF")
    assert {path: path.read_bytes() for path in before} == before
    debian.apt("purge", "auditd-py")
    assert not (etc / "auditd_py").exists()
    assert log.read_text().endswith("before\n")


def test_make_install_puts_everything_below_the_prefix(tmp_path: Path):
    make("install", "PREFIX=/opt/audit", f"DESTDIR={tmp_path}")
    assert {path.name for path in tmp_path.iterdir()} == {"opt", "etc", "var"}
    assert {path.name for path in (tmp_path / "opt/audit").glob("*bin/*")} == set(COMMANDS)
    unit = (tmp_path / "opt/audit/lib/systemd/system/auditd-py.service").read_text()
    assert "\nExecStart=/opt/audit/bin/auditd-py auditd -n\n" in unit
    assert (tmp_path / "etc/auditd_py/auditd.conf").stat().st_mode & 0o777 == 0o640
    pages = {path.name for path in (tmp_path / "opt/audit/share/man/man8").iterdir()}
    assert {f"{page.stem}.gz" for page in (ROOT / "docs" / "man").glob("*.8.md")} == pages
