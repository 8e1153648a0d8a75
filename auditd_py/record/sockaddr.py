"""The text of a socket address, as the C tools write it: `{ saddr_fam=inet laddr=… lport=… }`.

The hex of a SOCKADDR record is a struct sockaddr_* as it was in the memory of the machine that
made the record; its numbers are taken to be little-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.tables.families import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORT: Final = b"sockaddr len too short"


def sockaddr_text(value: bytes) -> bytes:
    """Return the text of the hex `value` of a saddr field; any value has one.

    Names of local sockets are in it as they are, with any byte but NUL: whoever shows the text
    or writes it into a line escapes it.
    """
    try:
        address = bytes.fromhex(value[: len(value) & ~1].decode("ascii"))
    except ValueError:
        address = b""
    if not address or not value.isalnum():
        return b"malformed-host(" + value + b")"
    number = int.from_bytes(address[:2], "little")
    family = NAMES.get(number)
    if family is None:
        return b"unknown-family(%d)" % number
    describe = _FAMILIES.get(family)
    text = describe(address) if describe else b"(unsupported)"
    return b"{ saddr_fam=%b %b }" % (family.encode("ascii"), text)


def ipv6_text(address: bytes) -> bytes:
    """Return 16 bytes as inet_ntop writes them (RFC 5952, IPv4 in its own notation)."""
    if address[:12] == _MAPPED or (address[:12] == bytes(12) and address[12:14] != b"\0\0"):
        return (b"::ffff:" if address[10] else b"::") + _ipv4_text(address[12:])
    text = ":" + ":".join(f"{high << 8 | low:x}" for high, low in _twos(address)) + ":"
    runs = [run for run in _ZEROS if run in text]
    if runs:
        text = text.replace(runs[0], "::", 1)
    head = text if text.startswith("::") else text[1:]
    return (head if head.endswith("::") else head[:-1]).encode("ascii")


_MAPPED: Final = bytes(10) + b"\xff\xff"
_ZEROS: Final = tuple(":" + "0:" * words for words in range(8, 1, -1))


def _twos(address: bytes) -> zip[tuple[int, int]]:
    return zip(address[::2], address[1::2], strict=True)


def _ipv4_text(address: bytes) -> bytes:
    return b"%d.%d.%d.%d" % tuple(address)


def _local(address: bytes) -> bytes:
    if len(address) == 2:
        return b"unnamed socket"
    if len(address) < 4:
        return _SHORT
    # an abstract name begins with a NUL
    path = address[2:] if address[2] else address[3:]
    return b"path=" + path.partition(b"\0")[0]


def _inet(address: bytes) -> bytes:
    if len(address) < 16:
        return _SHORT
    port = int.from_bytes(address[2:4], "big")
    return b"laddr=%b lport=%d" % (_ipv4_text(address[4:8]), port)


def _inet6(address: bytes) -> bytes:
    if len(address) < 28:
        return b"sockaddr6 len too short"
    port = int.from_bytes(address[2:4], "big")
    scope = int.from_bytes(address[24:28], "little")
    zone = b"%%%d" % scope if scope else b""
    return b"laddr=%b%b lport=%d" % (ipv6_text(address[8:24]), zone, port)


def _netlink(address: bytes) -> bytes:
    if len(address) < 12:
        return b"len too short"
    return b"nlnk-fam=16 nlnk-pid=%d" % int.from_bytes(address[4:8], "little")


def _ax25(address: bytes) -> bytes:
    return b"call=" + address[2:9].partition(b"\0")[0]


def _atmpvc(address: bytes) -> bytes:
    if len(address) < 6:
        return _SHORT
    return b"int=%d" % int.from_bytes(address[4:6], "little", signed=True)


def _x25(address: bytes) -> bytes:
    return b"laddr=" + address[2:17].partition(b"\0")[0]


_FAMILIES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "local": _local,
    "inet": _inet,
    "inet6": _inet6,
    "netlink": _netlink,
    "ax25": _ax25,
    "atmpvc": _atmpvc,
    "x25": _x25,
}
