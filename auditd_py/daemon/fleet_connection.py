"""How a NATS server is reached: addresses, certificates and credentials of auditd.conf."""

from __future__ import annotations

import asyncio
import ssl
from collections import UserString
from typing import TYPE_CHECKING, Any, Final

import nats.errors
from nats.aio.client import Client

from auditd_py.config.secret import SecretError, read_private
from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.config.keywords import DaemonConfig

_AGAIN_S: Final = 1.0


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
    if is_secure(config):
        options["tls"] = _context(config)
    if config.jetstream_password_file:
        options["user"] = config.jetstream_user
        password = _secret("jetstream_password_file", config.jetstream_password_file)
        options["password"] = password.partition("\n")[0]
    if config.jetstream_credentials:
        options.update(_credentials(config.jetstream_credentials))
    return options


def is_secure(config: DaemonConfig) -> bool:
    """Return whether servers are to be reached with TLS."""
    return config.jetstream_url[0].startswith("tls:")


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: with Python 3.11 a request of nats-py that is cancelled as its answer comes
    takes the answer and goes on.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # of no use any more


class SecureClient(Client):
    """Says nothing to a server that has no TLS, if that is wanted: nats-py would."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__()
        self._wants_tls = secure

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002  as its base
    ) -> None:
        if self._wants_tls and not info.get("tls_required"):
            raise nats.errors.Error("a server has no TLS, nothing was sent to it")
        await super()._process_info(info, initial_connection)


def _credentials(path: str) -> dict[str, Any]:
    """Return the option for a file with a user's JWT and seed, or with a seed alone."""
    text = _secret("jetstream_credentials", path)
    if "BEGIN NATS USER JWT" in text and "BEGIN USER NKEY SEED" in text:
        return {"user_credentials": UserString(text)}
    if text.startswith("SU"):
        return {"nkeys_seed_str": text.strip()}
    said = f"{path}: neither credentials (JWT and seed) nor the seed of a user"
    raise _wrong("jetstream_credentials", said)


def _secret(keyword: str, path: str) -> str:
    try:
        return read_private(path).decode()
    except SecretError as error:
        raise _wrong(keyword, str(error)) from None
    except UnicodeDecodeError:
        raise _wrong(keyword, f"{path}: not text") from None


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
