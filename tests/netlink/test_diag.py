"""auditd_py.netlink.diag, with the kernel's own connections."""

from __future__ import annotations

import socket

import pytest

from auditd_py.netlink.diag import Timer, tcp_timers


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_timer_of_a_connection_is_that_of_its_socket(host):
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = listener.getsockname()[1]
    with listener, socket.create_connection((host, port)) as client:
        peer = client.getsockname()[:2]
        server, _ = listener.accept()
        with server:
            assert tcp_timers(port)[peer] == Timer("off", 0.0, 0)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 100)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            found = tcp_timers(port)[peer]
            assert (found.kind, found.retransmits) == ("keepalive", 0)
            assert 90 < found.expires_s <= 100
            assert str(found).startswith("keepalive in ")


def test_a_port_without_connections_has_none():
    assert tcp_timers(1) == {}


def test_no_timer_is_off():
    assert str(Timer("off", 0.0, 0)) == "off"
