"""auditd_py.daemon.syslog against a log daemon's socket."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from auditd_py.daemon import syslog
from auditd_py.daemon.syslog import MessageSink, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.setblocking(False)
    return listener


@pytest.fixture
def path(tmp_path: Path, monkeypatch) -> Path:
    """Give the log daemon's place; nobody listens there yet."""
    monkeypatch.setattr(syslog, "_SOCKET", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def listener(path: Path) -> Iterator[socket.socket]:
    with listen(path) as found:
        yield found


@pytest.fixture
def sink() -> Iterator[Callable[..., MessageSink]]:
    """Make sinks: sink(to_syslog=…, to_stderr=…)."""
    made = []

    def make(*, to_syslog: bool, to_stderr: bool) -> MessageSink:
        made.append(MessageSink(to_syslog=to_syslog, to_stderr=to_stderr))
        return made[-1]

    yield make
    for found in made:
        if found._socket is not None:
            found._socket.close()


def test_a_message_has_priority_time_name_and_pid(listener, sink):
    sink(to_syslog=True, to_stderr=False).write("notice", "Init complete")
    text = listener.recv(4096).decode()
    stamp = r"[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"<29>{stamp} auditd\[{os.getpid()}\]: Init complete", text)


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        ("alert", b"<25>"), ("critical", b"<26>"), ("error", b"<27>"), ("warning", b"<28>"),
        ("notice", b"<29>"), ("info", b"<30>"), ("debug", b"<31>"),
    ],
)  # fmt: skip
def test_levels_are_priorities_of_the_facility_daemon(listener, level, priority, sink):
    sink(to_syslog=True, to_stderr=False).write(level, "text")
    assert listener.recv(4096).startswith(priority)


def test_a_message_stays_one_line(listener, sink):
    sink(to_syslog=True, to_stderr=False).write("error", "one\n<0>two")
    assert listener.recv(4096).endswith(b": one <0>two")


def test_bytes_that_are_no_text_arrive_as_they_were(listener, sink):
    sink(to_syslog=True, to_stderr=False).write("error", os.fsdecode(b"\xff.log"))
    assert listener.recv(4096).endswith(b": \xff.log")


def test_a_restarted_log_daemon_gets_the_next_message(path, listener, sink):
    messages = sink(to_syslog=True, to_stderr=False)
    messages.write("info", "before")
    listener.close()
    path.unlink()
    with listen(path) as restarted:
        messages.write("info", "after")
        assert restarted.recv(4096).endswith(b": after")


def test_what_a_full_socket_does_not_take_goes_to_standard_error(listener, capsys, sink):
    messages = sink(to_syslog=True, to_stderr=False)
    for number in range(3000):
        messages.write("info", f"message {number}")
    taken = 0
    while True:
        try:
            listener.recv(4096)
        except BlockingIOError:
            break
        taken += 1
    shown = capsys.readouterr().err.splitlines()
    assert 0 < taken < 3000
    assert shown == [f"auditd: message {number}" for number in range(taken, 3000)]
    assert messages.dropped == 0


def test_without_a_log_daemon_messages_go_to_standard_error(path, capsys, sink):
    messages = sink(to_syslog=True, to_stderr=False)
    messages.write("error", "text")
    assert capsys.readouterr().err == "auditd: error: text\n"
    assert messages.dropped == 0


def test_a_message_that_nothing_takes_is_counted(path, monkeypatch, sink):
    monkeypatch.setattr(sys, "stderr", None)
    messages = sink(to_syslog=True, to_stderr=True)
    messages.write("error", "text")
    messages.write("error", "text")
    assert messages.dropped == 2


def test_both_get_it_when_both_are_asked_for(listener, capsys, sink):
    sink(to_syslog=True, to_stderr=True).write("info", "text")
    assert listener.recv(4096).endswith(b": text")
    assert capsys.readouterr().err == "auditd: text\n"


@pytest.fixture
def _structlog_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_structlog_as_before")
def test_a_message_shows_its_values(capsys, sink):
    log = configure(sink(to_syslog=False, to_stderr=True))
    log.warning("text", pid=1, reason="No such file", empty="")
    assert capsys.readouterr().err == 'auditd: warning: text pid=1 reason="No such file" empty=""\n'


@pytest.mark.usefixtures("_structlog_as_before")
def test_a_message_may_name_its_level(listener, sink):
    configure(sink(to_syslog=True, to_stderr=False)).error("text", level="alert")
    assert listener.recv(4096).startswith(b"<25>")


@pytest.mark.usefixtures("_structlog_as_before")
def test_an_exception_is_one_line_with_its_trace(listener, sink):
    log = configure(sink(to_syslog=True, to_stderr=False))
    try:
        int("why")
    except ValueError:
        log.exception("failed")
    text = listener.recv(65536)
    assert text.startswith(b"<27>")
    assert b"\n" not in text
    assert b'trace="Traceback' in text
    assert b"ValueError: invalid literal" in text
