"""What protects the records of a client: bytes of the network on one side, messages on the other.

A channel touches no socket. Its owner gives it what came, and sends what it returns:

    while not channel.ready:
        send(channel.shake(data))
    messages = channel.open(data)
    send(channel.seal(replies))
"""

from __future__ import annotations

import re
from typing import Protocol

from auditd_py.errors import AuditError


class HandshakeError(AuditError):
    """A client is not let in. `answer` is to be sent to it, so that it learns why."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer


class Channel(Protocol):
    """The server's end of one protected connection."""

    transport: str
    identity: str  # of the client, once `ready`
    ready: bool
    ended: bool  # the client said that nothing follows
    blocking: bool  # `shake` reads files: it belongs into a thread
    suffix: bytes  # what each record of this client gets at its end

    def shake(self, data: bytes) -> bytes:
        """Take part in the handshake: take what came, return the answer. Raises HandshakeError."""

    def open(self, data: bytes) -> bytes:
        """Return the messages in what came, as far as they are whole. Raises WireError."""

    def seal(self, data: bytes) -> bytes:
        """Return whole messages as they are to be sent. Raises WireError."""

    def goodbye(self) -> bytes:
        """Return what says that nothing follows."""

    def accepted(self, where: str, reason: str = "") -> str:
        """Return the text of DAEMON_ACCEPT; `reason` is why the client was refused."""


class Gate(Protocol):
    """Who may come in, and how; replaced as a whole when the settings change."""

    def channel(self) -> Channel:
        """Return what a new connection begins with."""

    def permits(self, identity: str) -> bool:
        """Return whether a client that is connected may stay."""


def word(text: str) -> str:
    """Return `text` as a value in a record: it has no blanks and nothing that is not printed."""
    return re.sub(r"[^!#-&(-~]+", "-", text).strip("-")[:255] or "?"
