"""The forwarder's queue on disk, also when it, or its power, is cut off."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from auditd_py.errors import LogError
from auditd_py.plugins.remote_store import FileQueue
from tests.plugins.test_remote import Server, configure, forward, line, said, serve
from tests.programs import free_port, wait_for
from tests.remote.test_store import old_file

if TYPE_CHECKING:
    import socket

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.slow]
__all__ = ["forward", "serve"]  # fixtures

ONE = re.compile(rb"type=SYSCALL msg=audit\(1700000000.000:(\d+)\): arch=c000003e syscall=1")


def lines(first: int, end: int) -> list[bytes]:
    return [line(n) for n in range(first, end)]


def drained(queue: FileQueue) -> list[bytes]:
    return queue.take(queue.untaken)


def test_what_was_not_released_is_there_after_a_restart(tmp_path):
    queue = FileQueue(str(tmp_path / "spool" / "q"), 100)
    assert queue.put(lines(0, 10)) == 0
    assert queue.take(6) == lines(0, 6)
    queue.release(4)
    queue.close()
    again = FileQueue(str(tmp_path / "spool" / "q"), 100)
    assert drained(again) == lines(4, 10)
    assert again.notes == []
    assert (tmp_path / "spool" / "q").stat().st_mode & 0o777 == 0o600
    again.close()


def test_it_is_bounded(tmp_path):
    queue = FileQueue(str(tmp_path / "q"), 10)
    assert queue.put(lines(0, 15)) == 5
    assert queue.put(lines(0, 1)) == 1
    queue.take(3)
    queue.release(3)
    assert queue.put(lines(10, 12)) == 0
    queue.close()
    again = FileQueue(str(tmp_path / "q"), 10)
    assert drained(again) == lines(3, 12)
    again.close()


def test_another_depth_keeps_the_records(tmp_path):
    path = str(tmp_path / "q")
    for depth in (2000, 4000, 600, 10):
        queue = FileQueue(path, depth)
        queue.put(lines(queue.waiting, queue.waiting + 100))
        queue.close()
    assert drained(FileQueue(path, 4000)) == lines(0, 300)


def test_two_programs_cannot_use_it(tmp_path):
    path = str(tmp_path / "q")
    queue = FileQueue(path, 10)
    code = "import sys; from auditd_py.plugins.remote_store import *; FileQueue(sys.argv[1], 10)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=20)
    assert b"another program uses it" in done.stderr
    queue.close()


def test_a_link_or_a_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "q")
    for name in ("link", "."):
        with pytest.raises(LogError):
            FileQueue(str(tmp_path / name), 10)


def test_another_file_is_kept_aside_and_told(tmp_path):
    (tmp_path / "q").write_bytes(b"something else" * 1000)
    queue = FileQueue(str(tmp_path / "q"), 10)
    assert "not a queue of this program: kept as" in queue.notes[0]
    assert (tmp_path / "q.old").read_bytes().startswith(b"something else")
    queue.put([b"x"])
    queue.close()
    assert drained(FileQueue(str(tmp_path / "q"), 10)) == [b"x"]


def test_the_queue_of_debians_program_is_taken_over(tmp_path):
    (tmp_path / "q").write_bytes(old_file(lines(0, 20), 32, 25))
    queue = FileQueue(str(tmp_path / "q"), 10)
    assert "20 records of the C daemon's queue taken over" in queue.notes[0]
    assert drained(queue) == lines(0, 20)
    queue.close()
    assert drained(FileQueue(str(tmp_path / "q"), 100)) == lines(0, 20)


def test_a_full_disk_is_told(fault_fs, tmp_path):
    queue = FileQueue(str(fault_fs.place / "q"), 10)
    queue.put(lines(0, 1))
    fault_fs.fail("ENOSPC")
    with pytest.raises(LogError, match="No space left"):
        queue.put(lines(1, 2))
    rest = queue.in_memory()
    assert rest.take(9) == lines(0, 2)
    queue.close()


KILLED = """
import os, sys
from auditd_py.plugins.remote_store import FileQueue
queue = FileQueue(sys.argv[1], 5000, sync=False)
queue.take(queue.untaken)
n = int(sys.argv[2])
while True:
    texts = [b"%d" % (n + i) + b" " * (n * 7 % 300) for i in range(50)]
    surplus = queue.put(texts)
    n += 50 - surplus
    os.write(1, b"put %d\\n" % n)
    queue.take(50)
    if queue.waiting > 3000:
        os.write(1, b"releasing up to %d\\n" % (n - queue.waiting + 1000))
        queue.release(1000)
"""


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_loses_nothing_that_was_put(tmp_path, times):
    path, first = str(tmp_path / "q"), 1
    for n in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, path, str(first)], stdout=subprocess.PIPE
        )
        assert process.stdout
        said = process.stdout.read(200 + n * 997 % 5000)
        process.kill()
        said += process.stdout.read()
        process.wait()
        process.stdout.close()
        put = int(re.findall(rb"put (\d+)\n", said)[-1])
        released = [int(number) for number in re.findall(rb"releasing up to (\d+)\n", said)]
        queue = FileQueue(path, 5000)
        assert queue.notes == []
        numbers = [int(text) for text in drained(queue)]
        queue.close()
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= put - 1
        assert numbers[0] <= (released[-1] if released else first)
        first = numbers[-1] + 1


def test_what_a_program_could_not_send_its_successor_sends(serve, forward, tmp_path):
    settings = {"mode": "forward", "queue_file": tmp_path / "q"}
    port = free_port()
    plugin = forward(remote_server="127.0.0.1", port=port, **settings)
    plugin.send(*lines(0, 50))
    status, told = plugin.finish()
    assert status == 1
    assert f"50 records are not sent, kept in {tmp_path}/q" in told
    server = serve(port=port)
    plugin = forward(server, **settings)
    server.has(50)
    plugin.send(*lines(50, 60))
    assert plugin.finish() == (0, "")
    server.has(60)


def test_what_is_about_the_file_does_not_change_while_it_runs(serve, forward, tmp_path):
    server = serve()
    settings = {"mode": "forward", "queue_file": tmp_path / "q"}
    plugin = forward(server, **settings)
    plugin.send(line(0))
    server.has(1)
    configure(tmp_path, server, queue_depth=7, **settings)
    plugin.hang_up()
    said(plugin, "queue_depth: changes when the program is started again")
    plugin.send(line(1))
    assert plugin.finish()[0] == 0
    assert set(server.texts) == {line(0), line(1)}  # hung up before an answer, it sends again


def test_a_queue_that_cannot_be_used_is_what_its_action_says(serve, forward, tmp_path):
    server = serve()
    settings = {"mode": "forward", "queue_file": tmp_path}
    status, told = forward(server, **settings).wait()
    assert "the queue cannot be used" in told
    assert status == 1
    plugin = forward(server, queue_error_action="syslog", **settings)
    plugin.send(line(0))
    server.has(1)
    assert plugin.finish()[0] == 0


@pytest.mark.parametrize("times", [2, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.timeout(200)
def test_killed_under_load_everything_it_queued_arrives_and_nothing_torn(
    serve, start, tmp_path, times
):
    server = serve()
    configure(tmp_path, server, mode="forward", queue_file=tmp_path / "q", queue_sync="no")
    first = 0
    for n in range(times):
        plugin = start("remote", "-c", str(tmp_path / "remote.conf"))
        feeder = Feeder(plugin.input, first)
        enough = len(server.texts) + 500 + n % 7 * 300
        wait_for(partial(has_more_than, server, enough), "some arrive")
        plugin.process.kill()
        plugin.process.wait()
        first = feeder.end()
        queue = FileQueue(str(tmp_path / "q"), 2048)
        expected = drained(queue)
        queue.close()
        assert queue.notes == []
        plugin = start("remote", "-c", str(tmp_path / "remote.conf"))
        assert plugin.finish()[0] == 0
        # what was on the way when it was killed may come twice, the rest comes next
        assert server.texts[len(server.texts) - len(expected) :] == expected
    numbers = [int(ONE.fullmatch(text)[1]) for text in server.texts]  # type: ignore[index]
    runs = [b for a, b in pairwise(numbers) if b != a + 1]
    assert len(runs) <= 2 * times


def has_more_than(server: Server, amount: int) -> bool:
    return len(server.texts) > amount


class Feeder:
    """Sends numbered records until the other end is gone."""

    def __init__(self, where: socket.socket, first: int) -> None:
        self.count = 0
        self._where, self._first = where, first
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                at = self._first + self.count
                self._where.sendall(b"".join(line(n) + b"\n" for n in range(at, at + 20)))
                self.count += 20
        except OSError:
            pass

    def end(self) -> int:
        self._thread.join(10)
        return self._first + self.count


def test_numbers_and_the_name_of_the_stream_stay(tmp_path):
    path = str(tmp_path / "q")
    queue = FileQueue(path, 100)
    name = queue.stream
    assert (len(name), queue.first) == (16, 1)
    queue.put([b"a", b"b", b"c"])
    queue.take(2)
    queue.release(2)
    queue.close()
    for depth in (100, 5000):  # the latter makes another file
        queue = FileQueue(path, depth)
        assert (queue.stream, queue.first, queue.next(0)) == (name, 3, b"c")
        queue.close()
    queue = FileQueue(path, 5000)
    queue.rename(bytes(range(16)))
    queue.close()
    queue = FileQueue(path, 5000)
    assert (queue.stream, queue.first) == (bytes(range(16)), 3)
    queue.close()
