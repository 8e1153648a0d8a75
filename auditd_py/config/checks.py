"""What no single line of auditd.conf shows: settings that contradict, and files of the machine."""

from __future__ import annotations

import os.path
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditd_py.config.nv import shown
from auditd_py.config.words import (
    ActionWord,
    Compression,
    CryptoProfile,
    Flush,
    NameFormat,
    SmtpSecurity,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.config.host import Host
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.values import Action

NO_PQC = (
    "Python cannot insist on a key exchange: use compatible, with which OpenSSL 3.5 and newer "
    "prefer a post-quantum one"
)
NO_CHOICE = (
    "Python cannot choose them: set Ciphersuites and Groups in openssl.cnf, and remove this line"
)
MIN_Q_DEPTH = 512
LONG_REPORT_S = 6 * 3600
EXEC_MODES = (0o750, 0o755, 0o555, 0o550)
ODD_LOG_MODE = 0o137  # u+x, g+wx, o+rwx

ACTIONS = (
    "max_log_file_action",
    "space_left_action",
    "admin_space_left_action",
    "disk_full_action",
    "disk_error_action",
    "overflow_action",
)
SENDMAIL = ("/usr/sbin/sendmail", "/usr/lib/sendmail")
_POWER: dict[str, str] = {
    ActionWord.SINGLE: "takes this host to single user mode",
    ActionWord.HALT: "powers this host off",
}
_ACCOUNT = re.compile(r"[A-Za-z0-9@._+-]{2,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong (`fatal`) or doubtful, told at the line of `keyword`."""

    keyword: str
    text: str
    fatal: bool = True


def findings(config: DaemonConfig, bad: frozenset[str], host: Host) -> Iterator[Finding]:
    """Yield what is wrong with settings that are each right by themselves.

    Checks that look at a keyword in `bad` are left out: its value is not the one in the file.
    """
    for keywords, check in _COMBINATIONS:
        if bad.isdisjoint(keywords):
            yield from check(config)
    if bad.isdisjoint({"log_file", "write_logs"}) and config.write_logs:
        yield from _log_directory(config.log_file, host)
        yield from _log_file(config.log_file, host)
    for keyword in ACTIONS:
        if keyword not in bad:
            action = getattr(config, keyword)
            yield from _program(keyword, action, host)
            yield from _power(keyword, action)
            yield from _sendmail(keyword, action, config, host)
    if "smtp_password_file" not in bad:
        yield from _password_file(config, host)
    if bad.isdisjoint(_TRANSPORT):
        yield from _tls(config, host)
        yield from _krb5(config, host)
    if bad.isdisjoint(_JETSTREAM):
        yield from _jetstream(config, host)
    if "index_logs" not in bad:
        yield from _index(config, host)
    if "archive_to" not in bad:
        yield from _archive(config, host)
    if "compress_logs" not in bad:
        yield from _compression(config, host)


def _flush(config: DaemonConfig) -> Iterator[Finding]:
    counts = config.flush in {Flush.INCREMENTAL, Flush.INCREMENTAL_ASYNC}
    if counts and config.freq == 0:
        text = f"0 with flush = {config.flush}: set it to 1 or more, or set another flush"
        yield Finding("freq", text)
    elif not counts and config.freq and "freq" in config.model_fields_set:
        text = f"{config.freq} has no effect with flush = {config.flush}"
        yield Finding("freq", text, fatal=False)


def _space(config: DaemonConfig) -> Iterator[Finding]:
    space, admin = config.space_left, config.admin_space_left
    if space.percent != admin.percent or space.amount > admin.amount:
        return
    given = "" if "admin_space_left" in config.model_fields_set else ", the default"
    text = f"{space}: must be larger than admin_space_left ({admin}{given})"
    # of percentages the reference complains at run time only: such files exist and load
    yield Finding("space_left", text, fatal=not space.percent)


def _rotation(config: DaemonConfig) -> Iterator[Finding]:
    word = config.max_log_file_action.word
    if config.num_logs >= 2 or word == ActionWord.KEEP_LOGS:
        return
    if config.rotate_interval != "never":
        text = f"{config.rotate_interval} needs num_logs = 2 or more, or keep_logs"
        yield Finding("rotate_interval", text)
    if word == ActionWord.ROTATE:
        text = f"{config.num_logs}: below 2 nothing rotates and the log grows without limit"
        yield Finding("num_logs", text, fatal=False)


def _smtp(config: DaemonConfig) -> Iterator[Finding]:
    if bool(config.smtp_user) != bool(config.smtp_password_file):
        keyword = "smtp_user" if config.smtp_user else "smtp_password_file"
        yield Finding(keyword, "needs the other of smtp_user and smtp_password_file, too")
    if config.smtp_user and config.smtp_security is SmtpSecurity.NONE:
        text = "the password would cross the network in clear: set smtp_security = starttls or tls"
        yield Finding("smtp_user", text)
    if config.smtp_server is None and (config.smtp_user or config.smtp_port):
        keyword = "smtp_user" if config.smtp_user else "smtp_port"
        yield Finding(keyword, "has no effect without smtp_server", fatal=False)


def _mail_domain(config: DaemonConfig) -> Iterator[Finding]:
    mails = any(getattr(config, keyword).word == ActionWord.EMAIL for keyword in ACTIONS)
    if mails and config.smtp_server and "@" not in config.action_mail_acct:
        text = f"{config.action_mail_acct} without a domain: many mail servers refuse that"
        yield Finding("action_mail_acct", text, fatal=False)


def _name(config: DaemonConfig) -> Iterator[Finding]:
    if config.name_format is NameFormat.USER and not config.name:
        yield Finding("name_format", "user needs the name: add a line name = NODE")


def _account(config: DaemonConfig) -> Iterator[Finding]:
    account = config.action_mail_acct
    if not config.verify_email:
        return
    if not _ACCOUNT.fullmatch(account):
        text = "two or more letters, digits and @ . - _ + are allowed (verify_email = yes)"
        yield Finding("action_mail_acct", f"{shown(account)}: {text}")
    elif "@" in account and account.rfind(".") < account.rfind("@"):
        text = "no domain with a dot after the @ (verify_email = yes)"
        yield Finding("action_mail_acct", f"{shown(account)}: {text}")


def _log_group(config: DaemonConfig) -> Iterator[Finding]:
    in_var_log = os.path.normpath(os.path.dirname(config.log_file)) == "/var/log"
    if config.log_group.gid != 0 and in_var_log:
        text = (
            f"{config.log_group} with the log directly in /var/log would give that directory to "
            "the group: set log_group = root, or put the log into a directory of its own"
        )
        yield Finding("log_group", text)


def _tls(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if config.tls_require_pqc and config.tls_crypto_profile is not CryptoProfile.PQC:
        text = f"yes contradicts tls_crypto_profile = {config.tls_crypto_profile}: remove one"
        yield Finding("tls_require_pqc", text)
    if config.transport is not Transport.TLS:
        return
    if config.tls_crypto_profile is CryptoProfile.PQC:
        yield Finding("tls_crypto_profile", NO_PQC)
    chosen = [name for name in ("tls_cipher_suites", "tls_key_exchange") if getattr(config, name)]
    yield from (Finding(keyword, NO_CHOICE) for keyword in chosen)
    yield from _tls_files(config, host)


def _tls_files(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if config.tls_cert_file or config.tls_key_file or config.tls_ca_file or config.tls_crl_file:
        if config.tls_psk_file or config.tls_psk_identity:
            yield Finding("tls_psk_file", "contradicts the certificates: use one or the other")
        for keyword in ("tls_cert_file", "tls_key_file", "tls_ca_file"):
            if getattr(config, keyword) is None:
                yield Finding(keyword, "needed for tls with certificates")
    elif not (config.tls_psk_file or config.tls_allowed_clients):
        text = "tls needs tls_cert_file, tls_key_file and tls_ca_file, or tls_psk_file"
        yield Finding("transport", text)
    elif not host.shared_keys:
        keyword = "tls_psk_file" if config.tls_psk_file else "transport"
        text = "tls with keys needs Python 3.13 or newer: use tls_cert_file and tls_ca_file"
        yield Finding(keyword, text)
    elif not (config.tls_psk_identity or config.tls_allowed_clients):
        yield Finding("tls_psk_file", "needs tls_psk_identity or tls_allowed_clients, too")


def _krb5(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if config.transport is Transport.KRB5 and not host.module("gssapi"):
        text = 'krb5 needs the Python package gssapi: pip install "auditd-py[kerberos]"'
        yield Finding("transport", text)


def _jetstream(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if not config.jetstream_url:
        return
    if not host.module("nats"):
        text = "needs the Python package nats-py: pip install 'auditd-py[fleet]'"
        yield Finding("jetstream_url", text)
    if not config.write_logs:
        yield Finding("jetstream_url", "needs write_logs = yes: what is written is acknowledged")
    for one, other in (
        ("jetstream_cert_file", "jetstream_key_file"),
        ("jetstream_user", "jetstream_password_file"),
    ):
        if bool(getattr(config, one)) != bool(getattr(config, other)):
            keyword = one if getattr(config, one) else other
            yield Finding(keyword, f"needs the other of {one} and {other}, too")
    if config.jetstream_credentials and config.jetstream_user:
        yield Finding("jetstream_user", "contradicts jetstream_credentials: use one or the other")
    if not config.jetstream_url[0].startswith("tls:"):
        for keyword in ("jetstream_ca_file", "jetstream_cert_file"):
            if getattr(config, keyword):
                yield Finding(keyword, "is for servers at tls://, not nats://")
    if config.jetstream_credentials and not host.module("nkeys"):
        text = "needs the Python package nkeys: pip install 'auditd-py[fleet]'"
        yield Finding("jetstream_credentials", text)


def _doubtful_sizes(config: DaemonConfig) -> Iterator[Finding]:
    if config.q_depth < MIN_Q_DEPTH:
        text = f"{config.q_depth} is little: bursts overflow below {MIN_Q_DEPTH}"
        yield Finding("q_depth", text, fatal=False)
    if config.report_interval > LONG_REPORT_S:
        text = f"{config.report_interval} seconds is long: more than 6 hours between reports"
        yield Finding("report_interval", text, fatal=False)


_TRANSPORT = frozenset(
    {
        "transport",
        "enable_krb5",
        "tls_cert_file",
        "tls_key_file",
        "tls_ca_file",
        "tls_crl_file",
        "tls_psk_file",
        "tls_psk_identity",
        "tls_allowed_clients",
        "tls_crypto_profile",
        "tls_require_pqc",
        "tls_cipher_suites",
        "tls_key_exchange",
    }
)

_JETSTREAM = frozenset(
    {
        "jetstream_url",
        "jetstream_credentials",
        "jetstream_user",
        "jetstream_password_file",
        "jetstream_ca_file",
        "jetstream_cert_file",
        "jetstream_key_file",
        "write_logs",
    }
)

_COMBINATIONS: tuple[tuple[frozenset[str], Callable[[DaemonConfig], Iterator[Finding]]], ...] = (
    (frozenset({"flush", "freq"}), _flush),
    (frozenset({"space_left", "admin_space_left"}), _space),
    (frozenset({"num_logs", "max_log_file_action", "rotate_interval"}), _rotation),
    (
        frozenset({"smtp_server", "smtp_port", "smtp_security", "smtp_user", "smtp_password_file"}),
        _smtp,
    ),
    (frozenset({"action_mail_acct", "smtp_server"}), _mail_domain),
    (frozenset({"name_format", "name"}), _name),
    (frozenset({"action_mail_acct", "verify_email"}), _account),
    (frozenset({"log_group", "log_file"}), _log_group),
    (frozenset({"q_depth", "report_interval"}), _doubtful_sizes),
)


def _log_directory(path: str, host: Host) -> Iterator[Finding]:
    directory = os.path.dirname(path)
    try:
        host.open_directory(directory)
    except FileNotFoundError:
        text = f"the directory {directory} does not exist: mkdir -p -m 0700 {directory}"
        yield Finding("log_file", text)
    except (OSError, ValueError) as error:
        yield Finding("log_file", f"{directory} cannot be used: {_reason(error)}")


def _log_file(path: str, host: Host) -> Iterator[Finding]:
    try:
        status = host.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return  # missing is fine; of the directory there is a finding already
    except (OSError, ValueError) as error:
        yield Finding("log_file", f"{path} cannot be used: {_reason(error)}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield Finding("log_file", f"{path} is not a regular file: name another, or remove it")
        return
    if status.st_uid not in (0, os.geteuid()):  # a collector need not be root
        text = f"{path} is owned by uid {status.st_uid}: chown root {path}"
        yield Finding("log_file", text)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o600 != 0o600 or mode & ODD_LOG_MODE:
        text = f"{path} has the odd mode {mode:04o}: chmod 0600 {path}, or 0640 with log_group"
        yield Finding("log_file", text, fatal=False)


def _power(keyword: str, action: Action) -> Iterator[Finding]:
    what = _POWER.get(action.word)
    if what:
        yield Finding(keyword, f"{action}: {what}, with all that runs on it", fatal=False)


def _sendmail(keyword: str, action: Action, config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if action.word != ActionWord.EMAIL or config.smtp_server:
        return
    for path in SENDMAIL:
        try:
            if host.stat(path).st_mode & 0o111:
                return
        except OSError:
            continue
    text = f"email: nothing sends mail here: set smtp_server, or install {SENDMAIL[0]}"
    yield Finding(keyword, text, fatal=False)


def _password_file(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    path = config.smtp_password_file
    if path is None:
        return
    try:
        status = host.lstat(path)
    except (OSError, ValueError) as error:
        yield Finding("smtp_password_file", f"{path} cannot be read: {_reason(error)}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield Finding("smtp_password_file", f"{path} is not a regular file")
    elif status.st_uid != 0 or status.st_mode & 0o077:
        text = f"{path} can be read by others than root: chown root {path}; chmod 0600 {path}"
        yield Finding("smtp_password_file", text)


def _compression(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if config.compress_logs is Compression.ZSTD and not host.module("zstandard"):
        text = "zstd needs the Python package zstandard: pip install 'auditd-py[zstd]', or gzip"
        yield Finding("compress_logs", text)


def _index(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if config.index_logs and not (host.module("duckdb") and host.module("pyarrow")):
        text = "needs the Python packages duckdb and pyarrow: pip install 'auditd-py[report]'"
        yield Finding("index_logs", text)


def _archive(config: DaemonConfig, host: Host) -> Iterator[Finding]:
    if not config.archive_to:
        return
    if not config.archive_to.startswith(("/", "s3://")):
        yield Finding("archive_to", "an absolute path or s3://BUCKET/PREFIX is allowed")
    if not host.module("pyarrow"):
        text = "needs the Python package pyarrow: pip install 'auditd-py[archive]'"
        yield Finding("archive_to", text)


def _program(keyword: str, action: Action, host: Host) -> Iterator[Finding]:
    if action.word != ActionWord.EXEC:
        return
    path = action.path
    try:
        status = host.stat(path)
    except (OSError, ValueError) as error:
        yield Finding(keyword, f"{path} cannot be run: {_reason(error)}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield Finding(keyword, f"{path} is not a regular file")
        return
    if status.st_uid != 0:
        yield Finding(keyword, f"{path} is owned by uid {status.st_uid}: chown root {path}")
    mode = stat.S_IMODE(status.st_mode)
    if mode not in EXEC_MODES:
        text = f"{path} has mode {mode:04o}, 0750, 0755, 0555 or 0550 is allowed: chmod 0750 {path}"
        yield Finding(keyword, text)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
