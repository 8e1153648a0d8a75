"""auditd_py.rules.load: a whole file or nothing."""

from __future__ import annotations

import errno

import pytest

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import Status
from auditd_py.rules.command import Command
from auditd_py.rules.file import FileLine, errors, parse_file
from auditd_py.rules.host import Host
from auditd_py.rules.load import REBOOT, add_rule, delete_rules, drift, live_rules, load_all
from auditd_py.rules.parse import parse_words
from auditd_py.rules.rule import PATH, Rule
from tests.rules.kernels import MemoryKernel

HOST = Host(is_directory=lambda path: path == "/etc")


def added(text: str) -> Rule:
    """Return the rule of a command line as the kernel has it."""
    rule = parse_words(text).added()
    assert rule is not None
    return rule.canonical()


def lines(*text: str) -> list[FileLine]:
    """Return the lines of a file that has no errors."""
    found = parse_file("\n".join(text).encode(), "a", HOST)
    assert errors(found) == []
    return found


A, B, C, D = (added(f"-w /{name} -p wa") for name in "abcd")
TASK = added("-a never,task -F uid=1")


def test_all_rules_are_loaded_and_counted():
    kernel = MemoryKernel(C)
    report = load_all(lines("-D", "-b 5", "-w /a -p wa", "-A never,task -F uid=1"), kernel)
    assert (report.done, report.wanted, report.live) == (True, 2, 2)
    assert kernel.held == [TASK, A]
    assert kernel.state.backlog_limit == 5


def test_what_is_there_already_is_not_touched():
    kernel = MemoryKernel(TASK, A, B)
    text = ("-D", "-a never,task -F uid=1", "-w /a -p wa", "-w /b -p wa")
    assert load_all(lines(*text), kernel).done
    assert kernel.changes == 0


def test_only_what_differs_is_changed_and_the_order_is_kept():
    kernel = MemoryKernel(TASK, A, B, C)
    text = ("-D", "-a never,task -F uid=1", "-w /a -p wa", "-w /d -p wa", "-w /c -p wa")
    assert load_all(lines(*text), kernel).done
    assert kernel.held == [TASK, A, D, C]
    assert kernel.changes == 4


def test_when_a_rule_is_refused_the_old_rules_are_back():
    kernel = MemoryKernel(A, B)
    kernel.refused = {D}
    report = load_all(lines("-D", "-b 5", "-w /c -p wa", "-w /d -p wa", "-e 2"), kernel)
    assert kernel.held == [A, B]
    assert (kernel.state.backlog_limit, kernel.state.enabled) == (64, 1)
    assert report.problem == "Error adding rule -w /d -p wa (Invalid argument)"
    assert (report.restored, report.wanted, report.live, report.missing) == (True, 2, 0, [C, D])


def test_a_rule_that_is_taken_but_not_listed_is_missing():
    kernel = MemoryKernel(A)
    kernel.lost_on_arrival = {D}
    report = load_all(lines("-D", "-w /c -p wa", "-w /d -p wa"), kernel)
    assert (report.done, report.restored, kernel.held) == (False, True, [A])
    assert "does not list all" in report.problem


def test_when_the_old_rules_cannot_be_put_back_that_is_told():
    kernel = MemoryKernel(A)
    kernel.refused = {A, D}
    report = load_all(lines("-D", "-w /c -p wa", "-w /d -p wa"), kernel)
    assert (report.done, report.restored, report.live, kernel.held) == (False, False, 0, [])


def test_when_a_setting_is_refused_nothing_is_changed():
    kernel = MemoryKernel(A)
    kernel.settings_refused = {"failure"}
    report = load_all(lines("-D", "-b 7", "-f 2", "-w /c -p wa"), kernel)
    assert report.problem == "Error setting -f 2 (Invalid argument)"
    assert (kernel.held, kernel.state.failure) == ([A], 1)


def test_locking_comes_last():
    kernel = MemoryKernel(A)
    report = load_all(lines("-e 2", "-D", "-b 5", "-w /c -p wa"), kernel)
    assert (report.done, kernel.held, kernel.state.enabled) == (True, [C], 2)


def test_a_locked_kernel_needs_a_reboot():
    kernel = MemoryKernel(A, B, enabled=2)
    report = load_all(lines("-D", "-w /a -p wa", "-w /c -p wa"), kernel)
    assert (report.problem, report.wanted, report.live) == (REBOOT, 2, 1)
    assert (report.missing, report.foreign) == ([C], [B])
    assert kernel.changes == 0


def test_what_comes_before_locking_is_done_when_all_rules_are_there():
    kernel = MemoryKernel()
    seen = []
    load_all(lines("-e 1", "-w /a -p wa"), kernel, lambda: seen.append(list(kernel.held)))
    assert seen == [[A]]


def test_when_that_fails_the_old_rules_are_back():
    kernel = MemoryKernel(B)

    def fail() -> None:
        raise KernelError(errno.ENOENT, "MAKE_EQUIV")

    report = load_all(lines("-D", "-w /a -p wa"), kernel, fail)
    assert (report.problem.startswith("MAKE_EQUIV"), report.restored) == (True, True)
    assert kernel.held == [B]


def test_duplicates_are_reported_and_not_fatal():
    kernel = MemoryKernel()
    report = load_all(lines("-w /a -p wa", "-a always,exit -F path=/a -F perm=wa"), kernel)
    assert (report.done, report.wanted) == (True, 1)
    assert [line.where for line in report.duplicates] == ["a:2"]


def test_rules_are_deleted_by_a_part_of_their_key():
    kernel = MemoryKernel(added("-w /a -k yum_watch"), added("-w /b -k other"), B)
    delete_rules(kernel, "yum")
    assert live_rules(kernel) == [added("-w /b -k other"), B]
    delete_rules(kernel, "")
    assert live_rules(kernel) == []


def test_where_directories_cannot_be_watched_the_path_is():
    class Old(MemoryKernel):
        def add_rule(self, data: bytes) -> None:
            if self._change(data).fields[0].code != PATH:
                raise KernelError(errno.EINVAL, "ADD_RULE")
            super().add_rule(data)

    kernel = Old()
    command = parse_words("-w /etc -p wa", HOST)
    rule = command.added()
    assert rule is not None
    add_rule(kernel, command, rule)
    assert kernel.held == [added("-w /etc -p wa")]
    with pytest.raises(KernelError):
        add_rule(kernel, Command(), rule)


def test_kernel_and_files_that_agree_do_not_differ():
    text = lines("-D", "-b 8192", "-w /a -p wa", "-a never,task -F uid=1", "-e 1")
    assert drift(text, [TASK, A], Status(enabled=1, backlog_limit=8192)) == ()


def test_a_diff_shows_what_differs():
    text = lines("-D", "-b 8192", "-w /a -p wa", "-w /b -p wa")
    found = drift(text, [A, C], Status(enabled=1, backlog_limit=64))
    assert [line for line in found if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "--b 8192",
        "+-b 64",
        "--w /b -p wa",
        "+-w /c -p wa",
    ]
