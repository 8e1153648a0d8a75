"""Kerberos of the forwarder's connections, in the form of the C programs: see remote/tokens."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Final

import gssapi
from gssapi.raw.misc import GSSError

from auditd_py.config.secret import SecretError, read_private
from auditd_py.errors import ConfigError, Problem, WireError
from auditd_py.plugins.remote_link import BusyError
from auditd_py.remote.krb5 import Wrapping, plain
from auditd_py.remote.tokens import MAX_TOKEN, framed, messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.config.remote import RemoteConfig

_MOST_THREADS: Final = 4  # of handshakes, also of those that were given up
_BLOCK: Final = 1 << 16
_FLAGS: Final = (
    gssapi.RequirementFlag.mutual_authentication
    | gssapi.RequirementFlag.confidentiality
    | gssapi.RequirementFlag.integrity
    | gssapi.RequirementFlag.replay_detection
    | gssapi.RequirementFlag.out_of_sequence_detection
)


def protecting(config: RemoteConfig) -> Callable[[socket.socket, str], Krb5Socket]:
    """Return what makes a connection to a server one with Kerberos.

    Raises ConfigError if the key table is of no use.
    """
    try:
        read_private(config.krb5_key_file)
    except SecretError as error:
        raise ConfigError([Problem("audisp-remote.conf", 0, "krb5_key_file", str(error))]) from None
    running: list[threading.Thread] = []

    def wrap(connection: socket.socket, server: str) -> Krb5Socket:
        running[:] = [thread for thread in running if thread.is_alive()]
        if len(running) >= _MOST_THREADS:
            raise OSError("Kerberos has not answered earlier attempts yet")
        made = Krb5Socket(connection, lambda: _context(config, server))
        running.append(made.thread)
        return made

    return wrap


def _context(config: RemoteConfig, server: str) -> gssapi.SecurityContext:
    """Return a context for a server. Asks the KDC, and DNS. Raises GSSError."""
    # the library gets tickets with the key table, and new ones when they expire
    store: dict[str | bytes, str | bytes] = {
        "client_keytab": config.krb5_key_file,
        "ccache": "MEMORY:audisp-remote",
    }
    ours = gssapi.Name(config.krb5_client_name, gssapi.NameType.hostbased_service)
    credentials = gssapi.Credentials(name=ours, usage="initiate", store=store)
    return gssapi.SecurityContext(
        name=_server_name(config, server), creds=credentials, flags=_FLAGS, usage="initiate"
    )


def _server_name(config: RemoteConfig, server: str) -> gssapi.Name:
    principal = config.krb5_principal or f"{config.krb5_client_name}/{server}"
    if "@" in principal and "/" in principal:
        return gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    service, _, host = principal.replace("@", "/").partition("/")
    return gssapi.Name(f"{service}@{host or server}", gssapi.NameType.hostbased_service)


class Krb5Socket:
    """See Protected. The handshake has its own thread: a KDC that is away holds up nothing."""

    def __init__(
        self, connection: socket.socket, context: Callable[[], gssapi.SecurityContext]
    ) -> None:
        self._socket = connection
        self._make_context = context
        self._wrapping: Wrapping | None = None
        self._failure: OSError | None = None
        self._closed = self._done = False
        self._lock = threading.Lock()  # of who closes
        self._sealed = bytearray()
        self._owed = 0  # bytes given to `send` that make up what is sealed
        self._news, self._tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def fileno(self) -> int:
        """See Protected."""
        return self._socket.fileno()

    def do_handshake(self) -> None:
        """See Protected. Raises BusyError until its thread is done."""
        if self._wrapping is None and self._failure is None:
            raise BusyError(self._news)
        if self._failure is not None:
            raise self._failure
        self._socket.setblocking(False)

    def recv(self, size: int, /) -> bytes:
        """See Protected."""
        assert self._wrapping is not None
        while data := self._socket.recv(size):
            try:
                if found := self._wrapping.open(data):
                    return found
            except WireError as error:
                raise OSError(str(error)) from None
        return b""

    def send(self, data: memoryview, /) -> int:
        """See Protected. Of `data` whole messages are sent."""
        assert self._wrapping is not None
        if not self._sealed:
            whole = b"".join(messages(bytes(data[:_BLOCK])))
            try:
                self._sealed += self._wrapping.seal(whole)
            except WireError as error:
                raise OSError(str(error)) from None
            self._owed = len(whole)
        while self._sealed:
            del self._sealed[: self._socket.send(self._sealed)]
        return self._owed

    def close(self) -> None:
        """See Protected. A handshake that is under way ends by itself."""
        with self._lock:
            self._closed = True
            os.close(self._news)
            if self._done:
                self._socket.close()
                return
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # it closes what it uses
            except OSError:
                pass

    def _run(self) -> None:
        wrapping, failure = None, None
        try:
            self._socket.setblocking(True)
            wrapping = self._shake_hands()
        except GSSError as error:
            failure = OSError(f"krb5: {plain(error)}")
        except OSError as error:
            failure = error
        with self._lock:
            self._wrapping, self._failure = wrapping, failure
            self._done = True
            os.close(self._tell)
            if self._closed:
                self._socket.close()

    def _shake_hands(self) -> Wrapping:
        context = self._make_context()
        token = context.step()
        self._socket.sendall(framed(b"") + framed(token or b""))
        while not context.complete:
            token = context.step(self._token())
            if token:
                self._socket.sendall(framed(token))
        if not context.actual_flags & gssapi.RequirementFlag.confidentiality:
            raise OSError("krb5: no encryption was agreed on")
        return Wrapping(context)

    def _token(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        if size > MAX_TOKEN:
            raise OSError(f"krb5: a token of {size} bytes, {MAX_TOKEN} are allowed")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise OSError("krb5: the server closed the connection")
            data += more
        return data
