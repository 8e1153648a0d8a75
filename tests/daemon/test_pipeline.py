"""auditd_py.daemon.pipeline: order, and names that are not known yet."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.daemon.names import NameService
from auditd_py.daemon.pipeline import Pipeline
from auditd_py.log.flush import flush_policy
from auditd_py.netlink.datagram import Batch
from auditd_py.record.enrich import Enricher
from auditd_py.record.line import LineFormatter
from tests.logs import Told
from tests.programs import parse_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SYSCALL, USER_MGMT, ADD_USER, TEST = 1300, 1102, 1114, 1120


class Accounts:
    """The user names of a machine: a name service that can be made to wait."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.answers = threading.Event()
        self.answers.set()

    def find(self, uid: int) -> pwd.struct_passwd:
        assert self.answers.wait(60)
        return pwd.struct_passwd((self.names[uid], "x", uid, uid, "", "/", "/bin/sh"))


class Way:
    """A pipeline with a log, as the daemon has it."""

    def __init__(self, log: Path, enricher: Enricher | None) -> None:
        loop = asyncio.get_running_loop()
        self.log = log
        self.ready = 0
        self.file = LogFile(loop, 1 << 20, Told())
        formatter = LineFormatter(b"", enricher)
        self.pipeline = Pipeline(formatter, self.file, NameService(loop), self._ready)
        self._batch = Batch()
        self._serial = 0

    def _ready(self) -> None:
        self.ready += 1

    def take(self, *records: tuple[int, bytes]) -> bool:
        """Give the pipeline one batch; return whether it wants more."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            for kind, text in records:
                self._serial += 1
                data = b"audit(1.000:%d): %s" % (self._serial, text)
                theirs.send(struct.pack("=IHHII", len(data), kind, 0, 0, 0) + data)
            assert self._batch.receive(ours.fileno()) == len(records)
        return self.pipeline.batch(self._batch)

    async def lines(self) -> list[tuple[str, int, str]]:
        """Return type, serial and added names of what the log has when nothing waits."""
        await self.pipeline.settle()
        await self.file.settle()
        found = parse_log(self.log.read_bytes())
        return [(line.type, line.serial, line.text.partition("\x1d")[2]) for line in found]


@pytest.fixture
def accounts(monkeypatch) -> Iterator[Accounts]:
    found = Accounts()
    monkeypatch.setattr(pwd, "getpwuid", found.find)
    yield found
    found.answers.set()


@pytest.fixture(params=[True])
async def way(tmp_path: Path, request) -> AsyncIterator[Way]:
    log = tmp_path / "log"
    made = Way(log, Enricher() if request.param else None)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    await made.file.open(LogSettings(None, 0, flush_policy("none", 0), descriptor))
    os.close(descriptor)
    try:
        yield made
    finally:
        await made.pipeline.settle()
        await made.file.close()


def by(uid: int) -> bytes:
    return b"uid=%d" % uid


async def test_records_keep_their_order_while_names_are_looked_up(way: Way, accounts: Accounts):
    accounts.names = {7: "seven", 8: "eight"}
    accounts.answers.clear()
    assert way.take((TEST, by(0)))
    assert not way.take((TEST, by(7)))
    assert not way.take((TEST, by(0)))
    way.pipeline.daemon_record(1203, "op=test")
    assert not way.take((TEST, by(8)), (TEST, by(0)))
    await way.file.settle()
    assert [line.serial for line in parse_log(way.log.read_bytes())] == [1]
    accounts.answers.set()
    found = await way.lines()
    assert [kind for kind, _, _ in found] == ["TEST"] * 3 + ["DAEMON_CONFIG"] + ["TEST"] * 2
    assert [serial for kind, serial, _ in found if kind == "TEST"] == [1, 2, 3, 4, 5]
    assert [names for kind, _, names in found if kind == "TEST"] == [
        'UID="root"', 'UID="seven"', 'UID="root"', 'UID="eight"', 'UID="root"'
    ]  # fmt: skip


async def test_the_source_is_told_when_nothing_is_held_any_more(way: Way, accounts: Accounts):
    accounts.names = {7: "seven"}
    accounts.answers.clear()
    assert not way.take((TEST, by(7)))
    assert way.ready == 0
    accounts.answers.set()
    await way.pipeline.settle()
    assert way.ready == 1
    assert way.take((TEST, by(7)))


async def test_a_name_that_is_known_holds_nothing_up(way: Way, accounts: Accounts):
    accounts.names = {7: "seven"}
    way.take((TEST, by(7)))
    await way.pipeline.settle()
    accounts.answers.clear()
    assert way.take((TEST, by(7)))
    await way.file.settle()
    assert [line.serial for line in parse_log(way.log.read_bytes())] == [1, 2]


async def test_a_batch_held_survives_the_next_receive(way: Way, accounts: Accounts):
    accounts.names = dict.fromkeys(range(1, 300), "one")
    accounts.answers.clear()
    for first in range(1, 251, 5):
        # every call overwrites the slots of the one before
        way.take(*[(TEST, by(first + i)) for i in range(5)])
    accounts.answers.set()
    assert [serial for _, serial, _ in await way.lines()] == list(range(1, 251))


async def test_a_new_user_is_named_from_the_record_that_adds_it(way: Way, accounts: Accounts):
    way.take((TEST, by(7)))
    await way.pipeline.settle()
    accounts.names = {7: "seven"}
    way.take((TEST, by(7)), (ADD_USER, by(7)), (TEST, by(7)))
    assert [names for _, _, names in await way.lines()] == [
        'UID="unknown(7)"', 'UID="unknown(7)"', 'UID="seven"', 'UID="seven"'
    ]  # fmt: skip


async def test_a_changed_user_has_the_old_name_in_the_record_that_changes_it(
    way: Way, accounts: Accounts
):
    accounts.names = {7: "old"}
    way.take((TEST, by(7)))
    await way.pipeline.settle()
    accounts.names = {7: "new"}
    way.take((TEST, by(7)), (USER_MGMT, by(7)), (TEST, by(7)))
    assert [names for _, _, names in await way.lines()] == [
        'UID="old"', 'UID="old"', 'UID="old"', 'UID="new"'
    ]  # fmt: skip


@pytest.mark.parametrize("way", [False], indirect=True)
async def test_raw_records_are_never_held(way: Way, accounts: Accounts):
    accounts.answers.clear()
    assert way.take((TEST, by(7)), (ADD_USER, by(7)), (TEST, by(7)))
    assert await way.lines() == [
        ("TEST", 1, ""), ("ADD_USER", 2, ""), ("TEST", 3, "")
    ]  # fmt: skip


async def test_records_of_the_daemons_own_are_numbered_one_by_one(way: Way):
    for _ in range(3):
        way.pipeline.daemon_record(1203, "op=test")
    serials = [serial for _, serial, _ in await way.lines()]
    assert serials == [serials[0], serials[0] + 1, serials[0] + 2]


async def test_with_no_log_records_are_taken_and_dropped(way: Way):
    way.pipeline.log_file = None
    assert way.take((TEST, by(0)))
    assert await way.lines() == []
