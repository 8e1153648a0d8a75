"""audisp-remote over TLS, with certificates that openssl made."""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority
from tests.plugins.test_remote import forward, line, said, serve
from tests.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.slow]
__all__ = ["forward", "serve"]  # fixtures

KEYS = sys.version_info >= (3, 13)


class Servers(Authority):
    """Has settings for both ends of a connection, too."""

    def server(self, name: str, *, least=ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(f"{name}.crt"), self.path(f"{name}.key"))
        context.load_verify_locations(self.path("ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = least
        return context

    def settings(self, **more: object) -> dict[str, object]:
        return {
            "transport": "tls", "tls_ca_file": self.path("ca.crt"),
            "tls_cert_file": self.path("client.crt"), "tls_key_file": self.path("client.key"),
            "startup_failure_action": "syslog", "max_tries_per_record": 1, **more,
        }  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Servers:
    made = Servers(tmp_path_factory.mktemp("tls") / "ca")
    made.sign("client", "DNS:client")
    made.sign("server", "IP:127.0.0.1")
    made.sign("named", "DNS:log.example.com")
    return made


def test_records_arrive_encrypted(authority, serve, forward):
    server = serve(context=authority.server("server"))
    plugin = forward(server, **authority.settings())
    plugin.send(*[line(n) for n in range(3000)])
    assert plugin.finish() == (0, "")
    server.has(3000)


def test_the_name_to_expect_can_be_set(authority, serve, forward):
    server = serve(context=authority.server("named"))
    plugin = forward(server, **authority.settings(tls_server_name="log.example.com"))
    plugin.send(line(0))
    server.has(1)
    assert plugin.finish()[0] == 0


def refused(server, plugin, reason: str) -> None:
    plugin.send(line(0))
    said(plugin, reason)
    assert plugin.terminate()[0] == 1
    assert server.texts == []


def test_another_name_is_refused(authority, serve, forward):
    server = serve(context=authority.server("named"))
    refused(server, forward(server, **authority.settings()), "IP address mismatch")


def test_another_authority_is_refused(authority, serve, forward, tmp_path):
    other = Authority(tmp_path / "other")
    server = serve(context=authority.server("server"))
    settings = authority.settings(tls_ca_file=other.path("ca.crt"))
    refused(server, forward(server, **settings), "certificate")


def test_an_older_tls_is_refused(authority, serve, forward):
    server = serve(context=authority.server("server", least=ssl.TLSVersion.TLSv1_2))
    refused(server, forward(server, **authority.settings()), "the server cannot be reached")


def test_a_server_without_tls_is_refused(authority, serve, forward):
    server = serve()
    plugin = forward(server, **authority.settings(max_time_per_record=1))
    refused(server, plugin, "the server cannot be reached")


def test_a_file_that_is_no_certificate_is_told(authority, serve, forward, tmp_path):
    (tmp_path / "empty").write_text("")
    status, told = forward(serve(), **authority.settings(tls_ca_file=tmp_path / "empty")).wait()
    assert status == 6
    assert f"tls_ca_file: {tmp_path}/empty: not what is needed" in told


def keyed(folder: Path, key: str) -> dict[str, object]:
    (folder / "psk").write_text(key + "\n")
    (folder / "psk").chmod(0o400)
    return {
        "transport": "tls", "tls_psk_file": folder / "psk", "tls_psk_identity": "web1",
        "startup_failure_action": "syslog", "max_tries_per_record": 1,
    }  # fmt: skip


def only_if(there: bool) -> Callable[[Callable[..., None]], Callable[..., None] | None]:
    """Leave a test out where it has no subject: Python has shared keys from 3.13 on."""
    return lambda test: test if there else None


@only_if(not KEYS)
def test_shared_keys_are_refused_where_python_has_none(serve, forward, tmp_path):
    status, told = forward(serve(), **keyed(tmp_path, "00" * 32)).wait()
    assert status == 6
    assert "needs Python 3.13 or newer" in told


def key_server(key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_psk_server_callback(lambda _identity: key)  # type: ignore[attr-defined]
    return context


@only_if(KEYS)
def test_records_arrive_with_a_shared_key(serve, forward, tmp_path):
    server = serve(context=key_server(bytes(range(32))))
    plugin = forward(server, **keyed(tmp_path, bytes(range(32)).hex()))
    plugin.send(*[line(n) for n in range(3000)])
    assert plugin.finish() == (0, "")
    server.has(3000)


@only_if(KEYS)
def test_another_key_or_a_certificate_instead_is_refused(authority, serve, forward, tmp_path):
    server = serve(context=key_server(b"x" * 32))
    refused(server, forward(server, **keyed(tmp_path, "00" * 32)), "cannot be reached")
    context = authority.server("server")
    context.verify_mode = ssl.CERT_NONE
    server = serve(context=context)
    refused(server, forward(server, **keyed(tmp_path, "00" * 32)), "does not use the shared key")


@only_if(KEYS)
@pytest.mark.parametrize("key", ["00" * 31, "no hex"])
def test_a_key_that_is_too_short_is_told(serve, forward, tmp_path, key):
    status, told = forward(serve(), **keyed(tmp_path, key)).wait()
    assert status == 6
    assert "tls_psk_file" in told


@only_if(KEYS)
def test_our_collector_knows_our_forwarder_by_its_key(auditd, forward, tmp_path):
    settings = keyed(tmp_path, "5a" * 32)
    allowed = tmp_path / "clients"
    allowed.write_text(f"web1 enabled key={tmp_path}/psk\n")
    port = free_port()
    collector = auditd(
        local_events="no", tcp_listen_port=port, use_libwrap="no", transport="tls",
        tls_allowed_clients=allowed,
    )  # fmt: skip
    plugin = forward(remote_server="127.0.0.1", port=port, **settings)
    plugin.send(*[line(n) for n in range(500)])
    assert plugin.finish() == (0, "")
    log = collector.log.read_bytes()
    assert [text for text in log.split(b"\n") if b"type=SYSCALL" in text] == [
        line(n) for n in range(500)
    ]
    assert b" id=web1 " in log
    assert b" auth=psk " in log
