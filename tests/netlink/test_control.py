"""auditd_py.netlink.control on the real kernel."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import RuleData, StatusMask
from tests.programs import EQUAL, GETPGID, OPENAT, syscall_rule

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control

pytestmark = pytest.mark.kernel


def test_the_status_tells_that_no_daemon_runs(audit: Control):
    status = audit.status()
    assert (status.pid, status.backlog_limit) == (0, 8192)


@pytest.mark.parametrize(
    ("mask", "name", "value"),
    [
        (StatusMask.ENABLED, "enabled", 1),
        (StatusMask.FAILURE, "failure", 0),
        (StatusMask.BACKLOG_LIMIT, "backlog_limit", 4711),
        (StatusMask.BACKLOG_WAIT_TIME, "backlog_wait_time", 47),
    ],
)
def test_a_setting_is_what_it_was_set_to(audit: Control, mask, name, value):
    others = {n for n in ("enabled", "failure", "backlog_limit", "backlog_wait_time") if n != name}
    before = audit.status()
    audit.set_status(mask, **{name: value})
    after = audit.status()
    assert getattr(after, name) == value
    assert {n: getattr(after, n) for n in others} == {n: getattr(before, n) for n in others}


def test_a_setting_out_of_range_is_refused(audit: Control):
    with pytest.raises(KernelError, match="SET: Invalid argument") as caught:
        audit.set_status(StatusMask.FAILURE, failure=9)
    assert caught.value.errno == errno.EINVAL


def test_rules_come_back_as_they_were_added(audit: Control):
    rules = [
        syscall_rule(GETPGID, (0, 1), key=b"one"),
        syscall_rule(OPENAT, (1, 0), (0, 2)),
        RuleData(5, 0, fields=((12, EQUAL, 1300), (1, EQUAL, 4242))).pack(),
    ]
    for rule in rules:
        audit.add_rule(rule)
    assert sorted(audit.rules()) == sorted(rules)
    audit.delete_rule(rules[1])
    assert sorted(audit.rules()) == sorted([rules[0], rules[2]])


def test_a_rule_added_twice_is_refused(audit: Control):
    rule = syscall_rule(GETPGID, (0, 1))
    audit.add_rule(rule)
    with pytest.raises(KernelError, match="ADD_RULE: File exists") as caught:
        audit.add_rule(rule)
    assert caught.value.errno == errno.EEXIST


def test_a_rule_deleted_twice_is_refused(audit: Control):
    rule = syscall_rule(GETPGID, (0, 1))
    audit.add_rule(rule)
    audit.delete_rule(rule)
    with pytest.raises(KernelError, match="DEL_RULE: No such file") as caught:
        audit.delete_rule(rule)
    assert caught.value.errno == errno.ENOENT


def test_a_rule_cut_short_is_refused(audit: Control):
    with pytest.raises(KernelError) as caught:
        audit.add_rule(syscall_rule(GETPGID)[:1000])
    assert caught.value.errno == errno.EINVAL


def test_threads_may_share_it(audit: Control):
    limits: list[int] = []

    def ask() -> None:
        limits.extend(audit.status().backlog_limit for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert limits == [8192] * 800


def test_without_the_right_everything_is_refused(audit: Control):
    code = """
import errno, os
from auditd_py.errors import KernelError
from auditd_py.netlink.control import Control
from auditd_py.netlink.messages import status_payload
from auditd_py.netlink.uapi import StatusMask
status_payload({})  # reads modules that the other user may not be allowed to
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
with Control() as control:
    for ask in (
        control.status, control.rules, control.signal_info,
        lambda: control.set_status(StatusMask.ENABLED, enabled=0),
        lambda: control.add_rule(bytes(1040)), lambda: control.user_message(b'x', 1120),
    ):
        try:
            ask()
        except KernelError as error:
            print(errno.errorcode[error.errno])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout.split() == ["EPERM"] * 6


def test_the_pid_of_another_daemon_cannot_be_released(audit: Control):
    code = """
import errno
from auditd_py.errors import KernelError
from auditd_py.netlink.control import Control
with Control() as control:
    try:
        control.release_pid()
    except KernelError as error:
        print(errno.errorcode[error.errno])
"""
    audit.set_status(StatusMask.PID, pid=os.getpid())
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "EACCES\n"
        assert audit.status().pid == os.getpid()
    finally:
        audit.release_pid()
