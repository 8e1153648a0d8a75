"""auditd_py.cli.auditctl: arguments, exit statuses, and what it takes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import auditctl
from auditd_py.rules.load import live_rules
from auditd_py.rules.show import rule_text
from auditd_py.rules.words import LONG_OPTIONS, SHORT_OPTIONS
from tests.programs import wait_for

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control
    from auditd_py.netlink.uapi import Status
    from tests.programs import Peers

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "auditd_py.cli.auditctl"]
RULES = """\
## a comment
-D
-b 8192
-a always,exit -F arch=b64 -S openat -F exit=-EACCES -F auid>=1000 -k access
-a always,exit -F arch=b32 -S openat -F exit=-EACCES -F auid>=1000 -k access
-a never,task -F auid=unset
"""
LISTED = """\
-a never,task -F auid=-1
-a always,exit -F arch=b64 -S openat -F exit=-EACCES -F auid>=1000 -F key=access
-a always,exit -F arch=b32 -S openat -F exit=-EACCES -F auid>=1000 -F key=access
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give a file of rules without fault."""
    path = tmp_path / "a.rules"
    path.write_text(RULES)
    return path


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, **options
    )


def page() -> str:
    """Return the manual page."""
    return (ROOT / "docs/man/auditctl.8.md").read_text().replace("\\", "")


def test_the_manual_page_has_every_option_and_no_other():
    options = page().partition("\n# OPTIONS\n")[2].partition("\n# ")[0]
    named = set(re.findall(r"^(?:.*, )?\*\*(--?[\w-]+)\*\*", options, re.MULTILINE))
    named |= set(re.findall(r"^\*\*(-\w)\*\*.*, \*\*(?:--[\w-]+)\*\*", options, re.MULTILINE))
    known = {f"-{letter}" for letter in SHORT_OPTIONS} | {f"--{name}" for name in LONG_OPTIONS}
    assert named == known | set(auditctl.OWN_OPTIONS)


def test_the_usage_has_every_option():
    known = {f"-{letter}" for letter in SHORT_OPTIONS} | {f"--{name}" for name in LONG_OPTIONS}
    known -= {"--help"}
    found = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", auditctl.USAGE))
    assert known | set(auditctl.OWN_OPTIONS) <= found


@pytest.mark.parametrize(
    ("words", "status", "beginning"),
    [
        ([], 1, "usage: auditctl"),
        (["-h"], 0, "usage: auditctl"),
        (["--help"], 0, "usage: auditctl"),
        (["-v"], 0, "auditctl version "),
    ],
)
def test_help_and_version_need_no_kernel(capsys, words, status, beginning):
    assert auditctl.main(words) == status
    assert capsys.readouterr().out.startswith(beginning)


def test_without_the_right_nothing_is_done(root, rules):
    code = """
import os, sys
from auditd_py.cli import auditctl
import encodings.ascii
auditctl.main(["--check", sys.argv[1]])  # reads modules that the other user may not read
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print([auditctl.main(words) for words in (["-s"], ["-l"], ["-D"], ["-w", "/x"], ["--drift", "x"])])
print(auditctl.main(["--check", sys.argv[1]]))
"""
    for folder in (rules, *rules.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", code, str(rules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "5 lines, 0 findings", "[4, 4, 4, 4, 4]", "5 lines, 0 findings", "0",
    ]  # fmt: skip
    assert done.stderr == "You must be root to run this program.\n" * 5


def test_a_file_without_fault_passes_the_check(capsys, rules):
    assert auditctl.main(["--check", str(rules)]) == 0
    assert capsys.readouterr().out == "5 lines, 0 findings\n"


def test_a_check_names_file_and_line_of_every_finding(capsys, rules):
    other = rules.with_name("b.rules")
    other.write_text("-a always,exit -F arch=b64 -S opnat\n-w etc\n-a never,task -F auid=-1\n")
    assert auditctl.main(["--check", str(rules), str(other)]) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("/")]
    assert found == [
        f"{other}:1: Syscall name unknown: opnat",
        f"{other}:2: The path must start with '/'",
        f"{other}:3: the same rule as {rules}:6",
    ]


def test_a_check_can_be_read_by_programs(capsys, rules):
    rules.write_text("-w /etc/x\n")
    assert auditctl.main(["--check", "--json", str(rules)]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["where"], found["kind"]) == (f"{rules}:1", "watch")


@pytest.mark.parametrize(
    ("words", "status"),
    [(["--check"], 255), (["--check", "/none"], 1), (["--check", "/dev/null"], 1)],
)
def test_a_check_needs_files(words, status):
    assert auditctl.main(words) == status


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["-z"], 255), (["stray"], 255), (["-a"], 255), (["-F", "uid=0"], 255), (["-c"], 255),
        (["-i"], 255), (["-b", "x"], 255), (["-W", "/none"], 255), (["-R", "/none"], 1),
        (["-R", "/etc"], 1), (["--signal", "stop"], 2), (["--signal", "kill"], 1),
        (["--transaction"], 255), (["--transaction", "-s"], 255), (["--json", "-D"], 255),
        (["--drift"], 255), (["--drift", "/none"], 1), (["-l", "-s"], 255), (["-m", "a\tb"], 255),
        (["-R", "/none", "-s"], 255), (["-s"], 0), (["-s", "-i"], 0), (["-l"], 0), (["-li"], 0),
        (["-l", "-k", "x"], 0), (["-t"], 0), (["-m", "hello"], 0), (["-b", "64"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)  # fmt: skip
def test_the_exit_status_says_how_it_ended(audit: Control, capsys, words, status):
    assert auditctl.main(words) == status
    if status in (1, 2, 255):
        assert capsys.readouterr().err


@pytest.mark.kernel
def test_a_file_is_loaded_and_listed(audit: Control, capsys, rules):
    assert auditctl.main(["-R", str(rules)]) == 0
    capsys.readouterr()
    assert auditctl.main(["-l"]) == 0
    assert capsys.readouterr().out == LISTED


@pytest.mark.kernel
def test_a_file_stops_where_it_is_wrong(audit: Control, capsys, rules):
    rules.write_text("-w /a\n-w b\n-w /c\n")
    assert auditctl.main(["-R", str(rules)]) == 1
    assert f"There was an error in line 2 of {rules}" in capsys.readouterr().err
    assert len(audit.rules()) == 1


@pytest.mark.kernel
def test_a_file_that_others_can_write_is_refused(audit: Control, rules):
    rules.chmod(0o666)
    assert auditctl.main(["-R", str(rules)]) == 1
    assert audit.rules() == []


@pytest.mark.kernel
def test_a_transaction_loads_everything(audit: Control, capsys, rules):
    auditctl.main(["-w", "/old"])
    capsys.readouterr()
    assert auditctl.main(["-R", str(rules), "--transaction"]) == 0
    assert capsys.readouterr().out == "3 rules wanted, 3 live\n"
    auditctl.main(["-l"])
    assert capsys.readouterr().out == LISTED


def settings_of(audit: Control) -> Status:
    """The status without what moves by itself."""
    return replace(audit.status(), backlog=0, lost=0, backlog_wait_time_actual=0)


@pytest.mark.kernel
@pytest.mark.parametrize("line", ["-w relative", "-a always,nolist -F uid=0", "-q /none,/etc"])
def test_a_transaction_that_fails_leaves_everything_as_it_was(audit: Control, capsys, rules, line):
    auditctl.main(["-w", "/old", "-k", "old"])
    before = settings_of(audit), audit.rules()
    rules.write_text(f"{RULES.replace('8192', '4711')}{line}\n")
    assert auditctl.main(["-R", str(rules), "--transaction"]) == 1
    assert (settings_of(audit), audit.rules()) == before


def _blocks(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return bool(int(status.partition("SigBlk:")[2].split()[0], 16) >> (number - 1) & 1)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_transaction_is_not_ended_halfway(audit: Control, rules, number):
    for i in range(30):
        auditctl.main(["-a", "never,user", "-F", f"uid={i}", "-F", "pid!=1"])
    rules.write_text("-D\n" + "".join(f"-a never,user -F uid={i}\n" for i in range(30)))
    before = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it
    process = subprocess.Popen([*COMMAND, "-R", str(rules), "--transaction"], cwd=ROOT)
    signal.signal(number, before)
    wait_for(lambda: _blocks(process.pid, number), "the transaction begins")
    process.send_signal(number)
    assert process.wait(20) == -number
    assert [rule_text(rule) for rule in live_rules(audit)] == [
        f"-a never,user -F uid={i}" for i in range(30)
    ]


@pytest.mark.kernel
def test_kernel_and_files_are_compared(audit: Control, capsys, rules):
    assert auditctl.main(["-R", str(rules)]) == 0
    capsys.readouterr()
    assert auditctl.main(["--drift", str(rules)]) == 0
    assert capsys.readouterr().out == ""
    auditctl.main(["-d", "never,task", "-F", "auid=unset"])
    auditctl.main(["-w", "/etc/x", "-p", "wa"])
    capsys.readouterr()
    assert auditctl.main(["--drift", str(rules)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("@@")]
    assert lines == ["--- files", "+++ kernel", "--a never,task -F auid=-1", "+-w /etc/x -p wa"]
    assert auditctl.main(["--drift", "--json", str(rules)]) == 1
    assert json.loads(capsys.readouterr().out)["differs"]


@pytest.mark.kernel
def test_a_folder_is_compared_in_its_order(audit: Control, capsys, tmp_path):
    for name, line in (("10-b", "-w /b"), ("9-a", "-w /a"), ("10-c", "-w /c")):
        (tmp_path / f"{name}.rules").write_text(line + "\n-D\n")
        (tmp_path / f"{name}.txt").write_text("-w /none\n")
    for name in "abc":
        auditctl.main(["-w", f"/{name}"])
    assert auditctl.main(["--drift", str(tmp_path)]) == 0
    assert auditctl.main(["--check", str(tmp_path)]) == 1
    found = re.findall(r"^.*/(\S+):1: old", capsys.readouterr().out, re.MULTILINE)
    assert found == ["9-a.rules", "10-b.rules", "10-c.rules"]


@pytest.mark.kernel
def test_status_and_rules_can_be_read_by_programs(audit: Control, capsys, rules):
    auditctl.main(["-R", str(rules)])
    capsys.readouterr()
    assert auditctl.main(["-s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backlog_limit"] == 8192
    assert auditctl.main(["-l", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "".join(f"{rule['text']}\n" for rule in found) == LISTED
    assert [rule["keys"] for rule in found] == [[], ["access"], ["access"]]


@pytest.mark.kernel
def test_a_listing_cut_short_is_no_crash(audit: Control, rules):
    auditctl.main(["-R", str(rules)])
    done = subprocess.run(
        f"{sys.executable} -m auditd_py.cli.auditctl -l | true",
        shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""


@pytest.mark.kernel
def test_a_message_reaches_the_log(audit: Control, auditd):
    daemon = auditd()
    assert auditctl.main(["-m", "testsuite-1234"]) == 0
    wait_for(lambda: any("testsuite-1234" in line.text for line in daemon.lines()), "the marker")
    (line,) = [line for line in daemon.lines() if "testsuite-1234" in line.text]
    assert line.type == "USER"
    assert re.search(
        r"msg='text=testsuite-1234 exe=\"\S+\" hostname=\? addr=\? terminal=\S+ res=success'",
        line.text,
    )


@pytest.mark.kernel
def test_what_a_rule_is_about_reaches_the_log_with_its_key(audit: Control, auditd, tmp_path):
    daemon = auditd()
    words = ["-a", "always,exit", "-F", "arch=b64", "-S", "openat", "-F", f"pid={os.getpid()}"]
    assert auditctl.main([*words, "-F", "success=0", "-k", "testsuite-5678"]) == 0
    assert not os.path.exists("/nonexistent")
    with pytest.raises(FileNotFoundError):
        os.open("/nonexistent/x", os.O_RDONLY)
    auditctl.main(["-m", "end-of-test"])
    wait_for(lambda: any("end-of-test" in line.text for line in daemon.lines()), "the marker")
    found = [line for line in daemon.lines() if line.field("key") == '"testsuite-5678"']
    assert {(line.type, line.field("exit")) for line in found} >= {("SYSCALL", "-2")}


@pytest.mark.kernel
def test_what_is_excluded_does_not_reach_the_log(audit: Control, auditd):
    daemon = auditd()
    words = ["-a", "always,exclude", "-F", f"pid={os.getpid()}", "-F", "msgtype=USER"]
    assert auditctl.main(words) == 0
    auditctl.main(["-m", "excluded"])
    auditctl.main(["-d", *words[1:]])
    auditctl.main(["-m", "end-of-test"])
    wait_for(lambda: any("end-of-test" in line.text for line in daemon.lines()), "the marker")
    assert not any("excluded" in line.text for line in daemon.lines() if line.type == "USER")


@pytest.mark.kernel
def test_the_daemon_gets_its_signals(audit: Control, auditd):
    daemon = auditd()
    report = daemon.run / "auditd.state"
    for name in ("state", "CONT"):
        report.unlink(missing_ok=True)
        assert auditctl.main(["--signal", name]) == 0
        wait_for(report.exists, "a state report")
    assert auditctl.main(["--signal", "Stop"]) == 0
    assert daemon.process.wait(10) == 0
    assert auditctl.main(["--signal", "stop"]) == 2


@pytest.mark.kernel
@pytest.mark.parametrize("option", ["-s", "-l"])
def test_it_answers_in_0_15_seconds(audit: Control, option):
    took = []
    for _ in range(7):
        start = time.perf_counter()
        assert run(option).returncode == 0
        took.append(time.perf_counter() - start)
    assert min(took) < 0.15


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.peer
def test_a_file_is_reloaded_in_one_and_a_half_times_debians_time(
    audit: Control, peers: Peers, rules
):
    # the kernel takes 12 ms to delete a rule, which is nearly all of it
    lines = [f"-a always,exit -F arch=b64 -S openat -F uid={i} -k key{i}" for i in range(150)]
    lines += [f"-w /etc/file{i} -p wa -k key{i}" for i in range(150)]
    rules.write_text("-D\n" + "\n".join(lines) + "\n")

    def time_of(load) -> float:
        start = time.perf_counter()
        assert load().returncode == 0
        assert len(audit.rules()) == 300
        return time.perf_counter() - start

    assert run("-R", str(rules)).returncode == 0
    theirs = time_of(lambda: peers.run("auditctl", "-R", str(rules)))
    ours = time_of(lambda: run("-R", str(rules)))
    unchanged = time_of(lambda: run("-R", str(rules), "--transaction"))
    assert ours < 1.5 * theirs
    assert unchanged < 0.5 * theirs
