"""auditd_py.daemon.notify, and what the daemon tells systemd."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.programs import Auditd

pytestmark = pytest.mark.slow


@pytest.fixture(params=["file", "abstract"])
def manager(tmp_path: Path, request) -> Iterator[tuple[socket.socket, Notifier]]:
    """Give a service manager's socket and a notifier that knows it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@auditd_py-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert notifier._socket
        with notifier._socket:
            yield listener, notifier


def test_states_arrive_in_one_datagram(manager):
    listener, notifier = manager
    notifier.send("READY=1", "STATUS=records 0")
    assert listener.recv(4096) == b"READY=1\nSTATUS=records 0"


def test_a_manager_that_is_gone_is_no_fault(manager):
    listener, notifier = manager
    listener.close()
    notifier.send("READY=1")


def test_a_manager_that_does_not_read_holds_nobody_up(manager):
    listener, notifier = manager
    for number in range(5000):
        notifier.send(f"STATUS={number}")
    assert listener.recv(4096) == b"STATUS=0"


def test_without_a_manager_nothing_is_sent():
    notifier = Notifier({})
    notifier.send("READY=1")
    assert notifier._socket is None


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_watchdog_is_fed_when_it_is_ours(environment, watchdog_s):
    assert Notifier(environment).watchdog_s == watchdog_s


def test_the_daemon_is_ready_with_a_status(auditd: Callable[..., Auditd]):
    daemon = auditd(local_events="no")
    assert daemon.states[0] == "READY=1"
    assert daemon.states[1].startswith("STATUS=records 0, written ")


def test_a_reload_is_told_with_its_time(auditd: Callable[..., Auditd]):
    daemon = auditd(local_events="no")
    daemon.states.clear()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_state("RELOADING=1")
    assert [state.split("=")[0] for state in daemon.states][-2:] == ["RELOADING", "MONOTONIC_USEC"]
    daemon.wait_state("READY=1")


def test_the_end_is_told(auditd: Callable[..., Auditd]):
    daemon = auditd(local_events="no")
    assert daemon.stop() == 0
    daemon.wait_state("STOPPING=1")


def test_the_watchdog_is_fed_again_and_again(auditd: Callable[..., Auditd], monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    daemon = auditd(local_events="no")
    for _ in range(3):
        daemon.wait_state("WATCHDOG=1")
