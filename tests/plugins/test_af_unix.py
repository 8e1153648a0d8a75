import os
import re
import signal
import socket
import stat
from contextlib import closing

import pytest

from auditd_py.plugins.af_unix import MOST_CLIENTS, Request, parse
from auditd_py.plugins.wire import HEADER, message
from tests.plugins.records import CWD, RAW, event
from tests.programs import wait_for


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def connect(path):
    opened = []

    def client():
        wait_for(path.exists, "the socket")
        found = socket.socket(socket.AF_UNIX)
        opened.append(found)
        found.connect(str(path))
        found.settimeout(20)
        return found

    yield client
    for found in opened:
        found.close()


@pytest.fixture
def accepted(path):
    def wait(plugin, number):
        state = path.with_name("af_unix.state")

        def there():
            plugin.signal(signal.SIGUSR1)
            return state.exists() and f"accepted = {number}\n" in state.read_text()

        wait_for(there, f"{number} clients are accepted")
        return state

    return wait


def read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            break
        data += part
    return data


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", Request()),
        ("0600 /run/x/y string", Request(0o600, "/run/x/y")),
        ("0666 /run/x/y binary 7", Request(0o666, "/run/x/y", binary=True, depth=7)),
    ],
)
def test_arguments_say_mode_path_format_and_depth(words, expected):
    assert parse(words.split()) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("0640", "arguments"),
        ("0640 /run/x", "arguments"),
        ("0640 /run/x string 1 2", "arguments"),
        ("0888 /run/x string", "octal"),
        ("07777 /run/x string", "octal"),
        ("rw /run/x string", "octal"),
        ("0640 run/x string", "absolute"),
        ("0640 /" + "x" * 107 + " string", "absolute"),
        ("0640 /run/x text", "string or binary"),
        ("0640 /run/x string 0", "queue"),
        ("0640 /run/x string many", "queue"),
    ],
)
def test_other_arguments_are_refused_with_a_reason(words, reason):
    with pytest.raises(ValueError, match=reason):
        parse(words.split())


@pytest.mark.parametrize("mode", ["0600", "0640", "0666"])
def test_the_socket_has_its_mode_and_goes_at_the_end(mode, path, start):
    plugin = start("af_unix", mode, str(path), "string")
    wait_for(path.exists, "the socket")
    found = path.stat()
    assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, int(mode, 8))
    assert plugin.finish() == (0, "")
    assert list(path.parent.iterdir()) == []


def test_every_client_gets_every_record(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string")
    clients = [connect() for _ in range(3)]
    accepted(plugin, 3)
    plugin.send(RAW, CWD)
    expected = RAW + b"\n" + CWD + b"\n"
    assert [read(client, len(expected)) for client in clients] == [expected] * 3


@pytest.mark.parametrize(
    "case",
    [
        (True, "string", RAW + b"\n"),
        (False, "binary", HEADER.pack(1, 16, 0, len(RAW)) + RAW),
        (True, "binary", message(RAW, 1300, 0)),
    ],
    ids=["binary to string", "string to binary", "binary to binary"],
)
def test_records_have_the_format_that_was_asked_for(case, path, start, connect, accepted):
    binary_in, form, expected = case
    plugin = start("af_unix", "0600", str(path), form)
    client = connect()
    accepted(plugin, 1)
    if binary_in:
        plugin.send_binary(RAW, version=0)
    else:
        plugin.send(RAW)
    assert read(client, len(expected)) == expected


@pytest.mark.slow
def test_a_slow_client_loses_only_its_own_and_is_told_of(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string", "50")
    connect()
    quick = connect()
    accepted(plugin, 2)
    lines = [line for serial in range(15000) for line in event(serial)]
    wanted = b"".join(line + b"\n" for line in lines)
    got = b""
    for start_at in range(0, len(lines), 3000):
        plugin.send(*lines[start_at : start_at + 3000])
        got += read(quick, len(b"".join(x + b"\n" for x in lines[start_at : start_at + 3000])))
    assert got == wanted
    status, told = plugin.finish()
    assert status == 0
    lost = re.findall(r"client (\d) is too slow: .* (\d+) since it connected", told)
    assert {number for number, _ in lost} == {"1"}
    assert 0 < int(lost[-1][1]) < len(lines)


def test_what_a_slow_client_gets_is_whole_records(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string", "5")
    client = connect()
    accepted(plugin, 1)
    lines = [line for serial in range(9000) for line in event(serial)]
    plugin.send(*lines)
    plugin.input.close()
    data = read(client, 1 << 30)
    assert data.endswith(b"\n")
    assert set(data.split(b"\n")[:-1]) <= set(lines)


def test_a_client_that_goes_does_not_disturb_the_others(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string")
    first, second = connect(), connect()
    accepted(plugin, 2)
    first.close()
    plugin.send(RAW)
    plugin.send(CWD)
    assert read(second, len(RAW) + 1) == RAW + b"\n"


def test_records_without_clients_are_nobodys(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string")
    plugin.send(RAW)
    state = path.with_name("af_unix.state")

    def counted():
        plugin.signal(signal.SIGUSR1)
        return state.exists() and "records = 1\n" in state.read_text()

    wait_for(path.exists, "the socket")
    wait_for(counted, "the record is counted")
    client = connect()
    accepted(plugin, 1)
    plugin.send(CWD)
    assert read(client, len(CWD) + 1) == CWD + b"\n"


def test_more_clients_than_allowed_are_refused(path, start, connect, accepted):
    plugin = start("af_unix", "0600", str(path), "string")
    for _ in range(MOST_CLIENTS):
        connect()
    accepted(plugin, MOST_CLIENTS)
    assert connect().recv(1) == b""


def test_a_socket_left_behind_is_replaced(path, start):
    with closing(socket.socket(socket.AF_UNIX)) as old:
        old.bind(str(path))
    inode = path.stat().st_ino
    plugin = start("af_unix", "0600", str(path), "string")
    wait_for(lambda: path.stat().st_ino != inode, "a new socket")
    assert plugin.terminate() == (0, "")
    assert not path.exists()


def test_a_socket_in_use_is_left_alone(path, start, bind):
    bind(path, socket.SOCK_STREAM)
    status, told = start("af_unix", "0600", str(path), "string").wait()
    assert (status, "somebody listens there" in told, path.exists()) == (1, True, True)


def test_a_file_in_its_place_is_left_alone(path, start):
    path.write_text("precious")
    status, told = start("af_unix", "0600", str(path), "string").wait()
    assert (status, "is no socket" in told, path.read_text()) == (1, True, "precious")


def test_another_programs_socket_is_not_removed_at_the_end(path, start):
    plugin = start("af_unix", "0600", str(path), "string")
    wait_for(path.exists, "the socket")
    os.unlink(path)
    path.write_text("not ours")
    assert plugin.terminate() == (0, "")
    assert path.read_text() == "not ours"
