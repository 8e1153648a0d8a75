"""How a NATS server is reached: addresses, certificates and credentials of auditd.conf."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from auditd_py.config.secret import SecretError, read_private
from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig


def connection_options(config: DaemonConfig) -> dict[str, Any]:
    """Return what nats-py's connect takes. Reads files. Raises ConfigError."""
    options: dict[str, Any] = {
        "servers": list(config.jetstream_url),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 1,
        "connect_timeout": 3,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "pending_size": 8 << 20,
    }
    if config.jetstream_url[0].startswith("tls:"):
        options["tls"] = _context(config)
    if config.jetstream_credentials:
        options.update(_credentials(config.jetstream_credentials))
    return options


def _credentials(path: str) -> dict[str, str]:
    """Return the option for a file with a user's JWT and seed, or with a seed alone."""
    try:
        data = read_private(path)
    except SecretError as error:
        raise _wrong("jetstream_credentials", str(error)) from None
    if b"BEGIN NATS USER JWT" in data:
        return {"user_credentials": path}
    if data.startswith(b"SU"):
        return {"nkeys_seed": path}
    text = f"{path}: neither credentials (JWT and seed) nor the seed of a user"
    raise _wrong("jetstream_credentials", text)


def _context(config: DaemonConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # of servers before 2.10
    keyword, path = "jetstream_ca_file", config.jetstream_ca_file
    try:
        if path:
            context = ssl.create_default_context(cafile=path)
        if config.jetstream_cert_file and config.jetstream_key_file:
            keyword = "jetstream_key_file"
            read_private(config.jetstream_key_file)
            keyword, path = "jetstream_cert_file", config.jetstream_cert_file
            context.load_cert_chain(path, config.jetstream_key_file, password=_no_password)
    except SecretError as error:
        raise _wrong(keyword, str(error)) from None
    except ssl.SSLError as error:
        raise _wrong(keyword, f"{path}: not what is needed: {error.reason or error}") from None
    except OSError as error:
        raise _wrong(keyword, f"{path}: {error.strerror or error}") from None
    return context


def _no_password() -> str:
    raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the key is encrypted")


def _wrong(keyword: str, text: str) -> ConfigError:
    return ConfigError([Problem("auditd.conf", 0, keyword, text)])
