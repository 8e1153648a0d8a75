"""A fleet on one machine: hosts, a NATS cluster, collectors, an archive, reports: make fleet-demo.

Three hosts, whose records are made up, publish to three servers; two collectors share them; a server
is killed meanwhile. What the collectors wrote becomes one archive, and reports are asked of it.
Everything is in one folder, and nothing touches this machine's own audit.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.nats import Cluster, Publisher, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("/var/lib/auditd_py-demo")  # a log's path is root's alone, a checkout's often is not
EVENTS = 20_000  # of each host
BEGUN = 1_700_000_000
RECORDS = 4  # of an event
LIMIT_S = 90.0
FEED_S, FEED_STEPS = 5.0, 50

# what runs on each host, the most frequent first; and which files it opens
PROGRAMS = {
    "web1": ("nginx", "php-fpm", "curl", "logrotate", "sshd"),
    "web2": ("nginx", "php-fpm", "certbot", "sshd", "vim"),
    "db1": ("postgres", "pg_dump", "gzip", "sshd", "sudo"),
}
FILES = {
    "nginx": "/var/www/index.html", "php-fpm": "/var/www/app.php", "curl": "/etc/resolv.conf",
    "logrotate": "/var/log/nginx/access.log", "sshd": "/etc/shadow", "certbot": "/etc/ssl/key.pem",
    "vim": "/etc/nginx/nginx.conf", "postgres": "/var/lib/postgresql/data", "sudo": "/etc/sudoers",
    "pg_dump": "/var/backups/db.sql", "gzip": "/var/backups/db.sql.gz",
}  # fmt: skip


def write_records(path: Path, node: str) -> None:
    """Write the records of a host, as its daemon gives them to the plugin."""
    chance = random.Random(node)
    programs = PROGRAMS[node]
    often = [1 / (n + 1) ** 2 for n in range(len(programs))]
    with path.open("w") as log:
        for n, program in enumerate(chance.choices(programs, often, k=EVENTS)):
            ms = n * 86_400_000 // EVENTS
            stamp = f"audit({BEGUN + ms // 1000}.{ms % 1000:03d}:{1000 + n})"
            uid, pid = chance.choice((0, 33, 1000)), 1000 + chance.randrange(9000)
            ids = f"auid=1000 uid={uid} gid={uid} euid={uid} suid={uid} fsuid={uid}"
            log.write(
                f"type=SYSCALL msg={stamp}: arch=c000003e syscall=257"
                f" success={'yes' if chance.random() < 0.97 else 'no'} exit=3 a0=ffffff9c a1=7ffc"
                f" a2=0 a3=0 items=1 ppid=1 pid={pid} {ids} egid={uid} sgid={uid} fsgid={uid}"
                f' tty=(none) ses=3 comm="{program}" exe="/usr/bin/{program}" key="files"\n'
                f'type=CWD msg={stamp}: cwd="/"\n'
                f'type=PATH msg={stamp}: item=0 name="{FILES[program]}" inode=7 dev=fe:01'
                f" mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL\n"
                f"type=PROCTITLE msg={stamp}: proctitle={program.encode().hex().upper()}\n"
            )


def settings(path: Path, **values: object) -> Path:
    """Write a file of settings."""
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))
    path.chmod(0o640)
    return path


def command(*words: object) -> list[str]:
    """Return a command of this package."""
    return [sys.executable, "-m", "auditd_py", *map(str, words)]


@contextlib.contextmanager
def collector(folder: Path, urls: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a collector, whose log is in `folder`."""
    (folder / "conf").mkdir(parents=True)
    settings(
        folder / "conf" / "auditd.conf", local_events="no", log_file=folder / "audit.log",
        run_dir=folder / "run", jetstream_url=" ".join(urls), jetstream_collector=folder.name,
        jetstream_lease=3, plugin_dir=folder / "conf" / "plugins.d", max_log_file=1000,
        space_left=2, admin_space_left=1, space_left_action="IGNORE", admin_space_left_action="IGNORE",
    )  # fmt: skip
    with (folder / "messages").open("wb") as messages:
        daemon = subprocess.Popen(
            command("auditd", "-n", "-c", folder / "conf"), cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
        )  # fmt: skip
    try:
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait(20)


def host(folder: Path, node: str, urls: list[str]) -> subprocess.Popen[bytes]:
    """Run the plugin of a host with its records."""
    folder.mkdir(parents=True)
    write_records(folder / "records", node)
    path = settings(
        folder / "audisp-nats.conf", servers=" ".join(urls), node_name=node, message_size=32,
        queue_file=folder / "queue", state_file=folder / "state", queue_depth=131072,
    )  # fmt: skip
    plugin = subprocess.Popen(
        command("audisp-nats", "-c", path), cwd=ROOT, stdin=subprocess.PIPE, bufsize=0
    )
    threading.Thread(target=feed, args=(plugin, folder / "records"), daemon=True).start()
    return plugin


def feed(plugin: subprocess.Popen[bytes], records: Path) -> None:
    """Give a plugin its records over some seconds, and leave its input open."""
    assert plugin.stdin
    lines = records.read_bytes().splitlines(keepends=True)
    share = len(lines) // FEED_STEPS
    for n in range(0, len(lines), share):
        rest = memoryview(b"".join(lines[n : n + share]))
        while rest:
            rest = rest[plugin.stdin.write(rest) :]
        time.sleep(FEED_S / FEED_STEPS)


def carry(folder: Path) -> None:
    """Have the records of all hosts go to the collectors."""
    cluster = Cluster(folder)
    publisher = None
    logs = [folder / "log1", folder / "log2"]
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.end)
        say("three servers of NATS", *cluster.urls)
        ready(cluster)
        publisher = Publisher(cluster.urls, "AUDIT")
        stack.callback(publisher.close)
        publisher.make_stream(subjects=["audit.*.*"])
        say("two collectors", *logs)
        collectors = [stack.enter_context(collector(log, cluster.urls)) for log in logs]
        say(f"three hosts, {EVENTS:,} events each", *PROGRAMS)
        hosts = [host(folder / node, node, cluster.urls) for node in PROGRAMS]
        deadline = time.monotonic() + LIMIT_S
        while not all(map(written, logs)) and time.monotonic() < deadline:
            for log, daemon in zip(logs, collectors, strict=True):
                if daemon.poll() is not None:
                    said = (log / "messages").read_text()
                    raise SystemExit(f"the collector {log.name} has ended:\n{said}")
            time.sleep(0.05)
        leader = int(publisher.leader()[-1])
        say(f"the server that leads is killed: kill -9, {cluster.urls[leader]}")
        cluster.kill(leader)
        wanted = len(PROGRAMS) * EVENTS * RECORDS
        deadline = time.monotonic() + LIMIT_S
        while sum(written(log) for log in logs) < wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        for plugin in hosts:
            assert plugin.stdin
            plugin.stdin.close()
        statuses = [plugin.wait(LIMIT_S) for plugin in hosts]
    found = {log.name: written(log) for log in logs}
    say(f"{wanted:,} records were sent, in the logs are {sum(found.values()):,}", found)
    if any(statuses) or sum(found.values()) != wanted:
        raise SystemExit("records are missing: see the messages of the collectors")


def written(folder: Path) -> int:
    """Return how many records of hosts a collector has written."""
    log = folder / "audit.log"
    return log.read_bytes().count(b"\nnode=") if log.exists() else 0


def ask(folder: Path, words: str) -> None:
    """Show a command, which is run in `folder`, and what it says."""
    print(f"\n$ auditd-py {words}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command(*words.split()), cwd=folder, check=True, env=environment)


def say(text: str, *more: object) -> None:
    """Tell what happens."""
    print(f"\n== {text}", *more, sep="\n   " if len(more) > 1 else " ", flush=True)


def main(arguments: list[str]) -> int:
    """Show it all, in the folder of the argument."""
    if os.geteuid():
        raise SystemExit("the daemon and its plugins need root")
    folder = Path(arguments[0]).resolve() if arguments else FOLDER
    if folder.exists() and any(folder.iterdir()) and not (folder / "server0").exists():
        raise SystemExit(f"{folder}: is not of a demonstration, and would be removed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    carry(folder)
    say("one archive of both logs, one report over all hosts")
    ask(folder, "archive log1 log2 archive")
    ask(folder, "aureport --archive archive -e -i --summary --by node")
    ask(folder, "aureport --archive archive -x --summary")
    ask(folder, "aureport --archive archive -f --failed --summary --top 5")
    ask(folder, "aureport --archive archive -x --summary --plot programs.svg")
    ask(folder, "aureport --archive archive -f --summary --plot files.svg")
    say(f"pictures in {folder}: programs.svg, files.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
