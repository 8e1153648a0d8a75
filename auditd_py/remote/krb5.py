"""Messages under a security context of Kerberos, both ways and the same at both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gssapi.raw.misc import GSSError

from auditd_py.errors import WireError
from auditd_py.remote.tokens import Tokens, framed, messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gssapi


class Wrapping:
    """Wraps messages and unwraps tokens with a context that is established."""

    __slots__ = ("_context", "_tokens")

    def __init__(self, context: gssapi.SecurityContext, tokens: Tokens | None = None) -> None:
        self._context = context
        self._tokens = Tokens() if tokens is None else tokens

    def seal(self, data: bytes) -> bytes:
        """Return whole messages as they are to be sent, a token each. Raises WireError."""
        wrap = self._context.wrap
        try:
            return b"".join(
                framed(wrap(message, encrypt=True).message) for message in messages(data)
            )
        except GSSError as error:  # the ticket has expired
            raise WireError(f"krb5: {plain(error)}") from None

    def open(self, data: bytes) -> bytes:
        """Return the messages in the tokens that `data` completes. Raises WireError."""
        return self.unwrap(self._tokens.feed(data))

    def unwrap(self, tokens: Iterable[bytes]) -> bytes:
        """Return the messages in `tokens`, each of which must be encrypted. Raises WireError."""
        parts: list[bytes] = []
        for token in filter(None, tokens):
            try:
                found = self._context.unwrap(token)
            except GSSError as error:
                raise WireError(f"krb5: {plain(error)}") from None
            if not found.encrypted:
                raise WireError("krb5: a message that is signed only, not encrypted")
            parts.append(found.message)
        return b"".join(parts)


def plain(error: GSSError) -> str:
    """Return what went wrong, in the words of the Kerberos library if it has some."""
    said = error.get_all_statuses(error.min_code, is_maj=False) if error.min_code else ()
    return "; ".join(said or error.get_all_statuses(error.maj_code, is_maj=True))
