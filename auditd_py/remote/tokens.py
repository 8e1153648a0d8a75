"""GSS tokens between hosts: each after its length, four bytes big-endian, as the C programs do.

A handshake begins with an empty token of the client. After it each token is one message, header
and text, wrapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.remote import frame
from auditd_py.remote.frame import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOKEN: Final = 1 << 16  # tickets with authorization data are larger than any message
# the C daemon takes no larger token; wrapping adds 60 bytes, or 72 with aes256-cts-hmac-sha384-192
MAX_TEXT: Final = frame.MAX_TEXT - HEADER_SIZE - 128


def framed(token: bytes) -> bytes:
    """Return a token as it is sent."""
    return len(token).to_bytes(4, "big") + token


class Tokens:
    """Takes a stream apart, however it is cut; holds at most one incomplete token."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the tokens that `data` completes, in order. Raises WireError."""
        data = self._pending + data
        tokens: list[bytes] = []
        here = 0
        while len(data) - here >= 4:
            size = int.from_bytes(data[here : here + 4], "big")
            if size > MAX_TOKEN:
                raise WireError(f"a token of {size} bytes, {MAX_TOKEN} are allowed")
            if len(data) - here < 4 + size:
                break
            tokens.append(data[here + 4 : here + 4 + size])
            here += 4 + size
        self._pending = data[here:]
        return tokens


def messages(data: bytes) -> Iterator[bytes]:
    """Yield the whole messages at the beginning of `data`."""
    here = 0
    while len(data) - here >= HEADER_SIZE:
        end = here + HEADER_SIZE + int.from_bytes(data[here + 10 : here + 12], "little")
        if end > len(data):
            break
        yield data[here:end]
        here = end
