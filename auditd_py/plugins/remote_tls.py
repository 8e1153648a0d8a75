"""Encryption of the forwarder's connections: TLS 1.3 with certificates, or with a shared key."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from auditd_py.config.secret import SecretError, read_key
from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from auditd_py.config.remote import RemoteConfig


def wrapping(config: RemoteConfig) -> Callable[[socket.socket, str], ssl.SSLSocket]:
    """Return what makes a connection to a server one with TLS.

    It reads the files of the settings. Raises ConfigError if one of them is of no use.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if config.tls_psk_file:
        return _with_key(context, config)
    _load_certificates(context, config)

    def wrap(connection: socket.socket, server: str) -> ssl.SSLSocket:
        name = config.tls_server_name or server
        return context.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)

    return wrap


def _load_certificates(context: ssl.SSLContext, config: RemoteConfig) -> None:
    keyword, path = "tls_ca_file", config.tls_ca_file
    try:
        context.load_verify_locations(cafile=path)
        if config.tls_cert_file and config.tls_key_file:
            keyword, path = "tls_cert_file", config.tls_cert_file
            context.load_cert_chain(path, config.tls_key_file)
    except ssl.SSLError as error:
        text = f"{path}: not what is needed: {error.reason or error}"
        raise ConfigError([Problem("audisp-remote.conf", 0, keyword, text)]) from error
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror or error}"
        raise ConfigError([Problem("audisp-remote.conf", 0, keyword, text)]) from error


def _with_key(
    context: ssl.SSLContext, config: RemoteConfig
) -> Callable[[socket.socket, str], ssl.SSLSocket]:
    try:
        key = read_key(config.tls_psk_file or "")
    except SecretError as error:
        problem = Problem("audisp-remote.conf", 0, "tls_psk_file", str(error))
        raise ConfigError([problem]) from None
    identity = config.tls_psk_identity or ""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the key is the proof, see KeyedSocket
    context.sslsocket_class = KeyedSocket
    keyed: Any = context  # the types are those of Python 3.11
    keyed.set_psk_client_callback(lambda _hint: (identity, key))

    def wrap(connection: socket.socket, _server: str) -> ssl.SSLSocket:
        return context.wrap_socket(connection, do_handshake_on_connect=False)

    return wrap


class KeyedSocket(ssl.SSLSocket):
    """Is for those only who have the key: a server that shows a certificate instead is refused."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  as its base
        """See SSLSocket."""
        super().do_handshake(block)
        if self.getpeercert(binary_form=True) is not None or not self.session_reused:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the server does not use the shared key")
