"""audisp-remote.conf: the settings of the forwarder, all in one table.

The fields of RemoteConfig are that table; whatever is to be known of a keyword stands there.
"""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from auditd_py.config.checks import NO_CHOICE, NO_PQC
from auditd_py.config.forms import (
    PORT_MAX,
    AbsolutePath,
    Form,
    Number,
    Text,
    Words,
    YesNo,
)
from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.nv import Entry, read_lines, read_settings, shown
from auditd_py.config.values import Action, written
from auditd_py.config.words import CryptoProfile, TlsAuth, Transport
from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH: Final = "/etc/auditd_py/audisp-remote.conf"

_EXEC_MODE: Final = 0o750
_MAX_SERVERS: Final = 16
_UNUSUAL: Final = {"remote_server": "", "local_port": "any"}  # defaults, as the file has them


class Mode(StrEnum):
    """Where records wait: in memory, or in a file that outlives the program."""

    IMMEDIATE = "immediate"
    FORWARD = "forward"


class RemoteFormat(StrEnum):
    """Messages that are acknowledged, or bare lines."""

    MANAGED = "managed"
    ASCII = "ascii"


class Step(StrEnum):
    """What to do when something happens to the connection, the server or the queue."""

    IGNORE = "ignore"
    SYSLOG = "syslog"
    EXEC = "exec"
    WARN_ONCE = "warn_once"
    WARN_ONCE_CONTINUE = "warn_once_continue"
    RECONNECT = "reconnect"
    SUSPEND = "suspend"
    SINGLE = "single"
    HALT = "halt"
    STOP = "stop"


_WARN = (Step.IGNORE, Step.SYSLOG, Step.EXEC, Step.WARN_ONCE, Step.WARN_ONCE_CONTINUE)
_ANY = (*_WARN, Step.SUSPEND, Step.SINGLE, Step.HALT, Step.STOP)


class Steps(Form):
    """Some of the steps; exec takes the path of a program, whose status is checked elsewhere."""

    def __init__(self, *steps: Step) -> None:
        self.words = steps
        self.takes_option = Step.EXEC in steps

    @property
    def allowed(self) -> str:
        names = ["exec /PATH" if step is Step.EXEC else str(step) for step in self.words]
        return f"{', '.join(names[:-1])} or {names[-1]}"

    def read(self, text: str, _host: Host, /) -> Action:
        name, _, path = text.partition(" ")
        if name.lower() not in self.words:
            raise self.refusal(name)
        word = Step(name.lower())
        if word is not Step.EXEC:
            if path:
                raise ValueError(f"{shown(path)}: nothing may follow {word}")
        elif not path:
            raise ValueError("exec needs the program to run: write exec /PATH")
        elif " " in path:
            raise ValueError(f"{shown(path)}: one path only, the program gets no arguments")
        elif not path.startswith("/"):
            raise ValueError(f"{shown(path)}: exec needs an absolute path")
        return Action(word, path)


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


@dataclass(frozen=True, slots=True)
class Setting:
    """What the table says of a keyword beside its type, form and default.

    `ours`: the reference does not know it.
    """

    about: str
    ours: bool = False


def _ours(about: str) -> Setting:
    return Setting(about, ours=True)


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
        int, Number(1, 4096, "records"), _ours("Records on the way without acknowledgement.")
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
        _ours("Force each batch of queue_file to disk before it is sent: a power cut loses none."),
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
        Action, Steps(*_ANY), Setting("The server cannot be reached, or does not answer.")
    ] = Action(Step.STOP)
    disk_low_action: Annotated[
        Action, Steps(*_ANY), Setting("The server's disk is nearly full.")
    ] = Action(Step.IGNORE)
    disk_full_action: Annotated[Action, Steps(*_ANY), Setting("The server's disk is full.")] = (
        Action(Step.WARN_ONCE)
    )
    disk_error_action: Annotated[
        Action, Steps(*_ANY), Setting("The server cannot write to its disk.")
    ] = Action(Step.WARN_ONCE)
    remote_ending_action: Annotated[
        Action, Steps(*_ANY, Step.RECONNECT), Setting("The server says that it ends.")
    ] = Action(Step.RECONNECT)
    generic_error_action: Annotated[
        Action, Steps(*_ANY), Setting("The server reports an error unknown here.")
    ] = Action(Step.SYSLOG)
    generic_warning_action: Annotated[
        Action, Steps(*_ANY), Setting("The server reports a warning unknown here.")
    ] = Action(Step.SYSLOG)
    queue_error_action: Annotated[
        Action, Steps(*_ANY), Setting("queue_file cannot be read or written.")
    ] = Action(Step.STOP)
    startup_failure_action: Annotated[
        Action, Steps(*_WARN), Setting("The first attempt of all to reach a server fails.")
    ] = Action(Step.WARN_ONCE_CONTINUE)
    overflow_action: Annotated[
        Action,
        Steps(Step.IGNORE, Step.SYSLOG, Step.SUSPEND, Step.SINGLE, Step.HALT),
        Setting("queue_depth records wait and one more comes, which is dropped."),
    ] = Action(Step.SYSLOG)
    exec_timeout: Annotated[
        int, Number(1, 86400, "seconds"), _ours("Time for the program of an exec action.")
    ] = 60
    state_file: Annotated[str, AbsolutePath(), _ours("Where SIGUSR1 writes the state report.")] = (
        "/run/audit/remote.state"
    )

    # encryption
    tls_cert_file: Annotated[
        str | None, AbsolutePath(), _ours("Our certificate and those that sign it, PEM.")
    ] = None
    tls_key_file: Annotated[
        str | None, AbsolutePath(), _ours("The key of our certificate, PEM, for root alone.")
    ] = None
    tls_ca_file: Annotated[
        str | None, AbsolutePath(), _ours("Certificates that may sign the server's, PEM.")
    ] = None
    tls_server_name: Annotated[
        str | None, Text(), _ours("The name in the server's certificate, if not remote_server.")
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


@dataclass(frozen=True, slots=True)
class Keyword:
    """All there is to know of one keyword. `default` is as written, empty if there is none."""

    name: str
    form: Form
    default: str
    about: str
    ours: bool


def _keywords() -> Mapping[str, Keyword]:
    found = {}
    for name, info in RemoteConfig.model_fields.items():
        form = next(item for item in info.metadata if isinstance(item, Form))
        setting = next(item for item in info.metadata if isinstance(item, Setting))
        default = _UNUSUAL.get(name, written(info.default))
        found[name] = Keyword(name, form, default, setting.about, setting.ours)
    return MappingProxyType(found)


KEYWORDS: Final = _keywords()
ACTIONS: Final = tuple(name for name in KEYWORDS if name.endswith("_action"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a file and what its administrator should know, in line order."""

    config: RemoteConfig
    warnings: list[Problem]


def load(path: str = PATH, *, host: Host = THIS_HOST) -> Loaded:
    """Return the settings of the file at `path`. Asks the disk.

    Raises ConfigError with everything wrong with the file; keep the settings there were.
    """
    return parse(read_settings(path, allow_links=False) or b"", path, host)


def parse(data: bytes, path: str, host: Host = THIS_HOST) -> Loaded:
    """Return the settings written in `data`; `path` is only repeated in problems.

    Raises ConfigError with everything wrong, in line order.
    """
    entries, problems = read_lines(data, path)
    reading = _Reading(path, problems)
    for entry in entries:
        reading.take(entry)
    config = RemoteConfig.model_validate(reading.values)
    for keyword, text in _findings(config, host):
        line = reading.lines.get(keyword, 0)
        # of a keyword that could not be read the default was looked at
        if not any(problem.keyword == keyword for problem in problems):
            problems.append(Problem(path, line, keyword, text))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    return Loaded(config, sorted(reading.warnings, key=lambda problem: problem.line))


@dataclass(slots=True)
class _Reading:
    path: str
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        keyword = KEYWORDS.get(entry.keyword)
        if keyword is None:
            near = difflib.get_close_matches(entry.keyword, KEYWORDS, n=1)
            self._refuse(entry, f"unknown keyword{f', did you mean {near[0]}?' if near else ''}")
        elif entry.options and not keyword.form.takes_option:
            self._refuse(entry, f"{shown(' '.join(entry.options))}: nothing may follow the value")
        else:
            try:
                text = " ".join((entry.value, *entry.options))
                alone = RemoteConfig.model_validate({entry.keyword: text})
            except ValidationError as error:
                cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
                self._refuse(entry, str(cause or error))
                return
            self._set(entry, getattr(alone, entry.keyword))

    def _set(self, entry: Entry, value: object) -> None:
        if entry.keyword in self.lines:
            text = f"set again: this line counts, line {self.lines[entry.keyword]} does not"
            self.warnings.append(Problem(self.path, entry.line, entry.keyword, text))
        self.values[entry.keyword] = value
        self.lines[entry.keyword] = entry.line
        if entry.keyword == "enable_krb5" and value:
            self.values["transport"] = Transport.KRB5
            self.lines["transport"] = entry.line

    def _refuse(self, entry: Entry, text: str) -> None:
        self.problems.append(Problem(self.path, entry.line, shown(entry.keyword), text))


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
    for keyword in ACTIONS:
        action: Action = getattr(config, keyword)
        if action.word == Step.EXEC:
            yield from _program(keyword, action.path, host)


def _krb5(config: RemoteConfig, host: Host) -> Iterator[tuple[str, str]]:
    if not host.module("gssapi"):
        text = 'krb5 needs the Python package gssapi: pip install "auditd-py[kerberos]"'
        yield "transport", text
    yield from _secret("krb5_key_file", config.krb5_key_file, host)


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
            yield from _secret(keyword, path, host)


def _secret(keyword: str, path: str, host: Host) -> Iterator[tuple[str, str]]:
    try:
        status = host.lstat(path)
    except (OSError, ValueError) as error:
        yield keyword, f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        return
    if not stat.S_ISREG(status.st_mode):
        yield keyword, f"{path} is not a regular file"
    elif status.st_uid != 0 or status.st_mode & 0o077:
        yield keyword, f"{path} can be read by others: chown root {path}; chmod 0400 {path}"


def _program(keyword: str, path: str, host: Host) -> Iterator[tuple[str, str]]:
    try:
        status = host.stat(path)
    except (OSError, ValueError) as error:
        yield keyword, f"{path} cannot be run: {getattr(error, 'strerror', None) or error}"
        return
    if not stat.S_ISREG(status.st_mode):
        yield keyword, f"{path} is not a regular file"
        return
    if status.st_uid != 0:
        yield keyword, f"{path} is owned by uid {status.st_uid}: chown root {path}"
    if stat.S_IMODE(status.st_mode) != _EXEC_MODE:
        mode = stat.S_IMODE(status.st_mode)
        yield keyword, f"{path} has mode {mode:04o}, 0750 is allowed: chmod 0750 {path}"
