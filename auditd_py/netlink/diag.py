"""The timers of TCP connections, as the kernel tells them (INET_DIAG, sock_diag(7))."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import KernelError
from auditd_py.netlink import messages
from auditd_py.netlink.uapi import NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG: Final = 4
_TIMEOUT_S: Final = 5.0
_HEADER: Final = struct.Struct("=IHHII")
# linux/inet_diag.h: family, state, timer, retrans; ports and addresses; ...; expires
_MESSAGE: Final = struct.Struct("=BBBB2s2s16s16s4s8sI")
_PORT: Final = struct.Struct(">H")
_KINDS: Final = ("off", "on", "keepalive", "timewait", "probe")  # as netstat(8) calls them
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Timer:
    """What the kernel waits for: `kind` as netstat -o calls it, how long yet, and how often.

    `retransmits` are those of data, or probes without an answer, since the last sign of life.
    """

    kind: str
    expires_s: float
    retransmits: int

    def __str__(self) -> str:
        if self.kind == "off":
            return "off"
        return f"{self.kind} in {self.expires_s:.2f} s, retransmits {self.retransmits}"


def tcp_timers(port: int) -> dict[tuple[str, int], Timer]:
    """Return the timer of each connection to the local `port`, by the peer's address and port.

    IPv4-mapped addresses are IPv4 ones; a zone is not in them. Raises KernelError.
    """
    found: dict[tuple[str, int], Timer] = {}
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
        ) as sock:
            sock.settimeout(_TIMEOUT_S)
            sock.connect((0, 0))
            for family in (socket.AF_INET, socket.AF_INET6):
                sock.send(messages.diag_request(family, socket.IPPROTO_TCP, port))
                for payload in _answers(sock):
                    _add(found, payload)
    except OSError as error:
        raise KernelError(error.errno or errno.ETIMEDOUT, "asking for TCP timers") from None
    return found


def _answers(sock: socket.socket) -> Iterator[bytes]:
    """Yield the payloads of a dump."""
    while True:
        data = sock.recv(1 << 16)
        at = 0
        while at + NLMSG_HDRLEN <= len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            payload = data[at + NLMSG_HDRLEN : at + size]
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                number = struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                raise OSError(-number or errno.EPROTO, "refused")
            yield payload
            at += max((size + 3) & ~3, NLMSG_HDRLEN)


def _add(found: dict[tuple[str, int], Timer], payload: bytes) -> None:
    if len(payload) < _MESSAGE.size:
        return
    family, _, kind, retransmits, _, port, _, address, _, _, expires_ms = _MESSAGE.unpack_from(
        payload
    )
    if family == socket.AF_INET6 and not address.startswith(_MAPPED):
        text = socket.inet_ntop(socket.AF_INET6, address)
    else:
        text = socket.inet_ntop(
            socket.AF_INET, address[12:] if family == socket.AF_INET6 else address[:4]
        )
    name = _KINDS[kind] if kind < len(_KINDS) else f"timer {kind}"
    found[text, _PORT.unpack(port)[0]] = Timer(name, expires_ms / 1000, retransmits)
