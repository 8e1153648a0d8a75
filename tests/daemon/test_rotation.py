"""Rotation of a real log: daemon/archives and the part of daemon/writer that rotates."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING

import pytest
import zstandard

from auditd_py.daemon.archives import Archives
from auditd_py.daemon.compressor import Compressor
from auditd_py.errors import LogError
from auditd_py.log.flush import flush_policy
from auditd_py.log.incident import Condition, Response
from tests.logs import Log

if TYPE_CHECKING:
    from pathlib import Path

ROTATE = {Condition.LOG_SIZE: Response.ROTATE}
KEEP = {Condition.LOG_SIZE: Response.KEEP_LOGS}


@pytest.fixture
async def log(log_dir):
    log = Log(log_dir / "audit.log")
    yield log
    await log.file.close()


async def test_a_log_that_reached_its_size_is_rotated(log):
    await log.open(limit=1000, num_logs=3, responses=ROTATE)
    for _ in range(10):
        log.append(lines=4)
    await log.settled()
    assert [len(log.numbers(path)) for path in log.archives()] == [12, 12, 4]
    assert log.numbers(log.archives()[0]) == list(range(12, 24))
    assert (log.told.rotations, log.file.counters.rotations) == (3, 3)


async def test_lines_that_came_together_still_fill_several_logs(log):
    await log.open(limit=1000, num_logs=100, responses=ROTATE)
    for _ in range(100):
        log.append(lines=5)  # one turn of the loop: the thread gets them at once
    await log.settled()
    sizes = [path.stat().st_size for path in log.archives()]
    assert sizes == [1000] * 50 + [0]


@pytest.mark.parametrize("num_logs", [0, 1])
async def test_below_two_logs_nothing_rotates(log, num_logs):
    await log.open(limit=1000, num_logs=num_logs, responses=ROTATE)
    log.append(lines=50)
    await log.settled()
    assert log.archives() == [log.path]
    assert len(log.numbers()) == 50


async def test_keep_logs_removes_nothing(log):
    await log.open(limit=1000, num_logs=2, responses=KEEP)
    for _ in range(30):
        log.append(lines=10)
    await log.settled()
    found = [number for path in log.archives() for number in log.numbers(path)]
    assert (len(log.archives()), found) == (31, list(range(300)))


@pytest.mark.parametrize(("group", "modes"), [(0, (0o400, 0o600)), (4, (0o440, 0o640))])
async def test_an_archive_cannot_be_written_to_any_more(log, group, modes):
    await log.open(group=group, limit=100, num_logs=5, responses=ROTATE)
    log.append()
    await log.settled()
    found = [path.stat() for path in log.archives()]
    assert tuple(stat.S_IMODE(one.st_mode) for one in found) == modes
    assert {one.st_gid for one in found} == {group}


async def test_on_request_the_given_line_begins_the_new_log(log):
    await log.open(num_logs=2)
    log.append(lines=3)
    assert await log.file.rotate(b"777\n")
    log.append()
    await log.settled()
    assert log.numbers() == [777, 3]
    assert log.numbers(log.archives()[0]) == [0, 1, 2]


async def test_on_request_nothing_rotates_below_two_logs(log):
    await log.open(num_logs=1)
    assert not await log.file.rotate(b"777\n")
    assert log.numbers() == []


@pytest.mark.parametrize("flush", ["none", "incremental", "incremental_async", "data", "sync"])
async def test_each_flush_mode_rotates(log, flush):
    policy = flush_policy(flush, 10 if "incremental" in flush else 0)
    await log.open(policy, limit=1000, num_logs=50, responses=ROTATE)
    for _ in range(40):
        log.append(lines=10)
    await log.settled()
    found = [number for path in log.archives() for number in log.numbers(path)]
    assert (found, log.file.counters.written) == (list(range(400)), 400)
    open_files = _open_files()
    assert sum(str(log.path) in name for name in open_files) <= 18  # the log, and what is flushed


def _open_files() -> list[str]:
    names = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
    return names


async def test_excess_archives_go_when_the_log_is_opened(log):
    for number in range(1, 8):
        (log.path.parent / f"audit.log.{number}").touch()
    await log.open(num_logs=4, limit=1 << 20, responses=ROTATE)
    await log.settled()
    assert [path.name for path in log.archives()] == [
        "audit.log.3", "audit.log.2", "audit.log.1", "audit.log",
    ]  # fmt: skip
    assert log.told.messages[0] == (
        "notice", f"Log {log.path}.4 removed as it exceeds num_logs parameter",
    )  # fmt: skip
    assert log.file.counters.removed == 4


async def test_archives_older_than_keep_days_go(log):
    long_ago = time.time() - 3 * 86400
    for number in (1, 2, 3):
        path = log.path.parent / f"audit.log.{number}"
        path.touch()
        if number > 1:
            os.utime(path, (long_ago, long_ago))
    await log.open(num_logs=9, keep_days=2)
    await log.tick()
    assert [path.name for path in log.archives()] == ["audit.log.1", "audit.log"]


async def test_archives_beyond_keep_total_go(log):
    await log.open(num_logs=99, limit=1000, responses=ROTATE, keep_total=3500)
    for _ in range(10):
        log.append(lines=10)
    await log.tick()
    assert len(log.archives()) == 4
    assert log.numbers(log.archives()[0])[0] == 70


async def test_a_log_from_before_the_last_round_time_is_rotated(log):
    log.path.write_bytes(b"1\n")
    yesterday = time.time() - 86400
    os.utime(log.path, (yesterday, yesterday))
    await log.open(num_logs=3, rotate_every="daily")
    await log.tick()
    assert [path.name for path in log.archives()] == ["audit.log.1", "audit.log"]


@pytest.mark.parametrize(("written", "rotate_every"), [(b"1\n", "weekly"), (b"", "1m")])
async def test_a_log_of_today_or_an_empty_one_is_not(log, written, rotate_every):
    log.path.write_bytes(written)
    if not written:
        os.utime(log.path, (0, 0))
    await log.open(num_logs=3, rotate_every=rotate_every)
    await log.tick()
    assert log.archives() == [log.path]


async def test_a_rotation_that_fails_leaves_the_log_in_use(log):
    await log.open(limit=1000, num_logs=3, responses=ROTATE)
    for number in (1, 2):
        (log.path.parent / f"audit.log.{number}").mkdir()
    log.append(lines=20)
    log.append(lines=20)
    await log.settled()
    assert log.numbers() == list(range(40))
    assert [(found.condition, found.function) for found in log.told.incidents] == [
        (Condition.DISK_ERROR, "rotate")
    ]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


async def test_a_folder_that_others_may_write_to_is_not_rotated_in(log_dir):
    folder = log_dir / "logs"
    folder.mkdir(0o700)
    log = Log(folder / "audit.log")
    await log.open(limit=1000, num_logs=3, responses=ROTATE)
    folder.chmod(0o777)
    log.append(lines=20)
    await log.file.close()
    assert log.archives() == [log.path]
    with pytest.raises(LogError, match="only root may be able to write"):
        Archives(str(log.path), 0).rotate(0, 3)


@pytest.mark.parametrize(
    ("form", "suffix", "unpack"),
    [
        ("gzip", ".gz", gzip.decompress),
        (
            "zstd",
            ".zst",
            lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        ),
    ],
)
async def test_archives_are_compressed_and_move_on(log, form, suffix, unpack):
    await log.open(limit=5000, num_logs=5, responses=ROTATE)
    compressor = Compressor(log.file)
    for _ in range(4):
        log.append(lines=50)
        await log.settled()
        await compressor.run(form)
    log.append(lines=50)
    await log.settled()
    assert [path.name.removeprefix("audit.log") for path in log.archives()] == [
        f".4{suffix}", f".3{suffix}", f".2{suffix}", ".1", "",
    ]  # fmt: skip
    oldest = log.archives()[0]
    lines = unpack(oldest.read_bytes()).split()
    assert [int(line) for line in lines] == list(range(50, 100))
    assert stat.S_IMODE(oldest.stat().st_mode) == 0o400
    assert (compressor.done, compressor.failed) == (4, 0)
    assert sorted(path.name for path in log.path.parent.iterdir()) == sorted(
        path.name for path in log.archives()
    )


async def test_who_asks_while_archives_are_compressed_waits_for_all_of_them(log):
    await log.open(limit=5000, num_logs=5, responses=ROTATE)
    compressor = Compressor(log.file)
    log.append(lines=50)
    await log.settled()
    first = asyncio.create_task(compressor.run("gzip"))
    await asyncio.sleep(0)
    assert compressor.busy
    log.append(lines=50)
    await log.settled()
    await compressor.run("gzip")
    found = [path.name for path in log.archives()]
    await first
    assert found == ["audit.log.2.gz", "audit.log.1.gz", "audit.log"]
    assert (compressor.done, compressor.failed) == (2, 0)


async def test_an_archive_that_moved_while_it_was_compressed_is_found_again(log):
    await log.open(limit=5000, num_logs=5, responses=ROTATE)
    log.append(lines=50)
    await log.settled()
    work = await log.file.begin_compression()
    assert work is not None
    os.write(work.target, b"packed")
    log.append(lines=50)
    await log.settled()
    assert await log.file.end_compression(work, ".gz") == f"{log.path}.2.gz"
    assert [path.name for path in log.archives()] == ["audit.log.2.gz", "audit.log.1", "audit.log"]


async def test_an_archive_that_is_gone_is_not_brought_back(log):
    await log.open(limit=5000, num_logs=2, responses=ROTATE)
    log.append(lines=50)
    await log.settled()
    work = await log.file.begin_compression()
    assert work is not None
    log.append(lines=50)
    await log.settled()
    assert await log.file.end_compression(work, ".gz") == ""
    assert sorted(path.name for path in log.path.parent.iterdir()) == ["audit.log", "audit.log.1"]


async def test_a_compression_that_fails_leaves_the_archive(log):
    await log.open(limit=5000, num_logs=5, responses=ROTATE)
    log.append(lines=50)
    await log.settled()
    compressor = Compressor(log.file)
    (log.path.parent / "audit.log.compressing").mkdir()
    log.append(lines=50)
    await log.settled()
    await compressor.run("gzip")
    assert compressor.failed == 1
    assert len(log.numbers(log.archives()[1])) == 50


async def test_compression_does_not_stop_the_log(log):
    await log.open(limit=1 << 20, num_logs=9, responses=ROTATE)
    log.append(lines=20000)
    await log.settled()
    compressing = asyncio.create_task(Compressor(log.file).run("gzip"))
    for _ in range(200):
        log.append()
        await log.settled()
    assert len(log.numbers()) == 200
    await compressing


def _serials(paths: list[Path]) -> list[int]:
    return [int(line) for path in paths for line in path.read_bytes().split()]


@pytest.mark.slow
@pytest.mark.parametrize("flush", ["none", "incremental_async"])
async def test_ten_thousand_rotations_lose_nothing(log, flush):
    """Each line once, none torn, never more files than num_logs, and all of it in order."""
    policy = flush_policy(flush, 50 if flush != "none" else 0)
    await log.open(policy, limit=4000, num_logs=5, responses=ROTATE)
    held: list[tuple[int, int]] = []  # first and last number of each log seen complete
    seen: set[int] = set()
    most = 0
    while log.file.counters.rotations < 10_000:
        for _ in range(7):
            log.append(lines=13)
        await log.settled()
        paths = log.archives()
        most = max(most, len(list(log.path.parent.iterdir())))
        for path in paths[:-1]:
            inode = path.stat().st_ino, path.stat().st_mtime_ns
            if hash(inode) not in seen:
                seen.add(hash(inode))
                numbers = log.numbers(path)
                assert numbers == list(range(numbers[0], numbers[-1] + 1))
                held.append((numbers[0], numbers[-1]))
        together = _serials(paths)
        assert together == list(range(together[0], log.appended))
    assert most <= 5
    assert log.file.counters.written == log.appended
    held.sort()
    assert all(b[0] == a[1] + 1 for a, b in itertools.pairwise(held))
    assert log.file.counters.unwritten == log.file.counters.errors == 0
