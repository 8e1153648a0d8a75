"""auditd_py.rules.check."""

from __future__ import annotations

import time

import pytest

from auditd_py.rules.check import check, faster_forms
from auditd_py.rules.file import parse_file
from auditd_py.rules.host import Host
from auditd_py.rules.parse import parse_words

X64 = "-a always,exit -F arch=b64"
X32 = "-a always,exit -F arch=b32"


def findings(*lines: str, machine: str = "x86_64") -> list[tuple[str, str]]:
    """Return where and of which kind the findings are."""
    host = Host(machine)
    return [
        (f.where, f.kind) for f in check(parse_file("\n".join(lines).encode(), "a", host), host)
    ]


def test_a_file_without_fault_has_no_findings():
    assert findings("-D", "-b 8192", f"{X64} -S openat", f"{X32} -S openat", "-e 2") == []


def test_an_error_is_a_finding_with_its_line():
    host = Host()
    (found,) = check(parse_file(b"-D\n-w etc\n", "a", host), host)
    assert (found.where, found.kind) == ("a:2", "error")
    assert str(found) == "a:2: The path must start with '/'\n  -w etc\n     ^^^"


@pytest.mark.parametrize("line", ["-a always,exit -S open", "-a never,entry -S exit", "-a never,x"])
def test_a_warning_is_a_finding(line):
    assert ("a:1", "warning") in findings(line)


def test_a_watch_could_be_a_rule():
    assert findings("-w /etc/x -p wa -k k") == [("a:1", "watch")]


def test_the_faster_form_is_a_rule_for_each_machine_that_can_be_loaded():
    rule = parse_words("-w /etc/x -p wa -k k").added()
    assert rule is not None
    assert faster_forms(rule, Host()) == [
        "-a always,exit -F arch=b64 -F path=/etc/x -F perm=wa -F key=k",
        "-a always,exit -F arch=b32 -F path=/etc/x -F perm=wa -F key=k",
    ]
    assert findings(*faster_forms(rule, Host())) == []


def test_the_faster_form_has_escapes():
    (line,) = parse_file(b"-w /a\\ b\\\\c -S\\ all", "a", Host())
    (line,) = parse_file(b"-w /a\\ b\\\\c -p w", "a", Host())
    assert line.command is not None
    rule = line.command.added()
    assert rule is not None
    assert (
        faster_forms(rule, Host())[0] == "-a always,exit -F arch=b64 -F path=/a\\ b\\\\c -F perm=w"
    )


def test_a_rule_given_twice_is_a_duplicate():
    assert findings(f"{X64} -S openat", f"{X32} -S openat", f"{X64} -S openat") == [
        ("a:3", "duplicate")
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("-S open,openat", "-S openat -F uid=0"),
        ("-S openat -F auid>=500", "-S openat -F auid>=1000"),
        ("-S openat -F auid<=500", "-S openat -F auid<=5"),
        ("-S openat -F path=/etc/x", "-S openat -F path=/etc/x -F uid=0"),
        ("-S openat -F dir=/etc", "-S openat -F path=/etc/a/b"),
        ("-S openat -F dir=/", "-S openat -F dir=/etc"),
        ("-S openat -F path=/x -F perm=wa", "-S openat -F path=/x -F perm=w"),
        ("-S all -F exe=/x", "-S openat -F exe=/x"),
        ("-S openat -C uid!=euid", "-S openat -C uid!=euid -F uid=0"),
    ],
)
def test_a_rule_that_an_earlier_one_covers_is_never_used(first, second):
    rule = "-a always,exit -F arch=b64"
    lines = [f"{rule} {first}", f"{rule} {second}"]
    assert ("a:2", "shadowed") in findings(*lines)
    assert ("a:2", "shadowed") not in findings(*reversed(lines))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("-S open", "-S openat"),
        ("-S openat -F uid=0", "-S openat -F uid=1"),
        ("-S openat -F auid>=1000", "-S openat -F auid>=500"),
        ("-S openat -F auid>=5", "-S openat -F auid<=50"),
        ("-S openat -F exit>=0", "-S openat -F exit>=-5"),
        ("-S openat -F dir=/etc", "-S openat -F path=/etcetera"),
        ("-S openat -F path=/x -F perm=w", "-S openat -F path=/x -F perm=wa"),
        ("-S openat -F uid!=0", "-S openat"),
        ("-S openat -F subj_type=a", "-S openat -F subj_type=ab"),
    ],
)
def test_a_rule_that_an_earlier_one_does_not_cover_is_used(first, second):
    rule = "-a always,exit -F arch=b64"
    assert ("a:2", "shadowed") not in findings(f"{rule} {first}", f"{rule} {second}")


def test_of_two_rules_with_other_keys_the_first_is_used():
    assert ("a:2", "shadowed") in findings(f"{X64} -S openat -k one", f"{X64} -S openat -k two")


def test_rules_of_other_lists_do_not_cover():
    assert findings("-a never,user -F uid=0", "-a never,task -F uid=0") == []


def test_a_prepended_rule_covers_nothing_that_stands_after_it():
    # it does, but what stood before it may be what it hides
    assert findings("-A never,user -F uid=0", "-a never,user -F uid=0 -F pid=1") == []


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ([f"{X64} -S openat"], ["a:1"]),
        ([f"{X32} -S openat"], ["a:1"]),
        ([f"{X64} -S openat", f"{X32} -S close"], ["a:1", "a:2"]),
        ([f"{X64} -S openat -F uid=0", f"{X32} -S openat -F uid=1"], ["a:1", "a:2"]),
        ([f"{X64} -S openat -k a", f"{X32} -S openat -k b"], []),
        ([f"{X64} -S openat,close", f"{X32} -S openat", f"{X32} -S close"], []),
        ([f"{X64} -S openat", f"{X32} -S all"], ["a:2"]),
        ([f"{X64} -S all -F uid=0", f"{X32} -S all -F uid=0"], []),
        ([f"{X64} -S all -F uid=0", f"{X32} -S open -F uid=0"], ["a:1"]),
        ([f"{X32} -S socketcall"], []),  # the other machine has no such call
        (["-a never,exit -F arch=b64 -S openat"], []),
        (["-a always,exit -F arch!=b64 -S openat"], []),
    ],
)
def test_a_rule_for_one_machine_needs_its_twin(lines, where):
    assert findings(*lines) == [(place, "arch") for place in where]


def test_a_machine_that_runs_one_kind_of_program_needs_no_twins():
    assert findings(f"{X64} -S openat", machine="ppc64le") == []


@pytest.mark.slow
def test_2000_rules_take_half_a_second():
    calls = ["openat", "unlinkat", "renameat", "fchmod", "fchown"]
    calls += ["mount", "umount2", "kill", "ptrace", "execve"]
    lines = []
    for i in range(1000):
        kind = (
            f"-S {calls[i % 10]},{calls[i * 7 % 10]} -F auid>={i} -F exit=-{i % 9 + 1} -F uid={i}",
            f"-F path=/usr/bin/program-{i} -F perm=x -F auid>=1000",
        )[i % 2]
        lines += [f"{X64} {kind} -k key{i}", f"{X32} {kind} -k key{i}"]
    data, host = "\n".join(lines).encode(), Host()
    took = []
    for _ in range(3):
        start = time.perf_counter()
        assert check(parse_file(data, "a", host), host) == []
        took.append(time.perf_counter() - start)
    assert min(took) < 0.5
