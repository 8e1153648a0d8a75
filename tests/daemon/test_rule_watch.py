"""watch_rules: what the daemon says when somebody changes the kernel's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.rule_watch import Seen, differences
from auditd_py.netlink.uapi import StatusMask
from tests.programs import Auditd, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.netlink.control import Control

pytestmark = pytest.mark.slow

GETPGID, OPENAT = 121, 257
A, B = b"rule a", b"rule b"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Seen((A,), 1, 7), Seen((A,), 1, 7), []),
        (Seen((A,), 1, 7), Seen((A, B), 1, 7), ["op=rules-changed added=1 removed=0 rules=2"]),
        (Seen((A, A), 1, 7), Seen((B,), 1, 7), ["op=rules-changed added=1 removed=2 rules=1"]),
        (Seen((A, B), 1, 7), Seen((B, A), 1, 7), ["op=rules-reordered added=0 removed=0 rules=2"]),
        (Seen((), 1, 7), Seen((), 0, 7), ["op=enabled-changed enabled=0 old=1"]),
        (Seen((), 1, 7), Seen((), 1, 9), ["op=pid-changed audit_pid=9 old=7 ours=no"]),
        (Seen((), 1, 9), Seen((), 1, 7), ["op=pid-changed audit_pid=7 old=9 ours=yes"]),
    ],
)
def test_what_changed_is_said_in_fields(before, now, expected):
    assert differences(before, now, 7) == expected


def changes(daemon: Auditd) -> list[str]:
    lines = [line for line in daemon.lines() if line.type == "DAEMON_CONFIG"]
    return [line.text.removesuffix(" res=success") for line in lines]


@pytest.mark.kernel
def test_a_rule_that_comes_and_goes_is_recorded(audit: Control, auditd: Callable[..., Auditd]):
    audit.add_rule(syscall_rule(OPENAT, (0, 1)))
    daemon = auditd(watch_rules="yes")
    rule = syscall_rule(GETPGID, (0, 1))
    wait_for(lambda: _known(daemon), "it knows the rules")
    audit.add_rule(rule)
    wait_for(lambda: changes(daemon) == ["op=rules-changed added=1 removed=0 rules=2"], "the first")
    audit.delete_rule(rule)
    wait_for(lambda: len(changes(daemon)) == 2, "the second")
    assert changes(daemon)[1] == "op=rules-changed added=0 removed=1 rules=1"
    assert "the kernel's audit configuration changed: op=rules-changed added=1" in daemon.told()


@pytest.mark.kernel
def test_auditing_switched_off_is_recorded(audit: Control, auditd: Callable[..., Auditd]):
    daemon = auditd(watch_rules="yes")
    wait_for(lambda: _known(daemon), "it knows the rules")
    audit.set_status(StatusMask.ENABLED, enabled=0)
    wait_for(lambda: changes(daemon) == ["op=enabled-changed enabled=0 old=1"], "it is told")


@pytest.mark.kernel
def test_without_watch_rules_nothing_is_said(audit: Control, auditd: Callable[..., Auditd]):
    daemon = auditd()
    audit.add_rule(syscall_rule(GETPGID, (0, 1)))
    assert daemon.stop() == 0
    assert changes(daemon) == []


def _known(daemon: Auditd) -> bool:
    return daemon.state()["rules watched"] == "yes"
