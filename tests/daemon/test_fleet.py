"""Records of a fleet: our daemon as one of several collectors of a NATS JetStream cluster.

AUDITD_PY_KILLS says how often a collector is killed, 5 times if it is not set.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import nkeys
import pytest

from auditd_py.daemon.fleet_connection import end
from auditd_py.remote.fleet import headers_of
from tests.certificates import Authority
from tests.conftest import unavailable
from tests.nats import Cluster, Publisher, ready, record, stream_of
from tests.programs import Auditd, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KILLS = int(os.environ.get("AUDITD_PY_KILLS", "5"))
LEASE_S = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + KILLS * 10)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not Cluster.available():
        unavailable("needs nats-server: sh tools/bootstrap.sh")
    found = Cluster(tmp_path_factory.mktemp("nats"))
    try:
        ready(found)
        yield found
    finally:
        found.end()


@pytest.fixture
def publisher(cluster: Cluster) -> Iterator[Publisher]:
    """Give a publisher, and a stream of its own."""
    found = Publisher(cluster.urls, f"T{secrets.token_hex(4)}")
    found.make_stream()
    yield found
    found.close()


@pytest.fixture
def collector(
    log_dir: Path, cluster: Cluster, publisher: Publisher
) -> Iterator[Callable[..., Auditd]]:
    """Start a collector with a name; it is running when that returns."""
    started: list[Auditd] = []

    def start(name: str, **settings: object) -> Auditd:
        folder = log_dir / name
        folder.mkdir(mode=0o700)
        values: dict[str, object] = {
            "local_events": "no", "jetstream_url": ",".join(cluster.urls),
            "jetstream_stream": publisher.stream, "jetstream_collector": name,
            "jetstream_lease": LEASE_S, **settings,
        }  # fmt: skip
        daemon = Auditd(folder, (), values)
        started.append(daemon)
        daemon.start()
        daemon.wait_ready()
        return daemon

    yield start
    for daemon in started:
        daemon.end()
        sys.stdout.write(f"{daemon.folder.name}: {daemon.told()}")  # shown with a failure


def again(daemon: Auditd) -> None:
    """Start a collector that was killed."""
    daemon.end()
    daemon.start()
    daemon.wait_ready()


def written(daemon: Auditd, node: str) -> list[int]:
    """Return the numbers of a node's records in a log, in their order."""
    data = daemon.log.read_bytes() if daemon.log.exists() else b""
    pattern = rb"^node=%s type=TEST msg=audit\(1\.000:(\d+)\): n=\1$" % node.encode()
    return [int(number) for number in re.findall(pattern, data, re.MULTILINE)]


def fleet(daemon: Auditd) -> dict[str, str]:
    """Return what a collector tells of the stream."""
    return {
        key.removeprefix("fleet "): value
        for key, value in daemon.state().items()
        if key.startswith("fleet ")
    }


def nodes_of(daemon: Auditd) -> int:
    return sum(
        "at work" in value for key, value in fleet(daemon).items() if key.startswith("node ")
    )


def check(publisher: Publisher, *daemons: Auditd) -> None:
    """See that each acknowledged record is in one log, once, and that logs are in order."""
    wait_for(lambda: publisher.waiting() == 0, "all messages are acknowledged", 60)
    for node, last in publisher.acknowledged.items():
        logs = [written(daemon, node) for daemon in daemons]
        assert all(log == sorted(log) for log in logs), f"{node} is out of order"
        found = Counter(number for log in logs for number in log)
        twice = [number for number, times in found.items() if times > 1]
        assert not twice, f"{node}: {len(twice)} records twice, the first is {min(twice)}"
        missing = set(range(1, last + 1)) - found.keys()
        assert not missing, f"{node}: {len(missing)} records missing, the first is {min(missing)}"


def test_records_are_written_in_order_and_acknowledged(collector, publisher):
    publisher.send("web1", 1000)
    port = free_port()
    daemon = collector("c1", metrics_listen=port)
    publisher.send("web1", 1000)
    publisher.send("web2", 30, runs_of=1)
    check(publisher, daemon)
    told = fleet(daemon)
    assert (told["records written"], told["nodes"], told["gaps"]) == ("2030", "2", "0")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read().decode()
    assert "auditd_fleet_records_total 2030.0" in metrics
    assert "auditd_fleet_connected 1.0" in metrics
    assert daemon.stop() == 0
    publisher.send("web1", 500)
    again(daemon)
    check(publisher, daemon)
    assert fleet(daemon)["records known"] == "0"


def test_work_ends_whose_answer_comes_as_it_is_cancelled(publisher):
    dice = random.Random(1)

    async def ask() -> None:
        while True:
            await publisher.js.stream_info(publisher.stream)

    async def ask_and_end() -> None:
        asking = asyncio.create_task(ask())
        await asyncio.sleep(dice.random() / 10)
        await end((asking,))
        assert asking.done()

    async def often() -> None:
        await asyncio.gather(*(ask_and_end() for _ in range(100)))

    publisher.do(often(), 60)


def test_collectors_share_nodes_and_give_them_back(collector, publisher):
    nodes = [f"web{n}" for n in range(6)]
    for node in nodes:
        publisher.send(node, 10)
    first = collector("c1")
    wait_for(lambda: nodes_of(first) == 6, "one collector has all nodes")
    publisher.load(nodes)
    second = collector("c2")
    wait_for(lambda: (nodes_of(first), nodes_of(second)) == (3, 3), "two share them")
    assert first.stop() == 0
    wait_for(lambda: nodes_of(second) == 6, "the one that is left has all")
    publisher.rest()
    check(publisher, first, second)
    assert fleet(second)["claims of others pending"] == "0"


def test_a_collector_may_be_killed_at_any_time(collector, publisher):
    nodes = [f"web{n}" for n in range(4)]
    daemons = [collector("c1"), collector("c2")]
    chance = random.Random()
    publisher.load(nodes)
    for kill in range(KILLS):
        daemon = daemons[kill % 2]
        enough = total(daemon, nodes) + chance.randrange(1, 2000)
        wait_for(partial(reached, daemon, nodes, enough), "it writes", 40)
        daemon.process.kill()
        daemon.process.wait(10)
        if chance.random() < 0.5:  # or it is back before anybody can take its nodes
            other = daemons[1 - kill % 2]
            wait_for(partial(has_nodes, other, 4), "the other has all nodes", 40)
        again(daemon)
    publisher.rest()
    check(publisher, *daemons)
    assert min(publisher.acknowledged.values()) > 0


def total(daemon: Auditd, nodes: list[str]) -> int:
    return sum(len(written(daemon, node)) for node in nodes)


def reached(daemon: Auditd, nodes: list[str], amount: int) -> bool:
    return total(daemon, nodes) > amount


def has_nodes(daemon: Auditd, amount: int) -> bool:
    return nodes_of(daemon) == amount


def acknowledged_since(publisher: Publisher, seen: dict[str, int]) -> bool:
    return all(now > seen.get(node, 0) + 200 for node, now in publisher.acknowledged.items())


def written_up_to(daemons: list[Auditd], wanted: dict[str, int]) -> bool:
    return all(
        max(max(written(daemon, node), default=0) for daemon in daemons) >= number
        for node, number in wanted.items()
    )


def test_servers_may_be_killed(collector, publisher, cluster):
    daemons = [collector("c1"), collector("c2")]
    publisher.load(["web1", "web2"])
    wait_for(lambda: len(publisher.acknowledged) == 2, "it publishes")
    chance = random.Random()
    for kill in range(max(2, KILLS // 3)):
        number = int(publisher.leader()[-1]) if kill % 2 == 0 else chance.randrange(3)
        cluster.kill(number)
        seen = dict(publisher.acknowledged)
        wait_for(partial(acknowledged_since, publisher, seen), "two servers take records", 60)
        cluster.start(number)
        seen = dict(publisher.acknowledged)
        wait_for(partial(written_up_to, daemons, seen), "they are written", 60)
    publisher.rest()
    check(publisher, *daemons)


def test_a_collector_that_was_paused_writes_nothing_twice(collector, publisher):
    nodes = ["web1", "web2"]
    first = collector("c1")
    publisher.load(nodes)
    wait_for(lambda: len(written(first, "web1")) > 500, "it writes")
    second = collector("c2", jetstream_lease=LEASE_S)
    first.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: nodes_of(second) == 2, "the other has all nodes", 30)
    reached = publisher.acknowledged["web1"]
    wait_for(lambda: max(written(second, "web1"), default=0) > reached, "it writes")
    first.process.send_signal(signal.SIGCONT)
    wait_for(lambda: (nodes_of(first), nodes_of(second)) == (1, 1), "they share", 30)
    publisher.rest()
    check(publisher, first, second)


def test_what_a_killed_collector_claimed_waits_for_it(fault_fs, publisher, collector):
    # its disk takes nothing: the claim is there, the records are not written
    first = collector("c1", log_file=fault_fs.place / "audit.log")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(first, "web1")) == 100, "it writes")
    fault_fs.fail("block")
    publisher.send("web1", 100)
    wait_for(lambda: publisher.waiting() > 0, "they wait")
    second = collector("c2")
    first.process.kill()
    fault_fs.fail("ok")
    first.process.wait(10)
    wait_for(lambda: nodes_of(second) == 1, "the other has the node", 30)
    publisher.send("web1", 100)
    wait_for(lambda: written(second, "web1")[-1:] == [300], "it goes on")
    again(first)
    check(publisher, first, second)
    assert fleet(second)["claims of others pending"] == "0"


def test_claims_of_a_collector_that_never_comes_back_are_given_to_others(
    fault_fs, publisher, collector
):
    first = collector("c1", log_file=fault_fs.place / "audit.log")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(first, "web1")) == 100, "it writes")
    refused = release(first)
    assert (refused.returncode, refused.stderr) == (
        1, "auditd: c1 lives: stop it first, or let it settle its claims\n"
    )  # fmt: skip
    fault_fs.fail("block")
    publisher.send("web1", 100)
    second = collector("c2")
    first.process.kill()
    fault_fs.fail("ok")
    first.process.wait(10)
    wait_for(lambda: nodes_of(second) == 1, "the other has the node", 30)
    publisher.send("web1", 50)
    wait_for(lambda: written(second, "web1")[-1:] == [250], "it goes on")
    assert publisher.waiting() > 0
    done = release(first)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"c1: \d claims of 1 nodes given to other collectors\n", done.stdout)
    wait_for(lambda: publisher.waiting() == 0, "all messages are acknowledged")
    assert sorted(written(second, "web1")) == list(range(101, 251))


def release(daemon: Auditd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "auditd_py", "auditd", "--release-claims", "c1"]
    return subprocess.run(
        [*command, "-c", str(daemon.conf)], capture_output=True, text=True, timeout=40
    )


def test_a_disk_that_stalls_stops_fetching(fault_fs, publisher, collector):
    daemon = collector("c1", log_file=fault_fs.place / "audit.log")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(daemon, "web1")) == 100, "it writes")
    fault_fs.fail("block")
    publisher.send("web1", 100_000, runs_of=500)
    waiting = publisher.waiting()
    assert waiting > 100, "nothing is acknowledged that is not written"
    fault_fs.fail("ok")
    check(publisher, daemon)


def test_a_message_of_no_use_is_kept_and_does_not_block(collector, publisher):
    publisher.send("web1", 10)
    publisher.put("web1", b"what is this\n")
    publisher.put("web1", b"a\rb\n", headers_of(bytes(16), 1, 1))
    publisher.put("web1", b"one line\n", {"Auditd-Py": "1", "Auditd-Stream": "0" * 32 + " 1 2"})
    publisher.send("web1", 10)
    daemon = collector("c1")
    check(publisher, daemon)
    assert fleet(daemon)["messages rejected"] == "3"
    kept = sorted((daemon.folder / "rejected").iterdir())
    assert len(kept) == 3
    assert kept[0].read_bytes().endswith(b"what is this\n")
    assert kept[0].stat().st_mode & 0o777 == 0o600
    assert daemon.told().count("a message of the stream is not written") == 3


def test_records_go_to_logs_of_their_nodes_and_names_are_checked(collector, publisher, log_dir):
    folder = log_dir / "nodes"
    folder.mkdir(mode=0o700)
    daemon = collector("c1", collector_log_dir=folder, node_check="reject")
    publisher.send("web1", 100)
    data = b"".join([record(node, 1) for node in ("web2", "web3")])
    publisher.put("web2", data, headers_of(stream_of("web2"), 1, 2))
    publisher.put("web2", record("web2", 3), headers_of(stream_of("web2"), 3, 1))
    wait_for(lambda: publisher.waiting() == 0, "all messages are acknowledged")
    assert (folder / "web1" / "audit.log").read_bytes().count(b"\n") == 100
    assert (folder / "web2" / "audit.log").read_bytes() == record("web2", 3)
    assert not (folder / "web3").exists()
    assert daemon.state()["records with another's node name"] == "1"
    daemon.process.kill()
    again(daemon)
    publisher.send("web1", 100)
    wait_for(lambda: publisher.waiting() == 0, "all messages are acknowledged")
    assert (folder / "web1" / "audit.log").read_bytes().count(b"\n") == 200


def test_a_node_that_was_removed_is_forgotten_until_it_comes_back(collector, publisher):
    daemon = collector("c1")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(daemon, "web1")) == 100, "it writes")
    bucket = publisher.do(publisher.js.key_value(f"auditd_{publisher.stream}"))
    publisher.do(bucket.delete(f"node.{publisher.subject('web1')}"))
    wait_for(lambda: nodes_of(daemon) == 0, "it is forgotten")
    assert not publisher.do(publisher.js.consumers_info(publisher.stream))
    publisher.send("web1", 100)
    check(publisher, daemon)


def test_a_second_collector_of_the_same_name_takes_nothing(collector, publisher):
    daemon = collector("c1")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(daemon, "web1")) == 100, "it writes")
    double = collector("double", jetstream_collector="c1")
    wait_for(lambda: "another collector has the name" in double.told(), "it says so")
    publisher.send("web1", 100)
    wait_for(lambda: len(written(daemon, "web1")) == 200, "the first one goes on")
    assert nodes_of(double) == 0
    check(publisher, daemon)


def test_with_tls_and_a_seed_records_come_and_refusals_are_told(tmp_path, log_dir):
    authority = Authority(tmp_path / "ca")
    authority.sign("server", "IP:127.0.0.1")
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    user = nkeys.from_seed(bytearray(seed)).public_key.decode()
    servers = Cluster(tmp_path, scheme="tls")
    servers.single = True
    servers.more = (
        f'tls {{ cert_file: "{authority.path("server.crt")}", '
        f'key_file: "{authority.path("server.key")}" }}\n'
        f'authorization {{ users: [{{ nkey: {user} }}, {{ user: all, password: "x" }}] }}\n'
    )
    creds = log_dir / "seed"
    creds.write_bytes(seed)
    settings: dict[str, object] = {
        "local_events": "no", "jetstream_url": servers.urls[0], "jetstream_stream": "S",
        "jetstream_credentials": creds, "jetstream_lease": LEASE_S,
    }  # fmt: skip
    daemon = Auditd(log_dir, (), settings)
    context = ssl.create_default_context(cafile=authority.path("ca.crt"))
    try:
        servers.start(0)
        publisher = Publisher(servers.urls[:1], "S", tls=context, user="all", password="x")
        publisher.make_stream(num_replicas=1)
        publisher.send("web1", 100)
        daemon.start()
        daemon.wait_ready()
        wait_for(lambda: "others can use it" in daemon.told(), "an open file is refused")
        creds.chmod(0o400)
        wait_for(lambda: "certificate of a server is refused" in daemon.told(), "so is the server")
        daemon.stop()
        daemon.configure(**settings, jetstream_ca_file=authority.path("ca.crt"))
        again(daemon)
        check(publisher, daemon)
        assert "has 1 replicas" in daemon.told()
        assert seed.decode() not in daemon.told()
        publisher.close()
    finally:
        daemon.end()
        servers.end()


def test_settings_that_cannot_work_are_refused(log_dir):
    daemon = Auditd(log_dir, ("--check-config",), {
        "jetstream_url": "nats://user:word@127.0.0.1", "jetstream_cert_file": "/x",
    })  # fmt: skip
    daemon.start()
    assert daemon.process.wait(20) == 6
    assert "servers like tls://" in daemon.told()
    daemon.configure(jetstream_url="nats://127.0.0.1", jetstream_cert_file="/x", write_logs="no")
    daemon.end()
    daemon.start()
    assert daemon.process.wait(20) == 6
    for word in ("write_logs = yes", "jetstream_key_file", "is for servers at tls://"):
        assert word in daemon.told()
    daemon.end()


def test_the_daemon_executes_its_new_version_and_goes_on(collector, publisher):
    daemon = collector("c1")
    publisher.load(["web1"])
    wait_for(lambda: len(written(daemon, "web1")) > 100, "it writes")
    command = [sys.executable, "-m", "auditd_py", "auditd", "--reexec", "-c", str(daemon.conf)]
    assert subprocess.run(command, timeout=60).returncode == 0
    seen = publisher.acknowledged["web1"]
    wait_for(partial(written_up_to, [daemon], {"web1": seen}), "it goes on")
    publisher.rest()
    check(publisher, daemon)
