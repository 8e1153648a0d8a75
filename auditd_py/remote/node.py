"""Node names: what `node=` before a record says, and whether its sender may say so."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NODE: Final = re.compile(rb"node=([^ ]*) ")
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9._:+@-]|^\.")
_MOST: Final = 100  # bytes of a file name, which other names are made of


def node_of(text: bytes) -> bytes:
    """Return the name before a record, empty if there is none."""
    found = _NODE.match(text)
    return found[1] if found else b""


class NodeCheck:
    """The names that one connection may use.

    A sender that proved an `identity` has that name, or its first part: `web1` and
    `web1.example.com` of `host/web1.example.com@EXAMPLE.COM`. Any other has the first name it
    used, unless that is `taken`: in use by the connection of another address.
    """

    __slots__ = ("_allowed", "_prefix", "name")

    def __init__(self, identity: str = "") -> None:
        self.name = b""  # the one in use
        self._allowed = _names(identity)
        self._prefix = b"\n"  # no record begins with it

    def first_wrong(self, texts: Sequence[bytes], taken: Iterable[bytes]) -> int | None:
        """Return the place of the first record with a name it may not have; None if all may."""
        prefix = self._prefix
        for place, text in enumerate(texts):
            if not text.startswith(prefix):
                if not self._may(node_of(text), taken):
                    return place
                prefix = self._prefix
        return None

    def go_on(self, name: bytes) -> None:
        """Have `name` in use, as an earlier check found it allowed."""
        self.name, self._prefix = name, b"node=" + name + b" "

    def _may(self, name: bytes, taken: Iterable[bytes]) -> bool:
        if self._allowed:
            known = name.lower() in self._allowed
        else:
            known = not self.name and name not in taken
        if not name or not known:
            return False
        self.go_on(name)
        return True


def folder_name(node: bytes) -> str:
    """Return a file name for a node: never hidden, and different for different nodes."""
    safe = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], node)
    if len(safe) > _MOST:
        safe = safe[:_MOST] + b"%" + sha256(node).hexdigest()[:16].encode()
    return safe.decode("ascii")


def _names(identity: str) -> frozenset[bytes]:
    host = identity.partition("@")[0].rpartition("/")[2].removeprefix("CN=").lower()
    return frozenset(name.encode() for name in (host, host.partition(".")[0]) if name)
