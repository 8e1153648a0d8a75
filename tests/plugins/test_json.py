import json
import os
import signal
import socket
import subprocess

import pytest

from auditd_py.plugins.json_sinks import open_file, sink_maker
from tests.plugins.plugin_process import catches
from tests.plugins.records import event
from tests.programs import wait_for


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path


def serials(data: bytes) -> list[int]:
    return [json.loads(line)["serial"] for line in data.split(b"\n")[:-1]]


@pytest.mark.parametrize("schema", ["own", "ecs", "ocsf"])
def test_events_become_lines_on_standard_output(schema, start):
    plugin = start("json", "--schema", schema, stdout=subprocess.PIPE)
    plugin.send(*event(1), *event(2, end=b"EOE"))
    plugin.input.close()
    lines = plugin.process.stdout.read().split(b"\n")
    assert (len(lines), all(json.loads(line) for line in lines[:-1])) == (3, True)
    assert plugin.wait() == (0, "")


def test_an_event_comes_as_soon_as_it_is_whole(start):
    plugin = start("json", stdout=subprocess.PIPE)
    plugin.send(*event(1))
    assert json.loads(plugin.process.stdout.readline())["serial"] == 1


def test_messages_with_headers_are_read_too(start):
    plugin = start("json", stdout=subprocess.PIPE)
    plugin.send_binary(*event(1), version=0)
    assert json.loads(plugin.process.stdout.readline())["cwd"] == "/srv"


def test_a_file_is_appended_to_and_made_for_its_owner(start, folder):
    path = folder / "audit.json"
    for number in (1, 2):
        plugin = start("json", "--output", f"file:{path}")
        plugin.send(*event(number))
        assert plugin.finish() == (0, "")
    assert serials(path.read_bytes()) == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_hangup_opens_the_file_again(start, folder):
    path = folder / "audit.json"
    plugin = start("json", "--output", f"file:{path}", "--mode", "0640")
    plugin.send(*event(1))
    wait_for(lambda: path.exists() and path.read_bytes().endswith(b"\n"), "the first event")
    path.rename(folder / "old")
    catches(plugin, signal.SIGHUP)
    plugin.hang_up()
    plugin.send(*event(2))
    wait_for(lambda: path.exists() and path.read_bytes().endswith(b"\n"), "the second event")
    assert (serials((folder / "old").read_bytes()), serials(path.read_bytes())) == ([1], [2])
    assert plugin.terminate() == (0, "")


def test_a_line_cut_by_a_full_disk_does_not_spoil_the_next(folder):
    path = folder / "f"
    path.write_bytes(b'{"half')
    os.close(open_file(str(path), 0o600))
    assert path.read_bytes() == b'{"half\n'


@pytest.mark.parametrize("what", ["link", "second name", "folder", "fifo", "writable folder"])
def test_a_file_that_another_can_have_put_there_is_refused(what, folder):
    path = folder / "f"
    (folder / "other").write_text("precious")
    if what == "link":
        path.symlink_to(folder / "other")
    elif what == "second name":
        path.hardlink_to(folder / "other")
    elif what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        folder.chmod(0o777)
    with pytest.raises(OSError, match=r"\w"):
        open_file(str(path), 0o600)
    assert (folder / "other").read_text() == "precious"


def test_a_unix_socket_that_comes_back_gets_what_waited(start, bind, folder):
    path = folder / "socket"
    plugin = start("json", "--output", f"unix:{path}")
    plugin.send(*event(1))
    assert b"is away" in plugin.process.stderr.readline()
    listener = bind(path, socket.SOCK_STREAM)
    with listener.accept()[0] as connection:
        connection.settimeout(20)
        assert serials(connection.recv(65536)) == [1]
        assert b"is back" in plugin.process.stderr.readline()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_tcp_peer_gets_lines(host, start):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as server:
        server.settimeout(20)
        plugin = start("json", "--output", f"tcp:{host}:{server.getsockname()[1]}")
        plugin.send(*event(1))
        with server.accept()[0] as connection:
            connection.settimeout(20)
            assert serials(connection.recv(65536)) == [1]
        plugin.end()


@pytest.mark.slow
def test_a_tcp_peer_that_is_away_does_not_keep_the_plugin_from_ending(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    plugin = start("json", "--output", f"tcp:127.0.0.1:{port}")
    plugin.send(*event(1))
    assert b"is away" in plugin.process.stderr.readline()
    status, told = plugin.terminate()
    assert (status, "1 not sent at the end" in told) == (0, True)


def test_lines_that_are_no_records_are_counted(start):
    plugin = start("json")
    plugin.send(b"what", *event(1), b"is this")
    assert plugin.finish() == (0, "audisp-json: 2 lines were no records\n")


def test_a_reader_that_is_slow_gets_everything(start):
    plugin = start("json", stdout=subprocess.PIPE)
    plugin.send(*event(0))
    first = plugin.process.stdout.readline()
    lines = [line for serial in range(1, 1500) for line in event(serial)]
    plugin.send(*lines)
    plugin.input.close()
    assert serials(first + plugin.process.stdout.read()) == list(range(1500))


@pytest.mark.parametrize(
    "words",
    [["--schema", "xml"], ["--output", "here"], ["--output", "file:x"], ["--output", "tcp:host"],
     ["--output", "tcp:host:0"], ["--mode", "0777"], ["--mode", "x"], ["--sch", "own"], ["more"]],
)  # fmt: skip
def test_other_arguments_end_the_plugin_with_a_reason(words, start):
    status, told = start("json", *words).wait()
    assert (status, told.startswith("audisp-json: ")) == (1, True)


def test_an_output_is_not_connected_to_before_it_is_used(folder):
    sink_maker(f"file:{folder}/f", 0o600)
    assert not (folder / "f").exists()
