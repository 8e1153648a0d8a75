"""What a rotation costs: `python -m benchmarks.rotation`.

How long the log's thread is away from its queue (p50, p99), and how far the kernel's backlog
grows at a steady load with and without rotations.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final

from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.log.flush import flush_policy
from auditd_py.log.incident import Condition, Response
from benchmarks.programs import LOG_PARENT, OURS, Load, Taker
from benchmarks.rows import Row, Who
from tests import slot

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident

ROTATIONS: Final = 1000
LINES: Final = b"x" * 255 + b"\n"
CHUNK: Final = 256  # lines: a batch
STEADY = Row("steady", "5,000 openat/s", (Who.OURS,), (), rate=5000, seconds=8)
SIGNALS_S: Final = 0.02


class _Deaf:
    def incident(self, incident: Incident) -> None:
        raise RuntimeError(str(incident))

    def log_recoverable(self) -> None: ...

    def log_rotated(self) -> None: ...

    def log_told(self, level: str, text: str) -> None: ...

    def log_has_space(self) -> None: ...


async def pauses(num_logs: int, flush: str, folder: str) -> list[float]:
    """Return how long each of many rotations of 1 MiB logs took, in milliseconds."""
    log = LogFile(asyncio.get_running_loop(), 64 << 20, _Deaf())
    policy = flush_policy(flush, 50 if flush.startswith("incremental") else 0)
    await log.open(
        LogSettings(
            os.path.join(folder, "audit.log"),
            0,
            policy,
            limit=1 << 20,
            num_logs=num_logs,
            responses={Condition.LOG_SIZE: Response.ROTATE},
        )
    )
    found: list[float] = []
    while len(found) < ROTATIONS:
        before = log.counters.rotations
        while log.counters.rotations == before:
            log.append(LINES * CHUNK, CHUNK)
            await asyncio.sleep(0)
            while log.waiting_bytes > 1 << 20:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0)
        found.append(log.counters.rotation_s * 1000)
    await log.close()
    return found


def backlog(rotate_every_s: float) -> tuple[int, int, int]:
    """Return the highest kernel backlog, what was lost, and the rotations under a steady load."""
    with slot.taken() as control, Taker(Who.OURS, STEADY, OURS) as taker:
        conf = os.path.join(taker.folder, "auditd.conf")
        with open(conf, encoding="ascii") as file:
            text = file.read().replace("num_logs = 0", "num_logs = 5")
        with open(conf, "w", encoding="ascii") as file:
            file.write(text)
        taker.ready(control)
        os.kill(taker.pid, signal.SIGHUP)
        slot.open_wide(control)
        try:
            with Load(
                STEADY, STEADY.rate * STEADY.seconds, os.path.join(taker.folder, "said")
            ) as load:
                control.add_rule(load.rule())
                time.sleep(1)
                lost = control.status().lost
                load.go()
                highest = rotations = 0
                end = time.monotonic() + STEADY.seconds
                due = time.monotonic()
                while time.monotonic() < end:
                    highest = max(highest, control.status().backlog)
                    if rotate_every_s and time.monotonic() >= due:
                        os.kill(taker.pid, signal.SIGUSR1)
                        rotations += 1
                        due = time.monotonic() + rotate_every_s
                    time.sleep(0.002)
                load.times()
                control.delete_rule(load.rule())
                return highest, control.status().lost - lost, rotations
        finally:
            slot.switch_off(control)


def main() -> int:
    """Print both tables."""
    print("| num_logs | flush | p50 ms | p99 ms | most ms |\n| --- | --- | --- | --- | --- |")
    for num_logs in (5, 99):
        for flush in ("none", "incremental_async"):
            folder = tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT)
            try:
                found = sorted(asyncio.run(pauses(num_logs, flush, folder)))
            finally:
                shutil.rmtree(folder)
            middle, high = statistics.median(found), found[len(found) * 99 // 100]
            print(
                f"| {num_logs} | {flush} | {middle:.3f} | {high:.3f} | {found[-1]:.3f} |",
                flush=True,
            )
    print("\n| 5,000 openat/s for 8 s | highest backlog | lost |\n| --- | --- | --- |")
    for every_s in (0.0, SIGNALS_S) * 3:
        highest, lost, rotations = backlog(every_s)
        print(f"| {rotations} rotations | {highest} | {lost} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
