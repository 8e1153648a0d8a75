"""The kernel's one audit slot: taken by one test or measurement at a time, left as it was found."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.netlink.control import Control
from auditd_py.netlink.uapi import Status, StatusMask

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK: Final = "/run/lock/auditd_py.lock"
BACKLOG_LIMIT: Final = 8192
BACKLOG_WAIT_JIFFIES: Final = 60_000  # minutes: the kernel makes the load wait, it loses nothing
HANDOVER_S: Final = 10.0  # how long a daemon that is just stopping may take


class RefusedError(Exception):
    """We would disturb, or be disturbed by, something else on this machine."""


@contextlib.contextmanager
def taken() -> Iterator[Control]:
    """Hold the slot; give a client to ask the kernel with, and put everything back at the end.

    Waits without limit for others that hold the lock. Raises RefusedError if somebody who does
    not use the lock is there: a registered daemon, loaded rules, a locked configuration. The lock
    file says who holds it until everything is put back: rules of one that was killed are deleted.
    """
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for(lock)
        with Control() as control:
            if os.pread(lock, 1, 0):
                _delete_rules(control)
            found = _refuse_unless_free(control)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
            try:
                yield control
            finally:
                _delete_rules(control)
                _restore(control, found)
                _forget_dead_daemon(control, found)
                os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def open_wide(control: Control) -> None:
    """Switch auditing on, with a backlog that makes the load wait instead of losing records."""
    control.set_status(
        StatusMask.ENABLED
        | StatusMask.RATE_LIMIT
        | StatusMask.BACKLOG_LIMIT
        | StatusMask.BACKLOG_WAIT_TIME,
        enabled=1,
        rate_limit=0,
        backlog_limit=BACKLOG_LIMIT,
        backlog_wait_time=BACKLOG_WAIT_JIFFIES,
    )


def switch_off(control: Control) -> None:
    """Stop auditing, so that a daemon that leaves makes no records for nobody."""
    control.set_status(StatusMask.ENABLED, enabled=0)


def _wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"waiting for {LOCK}\n")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _refuse_unless_free(control: Control) -> Status:
    status = control.status()
    deadline = time.monotonic() + HANDOVER_S
    while status.pid and time.monotonic() < deadline:
        if not _alive(status.pid):
            _forget_dead_daemon(control, status)
        time.sleep(0.1)
        status = control.status()
    if status.pid:
        raise RefusedError(f"an audit daemon is registered, pid {status.pid}: stop it first")
    if status.enabled == 2:
        raise RefusedError("the audit configuration is locked until reboot (enabled 2)")
    if control.rules():
        raise RefusedError("audit rules are loaded: delete them first (auditctl -D)")
    return status


def _delete_rules(control: Control) -> None:
    for rule in control.rules():
        control.delete_rule(rule)


def _restore(control: Control, found: Status) -> None:
    control.set_status(
        StatusMask.ENABLED
        | StatusMask.FAILURE
        | StatusMask.RATE_LIMIT
        | StatusMask.BACKLOG_LIMIT
        | StatusMask.BACKLOG_WAIT_TIME,
        enabled=found.enabled,
        failure=found.failure,
        rate_limit=found.rate_limit,
        backlog_limit=found.backlog_limit,
        backlog_wait_time=found.backlog_wait_time,
    )


def _forget_dead_daemon(control: Control, found: Status) -> None:
    # The kernel notices that a daemon died without a word when it next has a record for it:
    # switching auditing on makes one.
    pid = control.status().pid
    if pid and not _alive(pid):
        control.set_status(StatusMask.ENABLED, enabled=1)
        control.set_status(StatusMask.ENABLED, enabled=min(found.enabled, 1))


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
