"""Rules on the real kernel."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditd_py.cli import auditctl
from auditd_py.errors import KernelError, RuleError
from auditd_py.rules.codec import decode_rule, encode_rule
from auditd_py.rules.host import Host
from auditd_py.rules.load import live_rules
from auditd_py.rules.parse import parse_words
from auditd_py.rules.rule import ALL_CALLS, CLASS_BITS, DIR, PATH, Field, Rule
from tests.rules.strategies import LIST_WORDS, OPTIONS, RULES

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control
    from tests.programs import Peers

pytestmark = pytest.mark.kernel

# what goes in, and what is listed if it is not the same
LINES = [
    ("-a always,exit -F arch=b64 -S openat,close -F exit=-EACCES -F auid>=1000 -F auid!=unset -k a",
     "-a always,exit -F arch=b64 -S close,openat -F exit=-EACCES -F auid>=1000 -F auid!=-1 -F key=a"),
    ("-a exit,always -F arch=b32 -S open -F uid=2010",
     "-a always,exit -F arch=b32 -S open -F uid=2010"),
    ("-a never,exit -F arch=b64 -S kill -F a1&=0x10 -F a0&0xf",
     "-a never,exit -F arch=b64 -S kill -F a1&=0x10 -F a0&0xF"),
    ("-a always,exit -S all -F pid=1", ""),
    ("-a always,exit -F arch=b64 -S execve -C uid!=euid -F euid=0 -F key=setuid", ""),
    ("-a always,exit -F arch=b64 -S openat -C obj_uid=auid",
     "-a always,exit -F arch=b64 -S openat -C auid=obj_uid"),
    ("-a always,exit -F arch=b64 -S connect -F saddr_fam=10 -F success!=0", ""),
    ("-a always,exit -F arch=b64 -S openat -F inode=1234 -F devmajor=8 -F devminor=1",
     "-a always,exit -F arch=b64 -S openat -F inode=1234 -F devmajor=8 -F devminor=1"),
    ("-a always,exit -F arch=b64 -S execve -F exe=/usr/bin/id", ""),
    ("-a always,exit -F arch=b64 -S openat -F filetype=dir",
     "-a always,exit -F arch=b64 -S openat -F filetype=16384"),
    ("-a always,exit -F arch=b64 -F path=/usr/bin/su -F perm=x -k p",
     "-a always,exit -F arch=b64 -S execve,execveat -F path=/usr/bin/su -F perm=x -F key=p"),
    ("-a always,exit -F path=/usr/bin/su -F perm=x -k p", "-w /usr/bin/su -p x -k p"),
    ("-a always,exit -F dir=/usr/share -F uid=0 -C auid!=obj_uid -k power",
     "-a always,exit -S all -F dir=/usr/share -F uid=0 -C auid!=obj_uid -F key=power"),
    ("-a always,exit -F arch=b64 -F sessionid=unset -S unlink",
     "-a always,exit -F arch=b64 -S unlink -F sessionid=-1"),
    ("-a always,exit -F arch=b64 -F ppid=100 -F pers=0 -S personality",
     "-a always,exit -F arch=b64 -S personality -F ppid=100 -F pers=0"),
    ("-a never,exit -F arch=b64 -S openat -F gid=4 -F egid!=0 -F obj_uid=5 -F obj_gid=6", ""),
    ("-w /etc/passwd -p wa -k one -k two", ""),
    ("-w /etc/ -p wa", "-w /etc -p wa"),
    ("-w /etc/passwd", "-w /etc/passwd -p rwxa"),
    ("-a always,exclude -F msgtype=CWD", ""),
    ("-a never,exclude -F msgtype>=1300 -F msgtype<=1310 -F uid=0",
     "-a never,exclude -F msgtype>=SYSCALL -F msgtype<=1310 -F uid=0"),
    ("-a always,user -F uid=500 -F auid!=unset", "-a always,user -F uid=500 -F auid!=-1"),
    ("-a never,task -F uid=1000 -F gid>5", ""),
    ("-a never,filesystem -F fstype=tracefs -F key=fs", ""),
]  # fmt: skip
# 3.0.9 knows no io_uring and lists exe!= as exe=
NEWER = [
    ("-a always,exit -F arch=b64 -S openat -F exe!=/usr/bin/id", ""),
    ("-a always,io_uring -S openat,close -F key=uring",
     "-a always,io_uring -S openat,close -F key=uring"),
    ("-a never,io_uring -S all -F uid=5", ""),
]  # fmt: skip

CREAT = "-a always,exit -F arch=b32 -S creat -S open -S openat -S truncate -S ftruncate"
CREATED = "-a always,exit -F arch=b32 -S open,creat,truncate,ftruncate,openat"


def listing(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what our -l prints."""
    capsys.readouterr()
    assert auditctl.main(["-l", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("line", "listed"), [*LINES, *NEWER], ids=lambda text: text[:70])
def test_a_rule_is_added_listed_and_deleted(audit: Control, capsys, line, listed):
    assert auditctl.main(line.split(" ")) == 0
    assert listing(capsys) == (listed or line) + "\n"
    option = {"-a": "-d", "-w": "-W"}[line[:2]]
    assert auditctl.main([option, *line.split(" ")[1:]]) == 0
    assert audit.rules() == []


@pytest.mark.parametrize(("line", "listed"), [*LINES, *NEWER], ids=lambda text: text[:70])
def test_the_kernel_lists_what_it_was_given(audit: Control, line, listed):
    rule = parse_words(line).added()
    assert rule is not None
    audit.add_rule(encode_rule(rule))
    assert live_rules(audit) == [rule.canonical()]


def test_ours_and_debians_list_the_same(audit: Control, peers: Peers, capsys):
    for line, _ in LINES:
        assert auditctl.main(line.split(" ")) == 0
    assert listing(capsys) == peers.run("auditctl", "-l").stdout
    assert listing(capsys, "-k", "p") == peers.run("auditctl", "-l", "-k", "p").stdout


def test_what_debians_loads_we_list_as_it_does(audit: Control, peers: Peers, capsys):
    for line, _ in LINES:
        done = peers.run("auditctl", *line.split(" "))
        assert done.returncode == 0, done.stderr
    assert listing(capsys) == peers.run("auditctl", "-l").stdout


def test_what_debians_loads_we_load_the_same(audit: Control, peers: Peers):
    host = Host(is_directory=os.path.isdir)
    ours = [parse_words(line, host).added() for line, _ in LINES]
    for line, _ in LINES:
        peers.run("auditctl", *line.split(" "))
    loaded = live_rules(audit)
    # 4.x limits a rule with a permission to its calls, 3.0.9 does not
    expected = [rule.canonical() for rule in ours if rule is not None]
    expected.sort(key=lambda rule: rule.list)
    different = [(a, b) for a, b in zip(loaded, expected, strict=True) if a != b]
    assert [b.fields for a, b in different] == [a.fields for a, b in different]
    assert all(any(f.code == 106 for f in b.fields) for _, b in different)


def test_with_names_ours_and_debians_list_the_same(audit: Control, peers: Peers, capsys):
    calls = ["kill -F a1=9", "openat -F a2&=0x241 -F a0=-100", "setuid -F a0=0", "ptrace -F a0=4",
             "fcntl -F a1=3", "kill,open -F a1=9", "read -F a1=9 -F auid=unset"]  # fmt: skip
    for options in calls:
        words = f"-a always,exit -F arch=b64 -S {options}".split(" ")
        assert auditctl.main(words) == 0
    assert listing(capsys, "-i") == peers.run("auditctl", "-l", "-i").stdout


def test_a_status_is_printed_as_debians(audit: Control, peers: Peers, capsys):
    for arguments in (["-s"], ["-s", "-i"]):
        assert auditctl.main(arguments) == 0
        ours, theirs = capsys.readouterr().out, peers.run("auditctl", *arguments).stdout
        # what waits in the kernel may have gone meanwhile
        assert _without_backlog(ours) == _without_backlog(theirs)


def _without_backlog(status: str) -> str:
    return re.sub(r"^backlog \d+$", "backlog N", status, flags=re.MULTILINE)


def test_a_prepended_rule_comes_first(audit: Control, capsys):
    for line in ("-a never,user -F uid=1", "-a never,user -F uid=2", "-A never,user -F uid=3"):
        assert auditctl.main(line.split(" ")) == 0
    assert [line[-1] for line in listing(capsys).splitlines()] == ["3", "1", "2"]


def test_rules_are_deleted_by_key(audit: Control, capsys):
    for line in ("-w /a -k yum_watch", "-w /b -k nmap_watch", "-w /c -k other", "-w /d"):
        assert auditctl.main(line.split(" ")) == 0
    capsys.readouterr()
    assert auditctl.main(["-D", "-k", "watch"]) == 0
    assert capsys.readouterr().out == "-w /c -p rwxa -k other\n-w /d -p rwxa\n"
    assert auditctl.main(["-D"]) == 0
    assert capsys.readouterr().out == "No rules\n"


def test_a_watch_on_a_directory_and_one_on_a_file(audit: Control, capsys, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "none"):
        assert auditctl.main(["-w", f"{path}/", "-p", "wa"]) == 0
    assert [rule.fields[0].code for rule in live_rules(audit)] == [DIR, PATH, PATH]
    assert auditctl.main(["-W", str(tmp_path), "-p", "wa"]) == 0
    assert len(audit.rules()) == 2


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ("-w /etc/yum.conf -p wa -k yum_watch", ""),
        ("-w /usr/bin/nmap -p x -k nmap_watch", ""),
        ("-w /etc/shadow -p rwa -k shadow_watch", ""),
        ("-a entry,always -F arch=b64 -S ptrace -k info_scan",
         "-a always,exit -F arch=b64 -S ptrace -F key=info_scan"),
        ("-a entry,never -F arch=b32 -S clock_gettime -k clock_gettime",
         "-a never,exit -F arch=b32 -S clock_gettime -F key=clock_gettime"),
        ("-a exit,always -S open -F auid=2010", "-a always,exit -S open -F auid=2010"),
        ("-a exit,always -F arch=b64 -F auid=2010 -F uid=2010 -F path=/etc/hosts -S open",
         "-a always,exit -F arch=b64 -S open -F auid=2010 -F uid=2010 -F path=/etc/hosts"),
        (f"{CREAT} -F exit=-EACCES -F auid>=500", f"{CREATED} -F exit=-EACCES -F auid>=500"),
        (f"{CREAT} -F exit=-EPERM -F auid>=500", f"{CREATED} -F exit=-EPERM -F auid>=500"),
    ],
    ids=lambda text: text[:50],
)  # fmt: skip
def test_the_command_lines_of_2010_work(audit: Control, capsys, line, listed):
    assert auditctl.main(line.split(" ")) == 0
    told = capsys.readouterr().err
    assert ("taken as" in told) == ("entry" in line)
    assert ("slower" in told) == line.startswith("-w")
    assert ("you should specify an arch" in told) == ("arch" not in line and "-S" in line)
    assert listing(capsys) == (listed or line) + "\n"


def test_the_watch_of_2010_is_removed(audit: Control):
    for option in ("-w", "-W"):
        words = f"{option} /etc/shadow -p rwa -k shadow_watch".split(" ")
        assert auditctl.main(words) == 0
    assert audit.rules() == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-b", "4711"], "backlog_limit 4711"),
        (["-r", "0"], "rate_limit 0"),
        (["-f", "0"], "failure 0"),
        (["-f", "1"], "failure 1"),
        (["-e", "0"], "enabled 0"),
        (["-e", "1"], "enabled 1"),
        (["--backlog_wait_time", "47"], "backlog_wait_time 47"),
    ],
)
def test_a_setting_is_made_and_shown(audit: Control, capsys, words, line):
    assert auditctl.main(words) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_counters_are_reset(audit: Control, capsys):
    before = audit.status()
    assert auditctl.main(["--reset-lost"]) == 0
    assert capsys.readouterr().out == f"lost: {before.lost}\n"
    assert auditctl.main(["--reset_backlog_wait_time_actual"]) == 0
    waited = before.backlog_wait_time_actual
    assert capsys.readouterr().out == f"backlog_wait_time_actual: {waited}\n"
    assert (audit.status().lost, audit.status().backlog_wait_time_actual) == (0, 0)


def test_trees_are_trimmed_and_made_equivalent(audit: Control, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert auditctl.main(["-t"]) == 0
    assert auditctl.main(["-q", f"{tmp_path}/one,{tmp_path}/two"]) == 0
    assert auditctl.main(["-q", f"{tmp_path}/none,{tmp_path}/two"]) == 255


def test_a_list_that_is_none_is_refused_by_the_kernel(audit: Control, capsys):
    assert auditctl.main(["-a", "always,exti", "-F", "uid=0"]) == 255
    assert capsys.readouterr().err.splitlines() == [
        "unknown list exti, did you mean exit?",
        "Error sending add rule data request (Invalid argument)",
        "There was an error while processing parameters",
    ]


def takes(audit: Control, rule: Rule) -> bool:
    """Load a rule; return whether the kernel took it."""
    try:
        audit.add_rule(encode_rule(rule))
    except KernelError as error:
        why = error.errno
    else:
        return True
    assert why in (errno.EINVAL, errno.ENOENT, errno.E2BIG, errno.ENOTDIR)
    return False


def acceptable(rule: Rule) -> Rule:
    """Return the rule without what no kernel takes."""
    fields = [
        Field(f.code, f.operator, b"/" + bytes(97 + b % 26 for b in f.value))
        if isinstance(f.value, bytes) and f.code in (105, 107, 112)
        else f
        for f in rule.fields
        if not (isinstance(f.value, bytes) and b"\0" in f.value)
    ]
    calls = rule.calls if rule.calls == ALL_CALLS else rule.calls & ~CLASS_BITS
    return Rule(rule.list, rule.action, calls, tuple(fields[:4]), rule.prepend)


@pytest.mark.slow
def test_what_the_kernel_takes_it_gives_back(audit: Control):
    taken = 0

    @given(RULES.map(acceptable))
    @settings(
        max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    def try_one(rule: Rule) -> None:
        nonlocal taken
        if not takes(audit, rule):
            return
        taken += 1
        (data,) = audit.rules()
        assert decode_rule(data) == rule.canonical()
        audit.delete_rule(encode_rule(decode_rule(data)))

    try_one()
    assert taken > 20


@pytest.mark.slow
def test_what_is_parsed_and_taken_is_listed_and_parsed_again(audit: Control, capsys):
    taken = 0

    @given(st.sampled_from(["always", "never"]), LIST_WORDS, OPTIONS)
    @settings(
        max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    def try_one(action: str, word: str, options: list[str]) -> None:
        nonlocal taken
        try:
            rule = parse_words(" ".join([f"-a {action},{word}", *options])).added()
        except RuleError:
            return
        assert rule is not None
        if not takes(audit, rule):
            return
        taken += 1
        assert live_rules(audit) == [rule.canonical()]
        audit.delete_rule(encode_rule(rule))

    try_one()
    assert taken > 20
