"""The whole way of a fleet's records: audisp-nats, a cluster, collectors, their logs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.link import HERE, IPV4, THERE
from tests.nats import Cluster, Publisher, ready
from tests.plugins.plugin_process import Plugin
from tests.plugins.test_nats import acknowledged, settings, state
from tests.programs import Auditd, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.slow]

NODES = ("web1", "web2", "db1")


def record(node: str, number: int) -> bytes:
    return b"node=%s type=TEST msg=audit(1700000000.000:%d): n=%d" % (node.encode(), number, number)


class Host:
    """A host that has records all the time, and whose plugin may be killed."""

    def __init__(self, node: str, folder: Path, urls: list[str]) -> None:
        self.node = node
        self.sent = 0
        folder.mkdir()
        self._folder = folder
        self._path = settings(folder, urls, "FLEET", site="main", message_size=16)
        self._stop = threading.Event()
        self._start()

    def _start(self) -> None:
        self.plugin = Plugin("nats", "-c", self._path)
        self._before = self.sent
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.plugin.send(*(record(self.node, n) for n in range(self.sent, self.sent + 20)))
            self.sent += 20

    def rest(self) -> None:
        self._stop.set()
        self._thread.join()

    def taken(self) -> bool:
        return int(state(self.plugin, self._folder)["records taken"]) == self.sent - self._before

    def kill(self) -> None:
        """Kill the plugin when it has read all, and start it again."""
        self.rest()
        wait_for(self.taken, "all records are read")
        self.plugin.end()
        self._start()

    def finish(self) -> None:
        self.rest()
        acknowledged(self.plugin, self._folder, self.sent - self._before, 30)
        assert self.plugin.finish()[0] == 0

    def end(self) -> None:
        self.rest()
        self.plugin.end()


def test_every_record_is_in_one_log_once_whatever_was_killed(log_dir: Path, tmp_path: Path):
    cluster = Cluster(tmp_path)
    hosts: list[Host] = []
    collectors: list[Auditd] = []
    publisher = None
    try:
        ready(cluster)
        publisher = Publisher(cluster.urls, "FLEET")
        publisher.make_stream(subjects=["audit.*.*"])
        for name in ("log1", "log2"):
            (log_dir / name).mkdir(mode=0o700)
            values: dict[str, object] = {
                "local_events": "no", "jetstream_url": ",".join(cluster.urls),
                "jetstream_stream": "FLEET", "jetstream_collector": name, "jetstream_lease": 2,
            }  # fmt: skip
            collectors.append(Auditd(log_dir / name, (), values))
            collectors[-1].start()
            collectors[-1].wait_ready()
        hosts += [Host(node, tmp_path / node, cluster.urls) for node in NODES]
        sure(hosts, 200)
        hosts[0].kill()
        leader = int(publisher.leader()[-1])
        cluster.kill(leader)
        sure(hosts, 400)
        cluster.start(leader)
        collectors[0].process.kill()
        collectors[0].process.wait(10)
        collectors[0]._notify.close()
        hosts[1].kill()
        sure(hosts, 400)
        collectors[0].start()
        collectors[0].wait_ready()
        for host in hosts:
            host.finish()
        wait_for(lambda: publisher.waiting() == 0, "all is collected", 40)
        counts = Counter(
            line
            for name in ("log1", "log2")
            for line in (log_dir / name / "audit.log").read_bytes().split(b"\n")
            if b" type=TEST " in line
        )
        wanted = [record(host.node, n) for host in hosts for n in range(host.sent)]
        assert counts == Counter(wanted)
    finally:
        for host in hosts:
            host.end()
        for daemon in collectors:
            daemon.end()
        if publisher is not None:
            publisher.close()
        cluster.end()


@pytest.mark.timeout(240)
def test_a_host_cut_off_for_a_minute_loses_nothing(link, auditd, start, tmp_path):
    cluster = Cluster(tmp_path)
    try:
        ready(cluster)
        publisher = Publisher(cluster.urls, "FLEET")
        publisher.make_stream(subjects=["audit.*.*"])
        publisher.close()
        cluster.move(IPV4[THERE], link.enter(THERE))
        daemon = auditd(
            local_events="no", jetstream_url=",".join(cluster.urls), jetstream_stream="FLEET",
            jetstream_collector="one", enter=link.enter(THERE),
        )  # fmt: skip
        path = settings(tmp_path, cluster.urls, "FLEET", site="main", max_tries_per_record=100_000)
        plugin = start("nats", "-c", path, enter=link.enter(HERE))

        def arrived() -> list[bytes]:
            return [line for line in daemon.log.read_bytes().split(b"\n") if b" type=TEST " in line]

        def sent(first: int, end: int) -> None:
            plugin.send(*(record("web1", n) for n in range(first, end)))

        sent(0, 1000)
        wait_for(lambda: len(arrived()) == 1000, "the first are collected", 40)
        link.set(cut=1)
        cut_at = time.monotonic()
        number = 1000
        while time.monotonic() - cut_at < 60:
            sent(number, number + 50)
            number += 50
            time.sleep(0.5)  # a host has records all the time
        assert len(arrived()) == 1000
        link.set(cut=0)
        mended_at = time.monotonic()
        acknowledged(plugin, tmp_path, number, 60)
        assert time.monotonic() - mended_at < 30
        wait_for(lambda: len(arrived()) >= number, "all are collected", 40)
        assert arrived() == [record("web1", n) for n in range(number)]
        assert plugin.finish()[0] == 0
    finally:
        cluster.end()


def sure(hosts: list[Host], more: int) -> None:
    """Return when each host has had `more` records."""
    goals = [(host, host.sent + more) for host in hosts]
    wait_for(lambda: all(host.sent >= goal for host, goal in goals), "records go on", 30)
