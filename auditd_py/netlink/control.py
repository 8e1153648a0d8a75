"""A blocking client for audit requests, on a socket of its own.

Records never arrive here: the kernel sends them to the socket that registered the daemon, so
that a request waits neither behind a full event socket nor behind a queue of records.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

from auditd_py.errors import KernelError, WireError
from auditd_py.netlink import messages
from auditd_py.netlink.uapi import (
    MAX_AUDIT_MESSAGE_LENGTH,
    NETLINK_AUDIT,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_HDRLEN,
    Features,
    Request,
    SignalInfo,
    Status,
    StatusMask,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")
_REQUEST_NAMES = {int(request): request.name for request in Request}
_RECV_SIZE = MAX_AUDIT_MESSAGE_LENGTH + NLMSG_HDRLEN


def open_socket(groups: int = 0) -> socket.socket:
    """Return a netlink audit socket that takes datagrams from the kernel only.

    `groups` is a bit mask of multicast groups to join (CAP_AUDIT_READ is needed for that).
    Raises KernelError: EPROTONOSUPPORT when the kernel has no audit, EPERM without the right.
    """
    try:
        sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT
        )
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "opening the audit socket") from None
    try:
        sock.bind((0, groups))
        if not groups:
            # the kernel then refuses what other processes send to this port
            sock.connect((0, 0))
    except OSError as error:
        sock.close()
        raise KernelError(error.errno or errno.EIO, "binding the audit socket") from None
    return sock


class Control:
    """Sends one request at a time and waits for its answer; may be shared between threads.

    Every method raises KernelError: with the kernel's errno when it refuses, with ETIMEDOUT
    when no answer came within `timeout_s`.
    """

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._socket = open_socket()
        self._timeout_s = timeout_s
        self._seq = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def status(self) -> Status:
        """Return what AUDIT_GET says."""
        return messages.parse_status(self._reply(Request.GET))

    def set_status(self, mask: StatusMask, **values: int) -> None:
        """Change the settings that `mask` names to `values` (fields of audit_status)."""
        self._ask(Request.SET, messages.status_payload({**values, "mask": mask}))

    def reset_counter(self, mask: StatusMask) -> int:
        """Set a counter to 0 (LOST or BACKLOG_WAIT_TIME_ACTUAL); return what it was."""
        try:
            self.set_status(mask)
        except KernelError as error:
            if error.errno >= 0:
                raise
            return -error.errno  # the acknowledgement carries the count where others have 0
        return 0

    def features(self) -> Features:
        """Return which of the features that can be locked are on and which are locked."""
        found = Features.unpack(self._reply(Request.GET_FEATURE, Features().pack()))
        if found is None:
            raise KernelError(errno.EPROTO, "GET_FEATURE")
        return found

    def set_features(self, features: Features) -> None:
        """Switch features, and lock them until reboot."""
        self._ask(Request.SET_FEATURE, features.pack())

    def trim(self) -> None:
        """Have the kernel drop the parts of watched trees that were unmounted."""
        self._ask(Request.TRIM)

    def make_equivalent(self, mounted: bytes, subtree: bytes) -> None:
        """Have a watched tree go on below `subtree`, where it is mounted at `mounted`."""
        lengths = struct.pack("=II", len(mounted), len(subtree))
        paths = mounted + subtree
        self._ask(Request.MAKE_EQUIV, lengths + paths + bytes(-len(paths) % 4))

    def release_pid(self) -> None:
        """Tell the kernel that this process is no longer the audit daemon."""
        self.set_status(StatusMask.PID, pid=0)

    def signal_info(self) -> SignalInfo | None:
        """Return who sent this process its last signal, None if the kernel does not know."""
        return SignalInfo.unpack(self._reply(Request.SIGNAL_INFO))

    def rules(self) -> list[bytes]:
        """Return every loaded rule as its audit_rule_data."""
        return self._ask(Request.LIST_RULES, ack=False)

    def add_rule(self, rule: bytes) -> None:
        """Load one rule, given as its audit_rule_data."""
        self._ask(Request.ADD_RULE, rule)

    def delete_rule(self, rule: bytes) -> None:
        """Remove one rule, given as its audit_rule_data."""
        self._ask(Request.DEL_RULE, rule)

    def user_message(self, text: bytes, record_type: int = Request.USER) -> None:
        """Hand the kernel a record of a user-space type; it comes back as an event."""
        self._ask(record_type, text + b"\0")

    def _reply(self, kind: int, payload: bytes = b"") -> bytes:
        replies = self._ask(kind, payload, ack=False)
        if not replies:
            raise KernelError(errno.EPROTO, _REQUEST_NAMES[kind])
        return replies[0]

    def _ask(self, kind: int, payload: bytes = b"", *, ack: bool = True) -> list[bytes]:
        # with an ack asked for, the answer is an NLMSG_ERROR; else it is the reply, and for
        # LIST_RULES the replies up to NLMSG_DONE
        name = _REQUEST_NAMES.get(kind, f"message {kind}")
        with self._lock:
            self._seq = self._seq % 0x7FFFFFFF + 1
            flags = NLM_F_REQUEST | (NLM_F_ACK if ack else 0)
            deadline = time.monotonic() + self._timeout_s
            try:
                self._socket.settimeout(self._timeout_s)
                self._socket.send(messages.request(kind, flags, self._seq, payload))
                return list(self._answers(kind, name, deadline))
            except TimeoutError:
                raise KernelError(errno.ETIMEDOUT, name) from None
            except OSError as error:
                raise KernelError(error.errno or errno.EIO, name) from None

    def _answers(self, kind: int, name: str, deadline: float) -> Iterator[bytes]:
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._socket.settimeout(left_s)
            datagram = self._socket.recv(_RECV_SIZE)
            if len(datagram) < NLMSG_HDRLEN:
                raise WireError(f"{name}: a datagram of {len(datagram)} bytes")
            length, found, _, seq, _ = _HEADER.unpack_from(datagram)
            if seq != self._seq:
                continue  # the answer to a request that timed out
            body = datagram[NLMSG_HDRLEN:length]  # padded to a multiple of 4 bytes
            if found == NLMSG_ERROR:
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EPROTO
                if code:
                    raise KernelError(code, name)
                return
            if found == NLMSG_DONE:
                return
            if found == kind:
                yield body
            if kind != Request.LIST_RULES:
                return
