"""audisp-remote.conf: the settings of the forwarder, all in one table.

The fields of RemoteConfig are that table; whatever is to be known of a keyword stands there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict

from auditd_py.config.checks import NO_CHOICE, NO_PQC
from auditd_py.config.forms import PORT_MAX, AbsolutePath, Form, Number, Text, Words, YesNo
from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.table import (
    ANY,
    WARN,
    Loaded,
    Mode,
    Setting,
    Step,
    Steps,
    Table,
    ours,
    secret_findings,
)
from auditd_py.config.values import Action
from auditd_py.config.words import CryptoProfile, TlsAuth, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH: Final = "/etc/auditd_py/audisp-remote.conf"

_MAX_SERVERS: Final = 16


class RemoteFormat(StrEnum):
    """Messages that are acknowledged, or bare lines."""

    MANAGED = "managed"
    ASCII = "ascii"


class Servers(Form):
    """Hosts to send to, the preferred one first."""

    takes_option = True
    allowed = f"names or addresses of up to {_MAX_SERVERS} hosts"

    def read(self, text: str, _host: Host, /) -> tuple[str, ...]:
        hosts = tuple(text.split())
        if len(hosts) > _MAX_SERVERS or any(host.startswith("#") for host in hosts):
            raise self.refusal(text)
        return hosts


class LocalPort(Form):
    """The port to send from."""

    words = ("any",)
    allowed = f"any, or 1 to {PORT_MAX}"

    def read(self, text: str, host: Host, /) -> int:
        if text.lower() == "any":
            return 0
        try:
            return Number(1, PORT_MAX).read(text, host)
        except ValueError:
            raise self.refusal(text) from None


class RemoteConfig(BaseModel):
    """The settings of the forwarder. None means not set."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    # where to
    remote_server: Annotated[
        tuple[str, ...],
        Servers(),
        Setting("Hosts to send to; if the first cannot be reached the next is tried. Required."),
    ] = ()
    port: Annotated[int, Number(1, PORT_MAX), Setting("Port of the servers.")] = 60
    local_port: Annotated[int, LocalPort(), Setting("Port to send from.")] = 0
    transport: Annotated[Transport, Words(Transport), Setting("How to talk to the server.")] = (
        Transport.TCP
    )
    format: Annotated[
        RemoteFormat,
        Words(RemoteFormat),
        Setting("Messages that the server acknowledges, or bare lines, whose loss nobody notices."),
    ] = RemoteFormat.MANAGED
    window: Annotated[
        int, Number(1, 4096, "records"), ours("Records on the way without acknowledgement.")
    ] = 256

    # what waits
    mode: Annotated[
        Mode, Words(Mode), Setting("Records wait in memory, or in queue_file, which survives.")
    ] = Mode.IMMEDIATE
    queue_file: Annotated[
        str, AbsolutePath(), Setting("Where records wait with mode = forward.")
    ] = "/var/spool/audit/remote.log"
    queue_depth: Annotated[
        int, Number(1, 1 << 20, "records"), Setting("Records that may wait.")
    ] = 2048
    queue_sync: Annotated[
        bool,
        YesNo(),
        ours("Force each batch of queue_file to disk before it is sent: a power cut loses none."),
    ] = True

    # time
    network_retry_time: Annotated[
        int, Number(1, 86400, "seconds"), Setting("Time between attempts to reach a server.")
    ] = 1
    max_tries_per_record: Annotated[
        int, Number(1), Setting("Attempts before network_failure_action.")
    ] = 3
    max_time_per_record: Annotated[
        int,
        Number(1, 86400, "seconds"),
        Setting("Time for the attempts, and for the server to answer."),
    ] = 5
    heartbeat_timeout: Annotated[
        int, Number(0, 86400, "seconds"), Setting("Ask an idle server whether it lives; 0 = never.")
    ] = 0

    # what to do
    network_failure_action: Annotated[
        Action, Steps(*ANY), Setting("The server cannot be reached, or does not answer.")
    ] = Action(Step.STOP)
    disk_low_action: Annotated[
        Action, Steps(*ANY), Setting("The server's disk is nearly full.")
    ] = Action(Step.IGNORE)
    disk_full_action: Annotated[Action, Steps(*ANY), Setting("The server's disk is full.")] = (
        Action(Step.WARN_ONCE)
    )
    disk_error_action: Annotated[
        Action, Steps(*ANY), Setting("The server cannot write to its disk.")
    ] = Action(Step.WARN_ONCE)
    remote_ending_action: Annotated[
        Action, Steps(*ANY, Step.RECONNECT), Setting("The server says that it ends.")
    ] = Action(Step.RECONNECT)
    generic_error_action: Annotated[
        Action, Steps(*ANY), Setting("The server reports an error unknown here.")
    ] = Action(Step.SYSLOG)
    generic_warning_action: Annotated[
        Action, Steps(*ANY), Setting("The server reports a warning unknown here.")
    ] = Action(Step.SYSLOG)
    queue_error_action: Annotated[
        Action, Steps(*ANY), Setting("queue_file cannot be read or written.")
    ] = Action(Step.STOP)
    startup_failure_action: Annotated[
        Action, Steps(*WARN), Setting("The first attempt of all to reach a server fails.")
    ] = Action(Step.WARN_ONCE_CONTINUE)
    overflow_action: Annotated[
        Action,
        Steps(Step.IGNORE, Step.SYSLOG, Step.SUSPEND, Step.SINGLE, Step.HALT),
        Setting("queue_depth records wait and one more comes, which is dropped."),
    ] = Action(Step.SYSLOG)
    exec_timeout: Annotated[
        int, Number(1, 86400, "seconds"), ours("Time for the program of an exec action.")
    ] = 60
    state_file: Annotated[str, AbsolutePath(), ours("Where SIGUSR1 writes the state report.")] = (
        "/run/audit/remote.state"
    )

    # encryption
    tls_cert_file: Annotated[
        str | None, AbsolutePath(), ours("Our certificate and those that sign it, PEM.")
    ] = None
    tls_key_file: Annotated[
        str | None, AbsolutePath(), ours("The key of our certificate, PEM, for root alone.")
    ] = None
    tls_ca_file: Annotated[
        str | None, AbsolutePath(), ours("Certificates that may sign the server's, PEM.")
    ] = None
    tls_server_name: Annotated[
        str | None, Text(), ours("The name in the server's certificate, if not remote_server.")
    ] = None
    tls_auth: Annotated[
        TlsAuth,
        Words(TlsAuth),
        Setting("How both ends know each other; tls_ca_file means certificates."),
    ] = TlsAuth.PSK
    tls_psk_file: Annotated[
        str | None, AbsolutePath(), Setting("A key that both ends have, in hex, for root alone.")
    ] = None
    tls_psk_identity: Annotated[str | None, Text(), Setting("The name of that key.")] = None
    tls_crypto_profile: Annotated[
        CryptoProfile,
        Words(CryptoProfile),
        Setting("Set of TLS algorithms on offer; pqc is refused."),
    ] = CryptoProfile.COMPATIBLE
    tls_require_pqc: Annotated[
        bool, YesNo(), Setting("Insist on post-quantum key exchange; yes is refused.")
    ] = False
    tls_cipher_suites: Annotated[
        str | None,
        Text("an OpenSSL list"),
        Setting("Cipher suites in place of the profile's; refused."),
    ] = None
    tls_key_exchange: Annotated[
        str | None,
        Text("an OpenSSL list"),
        Setting("Key exchanges in place of the profile's; refused."),
    ] = None
    enable_krb5: Annotated[
        bool, YesNo(), Setting("yes: transport = krb5, as old files write it.")
    ] = False
    krb5_principal: Annotated[
        str | None,
        Text(),
        Setting("The server's principal; not set = krb5_client_name and remote_server."),
    ] = None
    krb5_client_name: Annotated[
        str, Text(), Setting("The service name of our principal; this host's name follows.")
    ] = "auditd"
    krb5_key_file: Annotated[str, AbsolutePath(), Setting("Our keytab, for root alone.")] = (
        "/etc/auditd_py/audisp-remote.key"
    )


def _findings(config: RemoteConfig, host: Host) -> Iterator[tuple[str, str]]:
    """Yield keywords and what is wrong with settings that are each right by themselves."""
    if not config.remote_server:
        yield "remote_server", "needed: the host to send to"
    if config.format is RemoteFormat.ASCII:
        if config.mode is Mode.FORWARD:
            yield "mode", "forward needs format = managed: bare lines are not acknowledged"
        if config.transport is not Transport.TCP:
            yield "transport", f"{config.transport} needs format = managed"
        if config.heartbeat_timeout:
            yield "heartbeat_timeout", "needs format = managed: bare lines are not answered"
    if config.transport is Transport.KRB5:
        yield from _krb5(config, host)
    if config.transport is Transport.TLS:
        yield from _tls(config, host)


def _krb5(config: RemoteConfig, host: Host) -> Iterator[tuple[str, str]]:
    if not host.module("gssapi"):
        text = 'krb5 needs the Python package gssapi: pip install "auditd-py[kerberos]"'
        yield "transport", text
    yield from secret_findings("krb5_key_file", config.krb5_key_file, host)


def _tls(config: RemoteConfig, host: Host) -> Iterator[tuple[str, str]]:
    if config.tls_require_pqc or config.tls_crypto_profile is CryptoProfile.PQC:
        keyword = "tls_require_pqc" if config.tls_require_pqc else "tls_crypto_profile"
        yield keyword, NO_PQC
    for keyword in ("tls_cipher_suites", "tls_key_exchange"):
        if getattr(config, keyword):
            yield keyword, NO_CHOICE
    psk = bool(config.tls_psk_file or config.tls_psk_identity)
    x509 = bool(config.tls_cert_file or config.tls_key_file or config.tls_ca_file)
    if psk and x509:
        yield "tls_psk_file", "contradicts the certificates: use one or the other"
    elif psk:
        if not (config.tls_psk_file and config.tls_psk_identity):
            yield "transport", "tls with a key needs tls_psk_file and tls_psk_identity"
        elif not host.shared_keys:
            yield "tls_psk_file", "needs Python 3.13 or newer: use tls_cert_file and tls_ca_file"
    elif not config.tls_ca_file:
        yield "transport", "tls needs tls_ca_file, or tls_psk_file and tls_psk_identity"
    elif bool(config.tls_cert_file) != bool(config.tls_key_file):
        yield "tls_cert_file", "tls_cert_file and tls_key_file are only used together"
    for keyword in ("tls_key_file", "tls_psk_file"):
        path = getattr(config, keyword)
        if path:
            yield from secret_findings(keyword, path, host)


TABLE: Final = Table(
    RemoteConfig,
    _findings,
    {"remote_server": "", "local_port": "any"},
    {"enable_krb5": ("transport", Transport.KRB5)},
)
KEYWORDS: Final = TABLE.keywords
ACTIONS: Final = TABLE.actions


def load(path: str = PATH, *, host: Host = THIS_HOST) -> Loaded[RemoteConfig]:
    """Return the settings of the file at `path`; see Table."""
    return TABLE.load(path, host)


def parse(data: bytes, path: str, host: Host = THIS_HOST) -> Loaded[RemoteConfig]:
    """Return the settings written in `data`; see Table."""
    return TABLE.parse(data, path, host)
