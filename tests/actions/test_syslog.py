"""auditd_py.actions.syslog and system_log, against a log daemon's socket."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from datetime import datetime

import pytest
from hypothesis import given as given_texts
from hypothesis import strategies as st

from auditd_py.actions import system_log
from auditd_py.actions.syslog import Syslog
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident

FULL = Incident(Condition.DISK_FULL, "/var/log/audit/audit.log")
# RFC 5424, section 6: header, no structured data, text
LINE = re.compile(
    r"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) (\d+) ([!-~]{1,32}) - (.+)", re.ASCII
)


def parsed(data: bytes) -> tuple[str, ...]:
    found = LINE.fullmatch(data.decode())
    assert found, data
    return found.groups()


def test_an_incident_is_one_line_as_rfc_5424_has_it(listener, given, services):
    Syslog(given()).run(FULL)
    priority, stamp, *rest = parsed(listener.recv(4096))
    assert priority == "25"  # daemon.alert
    assert datetime.fromisoformat(stamp).tzinfo is not None
    assert abs(datetime.fromisoformat(stamp).timestamp() - time.time()) < 60
    assert rest == [
        "web1", "auditd", str(os.getpid()), "disk_full_action",
        "Audit daemon has no space left on logging partition",
    ]  # fmt: skip
    with pytest.raises(BlockingIOError):
        listener.recv(4096)
    assert services.told == []


@pytest.mark.parametrize(("condition", "priority"), [(Condition.LOG_SIZE, "27"), (Condition.SPACE_LEFT, "25")])  # fmt: skip
def test_the_priority_is_that_of_the_condition(listener, given, condition, priority):
    Syslog(given()).run(Incident(condition, "/x"))
    assert parsed(listener.recv(4096))[0] == priority


def test_a_rehearsal_is_marked(listener, given):
    shown = Syslog(given()).rehearse(FULL)
    text = parsed(listener.recv(4096))[-1]
    assert text == "TEST: Audit daemon has no space left on logging partition"
    assert text in shown


def test_nothing_in_a_message_makes_another_line(listener, given):
    reason = "bad\n<24>1 - - - - - forged\0"
    Syslog(given()).run(Incident(Condition.DISK_ERROR, "/x", function="write", reason=reason))
    data = listener.recv(4096)
    assert b"\n" not in data
    assert b"\0" not in data


@pytest.mark.parametrize(("host", "shown"), [("", "-"), ("two words", "twowords"), ("h\xf6st", "hst")])  # fmt: skip
def test_a_host_name_is_one_word_of_ascii(host, shown):
    now = datetime.now().astimezone()
    line = system_log.syslog_line("info", "text", message_id="x", host=host, now=now)
    assert parsed(line)[2] == shown


@given_texts(text=st.text(min_size=1), host=st.text())
def test_any_text_is_one_line(text, host):
    now = datetime.now().astimezone()
    line = system_log.syslog_line("info", text, message_id="x", host=host, now=now)
    assert parsed(line)[0] == "30"
    assert not re.search(rb"[\x00-\x1f\x7f]", line)


def test_a_log_daemon_that_takes_streams_gets_one(log_path, given):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(log_path))
        server.listen()
        Syslog(given()).run(FULL)
        connection, _ = server.accept()
        with connection:
            data = connection.recv(4096)
    assert data.endswith(b"\0")
    assert parsed(data[:-1])[0] == "25"


def test_without_a_log_daemon_the_daemon_says_it_itself(log_path, given, services):
    with pytest.raises(ActionError, match="log: No such file or directory"):
        Syslog(given()).run(FULL)
    assert services.told == [("alert", "Audit daemon has no space left on logging partition")]


def test_a_log_daemon_that_does_not_read_is_not_waited_for(listener, given, services, monkeypatch):
    monkeypatch.setattr(system_log, "_LIMIT_S", 0.05)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with other, contextlib.suppress(BlockingIOError):
        while other.sendto(b"x", listener.getsockname()):
            pass
    with pytest.raises(ActionError, match="not read"):
        Syslog(given()).run(FULL)
    assert len(services.told) == 1
