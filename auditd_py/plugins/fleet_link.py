"""A connection to a NATS cluster with JetStream: one message at a time, in a thread of its own.

nats-py has an event loop; the plugin has another one, which this wakes when there is an answer.
Nothing is left to nats-py's own ways of coming back, which would send again what it has in its
buffers: a connection that failed is closed, and the next message goes to the next server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import ssl
import threading
from collections import UserString
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from auditd_py.config.secret import SecretError, read_private
from auditd_py.errors import ConfigError, Problem
from auditd_py.remote.sender import Trouble

if TYPE_CHECKING:
    from auditd_py.config.fleet import FleetConfig

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 5.0
_CLOSE_S: Final = 2.0
_PING_S: Final = 15
# error codes of JetStream's API
_TOO_LARGE: Final = 10054
_NOT_THE_STREAM: Final = 10060
_FULL: Final = frozenset({10023, 10047, 10077})  # resources, storage, maximum of bytes or messages


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: never more than once with different contents and the same id."""

    subject: str
    payload: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The stream has the message, or had it (`duplicate`), or what is to be told.

    `failed` without `trouble`: nobody was reached, or did not answer. `too_large`: to be divided.
    """

    failed: bool = False
    text: str = ""
    trouble: Trouble | None = None
    duplicate: bool = False
    too_large: bool = False


class FleetLink:
    """Publishes to a stream. It reads the files of the settings: raises ConfigError."""

    def __init__(self, selector: selectors.BaseSelector, config: FleetConfig) -> None:
        self.server = config.servers[0]
        self.connections = 0
        self.busy = False
        self._servers = config.servers
        self._stream = config.stream
        self._limit_s = min(_ANSWER_S, config.max_time_per_record)
        self._options = _options(config)
        self._secure = config.servers[0].startswith("tls:")
        self._place = 0
        self._client: Client | None = None
        self._told = ""  # by the server, and not as an answer
        self._outcome: Outcome | None = None
        self._selector = selector
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        selector.register(self._wake, selectors.EVENT_READ, self._drain)
        for name in ("asyncio", "nats"):  # what they would print is of no use to an administrator
            logging.getLogger(name).addHandler(logging.NullHandler())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and self._client.is_connected

    def publish(self, message: Message) -> None:
        """Begin to publish a message; only when not `busy`."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(self._note_failure)
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        self.busy = True
        asyncio.run_coroutine_threadsafe(self._run(message), self._loop)

    def outcome(self) -> Outcome | None:
        """Return what became of the message, once."""
        found, self._outcome = self._outcome, None
        if found is not None:
            self.busy = False
        return found

    def close(self) -> None:
        """End it; what became of a message on its way is not known."""
        if self._loop is not None and self._thread is not None:
            ending = asyncio.run_coroutine_threadsafe(self._drop(), self._loop)
            with contextlib.suppress(TimeoutError):
                ending.result(_CLOSE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CLOSE_S)
        self._selector.unregister(self._wake)
        os.close(self._wake)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._woken)  # which the thread would write to
        self.busy = False

    async def _run(self, message: Message) -> None:
        try:
            self._outcome = await self._published(message)
        except Exception as error:  # noqa: BLE001  the library's own faults are failures, too
            self._outcome = Outcome(failed=True, text=f"{self.server}: {error!r}")
        with contextlib.suppress(BlockingIOError):
            os.write(self._woken, b"\0")

    async def _published(self, message: Message) -> Outcome:
        client = self._client
        if client is None or not client.is_connected:
            client, text = await self._connect()
            if client is None:
                return Outcome(failed=True, text=text)
        self._told = ""
        try:
            ack = await client.jetstream().publish(
                message.subject,
                message.payload,
                timeout=self._limit_s,
                stream=self._stream,
                headers=dict(message.headers),
            )
        except nats.errors.MaxPayloadError:
            return Outcome(failed=True, text="larger than a server takes", too_large=True)
        except nats.js.errors.NoStreamResponseError:
            text = f"no stream takes {message.subject}, or it has no leader now"
            return Outcome(failed=True, text=text, trouble=Trouble.GENERIC_ERROR)
        except nats.js.errors.APIError as error:
            return self._refused(message, error)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            return await self._broken(error)
        return Outcome(duplicate=bool(ack.duplicate))

    def _refused(self, message: Message, error: nats.js.errors.APIError) -> Outcome:
        said = f"{error.description} (error {error.err_code})"
        if error.err_code == _TOO_LARGE:
            return Outcome(True, said, Trouble.GENERIC_ERROR, too_large=True)
        if error.err_code == _NOT_THE_STREAM:
            said = f"{message.subject} is taken by another stream than {self._stream}: {said}"
        trouble = Trouble.DISK_FULL if error.err_code in _FULL else Trouble.GENERIC_ERROR
        return Outcome(True, f"stream {self._stream}: {said}", trouble)

    async def _broken(self, error: Exception) -> Outcome:
        """Go on with the next server: this one may be cut off from the others."""
        told, server = self._told, self.server
        await self._drop()
        self._place += 1
        if "permissions violation" in told.lower():
            return Outcome(True, f"{server}: {told}", Trouble.GENERIC_ERROR)
        timed_out = isinstance(error, TimeoutError | nats.errors.TimeoutError)
        reason = f"no answer in {self._limit_s:.0f} s" if timed_out else _words(error)
        return Outcome(failed=True, text=f"{server}: {told or reason}")

    async def _connect(self) -> tuple[Client | None, str]:
        """Return a connection to the first server that takes us; none, and why."""
        await self._drop()
        reasons = []
        for number in range(len(self._servers)):
            place = (self._place + number) % len(self._servers)
            self.server, self._told = self._servers[place], ""
            client = _Client(self._secure)
            try:
                await asyncio.wait_for(
                    client.connect(
                        [self.server],
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=int(_CONNECT_S),
                        ping_interval=_PING_S,
                        error_cb=self._note,
                        name="audisp-nats",
                        **self._options,
                    ),
                    _CONNECT_S,
                )
            except Exception as error:  # noqa: BLE001  whatever it is, it is no connection
                reasons.append(f"{self.server}: {self._told or _words(error)}")
                await _closed(client)
                continue
            self._place, self._client = place, client
            self.connections += 1
            return client, ""
        return None, "; ".join(reasons)

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _closed(client)

    async def _note(self, error: Exception) -> None:
        self._told = _words(error)

    def _note_failure(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._told = str(context.get("exception") or context.get("message"))

    def _drain(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 64)


class _Client(Client):
    """A client that says nothing, so no password either, to a server without the TLS we want."""

    def __init__(self, secure: bool) -> None:  # noqa: FBT001
        super().__init__()
        self._wants_tls = secure

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        if self._wants_tls and not info.get("tls_required"):
            raise nats.errors.Error("it has no TLS, nothing was sent to it")
        await super()._process_info(info, initial_connection)


async def _closed(client: Client) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), _CLOSE_S)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, TimeoutError | nats.errors.TimeoutError):
        return "no answer"
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    return str(error).removeprefix("nats: ") or type(error).__name__


def _options(config: FleetConfig) -> dict[str, Any]:
    """Return what the client takes to say who we are, and to know who they are."""
    options: dict[str, Any] = {}
    if config.servers[0].startswith("tls:"):
        options["tls"] = _context(config)
    if config.password_file:
        options["user"] = config.user
        options["password"] = _secret("password_file", config.password_file).partition("\n")[0]
    if config.credentials_file:
        text = _secret("credentials_file", config.credentials_file)
        if "BEGIN NATS USER JWT" in text and "BEGIN USER NKEY SEED" in text:
            options["user_credentials"] = UserString(text)
        elif text.startswith("SU"):
            options["nkeys_seed_str"] = text.strip()
        else:
            path = config.credentials_file
            said = f"{path}: neither credentials (JWT and seed) nor the seed of a user"
            raise _wrong("credentials_file", said)
    return options


def _secret(keyword: str, path: str) -> str:
    try:
        return read_private(path).decode()
    except SecretError as error:
        raise _wrong(keyword, str(error)) from None
    except UnicodeDecodeError:
        raise _wrong(keyword, f"{path}: not text") from None


def _context(config: FleetConfig) -> ssl.SSLContext:
    keyword, path = "tls_ca_file", config.tls_ca_file
    try:
        context = ssl.create_default_context(cafile=path)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.tls_cert_file:
            keyword, path = "tls_cert_file", config.tls_cert_file
            context.load_cert_chain(path, config.tls_key_file, password="")
    except ssl.SSLError as error:
        raise _wrong(keyword, f"{path}: not what is needed: {error.reason or error}") from None
    except OSError as error:
        raise _wrong(keyword, f"{path} cannot be read: {error.strerror or error}") from None
    return context


def _wrong(keyword: str, text: str) -> ConfigError:
    return ConfigError([Problem("audisp-nats.conf", 0, keyword, text)])
