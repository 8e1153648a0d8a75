"""The settings of auditd.conf, all in one table: the fields of DaemonConfig.

Parser, checks, documentation and the shipped file are held to this table; whatever is to be
known of a keyword stands in its line and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from auditd_py.config.forms import (
    PORT_MAX,
    AbsolutePath,
    Actions,
    Addresses,
    Form,
    GroupName,
    Interval,
    Listen,
    LogPath,
    NatsServers,
    Number,
    Ports,
    Rotation,
    SpaceLimit,
    Text,
    Token,
    Words,
    YesNo,
)
from auditd_py.config.values import Action, Endpoint, Group, PortRange, Space, written
from auditd_py.config.words import (
    ActionWord,
    Compression,
    CryptoProfile,
    Flush,
    LogFormat,
    NameFormat,
    NodeCheckWord,
    SmtpSecurity,
    TlsAuth,
    Transport,
)


class Reload(StrEnum):
    """Whether a changed setting takes effect at a reload; otherwise it waits for a restart."""

    YES = "yes"
    NO = "no"
    FROM_UNSET = "only if it was not set"
    UPWARDS = "only if it grows"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the table says of a keyword beside its type, form and default.

    `ours`: the reference does not know it. `deprecated` says why the keyword is ignored, or what to write instead.
    """

    about: str
    reload: Reload = Reload.YES
    ours: bool = False
    deprecated: str = ""


_NO = Reload.NO
_ROOT = Group(0, "root")
_A = ActionWord
_ON_SPACE = (_A.IGNORE, _A.SYSLOG, _A.ROTATE, _A.EMAIL, _A.EXEC, _A.SUSPEND, _A.SINGLE)


def _ours(about: str, reload: Reload = Reload.YES) -> Setting:
    return Setting(about, reload, ours=True)


class DaemonConfig(BaseModel):
    """The settings of the daemon. None means not set; an unset keyword has its default.

    `model_fields_set` holds the keywords that were given.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    # where records come from
    local_events: Annotated[
        bool, YesNo(), Setting("Collect the events of this host's kernel.", _NO)
    ] = True
    receive_buffer: Annotated[
        int,
        Number(1, 1024, "MiB"),
        _ours(
            "Socket buffer in the kernel for events the daemon has not read yet; memory is "
            "taken only while they wait. The kernel drops what does not fit.",
            _NO,
        ),
    ] = 64
    audit_pid_retry: Annotated[
        int,
        Number(0, 3600, "seconds"),
        _ours("Time between attempts to become the kernel's audit daemon again; 0 = never."),
    ] = 5
    status_interval: Annotated[
        int,
        Number(1, 3600, "seconds"),
        _ours("Time between two looks at the kernel's lost and backlog counters."),
    ] = 2
    watch_rules: Annotated[
        bool,
        YesNo(),
        _ours("Record and tell when the kernel's rules, its enabled flag or its audit pid change."),
    ] = False
    priority_boost: Annotated[
        int, Number(0), Setting("How far the daemon's nice value is lowered.")
    ] = 4
    run_dir: Annotated[
        str, AbsolutePath(), _ours("Directory of the pid file and the state report.", _NO)
    ] = "/run/audit"

    # the log
    write_logs: Annotated[bool, YesNo(), Setting("Write records to the log file.")] = True
    log_file: Annotated[str, LogPath(), Setting("The log file; its directory must exist.")] = (
        "/var/log/audit/audit.log"
    )
    log_group: Annotated[Group, GroupName(), Setting("Group that may read the log files.")] = _ROOT
    log_format: Annotated[
        LogFormat,
        Words(LogFormat),
        Setting("raw: records as the kernel sent them; enriched: names for numbers are added."),
    ] = LogFormat.ENRICHED
    flush: Annotated[
        Flush,
        Words(Flush),
        Setting(
            "When records are forced to the disk: never, every freq records (waiting for "
            "the disk or not), or with each batch (data only, or with the inode)."
        ),
    ] = Flush.INCREMENTAL_ASYNC
    freq: Annotated[
        int, Number(0, unit="records"), Setting("Records between two incremental flushes.")
    ] = 50
    write_queue: Annotated[
        int,
        Number(1, 1024, "MiB"),
        _ours("Records that may wait in the daemon for the disk before it stops reading.", _NO),
    ] = 16
    name_format: Annotated[
        NameFormat,
        Words(NameFormat),
        Setting(
            "Node name put in front of each record: none, the host name, the fully "
            "qualified name, the address, or the value of name."
        ),
    ] = NameFormat.NONE
    name: Annotated[str | None, Text(), Setting("The node name for name_format = user.")] = None
    report_interval: Annotated[
        int, Interval(), Setting("Time between state reports; 0 = only when asked for.")
    ] = 0
    end_of_event_timeout: Annotated[
        int,
        Number(0, unit="seconds"),
        Setting("Time after which searches take an event for complete.", _NO),
    ] = 2

    # size of the log
    max_log_file: Annotated[
        int,
        Number(0, unit="MiB"),
        Setting("Size at which max_log_file_action is taken; 0 = any size."),
    ] = 8
    max_log_file_action: Annotated[
        Action,
        Actions(_A.IGNORE, _A.SYSLOG, _A.EXEC, _A.SUSPEND, _A.ROTATE, _A.KEEP_LOGS),
        Setting("What to do when the log reaches max_log_file."),
    ] = Action(_A.ROTATE)
    num_logs: Annotated[
        int, Number(0, 999), Setting("Log files kept by rotate; below 2 nothing rotates.")
    ] = 5

    rotate_interval: Annotated[
        str,
        Rotation(),
        _ours("Rotate by the clock as well: each hour, day or week (Monday), or every N minutes."),
    ] = "never"
    compress_logs: Annotated[
        Compression,
        Words(Compression),
        _ours("Compress rotated logs, at low priority, beside the daemon."),
    ] = Compression.NONE
    index_logs: Annotated[
        bool,
        YesNo(),
        _ours("Index rotated logs for aureport, at low priority, beside the daemon."),
    ] = False
    archive_to: Annotated[
        str | None,
        Text("an absolute path or s3://BUCKET/PREFIX"),
        _ours("Write rotated logs into this archive, at low priority, beside the daemon."),
    ] = None
    keep_days: Annotated[
        int,
        Number(0, 36500, "days"),
        _ours("Remove rotated logs last written to longer ago than this; 0 = keep them."),
    ] = 0
    keep_total: Annotated[
        int,
        Number(0, unit="MiB"),
        _ours("Remove the oldest rotated logs while all logs take more than this; 0 = keep them."),
    ] = 0

    # space on the log's disk
    space_left: Annotated[
        Space, SpaceLimit(), Setting("Free space below which space_left_action is taken.")
    ] = Space(75)
    space_left_action: Annotated[
        Action, Actions(*_ON_SPACE), Setting("The early warning: free space is below space_left.")
    ] = Action(_A.SYSLOG)
    verify_email: Annotated[
        bool, YesNo(), Setting("Check the form of action_mail_acct when settings are read.", _NO)
    ] = True
    action_mail_acct: Annotated[
        str, Text("a mail account"), Setting("Who gets the mail of the email action.")
    ] = "root"
    admin_space_left: Annotated[
        Space, SpaceLimit(), Setting("Free space below which admin_space_left_action is taken.")
    ] = Space(50)
    admin_space_left_action: Annotated[
        Action,
        Actions(*_ON_SPACE, _A.HALT),
        Setting("The last warning: free space is below admin_space_left."),
    ] = Action(_A.SUSPEND)
    disk_full_action: Annotated[
        Action,
        Actions(_A.IGNORE, _A.SYSLOG, _A.ROTATE, _A.EXEC, _A.SUSPEND, _A.SINGLE, _A.HALT),
        Setting("What to do when the disk of the log is full."),
    ] = Action(_A.SUSPEND)
    disk_error_action: Annotated[
        Action,
        Actions(_A.IGNORE, _A.SYSLOG, _A.EXEC, _A.SUSPEND, _A.SINGLE, _A.HALT),
        Setting("What to do when writing to the log fails for another reason."),
    ] = Action(_A.SUSPEND)
    exec_timeout: Annotated[
        int,
        Number(1, 86400, "seconds"),
        _ours("Time after which a program of exec is ended."),
    ] = 300

    # mail of the email action
    smtp_server: Annotated[
        str | None,
        Text("a host name or address"),
        _ours("Mail server; not set = give mail to the local sendmail."),
    ] = None
    smtp_port: Annotated[
        int | None,
        Number(1, PORT_MAX),
        _ours("Port of the mail server; not set = 25, 587 with starttls, 465 with tls."),
    ] = None
    smtp_security: Annotated[
        SmtpSecurity,
        Words(SmtpSecurity),
        _ours("Protection of the connection; the server's certificate is verified."),
    ] = SmtpSecurity.NONE
    smtp_user: Annotated[
        str | None, Text(), _ours("Name to log in to the mail server with; needs smtp_security.")
    ] = None
    smtp_password_file: Annotated[
        str | None,
        AbsolutePath(),
        _ours("File with the password in its first line, readable by root alone."),
    ] = None
    mail_from: Annotated[
        str | None,
        Text("a mail address"),
        _ours("Sender of the mail; not set = root at this host."),
    ] = None

    # numbers for Prometheus
    metrics_listen: Annotated[
        Endpoint | None,
        Listen(),
        _ours("Where Prometheus gets the daemon's counters; not set = nowhere."),
    ] = None

    # records from other hosts
    tcp_listen_port: Annotated[
        int | None,
        Number(1, PORT_MAX),
        Setting("Port for records of other hosts; not set = do not listen.", Reload.FROM_UNSET),
    ] = None
    tcp_listen_queue: Annotated[
        int, Number(1, PORT_MAX), Setting("Connections that may wait to be accepted.")
    ] = 5
    tcp_max_per_addr: Annotated[
        int, Number(1, 1024), Setting("Connections one address may have at a time.")
    ] = 1
    use_libwrap: Annotated[
        bool, YesNo(), Setting("Ask /etc/hosts.allow and /etc/hosts.deny about each client.")
    ] = True
    tcp_client_ports: Annotated[PortRange, Ports(), Setting("Ports clients may connect from.")] = (
        PortRange(0, PORT_MAX)
    )
    tcp_client_max_idle: Annotated[
        int,
        Number(0, unit="seconds"),
        Setting("Silence after which a client is disconnected; 0 = never."),
    ] = 0
    tcp_listen_addr: Annotated[
        tuple[str, ...],
        Addresses(),
        _ours("Addresses to listen on; not set = every address of this host.", Reload.NO),
    ] = ()
    tcp_plain_clients: Annotated[
        bool,
        YesNo(),
        _ours("Take lines without a header, as senders with format = ascii send them."),
    ] = False
    collector_log_dir: Annotated[
        str | None,
        AbsolutePath(),
        _ours(
            "Directory with a folder for each node, where its records go; not set = they go "
            "to log_file."
        ),
    ] = None
    node_check: Annotated[
        NodeCheckWord,
        Words(NodeCheckWord),
        _ours(
            "Whether the node name of each record must belong to its sender; log: a warning, "
            "reject: not written, and the connection is closed."
        ),
    ] = NodeCheckWord.OFF
    tcp_keepalive_time: Annotated[
        int,
        Number(0, 32767, "seconds"),
        _ours("Silence after which the kernel probes whether a client is still there; 0 = never."),
    ] = 7200
    tcp_keepalive_intvl: Annotated[
        int, Number(1, 32767, "seconds"), _ours("Time between two such probes.")
    ] = 75
    tcp_keepalive_probes: Annotated[
        int, Number(1, 127), _ours("Probes without an answer that end the connection.")
    ] = 9
    distribute_network: Annotated[
        bool, YesNo(), Setting("Give the records of other hosts to plugins, too.")
    ] = False
    transport: Annotated[
        Transport, Words(Transport), Setting("How records of other hosts are protected.", _NO)
    ] = Transport.TCP
    enable_krb5: Annotated[
        bool,
        YesNo(),
        Setting("Older spelling of transport = krb5; the later line of the two counts.", _NO),
    ] = False
    krb5_principal: Annotated[
        str, Text(), Setting("Service name of this daemon and of the clients it lets in.")
    ] = "auditd"
    krb5_key_file: Annotated[
        str, AbsolutePath(), Setting("Keytab of the service, for root alone.")
    ] = "/etc/auditd_py/audit.keytab"
    tls_cert_file: Annotated[
        str | None, AbsolutePath(), _ours("Certificate of this host and those that sign it, PEM.")
    ] = None
    tls_key_file: Annotated[
        str | None, AbsolutePath(), _ours("The key of that certificate, PEM, for root alone.")
    ] = None
    tls_ca_file: Annotated[
        str | None, AbsolutePath(), _ours("Certificates that may sign those of clients, PEM.")
    ] = None
    tls_crl_file: Annotated[
        str | None, AbsolutePath(), _ours("Revoked certificates of clients, PEM.")
    ] = None
    tls_auth: Annotated[
        TlsAuth,
        Words(TlsAuth),
        Setting("How the two ends know each other; tls_cert_file means certificates."),
    ] = TlsAuth.PSK
    tls_psk_file: Annotated[
        str | None, AbsolutePath(), Setting("File with the pre-shared key in hex, for root alone.")
    ] = None
    tls_psk_identity: Annotated[
        str | None, Text(), Setting("Identity that belongs to the pre-shared key.")
    ] = None
    tls_allowed_clients: Annotated[
        str | None,
        AbsolutePath(),
        Setting("File with the clients that may connect, writable for root alone."),
    ] = None
    tls_crypto_profile: Annotated[
        CryptoProfile, Words(CryptoProfile), Setting("Set of TLS algorithms on offer.")
    ] = CryptoProfile.COMPATIBLE
    tls_require_pqc: Annotated[
        bool, YesNo(), Setting("Insist on post-quantum key exchange: profile pqc.")
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

    # records of a fleet, from a NATS JetStream stream
    jetstream_url: Annotated[
        tuple[str, ...],
        NatsServers(),
        _ours("Servers of a NATS cluster; not set = no records come from one.", _NO),
    ] = ()
    jetstream_stream: Annotated[
        str, Token(), _ours("The stream with the records of all hosts.", _NO)
    ] = "AUDIT"
    jetstream_collector: Annotated[
        str | None,
        Token(),
        _ours(
            "Name of this collector, which no other one has and which it keeps for ever; not set "
            "= the host name, with _ for dots.",
            _NO,
        ),
    ] = None
    jetstream_lease: Annotated[
        int,
        Number(2, 3600, "seconds"),
        _ours("Silence after which other collectors take the nodes of this one.", _NO),
    ] = 10
    jetstream_credentials: Annotated[
        str | None,
        AbsolutePath(),
        _ours("Credentials of NATS, or a user's seed; the file is for root alone.", _NO),
    ] = None
    jetstream_user: Annotated[
        str | None, Text(), _ours("Name to log in to the servers with.", _NO)
    ] = None
    jetstream_password_file: Annotated[
        str | None,
        AbsolutePath(),
        _ours("File with its password in the first line, for root alone.", _NO),
    ] = None
    jetstream_ca_file: Annotated[
        str | None,
        AbsolutePath(),
        _ours("Certificates that may sign the servers', PEM; not set = those of this host.", _NO),
    ] = None
    jetstream_cert_file: Annotated[
        str | None, AbsolutePath(), _ours("Certificate to show to the servers, PEM.", _NO)
    ] = None
    jetstream_key_file: Annotated[
        str | None,
        AbsolutePath(),
        _ours("The key of that certificate, PEM, for root alone.", _NO),
    ] = None

    # plugins
    plugin_dir: Annotated[str, AbsolutePath(), Setting("Directory of the plugins' settings.")] = (
        "/etc/auditd_py/plugins.d"
    )
    q_depth: Annotated[
        int, Number(1, 99999, "records"), Setting("Records that wait for plugins.", Reload.UPWARDS)
    ] = 2000
    overflow_action: Annotated[
        Action,
        Actions(_A.IGNORE, _A.SYSLOG, _A.SUSPEND, _A.SINGLE, _A.HALT),
        Setting("What to do when q_depth records wait and one more comes."),
    ] = Action(_A.SYSLOG)
    max_restarts: Annotated[
        int, Number(0), Setting("How often a plugin that ends is started again.")
    ] = 10

    # accepted for the sake of old files
    disp_qos: Annotated[
        str | None,
        Text(),
        Setting("", _NO, deprecated="the log never waits for plugins"),
    ] = None
    dispatcher: Annotated[
        str | None,
        Text(),
        Setting("", _NO, deprecated="the daemon starts plugins itself, see plugin_dir"),
    ] = None


@dataclass(frozen=True, slots=True)
class Keyword:
    """All there is to know of one keyword. `default` is as written, empty if there is none."""

    name: str
    form: Form
    default: str
    about: str
    reload: Reload
    ours: bool
    deprecated: str

    @property
    def allowed(self) -> str:
        """The values in words, as messages have them."""
        return self.form.allowed.removesuffix(",")

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may be written, empty if it takes something else."""
        return self.form.words


def _keywords() -> Mapping[str, Keyword]:
    found = {}
    for name, field in DaemonConfig.model_fields.items():
        form = next(item for item in field.metadata if isinstance(item, Form))
        setting = next(item for item in field.metadata if isinstance(item, Setting))
        found[name] = Keyword(
            name=name,
            form=form,
            default=written(field.default),
            about=setting.about,
            reload=setting.reload,
            ours=setting.ours,
            deprecated=setting.deprecated,
        )
    return MappingProxyType(found)


KEYWORDS: Mapping[str, Keyword] = _keywords()


def changed(old: DaemonConfig, new: DaemonConfig) -> frozenset[str]:
    """Return the names of the settings that differ."""
    return frozenset(name for name in KEYWORDS if getattr(old, name) != getattr(new, name))


def restart_needed(old: DaemonConfig, new: DaemonConfig) -> frozenset[str]:
    """Return the names of the changed settings that a reload leaves as they were."""
    return frozenset(name for name in changed(old, new) if not _reloads(name, old, new))


def _reloads(name: str, old: DaemonConfig, new: DaemonConfig) -> bool:
    before, after = getattr(old, name), getattr(new, name)
    match KEYWORDS[name].reload:
        case Reload.YES:
            return True
        case Reload.NO:
            return False
        case Reload.FROM_UNSET:
            return before is None
        case Reload.UPWARDS:
            return bool(after > before)
