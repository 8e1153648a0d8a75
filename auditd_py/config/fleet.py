"""audisp-nats.conf: the settings of the publisher, all in one table: the fields of FleetConfig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict

from auditd_py.config.forms import AbsolutePath, NatsServers, Number, Text, Token, Words, YesNo
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
    secret_findings,
)
from auditd_py.config.values import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH: Final = "/etc/auditd_py/audisp-nats.conf"


class FleetConfig(BaseModel):
    """The settings of the publisher. None means not set."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    # where to
    servers: Annotated[
        tuple[str, ...],
        NatsServers(),
        Setting(
            "Servers of the NATS cluster; if one cannot be reached the next is tried. Required."
        ),
    ] = ()
    stream: Annotated[
        str, Token(), Setting("The stream that must take the records; any other is refused.")
    ] = "AUDIT"
    site: Annotated[str, Token(), Setting("Second part of the subject audit.SITE.NODE.")] = "main"
    node_name: Annotated[
        str | None,
        Text(),
        Setting(
            "Name of this host in records that have none, see name_format; not set = host name."
        ),
    ] = None
    message_size: Annotated[
        int,
        Number(16, 768, "KiB"),
        Setting("Records that go together; more only to have the last event whole."),
    ] = 256

    # what waits
    mode: Annotated[
        Mode, Words(Mode), Setting("Records wait in memory, or in queue_file, which survives.")
    ] = Mode.FORWARD
    queue_file: Annotated[
        str, AbsolutePath(), Setting("Where records wait with mode = forward.")
    ] = "/var/spool/audit/nats.log"
    queue_depth: Annotated[
        int, Number(1, 1 << 20, "records"), Setting("Records that may wait, also in memory.")
    ] = 65536
    queue_sync: Annotated[
        bool,
        YesNo(),
        Setting(
            "Force each batch of queue_file to disk before it is sent: a power cut loses none."
        ),
    ] = True

    # time
    network_retry_time: Annotated[
        int, Number(1, 86400, "seconds"), Setting("Time between attempts.")
    ] = 1
    max_tries_per_record: Annotated[
        int, Number(1), Setting("Attempts before the action of what went wrong.")
    ] = 20
    max_time_per_record: Annotated[
        int,
        Number(1, 86400, "seconds"),
        Setting("Time for the attempts before that; an election takes some seconds."),
    ] = 20

    # what to do
    network_failure_action: Annotated[
        Action, Steps(*ANY), Setting("No server can be reached, or none answers.")
    ] = Action(Step.WARN_ONCE)
    startup_failure_action: Annotated[
        Action, Steps(*WARN), Setting("The same, as long as none ever has.")
    ] = Action(Step.WARN_ONCE)
    disk_full_action: Annotated[
        Action, Steps(*ANY), Setting("The stream is full, or its servers' disks are.")
    ] = Action(Step.SYSLOG)
    generic_error_action: Annotated[
        Action, Steps(*ANY), Setting("The servers refuse records: no such stream, no permission.")
    ] = Action(Step.SYSLOG)
    queue_error_action: Annotated[
        Action, Steps(*ANY), Setting("queue_file cannot be read or written.")
    ] = Action(Step.STOP)
    overflow_action: Annotated[
        Action,
        Steps(Step.IGNORE, Step.SYSLOG, Step.SUSPEND, Step.SINGLE, Step.HALT),
        Setting("queue_depth records wait and one more comes, which is dropped."),
    ] = Action(Step.SYSLOG)
    exec_timeout: Annotated[
        int, Number(1, 86400, "seconds"), Setting("Time for the program of an exec action.")
    ] = 60
    state_file: Annotated[
        str, AbsolutePath(), Setting("Where SIGUSR1 writes the state report.")
    ] = "/run/audit/nats.state"

    # who we are
    credentials_file: Annotated[
        str | None,
        AbsolutePath(),
        Setting("Credentials of NATS, or the seed of a user's nkey; for root alone."),
    ] = None
    user: Annotated[str | None, Text(), Setting("User name, with password_file.")] = None
    password_file: Annotated[
        str | None, AbsolutePath(), Setting("The password is its first line; for root alone.")
    ] = None
    tls_ca_file: Annotated[
        str | None,
        AbsolutePath(),
        Setting("Certificates that may sign the servers', PEM; not set = those of this host."),
    ] = None
    tls_cert_file: Annotated[
        str | None, AbsolutePath(), Setting("Our certificate and those that sign it, PEM.")
    ] = None
    tls_key_file: Annotated[
        str | None, AbsolutePath(), Setting("The key of our certificate, PEM, for root alone.")
    ] = None


def _findings(config: FleetConfig, host: Host) -> Iterator[tuple[str, str]]:
    if not config.servers:
        yield "servers", "needed: the servers to send to"
    if not host.module("nats"):
        yield "servers", "needs the Python package nats-py: pip install 'auditd-py[fleet]'"
    if config.credentials_file and config.user:
        yield "user", "contradicts credentials_file: use one or the other"
    if config.credentials_file and not host.module("nkeys"):
        text = "needs the Python package nkeys: pip install 'auditd-py[fleet]'"
        yield "credentials_file", text
    if bool(config.user) != bool(config.password_file):
        yield "user", "user and password_file are only used together"
    if bool(config.tls_cert_file) != bool(config.tls_key_file):
        yield "tls_cert_file", "tls_cert_file and tls_key_file are only used together"
    if config.servers and not config.servers[0].startswith("tls:"):
        for keyword in ("tls_ca_file", "tls_cert_file"):
            if getattr(config, keyword):
                yield keyword, "is for servers at tls://, not nats://"
    for keyword in ("credentials_file", "password_file", "tls_key_file"):
        path = getattr(config, keyword)
        if path:
            yield from secret_findings(keyword, path, host)


TABLE: Final = Table(FleetConfig, _findings, {"servers": ""})
KEYWORDS: Final = TABLE.keywords


def load(path: str = PATH, *, host: Host = THIS_HOST) -> Loaded[FleetConfig]:
    """Return the settings of the file at `path`; see Table."""
    return TABLE.load(path, host)
