"""Run the benchmarks: `python -m benchmarks --help`.

Exit status: 0 all targets met, 1 one missed, 2 not run or not finished.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from auditd_py.errors import AuditError
from benchmarks import report
from benchmarks.measure import Sample, events_of, measure
from benchmarks.network import measure_network
from benchmarks.programs import LOG_PARENT, OURS, ProgramError, compiled, peer_version
from benchmarks.rows import ROWS, Row, Who
from tests.slot import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn


def main() -> int:
    arguments = _arguments()
    if arguments.render:
        with open(arguments.render, encoding="utf-8") as saved:
            samples, facts = report.load(saved.read())
        return _say(samples, facts, arguments)
    if os.geteuid() != 0:
        return _refuse("only root may take the kernel's audit records")
    if report.file_system(LOG_PARENT) == "tmpfs":
        return _refuse(f"{LOG_PARENT} is in memory: flushing would cost nothing there")
    signal.signal(signal.SIGTERM, _interrupted)
    samples = []
    finished = False
    try:
        facts = report.machine_facts(peer_version())
        for name in ("floor", "load", "count", "senders"):
            compiled(name)
        _run_all(arguments, samples)
        finished = True
    except (RefusedError, ProgramError, AuditError) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        _refuse("interrupted")
    if not samples:
        return 2
    return _say(samples, facts, arguments) if finished else _say(samples, facts, arguments) or 2


def _run_all(arguments: argparse.Namespace, samples: list[Sample]) -> None:
    ours = tuple(shlex.split(arguments.ours)) if arguments.ours else OURS
    rows: list[Row] = [row for row in ROWS if row.name in arguments.rows]
    for row in rows:
        events = 0 if row.network else events_of(row)
        takers = [who for who in row.who if who in arguments.daemons]
        for repetition in range(arguments.repeat):
            turn = repetition % len(takers) if takers else 0
            for who in takers[turn:] + takers[:turn]:
                if row.network:
                    sample = measure_network(row, who, repetition, ours)
                else:
                    sample = measure(row, who, repetition, events, ours)
                samples.append(sample)
                print(_progress(sample), file=sys.stderr, flush=True)


def _progress(sample: Sample) -> str:
    drained = f"{sample.drained_s:.3f} s" if sample.drained_s else "not drained"
    return (
        f"{sample.row} {sample.repetition + 1} {sample.who}: {sample.events:,} events, {drained},"
        f" {sample.events_per_s:,.0f}/s, CPU {sample.cpu_s:.3f} s,"
        f" RSS {sample.rss_mib:.1f} MiB, missing {sample.missing}"
    )


def _say(samples: Sequence[Sample], facts: dict[str, str], arguments: argparse.Namespace) -> int:
    lines = report.verdicts(samples)
    print(report.table(lines))
    for path, text in (
        (arguments.json, report.dump(samples, facts)),
        (arguments.markdown, report.markdown(samples, facts)),
    ):
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    return int(any(line.met is False for line in lines))


def _refuse(why: str) -> int:
    print(f"benchmarks: {why}", file=sys.stderr)
    return 2


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        for word in words:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"{word}: one of {', '.join(allowed)}")
        return words

    return parse


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--rows", type=_words(names), default=names, metavar="NAME,...", help=", ".join(names)
    )
    parser.add_argument(
        "--daemons",
        type=_words(list(Who)),
        default=list(Who),
        metavar="NAME,...",
        help="c, ours, floor",
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions, 5")
    parser.add_argument("--ours", metavar="COMMAND", help="our daemon, without -n -c DIR")
    parser.add_argument("--json", metavar="FILE", help="write every repetition's figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables")
    parser.add_argument(
        "--from", dest="render", metavar="FILE", help="run nothing, show what --json wrote"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
