from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import auditctl, augenrules
from auditd_py.rules.merge import merged_names
from auditd_py.tables.syscalls import names
from tests.conftest import ROOT
from tests.programs import Actor, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from auditd_py.netlink.control import Control
    from tests.programs import Peers

FOLDER = ROOT / "etc" / "auditd_py" / "rules.d-samples"
SAMPLES = merged_names(path.name for path in FOLDER.iterdir())
STANDARDS = ["30-cis", "30-nispom", "30-ospp", "30-pci-dss-v4", "30-stig"]

# what goes beside a standard; 43-module-load is for use without one
BESIDE = [
    "10-base-config", "20-filters", "22-time-daemon", "23-filesystems", "32-power-abuse",
    "41-containers", "42-injection", "44-installers", "99-finalize",
]  # fmt: skip

# what would last until the next boot
LASTING = re.compile(r"^(-e 2|-f 2|--loginuid-immutable)$", re.MULTILINE)


def rule_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("-a", "-A", "-w"))]


def safe_copy(sample: str, folder: Path) -> Path:
    """Return a copy without the lines that would outlive the test."""
    path = folder / sample
    path.write_text(LASTING.sub("", (FOLDER / sample).read_text()))
    return path


def test_there_is_a_sample_for_everything_promised():
    promised = {"10-base-config", "11-loginuid", "20-filters", "30-stig", "30-pci-dss-v4", "30-ospp",
                "30-nispom", "30-cis", "32-power-abuse", "41-containers", "42-injection",
                "43-module-load", "99-finalize"}  # fmt: skip
    assert promised <= {name.removesuffix(".rules") for name in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES)
def test_check_finds_nothing(sample, capsys):
    status = auditctl.main(["--check", str(FOLDER / sample)])
    assert (status, capsys.readouterr().out.endswith(" 0 findings\n")) == (0, True)


@pytest.mark.parametrize("standard", STANDARDS)
def test_check_finds_nothing_in_a_standard_and_what_goes_beside_it(standard, capsys):
    chosen = sorted([standard, *BESIDE])
    status = auditctl.main(["--check", *(str(FOLDER / f"{name}.rules") for name in chosen)])
    assert (status, capsys.readouterr().out.endswith(" 0 findings\n")) == (0, True)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_says_first_what_it_is_for(sample):
    assert (FOLDER / sample).read_text().startswith("# ")


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.startswith("3") and "power" not in s])
def test_every_group_of_a_standard_says_which_requirement_it_serves(sample):
    blocks = (FOLDER / sample).read_text().split("\n\n")
    for before, block in itertools.pairwise(blocks):
        if rule_lines(block):
            assert (block if block.startswith("#") else before).lstrip().startswith("# "), block


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_rule_that_records_has_a_key(sample):
    always = [line for line in rule_lines((FOLDER / sample).read_text()) if "always,exit" in line]
    assert [line for line in always if not re.search(r" -F key=[\w.-]+$", line)] == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_rules_come_in_the_modern_form(sample):
    lines = (FOLDER / sample).read_text().splitlines()
    assert [
        line for line in lines if line.startswith("-w") or (" -k " in line and line[0] != "#")
    ] == []


def test_no_rule_of_one_sample_is_in_another():
    found: dict[str, str] = {}
    for sample in SAMPLES:
        for line in rule_lines((FOLDER / sample).read_text()):
            assert found.setdefault(line, sample) == sample, line
            found[line] = sample


def test_no_sample_locks_the_rules():
    assert [s for s in SAMPLES if re.search(r"^-e", (FOLDER / s).read_text(), re.MULTILINE)] == []


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_loads_completely(sample, tmp_path, capsys, audit: Control):
    path = safe_copy(sample, tmp_path)
    wanted = len(rule_lines(path.read_text()))
    assert auditctl.main(["-R", str(path)]) == 0
    assert len(audit.rules()) == wanted
    for rule in audit.rules():
        audit.delete_rule(rule)
    assert auditctl.main(["-R", str(path), "--transaction"]) == 0
    shown = capsys.readouterr()
    assert f"{wanted} rules wanted, {wanted} live" in shown.out
    assert len(audit.rules()) == wanted
    assert (shown.err, auditctl.main(["--drift", str(path)])) == ("", 0)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("option", ["--transaction", "--no-transaction"])
def test_all_samples_load_together(option, tmp_path, capsys, audit: Control):
    rules = tmp_path / "rules.d"
    rules.mkdir()
    wanted = 0
    for sample in SAMPLES:
        if not sample.startswith("12-"):  # whose -c would hide a failure
            wanted += len(rule_lines(safe_copy(sample, rules).read_text()))
    target = str(tmp_path / "audit.rules")
    words = ["--load", "--rules-dir", str(rules), "--output", target, option]
    status = augenrules.main(words)
    assert (status, len(audit.rules())) == (0, wanted), capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.parametrize("sample", SAMPLES)
def test_debians_auditctl_lists_the_same_lines(sample, tmp_path, capsys, peers: Peers, audit):
    assert auditctl.main(["-R", str(safe_copy(sample, tmp_path))]) == 0
    capsys.readouterr()
    auditctl.main(["-l"])
    ours = capsys.readouterr().out.splitlines()
    theirs = [with_names(line) for line in peers.run("auditctl", "-l").stdout.splitlines()]
    assert ours == theirs


def with_names(line: str) -> str:
    """Return a listed rule with the names that Debian's release does not know yet."""
    for number, fstype in ((0x27E0EB, "cgroup"), (0x63677270, "cgroup2")):
        line = line.replace(f"fstype={number}", f"fstype={fstype}")
    table = names("i386" if "arch=b32" in line else "x86_64")

    def name(found: re.Match[str]) -> str:
        calls = [table[int(c)] if c.isdecimal() else c for c in found[1].split(",")]
        return f"-S {','.join(calls)}"

    return re.sub(r"-S (\S+)", name, line)


# somebody who logged in as user 1000
PERSON = """
import ctypes
libc = ctypes.CDLL(None)
open('/proc/self/loginuid', 'w').write('1000')
"""


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize(("sample", "key", "code"), [
    ("30-stig", "stig-access", "os.setuid(1000)\ntry: open('/etc/shadow')\nexcept OSError: pass"),
    ("30-stig", "stig-perm-mod", "os.chmod(file, 0o600)"),
    ("30-stig", "stig-perm-mod", "libc.syscall(452, -100, file.encode(), 0o600, 0)"),
    ("30-stig", "stig-delete", "os.rename(file, file + '2')"),
    ("30-cis", "cis-user-emulation", "os.setreuid(1000, 0); os.execv('/bin/true', ['true'])"),
    ("30-pci-dss-v4", "pci-10.2.1.2", "os.execv('/bin/true', ['true'])"),
    ("30-pci-dss-v4", "pci-10.2.1.3", "os.setuid(1000); os.open('/var/log', 0)"),
    ("30-ospp", "ospp-create-failed",
     "os.setuid(1000)\ntry: os.mkdir('/etc/x')\nexcept OSError: pass"),
    ("31-ospp-success", "ospp-create", "os.close(os.open(file + '3', os.O_CREAT))"),
    ("31-ospp-success", "ospp-modify", "os.open(file, os.O_WRONLY)"),
    ("41-containers", "container-create", "libc.unshare(0x04000000)"),
    ("41-containers", "container-create", "libc.syscall(56, 0x04000011, 0, 0, 0, 0) or os._exit(0)"),
    ("42-injection", "tracing", "libc.ptrace(0x4206, os.getppid(), 0, 0)"),
    ("43-module-load", "module-load", "libc.syscall(175, 0, 0, 0)"),
])  # fmt: skip
def test_a_sample_records_what_it_is_for(sample, key, code, tmp_path, auditd):
    file = tmp_path / "file"
    file.touch()
    daemon = auditd()
    assert auditctl.main(["-R", str(safe_copy(f"{sample}.rules", tmp_path))]) == 0
    actor = Actor(f"{PERSON}file = {str(file)!r}\n{code}")
    try:
        actor.run()
    finally:
        actor.end()
    auditctl.main(["-D"])
    wait_for(
        lambda: f"{actor.pid} {key}" in [
            f"{line.field('pid')} {(line.field('key') or '').strip(chr(34))}"
            for line in daemon.lines() if line.type == "SYSCALL"
        ],
        f"a record with the key {key}",
        5,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.usefixtures("audit")
def test_a_path_rule_for_a_directory_sees_names_come_and_go(tmp_path, auditd):
    place = tmp_path / "etc" / "sudoers.d"
    place.mkdir(parents=True)
    (place / "old").touch()
    daemon = auditd()
    rule = f"always,exit -F arch=b64 -F path={place} -F perm=wa -F key=sudoers".split()
    assert auditctl.main(["-a", *rule]) == 0
    steps = [
        f"open({str(place / 'new')!r}, 'w').close()",
        f"os.rename({str(place / 'new')!r}, {str(place / 'other')!r})",
        f"os.unlink({str(place / 'old')!r})",
    ]
    actors = [Actor(step) for step in steps]
    for actor in actors:
        actor.run()
    auditctl.main(["-D"])
    wait_for(
        lambda: {str(actor.pid) for actor in actors} <= {
            line.field("pid") for line in daemon.lines() if line.field("key") == '"sudoers"'
        },
        "one record for each",
        5,
    )  # fmt: skip
