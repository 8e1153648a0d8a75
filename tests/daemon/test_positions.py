"""Nothing twice: what a collector knows of each stream, whenever it or the forwarder is killed."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.positions import Origin, Positions, Share
from auditd_py.remote.frame import encode, encode_records
from auditd_py.remote.stream import Position, hello, parse_answer, record_sum
from tests.daemon.test_collector import ACK, Sender, collector, message, port, sender
from tests.programs import Auditd, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

__all__ = ["collector", "port", "sender"]

NAME = bytes(range(16))
OTHER = bytes(range(1, 17))


def texts(first: int, last: int) -> list[bytes]:
    return [b"node=web1 type=TEST msg=audit(1.000:%d): n=%d" % (n, n) for n in range(first, last)]


def told(level: str, text: str) -> None:
    raise AssertionError(f"{level}: {text}")


def opened(folder: Path) -> Positions:
    return Positions(str(folder / "audit.log.positions"), told)


def known(positions: Positions, stream: bytes = NAME, following: int = 1) -> Position:
    found = positions.at(stream, following)
    assert found
    return found[1]


def begun(folder: Path, first: int, last: int, before: bytes = b"") -> bytes:
    """Note that some records are about to be written behind `before`; return their lines."""
    positions = opened(folder)
    log = folder / "audit.log"
    log.write_bytes(before)
    found = log.stat()
    at = positions.at(NAME, first)
    assert at
    lines = b"".join(text + b"\n" for text in texts(first, last))
    origin = Origin(at[0], record_sum(texts(first, last)[-1]))
    identity = (found.st_dev, found.st_ino)
    positions.begin(identity, len(before), [Share(origin, 0, lines)])
    positions.close()
    return lines


def test_wherever_a_write_was_cut_short_the_position_is_what_is_in_the_log(log_dir):
    before = b"type=OTHER msg=audit(1.000:1): x\n"
    lines = begun(log_dir, 5, 8, before)
    kept = (log_dir / "audit.log.positions").read_bytes()
    for cut in range(len(lines) + 1):
        (log_dir / "audit.log").write_bytes(before + lines[:cut])
        (log_dir / "audit.log.positions").write_bytes(kept)
        positions = opened(log_dir)
        assert known(positions).last == 4 + lines[:cut].count(b"\n")
        positions.close()
        assert known(opened(log_dir)).last == 4 + lines[:cut].count(b"\n")
    assert known(opened(log_dir)).sum == record_sum(texts(7, 8)[0])


def test_a_log_that_was_rotated_in_the_moment_of_the_kill_is_found(log_dir):
    lines = begun(log_dir, 1, 4)
    (log_dir / "audit.log").write_bytes(lines)
    (log_dir / "audit.log").rename(log_dir / "audit.log.1")
    (log_dir / "audit.log").write_bytes(b"x\n" * 50)
    assert known(opened(log_dir)).last == 3


def test_a_log_that_was_removed_has_nothing(log_dir):
    begun(log_dir, 1, 4)
    (log_dir / "audit.log").unlink()
    assert known(opened(log_dir)).last == 0


def test_of_a_write_that_failed_only_what_is_stored_counts(log_dir):
    positions = opened(log_dir)
    at = positions.at(NAME, 1)
    other = positions.at(OTHER, 1)
    assert at
    assert other
    lines = b"a\nbb\nccc\n"
    shares = [Share(Origin(at[0], 7), 0, lines), Share(Origin(other[0], 8), len(lines), lines)]
    positions.begin((1, 2), 100, shares)
    left = positions.stored(shares, 5)
    assert [(share.start, share.lines) for share in left] == [(0, b"ccc\n"), (4, lines)]
    assert (known(positions), known(positions, OTHER)) == (Position(2), Position(0))
    positions.begin((1, 3), 0, left)
    assert (known(positions), known(positions, OTHER)) == (Position(3, 7), Position(3, 8))


def test_a_file_that_is_damaged_is_no_reason_to_stop(log_dir):
    begun(log_dir, 5, 8)
    path = log_dir / "audit.log.positions"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert known(opened(log_dir)) == Position()


class Greeting(Sender):
    """A client that counts."""

    def greet(self, following: int, name: bytes = NAME) -> int:
        """Say which record comes next; return which one the server has."""
        self.socket.sendall(encode(1, 0, hello(name, following)))
        reply = self.reply()
        assert reply
        assert reply[:2] == (ACK, 0)
        position = parse_answer(reply[2])
        assert position
        return position.last


@pytest.fixture
def greeting(port: int) -> Iterator[Callable[..., Greeting]]:
    with contextlib.ExitStack() as stack:

        def connect() -> Greeting:
            client = Greeting(port)
            stack.callback(client.close)
            return client

        yield connect


def test_the_collector_says_what_it_has(collector, greeting):
    daemon = collector()
    first = greeting()
    assert first.greet(1) == 0
    first.socket.sendall(encode_records(texts(1, 4), 1))
    assert [first.reply() for _ in range(3)] == [(ACK, n, b"") for n in (1, 2, 3)]
    second = greeting()
    assert second.greet(1) == 3
    with contextlib.suppress(ConnectionResetError):
        assert first.reply() is None  # the newer one has the stream
    second.socket.sendall(encode_records(texts(4, 5), 1))
    assert second.reply() == (ACK, 1, b"")
    _again(daemon)
    assert greeting().greet(1) == 4
    assert greeting().greet(1, OTHER) == 0


def test_a_heartbeat_with_another_text_is_a_heartbeat(collector, sender):
    collector()
    client = sender()
    client.socket.sendall(message(b"auditd_py stream=1 next=1", 3, kind=1))
    assert client.reply() == (ACK, 3, b"")


def test_after_a_refused_record_nothing_is_taken_until_the_client_says_so(
    fault_fs, collector, greeting
):
    daemon = collector(log_file=fault_fs.place / "audit.log", disk_error_action="SYSLOG")
    client = greeting()
    client.greet(1)
    fault_fs.fail("EIO")
    client.socket.sendall(encode_records(texts(1, 2), 1))
    assert client.reply() == (0x60000002, 1, b"disk write error")
    fault_fs.fail("ok")
    wait_for(lambda: "resumed logging" in daemon.told(), "it goes on")
    client.socket.sendall(encode_records(texts(2, 3), 2))
    assert client.reply() == (0x60000002, 2, b"disk write error")
    assert client.greet(1) == 0
    client.socket.sendall(encode_records(texts(1, 3), 3))
    assert [client.reply() for _ in range(2)] == [(ACK, 3, b""), (ACK, 4, b"")]
    found = [line.serial for line in daemon.lines() if line.type == "TEST"]
    assert found == [1, 2]


class Forwarder:
    """Our audisp-remote with a queue that is filled before."""

    def __init__(self, folder: Path, port: int, **settings: object) -> None:
        self.conf = folder / "remote.conf"
        self.queue = folder / "queue"
        values = {
            "remote_server": "127.0.0.1", "port": port, "mode": "forward",
            "queue_file": self.queue, "queue_depth": 100_000, "queue_sync": "no",
            "network_failure_action": "ignore", "network_retry_time": 1,
            "remote_ending_action": "reconnect", "state_file": folder / "state",
            **settings,
        }  # fmt: skip
        self.conf.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auditd_py", "audisp-remote", "-c", str(self.conf)],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def fill(self, records: list[bytes]) -> None:
        """Put records into the queue while no server is there."""
        self.start()
        self.process.communicate(b"".join(text + b"\n" for text in records), timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flush", "by_node"), [("incremental_async", False), ("sync", False), ("none", True)]
)
def test_killed_again_and_again_every_record_is_there_exactly_once(  # noqa: PLR0917
    collector, log_dir, port, flush, by_node, request
):
    amount = 40_000
    forwarder = Forwarder(log_dir, port)
    records = texts(0, amount)
    if by_node:  # as of a relay
        records = [text.replace(b"web1", b"web%d" % (n // 7 % 3)) for n, text in enumerate(records)]
        (log_dir / "nodes").mkdir(mode=0o700)
    forwarder.fill(records)
    more = {"collector_log_dir": log_dir / "nodes"} if by_node else {}
    # small logs, so that some are rotated when the kill comes
    daemon: Auditd = collector(
        flush=flush, max_log_file=1, max_log_file_action="keep_logs", freq=50, ready=False,
        **more,
    )  # fmt: skip
    request.addfinalizer(forwarder.kill)
    dice = random.Random(7)
    daemon.wait_ready()
    forwarder.start()
    kills = 0
    while _lines(log_dir) < amount:
        before = _lines(log_dir)
        wait_for(lambda before=before: _lines(log_dir) > before, "it goes on")  # type: ignore[misc]
        time.sleep(dice.random() / 20)  # anywhere between two writes
        if dice.random() < 0.3:
            forwarder.kill()
            forwarder.start()
        else:
            _again(daemon)
        kills += 1
    forwarder.kill()
    assert kills > 3
    assert daemon.stop() == 0
    found = b"".join(path.read_bytes() for path in log_dir.rglob("audit.log*") if _log(path))
    numbers = [int(n) for n in re.findall(rb"type=TEST msg=audit\(1.000:\d+\): n=(\d+)\n", found)]
    assert len(numbers) == amount
    assert sorted(numbers) == list(range(amount))


def _again(daemon: Auditd) -> None:
    """Kill the daemon and start it again."""
    daemon.process.kill()
    daemon.process.wait()
    daemon._notify.close()
    daemon.start()
    daemon.wait_ready()


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"type=TEST") for path in folder.rglob("audit.log*")
               if _log(path))  # fmt: skip


def _log(path: Path) -> bool:
    return not path.name.endswith(".positions") and os.path.exists(path)
