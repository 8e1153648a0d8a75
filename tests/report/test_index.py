"""Indexes of archives: the same reports, and never a wrong one."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import aureport
from auditd_py.report.definitions import REPORTS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "data"
SUMMARIES = [[report.options[-1], "--summary"] for report in REPORTS if report.summary]
MORE = [
    [],
    ["-x", "--summary", "--by", "hour"],
    ["-u", "--summary", "--by", "day", "-i"],
    ["-f", "--summary", "--failed"],
    ["-k", "--summary", "--success", "--top", "3"],
    ["-s", "--summary", "-i", "--by", "node"],
    ["-e", "--summary", "-nc"],
    ["-m", "--summary", "--delete"],
    ["--summary", "-p", "--json"],
]

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def report(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., bytes]:
    def run(*arguments: object) -> bytes:
        aureport.main([str(word) for word in arguments])
        return capfdbinary.readouterr().out

    return run


def golden(name: str) -> bytes:
    with gzip.open(DATA / f"alpha-{name}.log.gz") as file:
        return file.read()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log.1"
    path.write_bytes(golden("enriched"))
    return path


def indexes(log: Path) -> list[Path]:
    return sorted((log.parent / ".idx").glob("*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["enriched", "raw"])
def test_all_counts_are_the_same_with_an_index(report, tmp_path, name):
    log = tmp_path / "audit.log.1"
    log.write_bytes(golden(name))
    for options in SUMMARIES + MORE:
        plain = report(*options, "-if", log, "--no-index")
        assert report(*options, "-if", log, "--index") == plain, options
    assert len(indexes(log)) == 1


def test_a_time_counts_the_same_with_an_index(report, log):
    seconds = sorted({line.split(b"audit(")[1].split(b".")[0]
                      for line in log.read_bytes().splitlines()})  # fmt: skip
    first, last = (float(seconds[len(seconds) * part // 3]) for part in (1, 2))
    when = [time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second)) for second in (first, last)]
    options = ["-x", "--summary", "-ts", when[0], "-te", when[1]]
    plain = report(*options, "-if", log, "--no-index")
    assert plain.count(b"\n") > 6
    assert report(*options, "-if", log, "--index") == plain


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_events_across_two_files_are_whole(report, tmp_path, seed):
    lines = golden("enriched").splitlines(keepends=True)
    cuts = sorted(random.Random(seed).sample(range(len(lines)), 2))
    whole, folder = tmp_path / "whole", tmp_path / "logs"
    whole.write_bytes(b"".join(lines))
    folder.mkdir()
    for name, start, end in zip(
        ("audit.log.2", "audit.log.1", "audit.log"), [0, *cuts], [*cuts, None], strict=True
    ):
        (folder / name).write_bytes(b"".join(lines[start:end]))
    for options in (["-f", "--summary"], ["-e", "--summary"], []):
        plain = report(*options, "-if", whole, "--no-index")
        assert report(*options, "-if", folder, "--index") == plain
    assert len(indexes(folder / "audit.log")) == 3


def test_an_index_is_not_trusted_when_the_log_changed(report, log):
    report("-x", "--summary", "-if", log, "--index")
    text = log.read_bytes()
    status = log.stat()
    log.write_bytes(text.replace(b'exe="/usr/bin/', b'exe="/opt/bin/'))  # as long as before
    os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    told = report("-x", "--summary", "-if", log, "--index")
    assert b"/opt/bin/" in told
    assert told == report("-x", "--summary", "-if", log, "--no-index")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _spoilt(data: bytes) -> bytes:
    return data[:2000] + bytes(500) + data[2500:]


def _foreign(_data: bytes) -> bytes:
    return b"PAR1 but nothing else PAR1"


@pytest.mark.parametrize("spoil", [_cut, _spoilt, _foreign, lambda _data: b""])
def test_a_file_that_is_no_index_of_the_log_changes_no_report(report, log, spoil):
    plain = report("-f", "--summary", "-if", log, "--no-index")
    report("-f", "--summary", "-if", log, "--index")
    (index,) = indexes(log)
    index.write_bytes(spoil(index.read_bytes()))
    assert report("-f", "--summary", "-if", log, "--index") == plain
    assert report("-f", "--summary", "-if", log, "--index") == plain


def test_an_index_that_others_may_write_is_not_read(report, log):
    report("-f", "--summary", "-if", log, "--index")
    (index,) = indexes(log)
    inode = index.stat().st_ino
    index.chmod(0o666)
    plain = report("-f", "--summary", "-if", log, "--no-index")
    assert report("-f", "--summary", "-if", log, "--index") == plain
    assert indexes(log)[0].stat().st_ino != inode


def test_an_index_follows_its_log_and_goes_with_it(report, log):
    report("-f", "--summary", "-if", log, "--index")
    before = indexes(log)
    moved = log.rename(log.with_name("audit.log.2"))
    plain = report("-f", "--summary", "-if", moved, "--no-index")
    assert report("-f", "--summary", "-if", moved, "--index") == plain
    assert indexes(log) == before
    moved.unlink()
    log.write_bytes(golden("raw"))
    report("-f", "--summary", "-if", log, "--index")
    assert len(indexes(log)) == 1
    assert indexes(log) != before or log.stat().st_ino == int(before[0].stem.split("-")[1])


@pytest.mark.slow
def test_two_that_make_it_at_once_do_not_disturb_each_other(log):
    command = [sys.executable, "-m", "auditd_py.cli.aureport", "-f", "--summary", "--index"]
    runs = [
        subprocess.Popen([*command, "-if", str(log)], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    told = {run.communicate(timeout=60)[0] for run in runs}
    assert len(told) == 1
    assert len(told.pop()) > 1000
    assert [path.suffix for path in (log.parent / ".idx").iterdir()] == [".parquet"]


def test_without_the_packages_there_is_no_index_and_the_same_report(log):
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from auditd_py.cli import aureport\n"
        "sys.exit(aureport.main(sys.argv[1:]))"
    )
    options = ["-f", "--summary", "--index", "-if", str(log)]
    without = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=ROOT, capture_output=True, timeout=60
    )
    assert b"--index needs more packages" in without.stderr
    assert not (log.parent / ".idx").exists()
    having = subprocess.run(
        [sys.executable, "-m", "auditd_py.cli.aureport", *options],
        cwd=ROOT, capture_output=True, timeout=60,
    )  # fmt: skip
    assert having.stdout == without.stdout
    assert indexes(log)


def test_small_archives_and_open_logs_get_none_by_themselves(report, log):
    shutil.copy(log, log.with_name("audit.log"))
    log.write_bytes(log.read_bytes()[:100_000])
    report("-f", "--summary", "-if", log)
    report("-f", "--summary", "-if", log.with_name("audit.log"))
    assert not (log.parent / ".idx").exists()


def test_a_compressed_archive_has_one_too(report, log):
    packed = log.with_name("audit.log.1.gz")
    packed.write_bytes(gzip.compress(log.read_bytes(), 1))
    plain = report("-f", "--summary", "-if", packed, "--no-index")
    assert report("-f", "--summary", "-if", packed, "--index") == plain
    assert report("-f", "--summary", "-if", packed, "--index") == plain
    assert indexes(packed)
