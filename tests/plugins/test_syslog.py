import os
import re
import signal
import socket
import time

import pytest

from auditd_py.plugins.syslog import Request, parse
from tests.plugins.plugin_process import catches
from tests.plugins.records import CWD, ENRICHED, RAW
from tests.programs import wait_for

pytestmark = pytest.mark.slow

HEAD = re.compile(rb"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d audisp-syslog: (.*)", re.DOTALL)


def received(log: socket.socket) -> tuple[int, bytes]:
    found = HEAD.fullmatch(log.recv(65536))
    assert found
    return int(found[1]), found[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Request(1, 6)),
        (["LOG_EMERG"], Request(1, 0)),
        (["LOG_ERR", "LOG_LOCAL7"], Request(23, 3)),
        (["LOG_LOCAL0", "LOG_DEBUG", "interpret"], Request(16, 7, interpret=True)),
        (["LOG_USER"], Request(1, 6)),
        (["LOG_AUTH", "LOG_NOTICE"], Request(4, 5)),
        (["LOG_AUTHPRIV", "LOG_WARNING"], Request(10, 4)),
        (["LOG_DAEMON", "LOG_CRIT"], Request(3, 2)),
        (["LOG_SYSLOG", "LOG_ALERT"], Request(5, 1)),
    ],
)
def test_arguments_say_priority_and_facility(words, expected):
    assert parse(words) == expected


@pytest.mark.parametrize("word", ["LOG_KERN", "log_info", "INFO", "", "LOG_", "LOG_LOCAL8"])
def test_an_unknown_argument_ends_the_plugin(word, start, log, tmp_path):
    status, told = start("syslog", word, extra=(str(tmp_path / "log"),)).wait()
    assert (status, "unknown argument" in told) == (1, True)
    assert b"unknown argument" in log.recv(4096)


def test_a_record_is_one_message_with_names_after_a_space(start, log, tmp_path):
    plugin = start("syslog", "LOG_LOCAL3", "LOG_NOTICE", extra=(str(tmp_path / "log"),))
    plugin.send(ENRICHED, CWD)
    assert received(log) == (19 << 3 | 5, ENRICHED.replace(b"\x1d", b" "))
    assert received(log) == (19 << 3 | 5, CWD)
    assert plugin.finish() == (0, "")


def test_messages_with_headers_are_read_too(start, log, tmp_path):
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    plugin.send_binary(RAW, version=0)
    assert received(log) == (14, RAW)


def test_interpret_gives_values_their_names(start, log, tmp_path):
    plugin = start("syslog", "interpret", extra=(str(tmp_path / "log"),))
    plugin.send(b"node=web " + ENRICHED, b"no record")
    # audisp-syslog 3.0.9 gives the same, but for the node
    assert received(log)[1].startswith(
        b"node=web type=SYSCALL msg=audit(11/22/26 07:20:10) : arch=x86_64 syscall=sendto success=yes"
    )
    assert received(log)[1] == b"no record"


def test_a_log_daemon_with_a_stream_socket_gets_lines_that_end_with_nul(start, bind, tmp_path):
    listener = bind(tmp_path / "log", socket.SOCK_STREAM)
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    plugin.send(RAW)
    connection, _ = listener.accept()
    connection.settimeout(20)
    data = b""
    while not data.endswith(b"\0"):
        data += connection.recv(4096)
    assert data.endswith(RAW + b"\0")
    connection.close()


def test_records_wait_for_a_log_daemon_that_is_away(start, bind, tmp_path):
    path = tmp_path / "log"
    plugin = start("syslog", extra=(str(path),))
    plugin.send(RAW, CWD)
    assert b"is away" in plugin.process.stderr.readline()
    log = bind(path)
    assert received(log)[1] == RAW
    assert received(log)[1].endswith(b" is back")
    assert received(log)[1] == CWD
    log.close()
    path.unlink()
    plugin.send(ENRICHED)
    assert b"is back" in plugin.process.stderr.readline()
    assert b"is away" in plugin.process.stderr.readline()
    log = bind(path)
    assert b"ARCH=x86_64" in log.recv(65536)


def test_what_there_is_no_room_for_is_dropped_and_told(start, tmp_path):
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    big = RAW + b"x" * 100_000
    for _ in range(100):
        plugin.send(big)
    status, told = plugin.finish()
    assert status == 0
    dropped, waiting = re.findall(r"(\d+) (?:dropped,|not sent)", told)[-2:]
    assert int(re.findall(r"(\d+) since the start", told)[-1]) + int(waiting) == 100
    assert dropped


def test_hangup_is_survived_and_term_ends_with_what_was_sent(start, log, tmp_path):
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    catches(plugin, signal.SIGHUP)
    plugin.hang_up()
    plugin.send(RAW)
    assert received(log)[1] == RAW
    plugin.signal(signal.SIGSTOP)
    plugin.send(CWD)
    plugin.signal(signal.SIGTERM)
    plugin.signal(signal.SIGCONT)
    assert received(log)[1] == CWD
    assert plugin.wait() == (0, "")


def test_garbage_ends_the_plugin_with_a_reason(start, log, tmp_path):
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    plugin.input.sendall(b"\0" * 64)
    status, told = plugin.wait()
    assert (status, "no header of a message" in told) == (1, True)


def test_an_idle_plugin_uses_no_processor_time(start, log, tmp_path):
    plugin = start("syslog", extra=(str(tmp_path / "log"),))
    plugin.send(RAW)
    received(log)
    path = f"/proc/{plugin.process.pid}/stat"

    def ticks() -> int:
        with open(path, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def sleeping() -> bool:
        with open(path, encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "S"

    wait_for(sleeping, "it sleeps")
    before, until = ticks(), time.monotonic() + 0.2
    wait_for(lambda: time.monotonic() > until, "a fifth of a second")
    assert ticks() - before <= os.sysconf("SC_CLK_TCK") // 50
