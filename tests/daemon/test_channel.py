"""What protects a client's records, before any bytes: refused with a reason, never a surprise."""

from __future__ import annotations

import os
import socket
import ssl
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditd_py.daemon.channel import HandshakeError
from auditd_py.daemon.krb5 import Krb5Gate
from auditd_py.daemon.tls import TlsGate
from auditd_py.errors import WireError
from auditd_py.plugins.remote_krb5 import protecting
from auditd_py.plugins.remote_link import BusyError
from auditd_py.remote.frame import encode
from auditd_py.remote.tokens import framed
from tests.certificates import Authority
from tests.kdc import Kdc
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.daemon.channel import Channel, Gate
    from auditd_py.plugins.remote_krb5 import Krb5Socket

pytestmark = pytest.mark.usefixtures("root")

# as short as the KDC gives them, and no pardon for late clocks
SHORT_S = 4
FUZZ = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    made = Kdc(tmp_path_factory.mktemp("realm") / "kdc", "clockskew = 1")
    made.limit(f"auditd/{made.host}", SHORT_S)
    before = dict(os.environ)
    os.environ.update(made.environment)  # the Kerberos library reads it
    yield made
    os.environ.clear()
    os.environ.update(before)
    made.end()


@pytest.fixture(scope="module")
def krb5(kdc: Kdc) -> Krb5Gate:
    values = SimpleNamespace(krb5_principal="auditd", krb5_key_file=str(kdc.keytab))
    return Krb5Gate(values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls") / "ca")
    made.sign("server", "IP:127.0.0.1")
    return made


@pytest.fixture(scope="module")
def tls(authority: Authority) -> TlsGate:
    values = SimpleNamespace(
        tls_crypto_profile="compatible", tls_psk_file=None, tls_psk_identity=None,
        tls_allowed_clients=None, tls_crl_file=None, tls_ca_file=authority.path("ca.crt"),
        tls_cert_file=authority.path("server.crt"), tls_key_file=authority.path("server.key"),
    )  # fmt: skip
    return TlsGate(values)  # type: ignore[arg-type]


def shaken(channel: Channel, parts: list[bytes]) -> None:
    """Give any bytes to a handshake, as the collector would."""
    reason = ""
    try:
        for part in parts:
            channel.shake(part)
    except HandshakeError as error:
        reason = str(error)
    assert not channel.ready
    assert (" res=no" in channel.accepted("addr=a port=1", reason)) == bool(reason)


PARTS = st.lists(st.binary(min_size=1, max_size=60), max_size=6)
# what begins as a handshake does
OPENING = st.sampled_from([b"", b"\x16\x03\x01\x00\x20", b"\x00\x00\x00\x10", b"\x00\x00\x00\x00"])


@FUZZ
@given(OPENING, PARTS)
def test_any_bytes_are_no_handshake_of_kerberos(krb5, opening, parts):
    shaken(krb5.channel(), [opening, *parts])
    shaken(krb5.channel(), [framed(part) for part in parts])


@FUZZ
@given(OPENING, PARTS)
def test_any_bytes_are_no_handshake_of_tls(tls, opening, parts):
    shaken(tls.channel(), [opening, *parts])


class Client:
    """A client of ours and the server's end of it, without a network."""

    def __init__(self, kdc: Kdc, gate: Gate) -> None:
        config = SimpleNamespace(
            krb5_key_file=str(kdc.keytab), krb5_client_name="auditd",
            krb5_principal=f"auditd/{kdc.host}",
        )  # fmt: skip
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(10)
        self.socket: Krb5Socket = protecting(config)(ours, kdc.host)  # type: ignore[arg-type]
        self.channel = gate.channel()
        while not self.channel.ready:
            self.theirs.sendall(self.channel.shake(self.theirs.recv(65536)))
        self.socket.thread.join(10)
        self.socket.do_handshake()

    def exchange(self, data: bytes) -> bytes:
        """Send it and have it sent back."""
        assert self.socket.send(memoryview(data)) == len(data)
        came = self.channel.open(self.theirs.recv(1 << 20))
        assert came == data
        self.theirs.sendall(self.channel.seal(came))
        return self.socket.recv(1 << 20)

    def close(self) -> None:
        self.socket.close()
        self.theirs.close()


@pytest.fixture
def client(kdc: Kdc, krb5: Krb5Gate) -> Iterator[Client]:
    made = Client(kdc, krb5)
    yield made
    made.close()


def test_messages_are_wrapped_each_by_itself_and_none_in_part(client):
    two = encode(0, 1, b"one\n") + encode(0, 2, b"two\n")
    assert client.socket.send(memoryview(two + encode(0, 3, b"three")[:-1])) == len(two)
    sent = client.theirs.recv(65536)
    assert b"one" not in sent
    assert client.channel.open(sent) == two


@FUZZ
@given(PARTS)
def test_any_bytes_instead_of_wrapped_messages_are_a_wire_error(kdc, krb5, client, parts):
    for part in parts:
        with pytest.raises(WireError, match="krb5: "):
            client.channel.open(framed(part))


def test_a_message_that_is_signed_only_is_refused(client):
    context = client.socket._wrapping._context
    signed = context.wrap(encode(0, 1, b"in clear"), encrypt=False).message
    assert b"in clear" in signed
    with pytest.raises(WireError, match="signed only, not encrypted"):
        client.channel.open(framed(signed))


def test_a_message_cannot_be_sent_twice(client):
    client.socket.send(memoryview(encode(0, 1, b"once")))
    sent = client.theirs.recv(65536)
    client.channel.open(sent)
    with pytest.raises(WireError, match="krb5: "):
        client.channel.open(sent)


def test_while_the_handshake_goes_on_it_says_so(kdc):
    config = SimpleNamespace(
        krb5_key_file=str(kdc.keytab), krb5_client_name="auditd", krb5_principal=None
    )
    ours, theirs = socket.socketpair()
    made = protecting(config)(ours, kdc.host)  # type: ignore[arg-type]
    with pytest.raises(BusyError):  # the server says nothing
        made.do_handshake()
    made.close()
    made.thread.join(10)
    assert not made.thread.is_alive()
    theirs.close()


@pytest.mark.slow
def test_a_connection_outlives_its_ticket_and_the_next_gets_a_new_one(kdc, krb5, client):
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > SHORT_S + 2, "the ticket has expired")
    assert client.exchange(encode(0, 1, b"still here")) == encode(0, 1, b"still here")
    other = Client(kdc, krb5)
    assert other.exchange(encode(0, 1, b"new")) == encode(0, 1, b"new")
    other.close()


def test_after_the_end_tls_takes_no_answer(tls, authority):
    context = ssl.create_default_context(cafile=authority.path("ca.crt"))
    context.load_cert_chain(authority.path("server.crt"), authority.path("server.key"))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = context.wrap_bio(into, out, server_hostname="127.0.0.1")
    channel = tls.channel()
    while not channel.ready:
        try:
            peer.do_handshake()
        except ssl.SSLWantReadError:
            pass
        into.write(channel.shake(out.read()))
    peer.write(b"a record")
    try:
        peer.unwrap()
    except ssl.SSLWantReadError:
        pass
    assert channel.open(out.read()) == b"a record"
    assert channel.ended
    channel.goodbye()
    with pytest.raises(WireError, match="tls: "):
        channel.seal(b"an answer")
