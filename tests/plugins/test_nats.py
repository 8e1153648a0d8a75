"""audisp-nats before a real cluster of three servers."""

from __future__ import annotations

import contextlib
import re
import signal
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from nats.js import api
from nats.js.errors import NotFoundError
from nkeys import PREFIX_BYTE_USER

from auditd_py.remote.fleet import node_of_subject, read_run, stamp_of
from tests.certificates import Authority
from tests.nats import Cluster, Publisher, ready
from tests.nats_keys import Key, new_account
from tests.plugins.plugin_process import catches
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.plugin_process import Plugin

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.slow]

NODE = b"web1.example.com"


def line(number: int, more: bytes = b"") -> bytes:
    return b"node=%s type=SYSCALL msg=audit(1700000000.000:%d): n=1%s" % (NODE, number, more)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    servers = Cluster(tmp_path_factory.mktemp("nats"))
    try:
        ready(servers)
        yield servers
    finally:
        servers.end()


class Streams:
    """Streams of a cluster, each with subjects of its own, and what is in them."""

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        self.cluster = cluster
        self._options = options
        self._open: dict[str, Publisher] = {}

    def make(self, name: str, **config: Any) -> Publisher:
        publisher = self._open[name] = Publisher(self.cluster.urls, name, **self._options)
        publisher.make_stream(**{"retention": api.RetentionPolicy.LIMITS, **config})
        return publisher

    def close(self) -> None:
        for publisher in self._open.values():
            publisher.attempt(lambda p=publisher: deleted(p))  # type: ignore[misc]
            publisher.close()


async def deleted(publisher: Publisher) -> None:
    with contextlib.suppress(NotFoundError):
        await publisher.js.delete_stream(publisher.stream)


@pytest.fixture
def streams(cluster: Cluster) -> Iterator[Streams]:
    found = Streams(cluster)
    yield found
    for number in range(3):
        if cluster.servers[number] is None:
            cluster.start(number)
    found.close()


def messages(publisher: Publisher) -> list[Any]:
    """Return all messages of a stream, in its order."""

    async def read() -> list[Any]:
        config = api.ConsumerConfig(ack_policy=api.AckPolicy.NONE)
        source = await publisher.js.pull_subscribe(">", stream=publisher.stream, config=config)
        found: list[Any] = []
        info = await publisher.js.stream_info(publisher.stream)
        while len(found) < info.state.messages:
            found += await source.fetch(100, timeout=3)
        await source.unsubscribe()
        return found

    return publisher.attempt(read)  # type: ignore[no-any-return]


def collected(publisher: Publisher) -> list[bytes]:
    """Return what a collector writes: each record once, by its number, and none left out."""
    following: dict[bytes, int] = {}
    lines: list[bytes] = []
    for message in messages(publisher):
        run = read_run(message.headers, message.data)
        expected = following.get(run.stream, run.first)
        assert run.first <= expected, "a message has overtaken another"
        lines += run.lines.split(b"\n")[:-1][expected - run.first :]
        following[run.stream] = max(expected, run.first + run.count)
    return lines


def settings(folder: Path, servers: list[str], stream: str, **more: object) -> str:
    values = {
        "servers": " ".join(servers), "stream": stream, "site": stream, "queue_sync": "no",
        "queue_file": folder / "queue", "state_file": folder / "state", "max_time_per_record": 2,
        "max_tries_per_record": 3,
        **more,
    }  # fmt: skip
    path = folder / "audisp-nats.conf"
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))
    path.chmod(0o640)
    return str(path)


def state(plugin: Plugin, folder: Path) -> dict[str, str]:
    """Return a new state report."""
    path = folder / "state"
    path.unlink(missing_ok=True)
    catches(plugin, signal.SIGUSR1)
    plugin.signal(signal.SIGUSR1)
    wait_for(path.exists, "a state report")
    return dict(entry.split(" = ", 1) for entry in path.read_text().splitlines())


def acknowledged(plugin: Plugin, folder: Path, count: int, limit_s: float = 20.0) -> None:
    wait_for(
        lambda: int(state(plugin, folder)["records acknowledged"]) >= count,
        f"{count} records are acknowledged", limit_s,
    )  # fmt: skip


class Told:
    """What a plugin says while it runs."""

    def __init__(self, plugin: Plugin) -> None:
        self.lines: list[str] = []
        threading.Thread(target=self._read, args=(plugin,), daemon=True).start()

    def _read(self, plugin: Plugin) -> None:
        assert plugin.process.stderr
        for text in plugin.process.stderr:
            self.lines.append(text.decode())

    def has(self, pattern: str) -> None:
        wait_for(lambda: re.search(pattern, "".join(self.lines)), f"{pattern} in {self.lines}")


def test_records_are_published_in_order_with_their_node_and_id(streams, start, tmp_path):
    publisher = streams.make("first")
    path = settings(tmp_path, streams.cluster.urls, "first", message_size=16)
    plugin = start("nats", "-c", path)
    lines = [line(n) for n in range(5000)]
    plugin.send(*lines)
    assert plugin.finish() == (0, "")
    assert collected(publisher) == lines
    found = messages(publisher)
    assert {node_of_subject(message.subject) for message in found} == {NODE}
    assert {message.subject.split(".")[1] for message in found} == {"first"}
    ids = [message.headers["Nats-Msg-Id"].split() for message in found]
    assert len({tuple(words) for words in ids}) == len(found) > 5
    assert {words[0] for words in ids} == {"web1%2Eexample%2Ecom"}
    firsts = [message.data.split(b":", 1)[1].split(b")")[0].decode() for message in found]
    assert [words[2] for words in ids] == firsts
    assert max(len(message.data) for message in found) <= 16384


def test_a_record_without_name_gets_the_one_of_the_settings(streams, start, tmp_path):
    publisher = streams.make("names")
    path = settings(tmp_path, streams.cluster.urls, "names", node_name="db7")
    plugin = start("nats", "-c", path)
    plugin.send(b"type=SYSCALL msg=audit(1.000:1): a=1", b"type=EOE msg=audit(1.000:1): ")
    assert plugin.finish() == (0, "")
    assert collected(publisher) == [b"node=db7 type=SYSCALL msg=audit(1.000:1): a=1"]
    assert [message.subject for message in messages(publisher)] == ["audit.names.db7"]


def test_an_event_is_in_one_message(streams, start, tmp_path):
    path = settings(tmp_path, streams.cluster.urls, "whole", message_size=16)
    plugin = start("nats", "-c", path)
    plugin.send(*(line(n // 7, b" %d" % n) for n in range(2100)))
    assert wait_taken(plugin, tmp_path, 2100) == 2100
    publisher = streams.make("whole")
    assert plugin.finish()[0] == 0
    runs = [read_run(message.headers, message.data).lines for message in messages(publisher)]
    assert b"".join(runs).count(b"\n") == 2100
    # the first was made when not all were there
    ends = [(stamp_of(run), stamp_of(run.rpartition(b"\nnode=")[2])) for run in runs[1:]]
    assert len(ends) > 5
    assert not {first for first, _ in ends[1:]} & {last for _, last in ends[:-1]}


def test_each_node_has_numbers_of_its_own(streams, start, tmp_path):
    publisher = streams.make("nodes")
    plugin = start("nats", "-c", settings(tmp_path, streams.cluster.urls, "nodes"))
    names = [b"a", b"a", b"b", b"a"]
    lines = [b"node=%s type=TEST msg=audit(1.000:%d): x" % (n, i) for i, n in enumerate(names)]
    plugin.send(*lines)
    assert plugin.finish() == (0, "")
    runs = [(node_of_subject(m.subject), read_run(m.headers, m.data)) for m in messages(publisher)]
    assert b"".join(run.lines for _, run in runs) == b"\n".join(lines) + b"\n"
    assert len({(node, run.stream) for node, run in runs}) == 2


def test_records_survive_the_death_of_every_server_and_of_leaders(streams, start, tmp_path):
    cluster = streams.cluster
    publisher = streams.make("deaths")
    plugin = start("nats", "-c", settings(tmp_path, cluster.urls, "deaths"))
    steps: list[int] = []

    def kill() -> None:
        for turn in range(3):
            leader = int(publisher.leader()[-1])
            number = leader if turn else (leader + 1) % 3
            cluster.kill(number)
            seen = sent[0]
            wait_for(lambda seen=seen: sent[0] > seen + 200, "records go on")  # type: ignore[misc]
            cluster.start(number)
            wait_for(lambda: whole(publisher), "the server is back", 30)
            steps.append(number)

    sent = [0]
    killer = threading.Thread(target=kill)
    killer.start()
    while killer.is_alive():
        plugin.send(*(line(n) for n in range(sent[0], sent[0] + 20)))
        sent[0] += 20
        killer.join(0.01)
    assert len(steps) == 3
    acknowledged(plugin, tmp_path, sent[0])
    assert plugin.finish()[0] == 0
    assert collected(publisher) == [line(n) for n in range(sent[0])]


def whole(publisher: Publisher) -> bool:
    """Return whether all replicas of a stream are up to date."""
    info = publisher.attempt(lambda: publisher.js.stream_info(publisher.stream))
    replicas = info.cluster.replicas or []
    return bool(info.cluster.leader) and len(replicas) == 2 and all(r.current for r in replicas)


def test_what_came_while_the_cluster_was_away_arrives_after_it(streams, start, tmp_path):
    cluster = streams.cluster
    publisher = streams.make("away")
    plugin = start("nats", "-c", settings(tmp_path, cluster.urls, "away"))
    told = Told(plugin)
    plugin.send(*(line(n) for n in range(1000)))
    acknowledged(plugin, tmp_path, 1000)
    for number in range(3):
        cluster.kill(number)
    plugin.send(*(line(n) for n in range(1000, 9000)))
    told.has("the server cannot be reached: nats://127.0.0.1:.*refused")
    report = state(plugin, tmp_path)
    assert int(report["current queue depth"]) == 8000
    assert report["connection"] == "down"
    for number in range(3):
        cluster.start(number)
    acknowledged(plugin, tmp_path, 9000, 40)
    plugin.finish()
    assert collected(publisher) == [line(n) for n in range(9000)]


def test_a_killed_plugin_loses_nothing_and_a_collector_skips_what_came_twice(
    streams, start, tmp_path
):
    publisher = streams.make("killed")
    path = settings(tmp_path, streams.cluster.urls, "killed", message_size=16)
    sent = 0
    for _ in range(4):
        plugin = start("nats", "-c", path)
        goal = sent + 3000
        plugin.send(*(line(n, b" " * 100) for n in range(sent, goal)))
        taken = wait_taken(plugin, tmp_path, goal - sent)
        plugin.end()
        sent = goal
        assert taken == 3000
    plugin = start("nats", "-c", path)
    assert plugin.finish() == (0, "")
    assert collected(publisher) == [line(n, b" " * 100) for n in range(sent)]


def wait_taken(plugin: Plugin, folder: Path, count: int) -> int:
    wait_for(lambda: int(state(plugin, folder)["records taken"]) >= count, "records are taken")
    return int(state(plugin, folder)["records taken"])


def test_a_copy_of_a_queue_never_counts_in_the_name_of_the_first(streams, start, tmp_path):
    publisher = streams.make("copies")
    path = settings(tmp_path, streams.cluster.urls, "copies")
    for n in range(2):
        plugin = start("nats", "-c", path)
        plugin.send(line(n))
        if n == 0:
            acknowledged(plugin, tmp_path, 1)
        assert plugin.finish() == (0, "")
    streams_used = {read_run(m.headers, m.data).stream for m in messages(publisher)}
    assert len(streams_used) == 2


def test_no_such_stream_is_told_and_the_records_wait(streams, start, tmp_path):
    plugin = start("nats", "-c", settings(tmp_path, streams.cluster.urls, "nowhere"))
    told = Told(plugin)
    plugin.send(line(0))
    told.has(r"no stream takes audit\.nowhere\.web1%2Eexample%2Ecom")
    report = state(plugin, tmp_path)
    assert (report["current queue depth"], report["records acknowledged"]) == ("1", "0")
    assert int(report["failures"]) >= 3
    publisher = streams.make("nowhere")
    acknowledged(plugin, tmp_path, 1)
    assert collected(publisher) == [line(0)]


def test_the_stream_of_somebody_else_is_refused(streams, start, tmp_path):
    publisher = streams.make("others")
    path = settings(tmp_path, streams.cluster.urls, "mine", site="others")
    plugin = start("nats", "-c", path)
    told = Told(plugin)
    plugin.send(line(0))
    told.has("audit.others.* is taken by another stream than mine")
    plugin.end()
    assert messages(publisher) == []


def test_a_full_stream_holds_the_records_until_there_is_room(streams, start, tmp_path):
    publisher = streams.make("full", max_bytes=40_000, discard=api.DiscardPolicy.NEW)
    path = settings(tmp_path, streams.cluster.urls, "full", message_size=16)
    plugin = start("nats", "-c", path)
    told = Told(plugin)
    lines = [line(n, b" " * 100) for n in range(1000)]
    plugin.send(*lines)
    told.has("the server's disk is full: stream full: .*maximum bytes")
    before = collected(publisher)
    assert 0 < len(before) < len(lines)
    config = publisher.do(publisher.js.stream_info("full")).config
    config.max_bytes = 10_000_000
    publisher.attempt(lambda: publisher.js.update_stream(config))
    acknowledged(plugin, tmp_path, len(lines))
    assert collected(publisher) == lines


def test_a_message_larger_than_the_stream_takes_is_divided(streams, start, tmp_path):
    publisher = streams.make("small", max_msg_size=20_000)
    plugin = start("nats", "-c", settings(tmp_path, streams.cluster.urls, "small"))
    lines = [line(n, b" " * 500) for n in range(300)]
    plugin.send(*lines)
    assert plugin.finish() == (0, "")
    assert collected(publisher) == lines


def test_the_queue_bounds_what_waits_and_counts_what_it_drops(start, tmp_path):
    path = settings(tmp_path, ["nats://127.0.0.1:1"], "x", queue_depth=1000, max_tries_per_record=1)
    plugin = start("nats", "-c", path)
    plugin.send(*(line(n) for n in range(5000)))
    wait_for(lambda: int(state(plugin, tmp_path)["records dropped"]) == 4000, "4000 are dropped")
    assert state(plugin, tmp_path)["current queue depth"] == "1000"


USERS = 'authorization {{ users: [{{user: web, password: "{}"}}, {{user: all, password: "x"}}] }}\n'


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Authority]]:
    """Give one server with TLS and users."""
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder / "ca")
    authority.sign("server", "IP:127.0.0.1")
    tls = f'tls {{ cert_file: "{authority.path("server.crt")}", key_file: "{authority.path("server.key")}" }}\n'
    servers = Cluster(folder, scheme="tls")
    servers.more = tls + USERS.format("s3cret-word") + "\n"
    servers.single = True
    try:
        servers.start(0)
        yield servers, authority
    finally:
        servers.end()


def test_with_tls_and_a_password_records_arrive(secure, start, tmp_path):
    cluster, authority = secure
    context = ssl.create_default_context(cafile=authority.path("ca.crt"))
    publisher = Publisher(cluster.urls[:1], "locked", tls=context, user="all", password="x")
    publisher.make_stream(num_replicas=1, retention=api.RetentionPolicy.LIMITS)
    password = tmp_path / "password"
    password.write_text("s3cret-word\n")
    password.chmod(0o400)
    path = settings(
        tmp_path, cluster.urls[:1], "locked", tls_ca_file=authority.path("ca.crt"), user="web",
        password_file=password,
    )  # fmt: skip
    plugin = start("nats", "-c", path)
    plugin.send(line(0))
    assert plugin.finish() == (0, "")
    assert collected(publisher) == [line(0)]
    publisher.close()


@pytest.mark.parametrize(
    ("word", "ca", "said"),
    [
        ("wrong-word", True, "uthorization"),
        ("s3cret-word", False, "its certificate is refused: .*certificate"),
    ],
)
def test_the_reason_of_a_refusal_is_told(secure, start, tmp_path, word, ca, said):  # noqa: PLR0917
    cluster, authority = secure
    other = Authority(tmp_path / "other")
    password = tmp_path / "password"
    password.write_text(word)
    password.chmod(0o400)
    path = settings(
        tmp_path, cluster.urls[:1], "locked", user="web", password_file=password,
        tls_ca_file=(authority if ca else other).path("ca.crt"),
    )  # fmt: skip
    plugin = start("nats", "-c", path)
    told = Told(plugin)
    plugin.send(line(0))
    told.has(said)
    plugin.input.close()
    told.has("1 records are not sent, kept in")
    assert plugin.process.wait(10) == 1
    assert word not in "".join(told.lines)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("authority") / "ca")
    found.sign("server", "IP:127.0.0.1")
    found.sign("web1", "DNS:web1.example.com")
    return found


@pytest.fixture(params=["credentials", "seed"])
def keyed(request, tmp_path, authority) -> Iterator[tuple[Cluster, Path, Path]]:
    """Give a server that wants certificates and keys, a good key and one that it does not know."""
    good, other = tmp_path / "good.creds", tmp_path / "other.creds"
    if request.param == "credentials":
        account = new_account()
        account.credentials(good)
        new_account().credentials(other)
        users = account.server
    else:
        keys = [Key(PREFIX_BYTE_USER) for _ in range(2)]
        for path, key in zip((good, other), keys, strict=True):
            path.write_bytes(key.seed + b"\n")
            path.chmod(0o400)
        users = f'authorization {{ users: [{{nkey: "{keys[0].public}"}}] }}\n'
    servers = Cluster(tmp_path, scheme="tls")
    server, ca = authority.path("server"), authority.path("ca.crt")
    tls = f'cert_file: "{server}.crt", key_file: "{server}.key", ca_file: "{ca}", verify: true'
    servers.more = f"tls {{ {tls} }}\n{users}"
    servers.single = True
    try:
        servers.start(0)
        yield servers, good, other
    finally:
        servers.end()


def test_with_a_key_and_a_certificate_records_arrive(keyed, authority, start, tmp_path):
    cluster, good, other = keyed
    web1, ca = authority.path("web1"), authority.path("ca.crt")
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(f"{web1}.crt", f"{web1}.key")
    shown = "user_credentials" if "BEGIN" in good.read_text() else "nkeys_seed"
    publisher = Publisher(cluster.urls[:1], "keyed", tls=context, **{shown: str(good)})
    publisher.make_stream(num_replicas=1, retention=api.RetentionPolicy.LIMITS)
    ours = {"tls_ca_file": ca, "tls_cert_file": f"{web1}.crt", "tls_key_file": f"{web1}.key"}

    def path(**more: object) -> str:
        return settings(tmp_path, cluster.urls[:1], "keyed", **more)

    for refused, said in (
        ({"tls_ca_file": ca, "credentials_file": good}, "certificate|TLS|tls"),
        ({**ours, "credentials_file": other}, "uthorization"),
    ):
        plugin = start("nats", "-c", path(**refused))
        told = Told(plugin)
        plugin.send(line(0))
        told.has(said)
        plugin.input.close()
        assert plugin.process.wait(20) == 1
    plugin = start("nats", "-c", path(**ours, credentials_file=good))
    plugin.send(line(1))
    assert plugin.finish() == (0, "")
    assert collected(publisher) == [line(0), line(0), line(1)]
    publisher.close()


def test_a_server_without_tls_learns_nothing_from_who_wants_it(streams, start, tmp_path):
    publisher = streams.make("plain")
    urls = [url.replace("nats:", "tls:") for url in streams.cluster.urls]
    plugin = start("nats", "-c", settings(tmp_path, urls, "plain"))
    told = Told(plugin)
    plugin.send(line(0))
    told.has("it has no TLS, nothing was sent to it")
    assert messages(publisher) == []


def test_a_password_others_can_read_is_refused(start, tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret-word")
    password.chmod(0o644)
    path = settings(tmp_path, ["nats://a"], "x", user="web", password_file=password)
    status, told = start("nats", "-c", path).finish()
    assert status == 6
    assert f"{password} can be read by others" in told
    assert "s3cret" not in told
