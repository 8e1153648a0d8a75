"""One host's records through a NATS cluster to a collector's disk, and straight over TCP beside it.

    python -m benchmarks.fleet [RECORDS [REPETITIONS]]

Plugins have the settings they are shipped with, mode = forward, and collectors flush =
INCREMENTAL_ASYNC.
The cluster is three servers on loopback that keep a stream in files, three times. All of it shares
the processors of this machine. Prints a line of JSON a run, and the medians.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.network import collector, cpu_s_of, end, feed, tail, write
from benchmarks.programs import LOG_PARENT, OURS, ROOT, ProgramError, end_with_parent
from benchmarks.rows import Who
from tests import slot
from tests.nats import Cluster, Publisher, ready
from tests.slot import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDS: Final = 400_000
REPETITIONS: Final = 3
QUIET_S: Final = 30.0
POLL_S: Final = 0.002


def measure(
    kind: str, records: int, prepare: Callable[[str, int], str], more: str
) -> dict[str, object]:
    """Return what came of `records`; `prepare` makes the settings of the plugin audisp-`kind`."""
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT)
        stack.callback(shutil.rmtree, folder)
        port, server = stack.enter_context(
            collector(Who.OURS, folder, "INCREMENTAL_ASYNC", OURS, (), more)
        )
        text = prepare(folder, port)
        plugin = stack.enter_context(forwarder(kind, folder, text))
        return through(kind, records, plugin, server.pid, os.path.join(folder, "audit.log"))


def through(
    kind: str, records: int, plugin: subprocess.Popen[bytes], collector_pid: int, log: str
) -> dict[str, object]:
    """Feed a plugin; return how long it took until the last record was in the log."""
    text = b"node=bench type=SYSCALL msg=audit(1700000000.000:%010d): arch=c000003e "
    data = b"".join((text % n).ljust(299, b"x") + b"\n" for n in range(records))
    last = b":%010d): " % (records - 1)
    started = time.monotonic()
    feeder = threading.Thread(target=feed, args=(plugin, data))
    feeder.start()
    size, moved_at = os.path.getsize(log), started
    while time.monotonic() - moved_at < QUIET_S and last not in tail(log):
        now = os.path.getsize(log)
        if now > size:
            size, moved_at = now, time.monotonic()
        time.sleep(POLL_S)
    took_s = time.monotonic() - started
    cpu_s = cpu_s_of(plugin.pid), cpu_s_of(collector_pid)
    feeder.join(QUIET_S)
    logged = Path(log).read_bytes().count(b"node=bench ")
    if logged != records:
        raise ProgramError(f"{kind}: {logged} of {records} records are in the log")
    return {
        "through": kind, "records": records, "took_s": round(took_s, 3),
        "records_per_s": round(records / took_s), "plugin_cpu_s": round(cpu_s[0], 3),
        "collector_cpu_s": round(cpu_s[1], 3),
    }  # fmt: skip


@contextlib.contextmanager
def forwarder(kind: str, folder: str, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a plugin with these settings."""
    path = os.path.join(folder, f"audisp-{kind}.conf")
    write(path, f"{text}mode = forward\nqueue_file = {folder}/queue\nqueue_depth = 65536\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "auditd_py", f"audisp-{kind}", "-c", path],
        cwd=ROOT, preexec_fn=end_with_parent, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.7)  # to start
    try:
        yield process
    finally:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        end(process)


def main(arguments: list[str]) -> int:
    """Measure both ways in turn."""
    numbers = [int(word) for word in arguments]
    records, repetitions = [*numbers, *(RECORDS, REPETITIONS)[len(numbers) :]]
    found: dict[str, list[int]] = {"nats": [], "remote": []}
    with slot.taken(), contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="auditd_py-bench-", dir=LOG_PARENT))
        stack.callback(shutil.rmtree, folder)
        cluster = Cluster(folder)
        stack.callback(cluster.end)
        ready(cluster)
        for number in range(repetitions):
            name = f"B{number}"
            publisher = Publisher(cluster.urls, name)
            stack.callback(publisher.close)
            publisher.make_stream()
            servers = " ".join(cluster.urls)
            nats = f"servers = {servers}\nstream = {name}\nsite = {name}\n"
            source = f"jetstream_url = {servers}\njetstream_stream = {name}\n"
            for run in (
                measure("nats", records, lambda _folder, _port, text=nats: text, source),  # type: ignore[misc]
                measure(
                    "remote", records, lambda _, p: f"remote_server = 127.0.0.1\nport = {p}\n", ""
                ),
            ):
                found[str(run["through"])].append(int(str(run["records_per_s"])))
                print(json.dumps(run), flush=True)
            publisher.attempt(lambda p=publisher: p.js.delete_stream(p.stream))  # type: ignore[misc]
    print(json.dumps({f"{kind} records/s": statistics.median(n) for kind, n in found.items()}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ProgramError, RefusedError) as error:
        sys.exit(f"benchmarks.fleet: {error}")
