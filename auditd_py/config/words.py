"""The words auditd.conf knows, one enumeration a vocabulary; they compare in any case there."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """What a line of the log holds."""

    RAW = "raw"
    ENRICHED = "enriched"


class Flush(StrEnum):
    """When records must have reached the disk."""

    NONE = "none"
    INCREMENTAL = "incremental"
    INCREMENTAL_ASYNC = "incremental_async"
    DATA = "data"
    SYNC = "sync"


class NameFormat(StrEnum):
    """Where the node name in front of each record comes from."""

    NONE = "none"
    HOSTNAME = "hostname"
    FQD = "fqd"
    NUMERIC = "numeric"
    USER = "user"


class ActionWord(StrEnum):
    """What to do when something happens to the log, its disk or a queue."""

    IGNORE = "ignore"
    SYSLOG = "syslog"
    EMAIL = "email"
    ROTATE = "rotate"
    KEEP_LOGS = "keep_logs"
    EXEC = "exec"
    SUSPEND = "suspend"
    SINGLE = "single"
    HALT = "halt"


class Compression(StrEnum):
    """How rotated logs are compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Transport(StrEnum):
    """How remote senders talk to the collector."""

    TCP = "tcp"
    TLS = "tls"
    KRB5 = "krb5"


class NodeCheckWord(StrEnum):
    """What becomes of a record whose node name does not belong to its sender."""

    OFF = "off"
    LOG = "log"
    REJECT = "reject"


class TlsAuth(StrEnum):
    """How the two ends of a TLS connection know each other."""

    PSK = "psk"


class CryptoProfile(StrEnum):
    """Which cipher suites and key exchanges TLS may use."""

    COMPATIBLE = "compatible"
    SYSTEM = "system"
    PQC = "pqc"
