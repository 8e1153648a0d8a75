"""aureport --archive over 1, 10 and 100 million events: `python -m benchmarks.archive_reports`.

Writes a log of a million events (SYSCALL, CWD, one or two PATHs, PROCTITLE; 200 programs, 20,000
files of which few are most), archives it, and multiplies the archive: each copy is of another day,
with other times and serials, and as the archive's writer would have it but for `lines`, which no
report reads. Prints seconds, memory and bytes of each report; medians of --repeat runs.
Takes 8 GB below --folder, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Final

import duckdb

from auditd_py.archive import counts
from auditd_py.archive.commits import Commit, commit, load
from auditd_py.archive.place import place
from auditd_py.archive.schema import METADATA, VERSION

ROOT: Final = Path(__file__).parent.parent
BEGUN: Final = 1_700_006_400  # a midnight
EVENTS: Final = 1_000_000
DAY_S: Final = 86_400
DAY: Final = "day=2023-11-15"
FILES: Final = 20_000
PROGRAMS: Final = 200
REPORTS: Final = (
    ("-f", "--summary"),
    ("-x", "--summary"),
    (),
    ("-f", "--summary", "-ts", "2023-11-15T00:00:00Z", "-te", "2023-11-15T12:00:00Z"),
)
MOST_S, MOST_MIB = 3.0, 2048
WATCHED: Final = """
import json, os, resource, subprocess, sys, time
before = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - before
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([seconds, usage.ru_maxrss]), file=sys.stderr)
"""
STARTED: Final = "import sys; from auditd_py.cli.{0} import main; sys.exit(main())"


def write_log(path: Path, events: int) -> None:
    """Write a log of one day; the n-th file is named 1/n as often as the first."""
    chance = random.Random(7)
    files = [f"/usr/lib/python3/dist-packages/part{n % 997}/module_{n}.py" for n in range(FILES)]
    often = list(accumulate(1 / (n + 1) for n in range(FILES)))
    programs = [f"/usr/bin/tool{n:03d}" for n in range(PROGRAMS)]
    with path.open("w") as log:
        for n in range(events):
            ms = n * DAY_S * 1000 // events
            stamp = f"audit({BEGUN + ms // 1000}.{ms % 1000:03d}:{100_000 + n})"
            file = files[bisect(often, chance.random() * often[-1]) % FILES]
            program = programs[chance.randrange(PROGRAMS)]
            uid, pid = 1001 + chance.randrange(9), 1000 + chance.randrange(30_000)
            ids = " ".join(
                f"{name}={uid}"
                for name in "auid uid gid euid suid fsuid egid sgid fsgid".split()  # noqa: SIM905
            )
            told = "inode=77 dev=fe:01 mode=0100644 ouid=0 ogid=0 rdev=00:00"
            caps = "cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
            parent = f'type=PATH msg={stamp}: item=0 name="{file.rpartition("/")[0]}/" {told} nametype=PARENT {caps}\n'
            made = n % 5 == 0
            log.write(
                f"type=SYSCALL msg={stamp}: arch=c000003e syscall=257 success={'yes' if n % 11 else 'no'}"
                f" exit=3 a0=ffffff9c a1=7ff{chance.randrange(1 << 36):09x} a2=0 a3=0 items=1"
                f' ppid={pid - 1} pid={pid} {ids} tty=pts{n % 9} ses={uid} comm="{program[9:]}"'
                f' exe="{program}" subj=unconfined key="files"\n'
                f'type=CWD msg={stamp}: cwd="/home/user{uid}/work"\n{parent if made else ""}'
                f'type=PATH msg={stamp}: item={int(made)} name="{file}" {told}'
                f" nametype={'CREATE' if made else 'NORMAL'} {caps}\n"
                f"type=PROCTITLE msg={stamp}: proctitle={program.encode().hex().upper()}\n"
            )


def multiply(archive: Path, copies: int) -> None:
    """Make so many archives of one."""
    there = place(str(archive))
    state = load(there)
    (first,) = [file for file in state.files.values() if DAY in file.name]
    done = len(state.files)
    change = Commit()
    with duckdb.connect(config={"memory_limit": "2GiB"}) as connection:
        for copy in range(done, copies):
            day = time.strftime("day=%Y-%m-%d", time.gmtime(BEGUN + copy * DAY_S))
            base = os.path.basename(first.name)
            name = f"{os.path.dirname(first.name).replace(DAY, day)}/{base[:-12]}{copy:04}.parquet"
            seconds, order = copy * DAY_S, (copy * DAY_S * 1000) << 20
            shifted = (
                f'"order" + {order} AS "order", second + {seconds} AS second, '
                f"time + INTERVAL {copy} DAY AS time, (day + {copy})::DATE AS day, "
                f"serial + {copy * EVENTS} AS serial, ''::BLOB AS lines"
            )
            about = {"version": VERSION, "events": first.events}
            _copy(connection, archive / first.name, archive / name, shifted, json.dumps(about))
            _copy(
                connection,
                Path(counts.path_of(str(archive), first.name)),
                Path(counts.path_of(str(archive), name)),
                f"first + {order} AS first",
            )
            start, end = first.first + seconds, first.last + seconds
            change.add.append(replace(first, name=name, first=start, last=end))
    commit(there, state, change)


def _copy(
    connection: duckdb.DuckDBPyConnection, source: Path, target: Path, shifted: str, about: str = ""
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT * REPLACE ({shifted}) FROM read_parquet('{source}', hive_partitioning = false)) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 61440, "
        f"KV_METADATA {{ '{METADATA.decode()}': '{about}' }})"
    )


def size_of(archive: Path, *, of_counts: bool) -> int:
    return sum(
        path.stat().st_size
        for path in archive.rglob("*")
        if path.is_file() and (counts.FOLDER in path.parts) is of_counts
    )


def run(*words: str) -> tuple[float, float]:
    """Return seconds and MiB of aureport; a small process starts it, whose memory counts too."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, sys.executable, "-c", STARTED.format("aureport"), *words],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, kib = json.loads(done.stderr.splitlines()[-1])
    return seconds, kib / 1024


def measure(archive: Path, events: int, repeat: int) -> list[dict[str, object]]:
    rows = []
    sizes = size_of(archive, of_counts=False), size_of(archive, of_counts=True)
    for counted in (True, False):
        if not counted:
            os.rename(archive / counts.FOLDER, archive / ".set-aside")
        for report in REPORTS:
            got = [run(*report, "--archive", str(archive)) for _ in range(repeat if counted else 1)]
            row = {
                "events": events,
                "report": "aureport " + " ".join(report),
                "counts": counted,
                "seconds": [round(seconds, 2) for seconds, _ in got],
                "median_s": round(statistics.median(seconds for seconds, _ in got), 2),
                "mib": round(max(mib for _, mib in got)),
                "bytes": sizes[0],
                "bytes_of_counts": sizes[1],
            }
            print(json.dumps(row), flush=True)
            rows.append(row)
        if not counted:
            os.rename(archive / ".set-aside", archive / counts.FOLDER)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--folder", default="/var/tmp")
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="auditd_py-archive-", dir=wanted.folder))
    rows: list[dict[str, object]] = []
    try:
        log, archive = folder / "audit.log", folder / "archive"
        write_log(log, EVENTS)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", STARTED.format("archive"), str(log), str(archive)],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        stored = size_of(archive, of_counts=False)
        print(json.dumps({"log_bytes": log.stat().st_size, "stored_bytes": stored, "cpu_s": cpu}))
        log.unlink()
        for millions in sorted(wanted.millions):
            multiply(archive, millions)
            rows += measure(archive, millions * EVENTS, wanted.repeat)
    finally:
        shutil.rmtree(folder)
    last = [row for row in rows if row["report"] == "aureport -f --summary" and row["counts"]][-1]
    good = float(str(last["median_s"])) <= MOST_S and int(str(last["mib"])) <= MOST_MIB
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
