"""auditd_py.daemon.logfile and secure_open, on real files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.errors import LogError
from auditd_py.log.flush import flush_policy
from tests.logs import NONE, Told

if TYPE_CHECKING:
    from pathlib import Path


class Log:
    """A LogFile and what it told."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.told = Told()
        self.file = LogFile(asyncio.get_running_loop(), limit, self.told)


async def test_lines_are_written_in_order(log_dir):
    log, path = Log(), log_dir / "audit.log"
    await log.file.open(LogSettings(str(path), 0, NONE))
    for i in range(2000):
        log.file.append(b"line %d\n" % i, 1)
    await log.file.close()
    assert path.read_bytes() == b"".join(b"line %d\n" % i for i in range(2000))
    assert log.file.counters.written == 2000
    assert log.file.counters.written_bytes == path.stat().st_size


async def test_a_new_log_is_for_root_alone(log_dir):
    log = Log()
    await log.file.open(LogSettings(str(log_dir / "audit.log"), 0, NONE))
    await log.file.close()
    assert stat.S_IMODE((log_dir / "audit.log").stat().st_mode) == 0o600


async def test_a_log_group_may_read_log_and_archives(log_dir):
    log, archive = Log(), log_dir / "audit.log.1"
    archive.write_bytes(b"old\n")
    await log.file.open(LogSettings(str(log_dir / "audit.log"), 4, NONE))
    await log.file.close()
    found = {p.name: (stat.S_IMODE(p.stat().st_mode), p.stat().st_gid) for p in log_dir.iterdir()}
    assert found == {"audit.log": (0o640, 4), "audit.log.1": (0o440, 4)}
    assert (stat.S_IMODE(log_dir.stat().st_mode), log_dir.stat().st_gid) == (0o750, 4)


@pytest.mark.parametrize("group", [0, 4])
async def test_a_log_that_exists_is_continued(log_dir, group):
    path = log_dir / "audit.log"
    path.write_bytes(b"before\n")
    log = Log()
    await log.file.open(LogSettings(str(path), group, NONE))
    log.file.append(b"after\n", 1)
    await log.file.close()
    assert path.read_bytes() == b"before\nafter\n"


async def test_a_torn_last_line_is_not_glued_to_the_next_record(log_dir):
    path = log_dir / "audit.log"
    path.write_bytes(b"whole\ntorn in the mid")
    log = Log()
    await log.file.open(LogSettings(str(path), 0, NONE))
    log.file.append(b"next\n", 1)
    await log.file.close()
    assert path.read_bytes() == b"whole\ntorn in the mid\nnext\n"
    assert log.file.counters.torn == 1


def _link(folder: Path) -> str:
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real")
    return f"{folder}/link/audit.log"


def _log_link(folder: Path) -> str:
    (folder / "audit.log").symlink_to(folder / "elsewhere")
    return f"{folder}/audit.log"


def _writable(folder: Path) -> str:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    return f"{folder}/open/audit.log"


def _foreign(folder: Path) -> str:
    (folder / "audit.log").touch()
    os.chown(folder / "audit.log", 65534, 0)
    return f"{folder}/audit.log"


def _fifo(folder: Path) -> str:
    os.mkfifo(folder / "audit.log")
    return f"{folder}/audit.log"


def _foreign_archive(folder: Path) -> str:
    (folder / "audit.log.1").touch()
    os.chown(folder / "audit.log.1", 65534, 0)
    return f"{folder}/audit.log"


def _missing(folder: Path) -> str:
    return f"{folder}/nowhere/audit.log"


def _dots(folder: Path) -> str:
    return f"{folder}/../audit.log"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_link, "is a symbolic link, which is not followed"),
        (_log_link, "is a symbolic link, which is not followed"),
        (_writable, "only root may be able to write"),
        (_foreign, "belongs to uid 65534"),
        (_fifo, "is not a regular file"),
        (_foreign_archive, "belongs to uid 65534"),
        (_missing, "No such file or directory"),
        (_dots, "may not contain"),
    ],
)
async def test_a_path_that_others_could_have_laid_is_refused(log_dir, prepare, reason):
    log = Log()
    with pytest.raises(LogError, match=reason):
        await log.file.open(LogSettings(prepare(log_dir), 0, NONE))
    await log.file.close()


async def test_a_refused_path_leaves_the_former_log_open(log_dir):
    log = Log()
    await log.file.open(LogSettings(str(log_dir / "audit.log"), 0, NONE))
    with pytest.raises(LogError):
        await log.file.open(LogSettings(_missing(log_dir), 0, NONE))
    log.file.append(b"still here\n", 1)
    await log.file.close()
    assert (log_dir / "audit.log").read_bytes() == b"still here\n"


@pytest.mark.parametrize(
    ("flush", "flag"), [("data", os.O_DSYNC), ("sync", os.O_SYNC), ("none", 0)]
)
async def test_flush_data_and_sync_open_the_file_so(log_dir, flush, flag):
    log, path = Log(), log_dir / "audit.log"
    await log.file.open(LogSettings(str(path), 0, flush_policy(flush, 0)))
    fds = [int(fd) for fd in os.listdir("/proc/self/fd") if _points_to(fd, path)]
    flags = fcntl.fcntl(fds[0], fcntl.F_GETFL) & os.O_SYNC
    await log.file.close()
    assert flags == flag


def _points_to(fd: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except OSError:
        return False


async def test_incremental_flushes_when_freq_records_are_written(log_dir):
    log = Log()
    await log.file.open(LogSettings(str(log_dir / "audit.log"), 0, flush_policy("incremental", 50)))
    for _ in range(4):
        log.file.append(b"x\n" * 49, 49)
        await log.file._do(lambda: None)  # each append a batch of its own
    flushes = log.file.counters.flushes
    await log.file.close()
    assert flushes == 2  # after 98 and 196 records


async def test_incremental_async_flushes_aside(log_dir):
    log = Log()
    settings = LogSettings(str(log_dir / "audit.log"), 0, flush_policy("incremental_async", 50))
    await log.file.open(settings)
    log.file.append(b"x\n" * 50, 50)
    while not log.file.counters.flushes:
        await asyncio.sleep(0)
    await log.file.close()
    assert log.file.counters.written == 50


FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


async def test_a_stalled_disk_stops_only_the_writer(log_dir, loop_mount):
    place = loop_mount(8)
    log = Log(limit=4096)
    await log.file.open(LogSettings(str(place / "audit.log"), 0, NONE))
    directory = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, FIFREEZE, struct.pack("i", 0))
        with blockbuster_ctx():
            log.file.append(b"x" * 4999 + b"\n", 1)
            log.file.append(b"y\n", 1)
            full_while_stalled = log.file.full
        assert full_while_stalled
        assert log.file.counters.written == 0
    finally:
        fcntl.ioctl(directory, FITHAW, struct.pack("i", 0))
        os.close(directory)
    await asyncio.wait_for(log.told.space.wait(), 20)
    assert not log.file.full
    await log.file.close()
    assert log.file.counters.written == 2
