"""The command line of auditd: arguments and exit codes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditd_py import __version__
from tests.programs import settings_text, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PR_CAPBSET_DROP, CAP_AUDIT_CONTROL = 24, 30


def auditd(*arguments: str, capable: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditd_py", "auditd", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        env={**os.environ, "LC_ALL": "C", "COLUMNS": "100"},
        preexec_fn=None if capable else drop_audit_control,
    )  # fmt: skip


def drop_audit_control() -> None:
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_AUDIT_CONTROL, 0, 0, 0) == 0


def configured(folder: Path, text: str) -> str:
    (folder / "auditd.conf").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    "arguments",
    [["-x"], ["--daemon"], ["record"], ["-n", "record"], ["-s", "bogus"], ["-c"], ["--obs"]],
    ids=" ".join,
)
def test_wrong_arguments_are_refused_with_2(arguments: list[str]):
    done = auditd(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: auditd ")
    assert "\nauditd: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_words_of_s_are_named_when_it_is_wrong():
    assert "bogus: disable, enable or nochange is allowed" in auditd("-s", "bogus").stderr


def test_the_version_is_told():
    done = auditd("--version")
    assert (done.returncode, done.stdout) == (0, f"auditd {__version__}\n")


@pytest.mark.parametrize("extra", [[], ["-n"], ["-f"], ["--check-config"], ["--observe"]])
def test_every_error_of_auditd_conf_is_told_with_its_line(tmp_path: Path, extra: list[str]):
    place = configured(tmp_path, "log_format = PLAIN\n# fine\nfreq = many\nnum_logs = 1000\n")
    done = auditd(*extra, "-c", place)
    assert done.returncode == 6
    assert done.stdout == ""
    found = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert found == [f"{place}/auditd.conf:{number}" for number in (1, 3, 4)]


def test_a_correct_auditd_conf_passes_the_check(tmp_path: Path):
    place = configured(tmp_path, "log_format = ENRICHED\n")
    done = auditd("--check-config", "-c", place)
    assert (done.returncode, done.stdout) == (0, f"{place}/auditd.conf: no errors\n")


REHEARSED = "write_logs = no\nspace_left_action = ignore\nadmin_space_left_action = HALT\noverflow_action = SUSPEND\n"


@pytest.mark.usefixtures("root")
def test_actions_can_be_rehearsed(tmp_path: Path):
    done = auditd("--test-actions", "-c", configured(tmp_path, REHEARSED))
    assert done.returncode == 0, done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert len(rows) == 7
    assert "would tell terminals: " in rows["admin_space_left_action"]
    assert "would stop giving records to plugins" in rows["overflow_action"]


@pytest.mark.usefixtures("root")
def test_one_action_can_be_rehearsed(tmp_path: Path):
    done = auditd("--test-actions", "halt", "-c", configured(tmp_path, REHEARSED))
    assert done.returncode == 0, done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "keyword", "admin_space_left_action",
    ]  # fmt: skip


@pytest.mark.usefixtures("root")
def test_rehearsing_an_action_that_is_not_set_says_what_is(tmp_path: Path):
    done = auditd("--test-actions", "email", "-c", configured(tmp_path, REHEARSED))
    assert done.returncode == 1
    assert "email: no such keyword or action is set; there are" in done.stdout


@pytest.mark.usefixtures("root")
def test_without_the_capability_the_daemon_says_what_can_be_done(tmp_path: Path):
    done = auditd("-n", "-c", configured(tmp_path, ""), capable=False)
    assert done.returncode == 4
    assert "root without CAP_AUDIT_CONTROL" in done.stderr
    assert "auditd --observe" in done.stderr
    assert "local_events = no" in done.stderr


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("capable", "status"), [(True, 0), (False, 4)])
def test_the_privilege_can_be_checked(capable: bool, status: int):
    assert auditd("--check-privilege", capable=capable).returncode == status


@pytest.mark.usefixtures("root")
def test_the_configuration_is_checked_before_the_privilege(tmp_path: Path):
    place = configured(tmp_path, "freq = many\n")
    assert auditd("-n", "-c", place, capable=False).returncode == 6


def test_without_local_events_root_needs_no_capability(log_dir: Path):
    log, run = log_dir / "audit.log", log_dir / "run"
    settings = {"local_events": "no", "log_file": log, "run_dir": run, "priority_boost": 0}
    done = auditd("-c", configured(log_dir, settings_text(settings)), capable=False)
    assert done.returncode == 0
    pid = int((run / "auditd.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end")
    assert b"DAEMON_START" in log.read_bytes()
    assert b"DAEMON_END" in log.read_bytes()


def test_a_collector_of_a_user_runs_without_the_capability(log_dir: Path):
    log_dir.chmod(0o755)
    logs = log_dir / "logs"
    logs.mkdir()
    os.chown(logs, 65534, 65534)
    settings = f"priority_boost = 0\nrun_dir = {logs}\nlog_file = {logs}/audit.log\n"
    place = configured(log_dir, f"local_events = no\n{settings}")
    code = (
        "import os, sys\n"
        "from auditd_py.cli.auditd import main\n"
        "import auditd_py.config.daemon, encodings.ascii  # the other user may not read modules\n"
        "import uvloop, encodings.idna, concurrent.futures.thread, auditd_py.daemon.app\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    daemon = subprocess.Popen([sys.executable, "-c", code, "-n", "-c", place])
    try:
        wait_for((logs / "audit.log").exists, "there is a log")
        wait_for(lambda: b"op=start" in (logs / "audit.log").read_bytes(), "it has begun")
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0
    assert (logs / "audit.log").stat().st_uid == 65534
