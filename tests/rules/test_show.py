"""auditd_py.rules.show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import RuleError
from auditd_py.netlink.uapi import Status
from auditd_py.rules.host import Host
from auditd_py.rules.parse import parse_words
from auditd_py.rules.rule import ALL_CALLS, EQUAL, EXIT, KEY, Field, Rule
from auditd_py.rules.show import rule_object, rule_text, rules_text, status_object, status_text
from tests.rules.strategies import LIST_WORDS, OPTIONS

STATUS = Status(
    enabled=1, failure=1, pid=42, rate_limit=0, backlog_limit=8192, lost=3, backlog=1,
    backlog_wait_time=15000, backlog_wait_time_actual=7,
)  # fmt: skip


def added(text: str) -> Rule:
    """Return the rule of a command line."""
    rule = parse_words(text).added()
    assert rule is not None
    return rule


@pytest.mark.parametrize(
    "line",
    [
        "-a always,exit -F arch=b64 -S open,openat -F exit=-EACCES -F auid>=1000 -F auid!=-1 -F key=access",
        "-a never,task -F auid=-1",
        "-a always,filesystem -F fstype=debugfs",
        "-a always,exit -S all -F pid=1005",
        "-a always,exclude -F msgtype=CWD",
        "-a always,user -F uid=500",
        "-a never,io_uring -S openat -F key=uring",
        "-w /etc/x -p wa -k one -k two",
        "-p wa",
        "-a always,exit -F arch!=b64 -S read",
        "-a always,exit -F arch=b64 -S 2047",
        "-a always,exit -F arch=b64 -S read -F exit=-99999",
        "-a always,exit -F arch=b64 -S read -F a0&=0xFF -F filetype=32768",
        "-a never,filesystem -F fstype=40864",
        "-A always,exit -F arch=b32 -S read",
    ],
)
def test_a_listed_line_is_listed_again_as_it_is(line):
    text = line if not line.startswith("-p") else "-a always,exit -F perm=wa"
    assert rule_text(added(text)) == line


def test_names_are_shown_on_demand():
    rule = added("-a always,exit -F arch=b64 -S read -F auid=unset -F sessionid=unset -F uid=-1")
    shown = rule_text(rule, interpret=True)
    assert (
        shown == "-a always,exit -F arch=x86_64 -S read -F auid=unset -F sessionid=unset -F uid=-1"
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("-S kill -F a1=9", "-S kill -F a1=SIGKILL"),
        (
            "-S openat -F a2&=0x241 -F a0=-100",
            "-S openat -F a2&=O_WRONLY|O_CREAT|O_TRUNC -F a0=AT_FDCWD",
        ),
        ("-S setuid -F a0=1000", "-S setuid -F a0=joe"),
        ("-S open -F a2=0x1a4", "-S open -F a2=0x1A4"),
        ("-S kill,open -F a1=9", "-S open,kill -F a1=0x9"),
        ("-S read -F a1=9", "-S read -F a1=0x9"),
        ("-S all -F a1=9", "-S all -F a1=0x9"),
    ],
)
def test_arguments_of_one_call_have_names_on_demand(options, shown):
    host = Host(user_name={1000: b"joe"}.get)
    rule = added(f"-a always,exit -F arch=b64 {options}")
    assert rule_text(rule, host, interpret=True) == f"-a always,exit -F arch=x86_64 {shown}"


def test_a_machine_that_the_host_does_not_run_has_its_name():
    rule = added("-a always,exit -F arch=0xc00000b7 -S openat")
    assert rule_text(rule) == "-a always,exit -F arch=aarch64 -S openat"


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ("-a never,exit -F path=/x -F perm=wa", "-w /x -p wa"),
        ("-a always,exit -F perm=wa", "-p wa"),
        ("-a always,exit -F perm=wa -F path=/x", "-p wa -w /x"),
    ],
)
def test_what_is_no_watch_is_listed_as_one_but_not_where_it_matters(line, listed):
    assert rule_text(added(line)) == listed
    exact = rule_text(added(line), exact=True)
    assert exact == line.replace("exit", "exit -S all")
    assert added(exact) == added(line)


def test_a_watch_is_one_everywhere():
    assert rule_text(added("-w /x -p wa -k k"), exact=True) == "-w /x -p wa -k k"


@given(st.sampled_from(["always", "never"]), LIST_WORDS, OPTIONS)
def test_what_is_listed_is_read_as_the_same_rule(action, word, options):
    try:
        rule = added(" ".join([f"-a {action},{word}", *options]))
    except RuleError:
        return
    again = added(rule_text(rule, exact=True))
    assert again == rule


def test_what_has_no_name_is_shown_by_number():
    rule = Rule(EXIT, 2, ALL_CALLS, (Field(500, EQUAL, 3),))
    assert rule_text(rule) == "-a always,exit -S all f500=3"


def test_a_key_selects_rules_that_contain_it():
    rules = [added("-w /a -k yum_watch"), added("-w /b -k other"), added("-a always,exit -F uid=0")]
    assert rules_text(rules, key="yum") == "-w /a -p rwxa -k yum_watch\n"
    assert rules_text(rules, key="none") == "No rules\n"
    assert rules_text(rules).count("\n") == 3


def test_a_path_that_is_no_text_comes_back_as_it_was():
    rule = Rule(EXIT, 2, ALL_CALLS, (Field(105, EQUAL, b"/\xff"), Field(106, EQUAL, 8)))
    assert rule_text(rule).encode("utf-8", "surrogateescape") == b"-w /\xff -p a"


def test_a_rule_for_json_has_its_parts():
    rule = added("-a always,exit -F arch=b64 -S open,close -F auid>=1000 -C uid!=euid -k a -k b")
    assert rule_object(rule, Host()) == {
        "list": "exit",
        "action": "always",
        "syscalls": ["open", "close"],
        "fields": [
            {"field": "arch", "operator": "=", "value": "b64"},
            {"field": "auid", "operator": ">=", "value": "1000"},
            {"field": "uid", "operator": "!=", "compared_with": "euid"},
        ],
        "keys": ["a", "b"],
        "text": "-a always,exit -F arch=b64 -S open,close -F auid>=1000 -C uid!=euid"
        " -F key=a -F key=b",
    }


def test_a_rule_without_a_key_has_none_in_json():
    assert rule_object(Rule(EXIT, 2, 1, (Field(KEY, EQUAL, b""),)))["keys"] == []


def test_the_status_is_a_block_of_lines():
    assert status_text(STATUS, (0, 1), interpret=False) == (
        "enabled 1\nfailure 1\npid 42\nrate_limit 0\nbacklog_limit 8192\nlost 3\nbacklog 1\n"
        "backlog_wait_time 15000\nbacklog_wait_time_actual 7\nloginuid_immutable 0 locked\n"
    )


def test_the_status_has_words_on_demand():
    shown = status_text(Status(enabled=2, failure=2), (1, 0), interpret=True).splitlines()
    assert shown[:2] == ["enabled enabled+immutable", "failure panic"]
    assert shown[-1] == "loginuid_immutable 1 unlocked"
    assert "loginuid" not in status_text(STATUS, None, interpret=True)


def test_the_status_for_json_has_numbers():
    found = status_object(STATUS, (1, 0))
    assert (found["backlog_limit"], found["loginuid_immutable"]) == (8192, True)
    assert found["loginuid_immutable_locked"] is False
