"""Our forwarder and our collector on two hosts, with a bad line between them."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.link import HERE, IPV4, IPV6, LINK_LOCAL, THERE
from tests.plugins.plugin_process import catches
from tests.plugins.test_remote import configure, line, said, state
from tests.plugins.test_remote_debian import debian_collector, debian_forward
from tests.programs import free_port, parse_log, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.link import Link
    from tests.plugins.plugin_process import Plugin
    from tests.programs import Auditd

__all__ = ["debian_collector", "debian_forward"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("root")]
PORT = 60
RECORD = re.compile(
    rb"^type=SYSCALL msg=audit\(1700000000.000:(\d+)\): arch=c000003e syscall=1$", re.MULTILINE
)


def numbers(daemon: Auditd) -> list[int]:
    """Return the serials of the records in the log that the forwarder sent."""
    text = daemon.log.read_bytes() if daemon.log.exists() else b""
    return [int(n) for n in re.findall(RECORD, text)]


def whole(daemon: Auditd, amount: int) -> None:
    """Be sure that the log has each record from 0 on once, and nothing that is no record."""
    assert sorted(numbers(daemon)) == list(range(amount))
    parse_log(without_torn(daemon.log.read_bytes()))


def without_torn(log: bytes) -> bytes:
    """Return a log without the beginnings of lines that a killed daemon left."""
    return re.sub(
        rb"^(?:(?!type=\w+ msg=audit\(\d+\.\d+:\d+\): ).*\n)(?=type=DAEMON_START)",
        b"",
        log,
        flags=re.MULTILINE,
    )


@pytest.fixture
def collector(auditd, link: Link) -> Callable[..., Auditd]:
    """Start a collector on the host THERE."""

    def start(**settings: object) -> Auditd:
        values = {"local_events": "no", "tcp_listen_port": PORT, "use_libwrap": "no", **settings}
        daemon: Auditd = auditd(enter=link.enter(THERE), **values)
        return daemon

    return start


@pytest.fixture
def sender(start, link: Link, tmp_path: Path) -> Callable[..., Plugin]:
    """Start a forwarder on the host HERE that keeps its records on disk."""

    def begin(**settings: object) -> Plugin:
        values = {
            "remote_server": IPV4[THERE], "port": PORT, "mode": "forward",
            "queue_file": tmp_path / "queue", "queue_depth": 100_000,
            "network_failure_action": "syslog", **settings,
        }  # fmt: skip
        configure(tmp_path, None, **values)
        plugin: Plugin = start(
            "remote", "-c", str(tmp_path / "remote.conf"), enter=link.enter(HERE)
        )
        catches(plugin, signal.SIGUSR1)
        return plugin

    return begin


def quiet(link: Link, for_s: float = 0.3) -> None:
    """Wait until no packet has been on the line for so long."""
    before, since = link.set(), time.monotonic()

    def still() -> bool:
        nonlocal before, since
        if (now := link.set()) != before:
            before, since = now, time.monotonic()
        return time.monotonic() - since > for_s

    wait_for(still, "the line is quiet")


def acknowledged(plugin: Plugin, folder: Path, amount: int, limit_s: float = 60) -> None:
    """Wait until so many records are."""
    wait_for(
        lambda: int(state(plugin, folder)["records acknowledged"]) == amount,
        f"{amount} records are acknowledged", limit_s,
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [(IPV4[THERE], {"loss": 0.2}), (IPV6[THERE], {"loss": 0.2}),
     (IPV4[THERE], {"reorder": 0.3, "late": 0.03})],
    ids=["loss", "loss over IPv6", "reordering"],
)  # fmt: skip
def test_what_is_acknowledged_over_a_bad_line_is_in_the_log(
    link, collector, sender, tmp_path, case
):
    server, settings = case
    daemon = collector()
    link.set(delay=0.005, **settings)
    plugin = sender(remote_server=server)
    plugin.send(*[line(n) for n in range(3000)])
    acknowledged(plugin, tmp_path, 3000)
    counts = link.set()
    assert counts["lost" if "loss" in settings else "late"] > 50
    whole(daemon, 3000)
    assert plugin.finish()[0] == 0


@pytest.mark.peer
def test_over_a_bad_line_debians_auditd_has_all_that_it_acknowledged(
    link, debian_collector, sender, tmp_path
):
    collector = debian_collector(enter=link.enter(THERE))
    link.set(delay=0.005, loss=0.2)
    plugin = sender(port=collector.port)
    plugin.send(*[line(n) for n in range(1000)])
    acknowledged(plugin, tmp_path, 1000)
    assert sorted(set(collector.numbers())) == list(range(1000))
    assert plugin.finish()[0] == 0


@pytest.mark.peer
def test_over_a_bad_line_what_debians_forwarder_sent_is_in_our_log(link, collector, debian_forward):
    daemon = collector()
    link.set(delay=0.005, loss=0.2)
    done = debian_forward(
        [line(n) for n in range(50)], enter=link.enter(HERE), remote_server=IPV4[THERE], port=PORT,
        max_tries_per_record=100, max_time_per_record=50,
    )  # fmt: skip
    assert done.returncode == 0
    assert sorted(set(numbers(daemon))) == list(range(50))


def test_a_line_cut_for_a_minute_costs_nothing(link, collector, sender, tmp_path):
    daemon = collector()
    link.set(delay=0.005)
    plugin = sender(heartbeat_timeout=5)
    plugin.send(*[line(n) for n in range(1000)])
    wait_for(lambda: numbers(daemon), "the first arrive")
    link.set(cut=1)
    plugin.send(*[line(n) for n in range(1000, 3000)])
    cut_at = time.monotonic()
    said(plugin, "the server cannot be reached: 10.99.0.2: no answer in 5 s")
    wait_for(lambda: time.monotonic() - cut_at > 60, "a minute", 70)
    assert len(numbers(daemon)) < 3000
    link.set(cut=0)
    mended_at = time.monotonic()
    acknowledged(plugin, tmp_path, 3000)
    # an attempt of 5 s may just have begun, and the collector asks the old connection for 3 s
    assert time.monotonic() - mended_at < 15
    whole(daemon, 3000)
    assert plugin.finish()[0] == 0


def test_link_local_addresses_have_their_zone(link, collector, sender, tmp_path):
    address = f"{LINK_LOCAL[THERE]}%line"
    daemon = collector(tcp_listen_addr=address)
    plugin = sender(remote_server=address)
    plugin.send(line(0))
    acknowledged(plugin, tmp_path, 1)
    (accepted,) = [one.text for one in daemon.lines() if one.type == "DAEMON_ACCEPT"]
    assert accepted.startswith(f"addr={LINK_LOCAL[HERE]}%line port=")
    assert plugin.finish()[0] == 0


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "with answers on the way"])
def test_the_collector_notices_a_host_that_went_away_silently(
    link, collector, sender, tmp_path, idle
):
    daemon = collector(tcp_keepalive_time=1, tcp_keepalive_intvl=1, tcp_keepalive_probes=2)
    plugin = sender()
    plugin.send(line(0))
    acknowledged(plugin, tmp_path, 1)
    if idle:
        quiet(link)  # so that nothing waits for the kernel's acknowledgement
    else:
        link.set(THERE, cut=1)
        plugin.send(line(1))
        wait_for(lambda: len(numbers(daemon)) == 2, "it is written")
    link.set(cut=1)
    wait_for(lambda: b"type=DAEMON_CLOSE" in daemon.log.read_bytes(), "it is noticed", 10)


@pytest.mark.parametrize("dead", [HERE, THERE], ids=["to the collector", "to the forwarder"])
def test_a_line_dead_in_one_direction_is_noticed_and_costs_nothing(
    link, collector, sender, tmp_path, dead
):
    daemon = collector()
    plugin = sender(max_time_per_record=1, max_tries_per_record=1)
    plugin.send(*[line(n) for n in range(1000)])
    acknowledged(plugin, tmp_path, 1000)
    link.set(dead, cut=1)
    plugin.send(*[line(n) for n in range(1000, 3000)])
    said(plugin, "the server cannot be reached: 10.99.0.2: no answer in 1 s")
    assert state(plugin, tmp_path)["records acknowledged"] == "1000"
    assert (len(numbers(daemon)) > 1000) == (dead == THERE)
    link.set(cut=0)
    acknowledged(plugin, tmp_path, 3000)
    whole(daemon, 3000)
    assert plugin.finish()[0] == 0


def test_a_collector_without_room_keeps_what_it_acknowledged(auditd, loop_mount, start, tmp_path):
    place = loop_mount(16)
    filler, port = place / "filler", free_port()
    space = os.statvfs(place)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - (1 << 20))
    daemon = auditd(
        local_events="no", tcp_listen_port=port, use_libwrap="no", log_file=place / "audit.log",
        space_left=2, admin_space_left=1, disk_full_action="SYSLOG",
    )  # fmt: skip
    configure(tmp_path, None, remote_server="127.0.0.1", port=port, queue_depth=100_000)
    plugin = start("remote", "-c", str(tmp_path / "remote.conf"))
    plugin.send(*[line(n) for n in range(30_000)])
    said(plugin, "the server's disk is full")
    found = state(plugin, tmp_path)
    assert 0 < int(found["records acknowledged"]) < 30_000
    assert set(range(int(found["records acknowledged"]))) <= set(numbers(daemon))
    filler.unlink()
    acknowledged(plugin, tmp_path, 30_000)
    whole(daemon, 30_000)
    assert plugin.finish()[0] == 0


@pytest.mark.timeout(400)
def test_a_collector_killed_a_hundred_times_under_load_keeps_what_it_acknowledged(
    auditd, start, tmp_path
):
    port, moments = free_port(), random.Random(1)
    settings = {"local_events": "no", "tcp_listen_port": port, "use_libwrap": "no"}
    configure(
        tmp_path, None, remote_server="127.0.0.1", port=port, mode="forward",
        queue_file=tmp_path / "queue", queue_depth=100_000, network_failure_action="syslog",
    )  # fmt: skip
    daemon = auditd(**settings)
    plugin = start("remote", "-c", str(tmp_path / "remote.conf"))
    for round_ in range(100):
        size = daemon.log.stat().st_size
        plugin.send(*[line(n) for n in range(round_ * 2000, round_ * 2000 + 2000)])
        more = moments.randrange(100, 100_000)
        wait_for(lambda: daemon.log.stat().st_size > size + more, "records arrive")  # noqa: B023
        daemon.process.kill()
        daemon.process.wait(20)
        daemon = auditd(**settings)
    acknowledged(plugin, tmp_path, 200_000)
    whole(daemon, 200_000)
    assert plugin.finish()[0] == 0
