"""aureport beside Debian's on the same logs: `python -m benchmarks.reports [--repeat N] [--quick]`.

The logs are those of benchmarks/search.py. First without an index, medians; a run of the C tool
that takes more than 20 s is not repeated. Then ours alone with indexes, of one log and of a
gigabyte in ten files. Exit status: 0 all targets met, 1 one missed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.search import EVENTS, LONG_S, PEERS, RATES, ROOT, Result, run, write_log

REPORTS: Final = ("-f --summary", "-x --summary", "-k --summary", "")
TIMES: Final = {"50/s": 2.0, "500/s": 3.0, "5,000/s": 15.0, "one second": 150.0}
INDEXED: Final = {1: (0.25, 300), 10: (1.0, 300)}  # files: seconds and MiB at most
INDEX_MB_S: Final = 60
TOTALS_TIMES: Final = 1.5  # the report of totals, where events are few a second


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="run the C tool once a row")
    parser.add_argument("--only", default="", help="rows whose name has this")
    arguments = parser.parse_args()
    if not (PEERS / "sbin" / "aureport").exists():
        subprocess.run(["sh", "tools/peers.sh"], cwd=ROOT, check=True)
    folder = Path(tempfile.mkdtemp(prefix="auditd_py-reports-", dir="/var/tmp"))
    missed = 0
    print("| report | C s | ours s | ours MiB | ratio | target | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    try:
        for name, rate in RATES.items():
            log = folder / "log"
            write_log(log, EVENTS, rate)
            for options in REPORTS:
                title = f"{options or 'totals'}, {name}"
                if arguments.only in title:
                    once = 1 if arguments.quick else arguments.repeat
                    missed += not _row(title, options, log, arguments.repeat, once)
            log.unlink()
        print("\n| with an index | s | MiB | target | |\n| --- | --- | --- | --- | --- |")
        for files in INDEXED:
            if arguments.only in "index":
                missed += _indexed(folder / f"{files}", files, arguments.repeat)
    finally:
        shutil.rmtree(folder)
    return 1 if missed else 0


def _row(title: str, options: str, log: Path, repeat: int, c_repeat: int) -> bool:
    """Print a row of the table; return whether its target is met."""
    ours, theirs = Result(), Result()
    for number in range(repeat):
        program = (sys.executable, "-m", "auditd_py.cli.aureport")
        run(program, options.split(), log, ours)
        if number < c_repeat and not (theirs.seconds and theirs.seconds[0] > LONG_S):
            run((str(PEERS / "sbin" / "aureport"),), options.split(), log, theirs)
    ratio = theirs.median / ours.median
    rate = title.rpartition(", ")[2]
    target = TOTALS_TIMES if not options and rate == "50/s" else TIMES[rate]
    print(
        f"| {title} | {theirs.median:.2f} | {ours.median:.3f} | {ours.mib:.0f} | {ratio:.1f} |"
        f" {target:g} x C | {'ok' if ratio >= target else 'MISS'} |",
        flush=True,
    )
    return ratio >= target


def _indexed(folder: Path, files: int, repeat: int) -> int:
    """Print the rows of reports from indexes, and of making them; return how many are missed."""
    folder.mkdir()
    events = EVENTS if files == 1 else 2 * EVENTS
    for number in range(files):
        write_log(folder / f"audit.log.{files - number}", events, RATES["50/s"], number * events)
    (folder / "audit.log").touch()
    size = sum(path.stat().st_size for path in folder.iterdir())
    began = time.monotonic()
    program = "auditd_py.daemon.index_program"
    subprocess.run([sys.executable, "-m", program, folder / "audit.log"], cwd=ROOT, check=True)
    speed = size / 1e6 / (time.monotonic() - began)
    missed = int(speed < INDEX_MB_S)
    verdict = "MISS" if missed else "ok"
    print(
        f"| making it, {size / 1e6:.0f} MB | {speed:.0f} MB/s | | {INDEX_MB_S} MB/s | {verdict} |"
    )
    most_s, most_mib = INDEXED[files]
    for options in REPORTS:
        ours = Result()
        for _ in range(repeat):
            run((sys.executable, "-m", "auditd_py.cli.aureport"), options.split(), folder, ours)
        ok = ours.median <= most_s and ours.mib <= most_mib
        missed += not ok
        print(
            f"| {options or 'totals'}, {size / 1e6:.0f} MB | {ours.median:.3f} | {ours.mib:.0f} |"
            f" {most_s:g} s, {most_mib} MiB | {'ok' if ok else 'MISS'} |",
            flush=True,
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
