"""Kerberos between hosts, with a KDC: ours and Debian's, both as server and as client."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.kdc import Kdc
from tests.plugins.plugin_process import catches
from tests.plugins.test_remote import configure, line, said, state
from tests.plugins.test_remote_debian import SENT, debian_collector, debian_forward
from tests.programs import Auditd, Peers, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugins.plugin_process import Plugin

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.peer, pytest.mark.slow]
__all__ = ["debian_collector", "debian_forward"]  # fixtures


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    made = Kdc(tmp_path_factory.mktemp("realm") / "kdc")
    yield made
    made.end()


@pytest.fixture(scope="module")
def peers(peers: Peers, kdc: Kdc) -> Peers:
    """Give Debian's programs in the realm."""
    found = Peers(peers.place)
    found.environment.update(kdc.environment)
    return found


@pytest.fixture
def our_collector(auditd, kdc) -> Callable[..., Auditd]:
    def begin(**settings: object) -> Auditd:
        port = free_port()
        daemon: Auditd = auditd(
            enter=kdc.enter, local_events="no", tcp_listen_port=port, use_libwrap="no",
            **{"transport": "krb5", "krb5_key_file": kdc.keytab, **settings},
        )  # fmt: skip
        daemon.port = port  # type: ignore[attr-defined]
        return daemon

    return begin


@pytest.fixture
def forward(start, kdc, tmp_path: Path) -> Callable[..., Plugin]:
    def begin(**settings: object) -> Plugin:
        configure(tmp_path, None, **settings)
        plugin: Plugin = start("remote", "-c", str(tmp_path / "remote.conf"), enter=kdc.enter)
        return plugin

    return begin


def client_settings(kdc: Kdc, collector, address: str = "127.0.0.1") -> dict[str, object]:
    return {
        "remote_server": address, "port": collector.port, "transport": "krb5",
        "krb5_key_file": kdc.keytab, "krb5_principal": f"auditd/{kdc.host}",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("client", ["forward", "debian_forward"])
@pytest.mark.parametrize("server", ["our_collector", "debian_collector"])
def test_ours_and_debians_understand_each_other(request, kdc, server, client, address):
    collector = request.getfixturevalue(server)(transport="krb5", krb5_key_file=kdc.keytab)
    records = [line(n) for n in range(1000)]
    settings = client_settings(kdc, collector, address)
    run = request.getfixturevalue(client)
    if client == "forward":
        plugin = run(**settings)
        plugin.send(*records)
        assert plugin.finish() == (0, "")
    else:
        done = run(records, **settings)
        assert done.returncode == 0, done.stderr
    log = collector.log.read_bytes()
    assert SENT.findall(log) == [record + f" krb5={kdc.principal}".encode() for record in records]


def accepted(daemon: Auditd) -> list[str]:
    return [found.text for found in daemon.lines() if found.type == "DAEMON_ACCEPT"]


def test_who_is_of_another_service_is_refused(our_collector, forward, kdc):
    collector = our_collector()
    settings = client_settings(kdc, collector)
    keytab = kdc.key_of(f"host/{kdc.host}")
    plugin = forward(
        **{**settings, "krb5_key_file": keytab, "krb5_client_name": "host"},
        startup_failure_action="syslog", max_tries_per_record=1,
    )  # fmt: skip
    plugin.send(line(0))
    wait_for(lambda: accepted(collector), "it is refused")
    (text,) = {text.partition(" port=")[0] + text[-99:] for text in accepted(collector)[:1]}
    assert f"id=host/{kdc.host}@" in text
    assert "op=krb5-accept" in text
    assert text.endswith("reason=name-not-allowed res=no")
    assert plugin.terminate()[0] == 1
    assert SENT.findall(collector.log.read_bytes()) == []


def test_who_speaks_no_kerberos_is_refused(our_collector, forward):
    collector = our_collector()
    plugin = forward(
        remote_server="127.0.0.1", port=collector.port, startup_failure_action="syslog",
        max_tries_per_record=1,
    )  # fmt: skip
    plugin.send(line(0))
    wait_for(lambda: accepted(collector), "it is refused")
    assert "op=krb5-accept" in accepted(collector)[0]
    assert accepted(collector)[0].endswith("res=no")
    plugin.terminate()


@pytest.mark.slow
def test_a_kdc_that_is_away_holds_up_nothing(our_collector, forward, kdc, tmp_path):
    collector = our_collector()
    kdc.process.send_signal(signal.SIGSTOP)
    try:
        plugin = forward(
            **client_settings(kdc, collector), startup_failure_action="syslog",
            max_time_per_record=1, max_tries_per_record=1,
        )  # fmt: skip
        catches(plugin, signal.SIGUSR1)
        plugin.send(*[line(n) for n in range(10)])
        said(plugin, "no answer in 1 s")
        assert state(plugin, tmp_path)["records taken"] == "10"
    finally:
        kdc.process.send_signal(signal.SIGCONT)
    wait_for(lambda: len(SENT.findall(collector.log.read_bytes())) == 10, "they arrive")
    assert plugin.finish()[0] == 0


def test_a_key_table_that_others_can_read_is_refused(our_collector, forward, kdc, tmp_path):
    open_to_all = tmp_path / "keytab"
    open_to_all.write_bytes(kdc.keytab.read_bytes())
    open_to_all.chmod(0o644)
    daemon = our_collector(krb5_key_file=kdc.keytab)
    plugin = forward(**{**client_settings(kdc, daemon), "krb5_key_file": open_to_all})
    status, told = plugin.wait()
    assert status == 6
    assert f"krb5_key_file: {open_to_all} can be read by others" in told
