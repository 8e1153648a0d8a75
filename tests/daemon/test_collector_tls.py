"""The collector over TLS: who is let in, who is not and what is said of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority
from tests.conftest import unavailable
from tests.daemon.test_collector import ACK, ENDING, Sender, collector, logged, port, said
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs import Auditd

pytestmark = pytest.mark.slow

__all__ = ["collector", "port"]  # fixtures

ROOT = Path(__file__).parent.parent.parent
ALLOWED = "# who may\nweb1.example.com enabled rack 4\nweb2.example.com disabled\n"
KEY = "5a" * 32


class TlsSender(Sender):
    """A client with a certificate."""

    def __init__(self, port: int, authority: Authority, name: str) -> None:
        super().__init__(port)
        context = ssl.create_default_context(cafile=authority.path("ca.crt"))
        context.load_cert_chain(authority.path(f"{name}.crt"), authority.path(f"{name}.key"))
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls") / "ca")
    made.sign("server", "IP:127.0.0.1")
    made.sign("web1", "DNS:web1.example.com")
    made.sign("web2", "DNS:web2.example.com")
    made.sign_expired("old", "DNS:web1.example.com")
    return made


@pytest.fixture
def tls(
    collector: Callable[..., Auditd], authority: Authority, tmp_path: Path
) -> Callable[..., Auditd]:
    """Start a collector that lets web1 in."""
    allowed = tmp_path / "clients"
    allowed.write_text(ALLOWED)

    def start(**settings: object) -> Auditd:
        values = {
            "transport": "tls", "tls_allowed_clients": allowed,
            "tls_cert_file": authority.path("server.crt"),
            "tls_key_file": authority.path("server.key"),
            "tls_ca_file": authority.path("ca.crt"), **settings,
        }  # fmt: skip
        return collector(**{key: value for key, value in values.items() if value is not None})

    return start


@pytest.fixture
def web1(port: int, authority: Authority) -> Iterator[Callable[[], TlsSender]]:
    clients: list[TlsSender] = []

    def connect(name: str = "web1") -> TlsSender:
        clients.append(TlsSender(port, authority, name))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def s_client(port: object, *arguments: object) -> None:
    """Connect as `openssl s_client` does, until the server closes."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)]
    subprocess.run(command, input=b"", capture_output=True, timeout=20, check=False)


def refusals(daemon: Auditd) -> list[str]:
    return [text for text in said(daemon, "DAEMON_ACCEPT") if " res=no " in f"{text} "]


def reload(daemon: Auditd) -> None:
    before = len(said(daemon, "DAEMON_CONFIG"))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(said(daemon, "DAEMON_CONFIG")) > before, "it reloads")


def test_records_of_an_allowed_client_are_written_and_acknowledged(tls, web1):
    daemon, client = tls(), web1()
    client.send(*range(300))
    assert [client.reply() for _ in range(300)] == [(ACK, number, b"") for number in range(300)]
    assert logged(daemon) == list(range(300))
    assert said(daemon, "DAEMON_ACCEPT")[0] == (
        "op=tls-accept res=success role=collector addr=127.0.0.1 port=N id=web1.example.com "
        "profile=compatible reason=none auth=x509 tls_version=TLSv1.3 "
        "cipher=TLS_AES_256_GCM_SHA384 group=?"
    )
    client.socket.unwrap().close()
    wait_for(lambda: said(daemon, "DAEMON_CLOSE"), "the end is noticed")
    assert "disconnected" not in daemon.told()


@pytest.mark.parametrize(
    "case",
    [
        ("other", "unable-to-get-local-issuer-certificate", "?"),
        ("old", "certificate-has-expired", "?"),
        ("web2", "name-not-allowed", "web2.example.com"),
        ("web1 -tls1_2", "unsupported-protocol", "?"),
        ("", "peer-did-not-return-a-certificate", "?"),
    ],
)
def test_others_are_refused_and_the_reason_is_recorded(tls, port, authority, tmp_path, case):
    arguments, reason, name = case
    if arguments == "other":
        authority = Authority(tmp_path / "other")
        authority.sign("other", "DNS:web1.example.com")
    daemon = tls()
    who, *more = arguments.split() or [""]
    if who:
        more += ["-cert", authority.path(f"{who}.crt"), "-key", authority.path(f"{who}.key")]
    s_client(port, *more)
    wait_for(lambda: refusals(daemon), "it is refused")
    (text,) = refusals(daemon)
    assert f" id={name} " in text
    assert f" reason={reason} " in text
    assert logged(daemon) == []


def test_a_client_without_tls_is_refused(tls, port):
    daemon, client = tls(), Sender(port)
    client.send(1)
    wait_for(lambda: refusals(daemon), "it is refused")
    assert " reason=wrong-version-number " in refusals(daemon)[0]
    client.close()


def test_without_a_list_every_certificate_of_the_authority_will_do(tls, web1):
    daemon = tls(tls_allowed_clients=None)
    client = web1("web2")
    client.send(7)
    assert client.reply() == (ACK, 7, b"")
    assert " id=web2.example.com " in said(daemon, "DAEMON_ACCEPT")[0]


def test_a_revoked_certificate_is_refused(tls, port, tmp_path):
    other = Authority(tmp_path / "revoking")
    other.sign("server", "IP:127.0.0.1")
    other.sign("web1", "DNS:web1.example.com")
    files = {f"tls_{what}_file": other.path(f"server.{suffix}") for what, suffix in
             (("cert", "crt"), ("key", "key"))}  # fmt: skip
    daemon = tls(tls_ca_file=other.path("ca.crt"), tls_crl_file=other.revoke(), **files)
    client = TlsSender(port, other, "web1")
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    client.close()
    other.revoke("web1")
    reload(daemon)
    s_client(
        port,
        "-cert",
        other.path("web1.crt"),
        "-key",
        other.path("web1.key"),
    )
    wait_for(lambda: refusals(daemon), "it is refused")
    assert " reason=certificate-revoked " in refusals(daemon)[0]


def test_a_reload_keeps_who_is_allowed_and_drops_who_is_not_any_more(tls, web1, tmp_path):
    (tmp_path / "clients").write_text("web1.example.com enabled\nweb2.example.com enabled\n")
    daemon, stays, goes = tls(), web1(), web1("web2")
    for client in (stays, goes):
        client.send(1)
        assert client.reply() == (ACK, 1, b"")
    (tmp_path / "clients").write_text(ALLOWED)
    reload(daemon)
    stays.send(2)
    assert stays.reply() == (ACK, 2, b"")
    assert 'reason="its identity is not allowed any more"' in daemon.told()
    wait_for(lambda: len(said(daemon, "DAEMON_CLOSE")) == 1, "the other is dropped")
    with contextlib.suppress(ConnectionResetError):
        assert goes.reply() is None


def test_a_list_that_cannot_be_used_leaves_the_old_one(tls, web1, tmp_path):
    daemon, client = tls(), web1()
    (tmp_path / "clients").write_text("web1.example.com perhaps\nweb3\n")
    reload(daemon)
    assert f"{tmp_path}/clients:1: web1.example.com: enabled or disabled must" in daemon.told()
    assert f"{tmp_path}/clients:2: web3: enabled or disabled must follow" in daemon.told()
    assert "res=failed" in said(daemon, "DAEMON_CONFIG")[-1]
    for one in (client, web1()):
        one.send(1)
        assert one.reply() == (ACK, 1, b"")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("tls_key_file", "others can use it"),
        ("tls_ca_file", "not what is needed"),
        ("tls_crl_file", "No such file"),
        ("tls_allowed_clients", "others can use it"),
    ],
)
def test_a_file_that_is_of_no_use_is_named_at_start(tls, tmp_path, keyword, text):
    bad = tmp_path / "bad"
    if keyword != "tls_crl_file":
        bad.write_text("nothing")
        bad.chmod(0o666)
    daemon = tls(ready=False, **{keyword: bad})
    assert daemon.process.wait(20) == 1
    assert f"{bad}: {text}" in daemon.told()
    assert said(daemon, "DAEMON_ABORT")


@pytest.mark.slow
def test_handshakes_are_few_at_a_time_and_take_seconds_at_most(tls, port, web1):
    daemon = tls(tcp_listen_queue=64)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(33)]
    wait_for(lambda: refusals(daemon), "one is too many")
    assert refusals(daemon) == ["op=handshake-limit addr=127.0.0.1 port=N res=no"]
    wait_for(lambda: len(refusals(daemon)) == 33, "the others are given up")
    assert " reason=no-handshake-in-5-s " in refusals(daemon)[-1]
    client = web1()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    for one in silent:
        one.close()


# the other interpreter has none of our dependencies, and needs none
SERVER = """
import socket, sys
from types import ModuleType, SimpleNamespace
sys.modules["structlog"] = ModuleType("structlog")
from auditd_py.daemon.channel import HandshakeError
from auditd_py.daemon.tls import TlsGate
gate = TlsGate(SimpleNamespace(tls_crypto_profile="compatible", tls_psk_file=sys.argv[1],
    tls_cert_file=None, tls_psk_identity="web1", tls_allowed_clients=None))
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
channel = gate.channel()
try:
    while not channel.ready:
        client.sendall(channel.shake(client.recv(65536)))
    print(channel.accepted("addr=a port=p"))
    data = channel.open(b"")
    while not data:
        data = channel.open(client.recv(65536))
    print(data.decode())
except HandshakeError as error:
    client.sendall(error.answer)
    print(channel.accepted("addr=a port=p", str(error)))
"""


def newer_python() -> str:
    """Return an interpreter whose TLS has shared keys."""
    if sys.version_info >= (3, 13):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # a shim of pyenv is on PATH whether it leads anywhere or not
    found = [str(path) for path in pyenv.glob("versions/3.1[3-9]*/bin/python3")]
    path = found[-1] if found else shutil.which("python3.13")
    if path is None:
        unavailable("needs Python 3.13 or newer")
        raise AssertionError
    return path


@pytest.mark.parametrize(
    ("identity", "key", "result", "text"),
    [
        ("web1", KEY, "res=success", "reason=none"),
        ("web1", "5b" * 32, "res=no", "reason=binder-does-not-verify"),
        ("web9", KEY, "res=no", "id=web9"),
    ],
)
def test_a_shared_key_lets_in(tmp_path, identity, key, result, text):
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "key").chmod(0o400)
    with subprocess.Popen(
        [newer_python(), "-c", SERVER, str(tmp_path / "key")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        client = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-quiet",
                  "-psk", key, "-psk_identity", identity]  # fmt: skip
        subprocess.run(client, input=b"hello", capture_output=True, timeout=20, check=False)
        told = server.stdout.read()
    assert f"op=tls-accept {result} role=collector addr=a port=p" in told
    assert text in told
    assert ("hello" in told) == (result == "res=success")


@pytest.mark.slow
def test_a_new_version_has_tls_clients_connect_again(tls, web1, authority):
    daemon, client = tls(), web1()
    client.send(1)
    assert client.reply() == (ACK, 1, b"")
    command = [sys.executable, "-m", "auditd_py", "auditd", "--reexec", "-c", str(daemon.conf)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert client.reply() == (ENDING, 0, b"")
    assert client.reply() is None
    again = web1()
    again.send(2)
    assert again.reply() == (ACK, 2, b"")
    assert logged(daemon) == [1, 2]
    assert len(said(daemon, "DAEMON_CLOSE")) == 1

    key = authority.path("server.key")
    shutil.move(key, f"{key}.away")
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    finally:
        shutil.move(f"{key}.away", key)
    assert done.returncode == 1
    assert "the new version cannot start" in done.stderr
    again.send(3)
    assert again.reply() == (ACK, 3, b"")
