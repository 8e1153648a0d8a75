"""Kerberos for the collector, in the form of the C daemon: see remote/tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import gssapi
from gssapi.raw.misc import GSSError

from auditd_py.config.secret import SecretError, read_private
from auditd_py.daemon.channel import HandshakeError, word
from auditd_py.errors import ConfigError, Problem, WireError
from auditd_py.remote.krb5 import Wrapping, plain
from auditd_py.remote.tokens import Tokens, framed

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig


class Krb5Gate:
    """Lets in those whose principal has our service's name and is of our realm."""

    def __init__(self, config: DaemonConfig) -> None:
        """Look at the key table. Raises ConfigError."""
        self.service = config.krb5_principal.partition("/")[0].partition("@")[0]
        path = config.krb5_key_file
        try:
            read_private(path)
            self._credentials = gssapi.Credentials(usage="accept", store={"keytab": path})
        except SecretError as error:
            raise _wrong(str(error)) from None
        except GSSError as error:
            raise _wrong(f"{path}: {plain(error)}") from None

    def channel(self) -> Krb5Channel:
        """See Gate."""
        return Krb5Channel(self.service, self._credentials)

    def permits(self, identity: str) -> bool:  # noqa: ARG002  the ticket decided that
        """See Gate."""
        return True


class Krb5Channel:
    """See Channel."""

    transport = "krb5"
    ended = False  # the end of the connection says so
    blocking = True  # the key table and the replay cache are files

    def __init__(self, service: str, credentials: gssapi.Credentials) -> None:
        self.identity = ""
        self.ready = False
        self.suffix = b""
        self._service = service
        self._context = gssapi.SecurityContext(creds=credentials, usage="accept")
        self._tokens = Tokens()
        self._wrapping = Wrapping(self._context, self._tokens)
        self._early: list[bytes] = []  # messages that came with the end of the handshake

    def shake(self, data: bytes) -> bytes:
        """See Channel."""
        answer = b""
        try:
            for token in self._tokens.feed(data):
                if self.ready:
                    self._early.append(token)
                elif token:
                    answer += self._step(token)
        except WireError as error:
            raise HandshakeError(word(str(error))) from None
        return answer

    def _step(self, token: bytes) -> bytes:
        try:
            answer = self._context.step(token)
            if self._context.complete:
                self._check_names()
                self.ready = True
        except GSSError as error:
            raise HandshakeError(plain(error)) from None
        return framed(answer) if answer else b""

    def _check_names(self) -> None:
        self.identity = str(self._context.initiator_name)
        self.suffix = b" krb5=" + word(self.identity).encode("ascii")
        realm = str(self._context.target_name).rpartition("@")[2]
        if not re.fullmatch(
            rf"{re.escape(self._service)}/[^/@]+@{re.escape(realm)}", self.identity
        ):
            raise HandshakeError("name-not-allowed")

    def open(self, data: bytes) -> bytes:
        """See Channel."""
        early, self._early = self._early, []
        return self._wrapping.unwrap(early) + self._wrapping.open(data)

    def seal(self, data: bytes) -> bytes:
        """See Channel."""
        return self._wrapping.seal(data)

    def goodbye(self) -> bytes:
        """See Channel."""
        return b""

    def accepted(self, where: str, reason: str = "") -> str:
        """See Channel."""
        if reason:
            return f"op=krb5-accept {where} id={word(self.identity)} reason={word(reason)} res=no"
        return f"{where} res=success"


def _wrong(text: str) -> ConfigError:
    return ConfigError([Problem("auditd.conf", 0, "krb5_key_file", text)])
