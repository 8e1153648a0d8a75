"""What becomes of records when the disk of the log fails: daemon/writer on real file systems."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from auditd_py.log.flush import flush_policy
from auditd_py.log.incident import Condition, Response
from auditd_py.log.space import Limit
from tests.logs import Log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FaultFs

SIZE, SPACE, ADMIN = Condition.LOG_SIZE, Condition.SPACE_LEFT, Condition.ADMIN_SPACE_LEFT
FULL, ERROR = Condition.DISK_FULL, Condition.DISK_ERROR
GO_ON, ROTATE, SUSPEND = Response.GO_ON, Response.ROTATE, Response.SUSPEND
RESUMED = b"9999 unwritten=?\n"


def ballast(folder: Path, leave_kib: int) -> Path:
    """Fill the file system but for so many KiB."""
    path = folder / "ballast"
    found = os.statvfs(folder)
    size = found.f_bavail * found.f_frsize - (leave_kib << 10)
    with path.open("ab") as file:
        while size > 0:
            try:
                size -= file.write(bytes(min(size, 1 << 20)))
                file.flush()
            except OSError:
                break
    return path


def whole(log: Log) -> list[bytes]:
    """Return the log's lines; fails on a torn one."""
    lines = log.path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    return lines


async def resumed(log: Log) -> bytes:
    """Resume the log; return the line that tells how much is missing."""
    await log.file.resume(RESUMED)
    await log.settled()
    return next(line for line in reversed(whole(log)) if line.startswith(b"9999"))


@pytest.mark.parametrize("mount", ["loop_mount", "tmpfs_mount"])
@pytest.mark.parametrize("response", [GO_ON, SUSPEND])
async def test_a_full_disk_leaves_whole_lines_and_a_count(request, mount, response):
    place = request.getfixturevalue(mount)(8)
    log = Log(place / "audit.log", limit=4 << 20)
    await log.open(responses={FULL: response})
    filler = ballast(place, 600)  # ext4 keeps some of it for itself
    log.append(lines=9990)
    log.append(lines=10)
    await log.settled()
    counters = log.file.counters
    assert (log.file.suspended, log.file.failed) == (response is SUSPEND, response is GO_ON)
    assert 0 < counters.written < 9990
    assert counters.written + counters.unwritten == 10_000
    assert log.numbers() == list(range(counters.written))
    assert [found.condition for found in log.told.incidents][:1] == [FULL]
    filler.unlink()
    assert await resumed(log) == b"9999 unwritten=%d" % counters.unwritten
    log.append()
    await log.file.close()
    assert whole(log)[-1] == b"%099d" % 10_000


async def test_a_full_disk_is_tried_again_when_there_is_room(tmpfs_mount):
    place = tmpfs_mount(1)
    log = Log(place / "audit.log")
    await log.open()
    filler = ballast(place, 8)
    log.append(lines=500)
    await log.tick()
    assert (log.file.failed, log.told.recoverable.is_set()) == (True, False)
    filler.unlink()
    await log.tick()
    assert log.told.recoverable.is_set()
    unwritten = log.file.counters.unwritten
    assert await resumed(log) == b"9999 unwritten=%d" % unwritten
    await log.file.close()


async def test_a_full_disk_that_is_rotated_on_frees_the_oldest_archive(tmpfs_mount):
    place = tmpfs_mount(1)
    log = Log(place / "audit.log")
    await log.open(num_logs=9, limit=200_000, responses={SIZE: ROTATE, FULL: ROTATE, SPACE: GO_ON})
    for _ in range(60):
        log.append(lines=500)
        await log.settled()
    await log.file.close()
    assert log.file.counters.unwritten == 0
    numbers = [number for path in log.archives() for number in log.numbers(path)]
    assert numbers == list(range(numbers[0], 30_000))
    assert len(log.archives()) < 9


@pytest.mark.parametrize(
    ("name", "condition"),
    [("EIO", ERROR), ("EROFS", ERROR), ("EDQUOT", FULL)],
)
@pytest.mark.parametrize("response", [GO_ON, SUSPEND])
async def test_a_failing_disk_is_survived(fault_fs: FaultFs, name, condition, response):
    log = Log(fault_fs.place / "audit.log")
    await log.open(responses={condition: response})
    log.append(lines=3)
    await log.settled()
    fault_fs.fail(name)
    for _ in range(10):
        log.append(lines=2)
        await log.settled()
    counters = log.file.counters
    assert (counters.written, counters.unwritten, counters.errors) == (3, 20, 1)
    assert [(found.condition, found.function) for found in log.told.incidents] == [
        (condition, "write")
    ]
    assert log.told.incidents[0].reason != ""
    await log.tick()
    assert not log.told.recoverable.is_set() or response is GO_ON
    fault_fs.fail("ok")
    await log.tick()
    assert log.told.recoverable.is_set() == (response is GO_ON)
    assert await resumed(log) == b"9999 unwritten=20"
    log.append()
    await log.file.close()
    assert whole(log)[-1] == b"%099d" % 23
    assert len(whole(log)) == 5


async def test_a_failing_disk_is_told_five_times_in_a_row(fault_fs: FaultFs):
    log = Log(fault_fs.place / "audit.log")
    await log.open()
    fault_fs.fail("EIO")
    log.append()
    await log.settled()
    for _ in range(9):
        with pytest.raises(OSError, match="Input/output"):
            await log.file.resume(RESUMED)
        log.append()
        await log.settled()
    fault_fs.fail("ok")
    assert await resumed(log) == b"9999 unwritten=10"
    await log.file.close()
    assert len(log.told.incidents) <= 5


async def test_a_flush_that_fails_is_told(fault_fs: FaultFs):
    log = Log(fault_fs.place / "audit.log")
    await log.open(flush_policy("incremental_async", 1), responses={ERROR: SUSPEND})
    log.append()
    await log.settled()
    fault_fs.fail("EIO")
    await log.file.settle()
    await asyncio.sleep(0)
    assert [(found.condition, found.function) for found in log.told.incidents] == [(ERROR, "flush")]
    assert log.file.suspended
    await log.file.close()


async def test_a_blocked_disk_stops_nobody_else(fault_fs: FaultFs):
    log = Log(fault_fs.place / "audit.log", limit=1000)
    await log.open()
    fault_fs.fail("block")
    for _ in range(20):
        log.append()
    assert log.file.full
    assert log.file.counters.written == 0
    fault_fs.fail("ok")
    await asyncio.wait_for(log.told.space.wait(), 20)
    await log.file.close()
    assert log.numbers() == list(range(20))


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
async def test_a_log_that_lost_its_name_is_begun_anew_without_a_loss(log_dir, how):
    log = Log(log_dir / "audit.log")
    await log.open(responses={ERROR: GO_ON})
    log.append(lines=2)
    await log.settled()
    aside = log_dir / "aside"
    if how == "removed":
        log.path.unlink()
    else:
        log.path.rename(aside)
        if how == "replaced":
            log.path.touch()
    log.append(lines=3)
    await log.file.close()
    assert log.numbers() == [2, 3, 4]
    assert log.file.counters.unwritten == 0
    assert [found.condition for found in log.told.incidents] == [ERROR]
    if how != "removed":
        assert log.numbers(aside) == [0, 1]


async def test_a_log_that_lost_its_name_suspends_where_that_is_set(log_dir):
    log = Log(log_dir / "audit.log")
    await log.open(responses={ERROR: SUSPEND})
    log.path.unlink()
    log.append(lines=3)
    await log.settled()
    assert (log.file.suspended, log.file.counters.unwritten) == (True, 3)
    assert not log.path.exists()
    assert await resumed(log) == b"9999 unwritten=3"
    await log.file.close()


async def test_a_log_that_somebody_else_put_there_is_not_written_to(log_dir):
    log = Log(log_dir / "audit.log")
    await log.open(responses={ERROR: GO_ON})
    log.path.unlink()
    log.path.symlink_to(log_dir / "elsewhere")
    log.append(lines=3)
    await log.settled()
    assert (log.file.failed, log.file.counters.unwritten) == (True, 3)
    log.path.unlink()
    await log.tick()
    assert log.told.recoverable.is_set()
    assert await resumed(log) == b"9999 unwritten=3"
    await log.file.close()


async def test_a_folder_that_vanished_is_waited_for(log_dir):
    folder = log_dir / "logs"
    folder.mkdir(0o700)
    log = Log(folder / "audit.log")
    await log.open()
    log.path.unlink()
    folder.rmdir()
    log.append(lines=3)
    await log.tick()
    assert log.file.failed
    assert not log.told.recoverable.is_set()
    folder.mkdir(0o700)
    await log.tick()
    assert log.told.recoverable.is_set()
    assert await resumed(log) == b"9999 unwritten=3"
    await log.file.close()


async def test_each_threshold_is_told_in_turn(loop_mount):
    place = loop_mount(32)
    log = Log(place / "audit.log")
    await log.open(space_left=Limit(12), admin_space_left=Limit(6))
    told = []
    for leave_kib in (14 << 10, 11 << 10, 5 << 10, 0):
        ballast(place, leave_kib)
        log.append(lines=0 if leave_kib else 20_000)  # ext4 is full before nothing is free
        await log.tick()
        told.append([found.condition for found in log.told.incidents])
        log.told.incidents.clear()
    assert told == [[], [SPACE], [ADMIN], [FULL]]
    await log.file.close()


async def test_a_burst_does_not_jump_over_a_threshold(loop_mount):
    place = loop_mount(32)
    log = Log(place / "audit.log", limit=64 << 20)
    await log.open(
        space_left=Limit(8), admin_space_left=Limit(4), responses={SPACE: GO_ON, ADMIN: SUSPEND}
    )
    await log.tick()
    for _ in range(260):  # 26 MB, no tick comes in between
        log.append(lines=1000)
    await log.settled()
    assert [found.condition for found in log.told.incidents] == [SPACE, ADMIN]
    first, second = log.told.incidents
    assert first.free is not None
    assert second.free is not None
    assert 7 << 20 < first.free < first.limit == 8 << 20
    assert 3 << 20 < second.free < second.limit == 4 << 20
    assert log.file.suspended
    assert log.numbers() == list(range(log.file.counters.written))
    await log.file.close()


async def test_space_left_by_percent(loop_mount):
    place = loop_mount(32)
    log = Log(place / "audit.log")
    await log.open(space_left=Limit(50, percent=True), admin_space_left=Limit(10, percent=True))
    found = os.statvfs(place)
    ballast(place, (found.f_blocks * found.f_frsize >> 10) * 40 // 100)
    await log.tick()
    assert [found.condition for found in log.told.incidents] == [SPACE]
    await log.file.close()


async def test_a_rotation_for_space_goes_on_at_each_tick_until_there_is_enough(tmpfs_mount):
    place = tmpfs_mount(2)
    log = Log(place / "audit.log")
    for number in range(1, 6):
        (place / f"audit.log.{number}").write_bytes(b"x" * 99_999 + b"\n")
    await log.open(num_logs=9, space_left=Limit(1), responses={SPACE: ROTATE})
    ballast(place, 900)
    counts = []
    for _ in range(6):
        log.append()
        await log.tick()
        counts.append(len(log.archives()))
    assert counts[0] == 6
    assert log.file.counters.rotations >= 2
    assert os.statvfs(place).f_bavail * os.statvfs(place).f_frsize >= 1 << 20
    assert [found.condition for found in log.told.incidents] == [SPACE]
    await log.file.close()


async def test_a_size_that_suspends_is_told_once(log_dir):
    log = Log(log_dir / "audit.log")
    await log.open(limit=1000, responses={SIZE: SUSPEND})
    for _ in range(5):
        log.append(lines=10)
        await log.settled()
    assert (log.file.counters.written, log.file.counters.unwritten) == (10, 40)
    assert [found.condition for found in log.told.incidents] == [SIZE]
    await log.file.close()


async def test_a_size_that_is_ignored_is_told_each_time_it_is_reached_again(log_dir):
    log = Log(log_dir / "audit.log")
    await log.open(limit=1000, responses={SIZE: GO_ON})
    for _ in range(25):
        log.append(lines=1)
        await log.settled()
    assert log.file.counters.written == 25
    assert [found.size for found in log.told.incidents] == [1000, 2000]
    await log.file.close()
