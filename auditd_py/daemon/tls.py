"""TLS 1.3 for the collector: certificates on both sides, or keys that both sides have."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

from auditd_py.config.allowed_clients import read_allowed_clients
from auditd_py.config.secret import SecretError, read_key, read_private
from auditd_py.daemon.channel import HandshakeError, word
from auditd_py.errors import ConfigError, Problem, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from auditd_py.config.allowed_clients import AllowedClient
    from auditd_py.config.keywords import DaemonConfig

_BLOCK: Final = 1 << 16


class TlsGate:
    """Lets in who has a certificate of the authority, or a key, and is not kept out by name."""

    def __init__(self, config: DaemonConfig) -> None:
        """Read all files of the settings. Raises ConfigError naming the one that is of no use."""
        self.profile = str(config.tls_crypto_profile)
        self.keyed = bool(config.tls_psk_file) or not config.tls_cert_file
        self._asked = ""
        self._allowed: dict[str, AllowedClient] | None = None
        if config.tls_allowed_clients:
            self._allowed = read_allowed_clients(config.tls_allowed_clients)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.num_tickets = 0  # nothing is resumed, and C clients take a ticket for an end
        if self.keyed:
            self._keys = self._read_keys(config)
            keyed: Any = self._context  # the types are those of Python 3.11
            keyed.set_psk_server_callback(self._key)
        else:
            _load_certificates(self._context, config)

    def channel(self) -> TlsChannel:
        """See Gate."""
        return TlsChannel(self, self._context)

    def asked(self) -> str:
        """Return the identity that a handshake has just asked the key of; empty if it did not."""
        asked, self._asked = self._asked, ""
        return asked

    def permits(self, identity: str) -> bool:
        """See Gate."""
        if self.keyed:
            return identity in self._keys
        if self._allowed is None:
            return True
        client = self._allowed.get(identity)
        return client is not None and client.enabled

    def _read_keys(self, config: DaemonConfig) -> dict[str, bytes]:
        clients = {
            identity: client.key_file or config.tls_psk_file
            for identity, client in (self._allowed or {}).items()
            if client.enabled
        }
        if self._allowed is None and config.tls_psk_identity:
            clients[config.tls_psk_identity] = config.tls_psk_file
        keys: dict[str, bytes] = {}
        for identity, path in clients.items():
            if path is None:
                text = f"{identity} has no key=, and tls_psk_file is not set"
                raise _wrong("tls_allowed_clients", text)
            try:
                keys[identity] = read_key(path)
            except SecretError as error:
                raise _wrong("tls_psk_file", f"for {identity}: {error}") from None
        return keys

    def _key(self, identity: str | None) -> bytes:
        self._asked = identity or ""
        return self._keys.get(identity or "", b"")


class TlsChannel:
    """See Channel."""

    transport = "tls"
    blocking = False
    suffix = b""

    def __init__(self, gate: TlsGate, context: ssl.SSLContext) -> None:
        self.identity = ""
        self.ready = self.ended = False
        self._gate = gate
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def shake(self, data: bytes) -> bytes:
        """See Channel."""
        self._in.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._out.read()
        except ssl.SSLError as error:
            raise HandshakeError(self._reason(error), self._out.read()) from None
        finally:
            self.identity = self._gate.asked() or self.identity
        if not self._gate.keyed:
            self._check_names()
        self.ready = True
        return self._out.read()

    def open(self, data: bytes) -> bytes:
        """See Channel."""
        if data:
            self._in.write(data)
        parts: list[bytes] = []
        try:
            while part := self._tls.read(_BLOCK):
                parts.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise WireError(f"tls: {_plain(error)}") from None
        return b"".join(parts)

    def seal(self, data: bytes) -> bytes:
        """See Channel."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise WireError(f"tls: {_plain(error)}") from None
        return self._out.read()

    def goodbye(self) -> bytes:
        """See Channel."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the answer; nobody else does
        return self._out.read()

    def accepted(self, where: str, reason: str = "") -> str:
        """See Channel."""
        cipher = self._tls.cipher()
        return (
            f"op=tls-accept res={'no' if reason else 'success'} role=collector {where} "
            f"id={word(self.identity)} profile={self._gate.profile} "
            f"reason={word(reason or 'none')} auth={'psk' if self._gate.keyed else 'x509'} "
            f"tls_version={word(self._tls.version() or '?')} "
            f"cipher={word(cipher[0] if cipher else '?')} group=?"
        )

    def _check_names(self) -> None:
        names = _names(self._tls.getpeercert() or {})
        self.identity = next(filter(self._gate.permits, names), "")
        if not self.identity:
            self.identity = names[0] if names else ""
            raise HandshakeError("name-not-allowed" if names else "certificate-without-name")

    def _reason(self, error: ssl.SSLError) -> str:
        if self._gate.keyed and self.identity and not self._gate.permits(self.identity):
            return "unknown-identity"
        return _plain(error)


def _plain(error: ssl.SSLError) -> str:
    told: str = getattr(error, "verify_message", None) or error.reason or str(error)
    return told.lower().replace("_", "-").replace(" ", "-")


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """Return the names in a certificate as getpeercert() gives it: the alternative ones first."""
    kinds = {"DNS", "IP Address", "email", "URI"}
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind in kinds]
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return names + [name for kind, name in subject if kind == "commonName" and name not in names]


def _load_certificates(context: ssl.SSLContext, config: DaemonConfig) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    _load("tls_ca_file", config.tls_ca_file, context.load_verify_locations)
    if config.tls_crl_file:
        _load("tls_crl_file", config.tls_crl_file, context.load_verify_locations)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    try:
        read_private(config.tls_key_file or "")
    except SecretError as error:
        raise _wrong("tls_key_file", str(error)) from None
    _load("tls_cert_file", config.tls_cert_file, lambda path: context.load_cert_chain(
        path, config.tls_key_file, password=_no_password
    ))  # fmt: skip


def _no_password() -> str:
    raise ssl.SSLError(ssl.SSL_ERROR_SSL, "tls_key_file is encrypted")


def _load(keyword: str, path: str | None, load: Callable[[str], object]) -> None:
    try:
        load(path or "")
    except ssl.SSLError as error:
        raise _wrong(keyword, f"{path}: not what is needed: {error.reason or error}") from None
    except OSError as error:
        raise _wrong(keyword, f"{path}: {error.strerror or error}") from None


def _wrong(keyword: str, text: str) -> ConfigError:
    return ConfigError([Problem("auditd.conf", 0, keyword, text)])
