"""auditd-py archive and restore of one log: `python -m benchmarks.archive [LOG]`.

Without a log it writes one (benchmarks/search.py). Prints, of each run, seconds by the wall clock and
of the processor, megabytes of log a second of the processor, how many times as small the files of
events are, all files of the archive, and the most memory in MiB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.search import EVENTS, write_log

RATE: Final = 500
LEAST_MB_S, LEAST_RATIO = 30.0, 12.0


def main() -> int:
    """Return 1 if the medians miss the targets, or the log does not come back."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("log", nargs="?", type=Path)
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = chosen.log or Path(folder, "audit.log")
        if not chosen.log:
            write_log(log, 4 * EVENTS, RATE)
        runs = [measured(log, Path(folder)) for _ in range(chosen.repeat)]
    speed, ratio, same = (sorted(column)[len(runs) // 2] for column in zip(*runs, strict=True))
    print(f"median: {speed:.1f} MB/s of the processor, {ratio:.1f} times as small")
    return 0 if speed >= LEAST_MB_S and ratio >= LEAST_RATIO and same else 1


def measured(log: Path, folder: Path) -> tuple[float, float, bool]:
    """Archive and restore a log; return megabytes a second, times as small, and whether it is back."""
    archive, back = folder / "archive", folder / "back"
    size = log.stat().st_size
    seconds, cpu, most = run("archive", str(log), str(archive))
    speed = size / 1e6 / cpu
    files = [file for file in archive.rglob("*") if file.is_file()]
    stored = sum(file.stat().st_size for file in files)
    events = sum(file.stat().st_size for file in files if file.suffix == ".parquet")
    print(
        f"archive {size / 1e6:.1f} MB: {seconds:.2f} s, {cpu:.2f} s of the processor,"
        f" {speed:.1f} MB/s; {size / events:.1f} times as small,"
        f" {size / stored:.1f} with all files; {most:.0f} MiB"
    )
    seconds, cpu, most = run("restore", str(archive), str(back))
    same = (back / log.name).read_bytes() == log.read_bytes()
    print(f"restore: {seconds:.2f} s, {cpu:.2f} s of the processor; {most:.0f} MiB; same: {same}")
    shutil.rmtree(archive)
    shutil.rmtree(back)
    return speed, size / stored, same


def run(*words: str) -> tuple[float, float, float]:
    """Run auditd-py; return its seconds, those of the processor, and its most MiB."""
    before = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "auditd_py", *words], os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"auditd-py {words[0]}: {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - before, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
