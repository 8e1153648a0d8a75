"""ausearch beside Debian's on the same logs: `python -m benchmarks.search [--repeat N] [--quick]`.

Makes logs of about 48 MB (60,000 events of SYSCALL, CWD, PATH, PROCTITLE) at 50, 500 and 5,000
events a second and all in one second, and 1 GB in ten files; runs both programs in turns with
their output to /dev/null. Medians; a run of the C tool that takes more than 20 s is not repeated.
Exit status: 0 all targets met, 1 one missed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = Path(os.environ.get("PEERS", ROOT / ".cache" / "peers")).resolve()
EVENTS: Final = 60_000
BEGUN: Final = 1_700_000_000
LONG_S: Final = 20.0
# as the installed command does
STARTED: Final = "import sys; from auditd_py.cli.ausearch import main; sys.exit(main())"
RATES: Final = {"50/s": 50, "500/s": 500, "5,000/s": 5000, "one second": 0}


@dataclass(frozen=True)
class Case:
    """A search of one log, how many times as fast as the C tool it must be, or at most how long."""

    log: str
    options: tuple[str, ...]
    times: float = 0.0
    most_s: float = 0.0
    most_mib: float = 0.0

    @property
    def name(self) -> str:
        return f"{' '.join(self.options) or 'every event'}, {self.log}"


FEW: Final = (
    ("-k", "rare"), ("-m", "SYSCALL", "-k", "rare"), ("-f", "file123"), ("-x", "/usr/bin/tool07x"),
)  # fmt: skip
CASES: Final = (
    *(Case("50/s", options, 1.0) for options in FEW),
    *(Case("500/s", options, 5.0) for options in FEW),
    *(Case("5,000/s", options, 30.0) for options in FEW),
    *(Case("one second", options, 300.0) for options in FEW[:1]),
    Case("50/s", ("-ua", "1002", "-k", "rare"), 5.0),
    Case("50/s", ("--raw",), 0.5),
    Case("50/s", ("-i",), 0.8),
    Case("5,000/s", ("--raw",), 10.0),
    Case("5,000/s", ("-i",), 10.0),
    Case("10 records", (), most_s=0.12),
    Case("1 GB", ("-k", "rare"), most_s=1.5, most_mib=150),
    Case("1 GB", ("-f", "file123456"), most_s=1.5, most_mib=150),
)
GROWTH_MB: Final = (1, 10, 100, 1000)


@dataclass
class Result:
    """Seconds of each run, and the most memory of one in MiB."""

    cpu: bool = False  # seconds of the processor, where the machine does other things too
    seconds: list[float] = field(default_factory=list)
    mib: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def write_log(path: Path, events: int, rate: int, first: int = 0) -> None:
    """Write a log; with rate 0 all events are in one second."""
    chance = random.Random(first + 7)
    programs = [f"/usr/bin/tool{n:02d}{'x' if n == 7 else 'y'}" for n in range(60)]
    programs[7] = "/usr/bin/tool07y"
    files = [f"/srv/data/dir{n % 25}/file{n:03d}.txt" for n in range(700)]
    with path.open("w") as log:
        for n in range(first, first + events):
            ms = n * 1000 // rate if rate else (n - first) * 999 // events
            stamp = f"audit({BEGUN + ms // 1000}.{ms % 1000:03d}:{100_000 + n})"
            uid, program, file = (
                chance.choice((1001, 1002, 1003)),
                chance.choice(programs),
                chance.choice(files),
            )
            pid = 1000 + 7 * chance.randrange(500)
            key = "rare" if n % 6000 == 3000 else "files"
            ids = " ".join(
                f"{name}={uid}"
                for name in ["auid", "uid", "gid", "euid", "suid", "fsuid", "egid", "sgid", "fsgid"]
            )
            title = f"{program}\0{file}".encode().hex().upper()
            log.write(
                f"type=SYSCALL msg={stamp}: arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c"
                f" a1=7ff{chance.randrange(1 << 36):09x} a2=0 a3=0 items=1 ppid={pid - 1} pid={pid} {ids}"
                f' tty=pts{chance.randrange(9)} ses={uid - 1000} comm="{program[9:]}" exe="{program}"'
                f' subj=unconfined_u:unconfined_r:unconfined_t:s0 key="{key}"\n'
                f'type=CWD msg={stamp}: cwd="/home/user{uid}/work"\n'
                f'type=PATH msg={stamp}: item=0 name="{file}" inode={n % 700 + 5} dev=fe:01 mode=0100644'
                f" ouid={uid} ogid={uid} rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0"
                f" cap_frootid=0\n"
                f"type=PROCTITLE msg={stamp}: proctitle={title}\n"
            )


def make_logs(folder: Path) -> dict[str, Path]:
    """Return where each log is; a folder stands for a log with archives."""
    logs = {}
    for number, (name, rate) in enumerate(RATES.items()):
        logs[name] = folder / f"log{number}"
        write_log(logs[name], EVENTS, rate)
    logs["10 records"] = folder / "ten"
    with logs["50/s"].open() as log:
        logs["10 records"].write_text("".join([next(log) for _ in range(10)]))
    logs["1 GB"] = folder / "big"
    logs["1 GB"].mkdir()
    size = logs["50/s"].stat().st_size
    each = EVENTS * 100_000_000 // size
    for number in range(10):
        name = "audit.log" + (f".{9 - number}" if number < 9 else "")
        write_log(logs["1 GB"] / name, each, 500, number * each)
    for megabytes in GROWTH_MB[:-1]:
        logs[f"{megabytes} MB"] = folder / f"grow{megabytes}"
        write_log(logs[f"{megabytes} MB"], EVENTS * megabytes * 1_000_000 // size, 500)
    return logs


def run(program: Sequence[str], options: Sequence[str], log: Path, result: Result) -> None:
    """Run a search once."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    # compiled modules, as where it is installed
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / ".cache" / "compiled")
    libraries = sorted({str(found.parent) for found in PEERS.rglob("libau*.so.*")})
    environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*program, *options, "-if", str(log)], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    cpu_s = usage.ru_utime + usage.ru_stime
    result.seconds.append(cpu_s if result.cpu else time.perf_counter() - begun)
    result.mib = max(result.mib, usage.ru_maxrss / 1024)


def compare(
    case: Case, log: Path, repeat: int, *, quick: bool, cpu: bool
) -> tuple[Result, Result | None]:
    """Return what ours and the C tool took."""
    ours, theirs = Result(cpu), Result(cpu)
    program = (sys.executable, "-c", STARTED)
    for number in range(repeat):
        run(program, case.options, log, ours)
        slow = theirs.seconds and theirs.seconds[0] > LONG_S
        if case.times and not slow and not (quick and number):
            run((str(PEERS / "sbin" / "ausearch"),), case.options, log, theirs)
    return ours, theirs if theirs.seconds else None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="run the C tool once a row")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, on a busy machine")
    parser.add_argument(
        "--only", default="", help="rows whose name has one of these, with commas between"
    )
    arguments = parser.parse_args()
    if not (PEERS / "sbin" / "ausearch").exists():
        subprocess.run(["sh", "tools/peers.sh"], cwd=ROOT, check=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(tempfile.mkdtemp(prefix="auditd_py-search-", dir="/var/tmp"))
    try:
        logs = make_logs(folder)
        return _table(logs, arguments)
    finally:
        shutil.rmtree(folder)


def _table(logs: dict[str, Path], arguments: argparse.Namespace) -> int:
    repeat, only, cpu = arguments.repeat, arguments.only, arguments.cpu
    missed = 0
    print("| search | C s | ours s | ours MiB | ratio | target | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        if not any(part in case.name for part in only.split(",")):
            continue
        ours, theirs = compare(case, logs[case.log], repeat, quick=arguments.quick, cpu=cpu)
        ratio = theirs.median / ours.median if theirs else 0.0
        met = ratio >= case.times and (not case.most_s or ours.median <= case.most_s)
        met = met and (not case.most_mib or ours.mib <= case.most_mib)
        missed += not met
        target = f"{case.times:g} x C" if case.times else f"{case.most_s:g} s"
        target += f", {case.most_mib:g} MiB" if case.most_mib else ""
        print(
            f"| {case.name} | {f'{theirs.median:.2f}' if theirs else '-'} | {ours.median:.3f} |"
            f" {ours.mib:.0f} | {f'{ratio:.1f}' if theirs else '-'} | {target} |"
            f" {'ok' if met else 'MISS'} |",
            flush=True,
        )
    if not only:
        _growth(logs, repeat, cpu=cpu)
    return 1 if missed else 0


def _growth(logs: dict[str, Path], repeat: int, *, cpu: bool) -> None:
    print("\n| log | -k rare s | MiB | every event, --raw s | MiB |")
    print("| --- | --- | --- | --- | --- |")
    program = (sys.executable, "-c", STARTED)
    for megabytes in GROWTH_MB:
        log = logs["1 GB" if megabytes == 1000 else f"{megabytes} MB"]
        few, all_of = Result(cpu), Result(cpu)
        for _ in range(repeat):
            run(program, ("-k", "rare"), log, few)
        for _ in range(max(1, repeat // 2)):
            run(program, ("--raw",), log, all_of)
        print(
            f"| {megabytes:,} MB | {few.median:.2f} | {few.mib:.0f} |"
            f" {all_of.median:.2f} | {all_of.mib:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
