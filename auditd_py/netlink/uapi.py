"""Numbers and structs of the kernel's audit interface (include/uapi/linux/audit.h).

Structs keep the kernel's names and field order. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, Final

NETLINK_AUDIT: Final = 9
AUDIT_NLGRP_READLOG: Final = 1

NLMSG_HDRLEN: Final = 16
NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 1
NLM_F_ACK: Final = 4
NLM_F_DUMP: Final = 0x300
SOCK_DIAG_BY_FAMILY: Final = 20  # linux/sock_diag.h

MAX_AUDIT_MESSAGE_LENGTH: Final = 8970
AUDIT_MAX_FIELDS: Final = 64
AUDIT_BITMASK_SIZE: Final = 64

SOL_NETLINK: Final = 270
NETLINK_NO_ENOBUFS: Final = 5
SO_MEMINFO: Final = 55  # u32[9]: see Meminfo
SO_RCVBUFFORCE: Final = 33

UNSET_ID: Final = 0xFFFFFFFF


class Request(IntEnum):
    """Message types that userspace sends to the kernel and gets answers for."""

    GET = 1000
    SET = 1001
    USER = 1005
    SIGNAL_INFO = 1010
    ADD_RULE = 1011
    DEL_RULE = 1012
    LIST_RULES = 1013
    TRIM = 1014
    MAKE_EQUIV = 1015
    SET_FEATURE = 1018
    GET_FEATURE = 1019
    FIRST_USER_MSG = 1100


class RecordType(IntEnum):
    """Record types the daemon itself treats in a special way."""

    DAEMON_START = 1200
    DAEMON_END = 1201
    DAEMON_ABORT = 1202
    DAEMON_CONFIG = 1203
    DAEMON_ROTATE = 1205
    DAEMON_RESUME = 1206
    DAEMON_ACCEPT = 1207
    DAEMON_CLOSE = 1208
    SYSCALL = 1300
    CONFIG_CHANGE = 1305
    EOE = 1320
    REPLACE = 1329


class StatusMask(IntFlag):
    """Which fields of audit_status a SET request changes."""

    ENABLED = 0x01
    FAILURE = 0x02
    PID = 0x04
    RATE_LIMIT = 0x08
    BACKLOG_LIMIT = 0x10
    BACKLOG_WAIT_TIME = 0x20
    LOST = 0x40
    BACKLOG_WAIT_TIME_ACTUAL = 0x80


AUDIT_STATUS_FIELDS: Final = (
    "mask",
    "enabled",
    "failure",
    "pid",
    "rate_limit",
    "backlog_limit",
    "lost",
    "backlog",
    "feature_bitmap",
    "backlog_wait_time",
    "backlog_wait_time_actual",
)


@dataclass(frozen=True, slots=True)
class Status:
    """struct audit_status as an AUDIT_GET reply carries it.

    `enabled` is 0 off, 1 on, 2 locked until reboot. `pid` is 0 when no daemon is registered.
    `backlog_wait_time` is in jiffies.
    """

    mask: int = 0
    enabled: int = 0
    failure: int = 0
    pid: int = 0
    rate_limit: int = 0
    backlog_limit: int = 0
    lost: int = 0
    backlog: int = 0
    feature_bitmap: int = 0
    backlog_wait_time: int = 0
    backlog_wait_time_actual: int = 0


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """struct audit_sig_info: who sent the daemon the last TERM, HUP, USR1 or USR2.

    `auid` is the sender's login uid. `context` is its LSM label, empty without one.
    """

    auid: int
    pid: int
    context: bytes = b""

    _HEAD: ClassVar[struct.Struct] = struct.Struct("=II")

    @classmethod
    def unpack(cls, payload: bytes) -> SignalInfo | None:
        """Return the sender a SIGNAL_INFO reply names, None if the payload is too short."""
        if len(payload) < cls._HEAD.size:
            return None
        auid, pid = cls._HEAD.unpack_from(payload)
        return cls(auid, pid, payload[cls._HEAD.size :].rstrip(b"\0 \n"))


AUDIT_FEATURE_LOGINUID_IMMUTABLE: Final = 1


@dataclass(frozen=True, slots=True)
class Features:
    """struct audit_features: bit masks of what is on and of what is locked until reboot.

    In a SET_FEATURE request `mask` and `lock` say which bits are meant.
    """

    mask: int = 0
    features: int = 0
    lock: int = 0

    _STRUCT: ClassVar[struct.Struct] = struct.Struct("=IIII")  # the first is the version, 0

    def pack(self) -> bytes:
        """Return the request's payload."""
        return self._STRUCT.pack(0, self.mask, self.features, self.lock)

    @classmethod
    def unpack(cls, payload: bytes) -> Features | None:
        """Return what a GET_FEATURE reply says, None if the payload is too short."""
        if len(payload) < cls._STRUCT.size:
            return None
        _, mask, features, lock = cls._STRUCT.unpack_from(payload)
        return cls(mask, features, lock)


@dataclass(frozen=True, slots=True)
class RuleData:
    """struct audit_rule_data: one rule as ADD_RULE and DEL_RULE take it.

    `flags` is the filter list, `action` never or always. `syscalls` are numbers of the rule's
    machine. Each of `fields` is (field, operator, value); a string value is passed in
    `strings`, in field order, and its length is then the field's value.
    """

    flags: int
    action: int
    syscalls: tuple[int, ...] = ()
    fields: tuple[tuple[int, int, int], ...] = ()
    strings: bytes = b""

    _HEAD: ClassVar[struct.Struct] = struct.Struct("=III")

    def pack(self) -> bytes:
        """Return the request's payload."""
        mask = [0] * AUDIT_BITMASK_SIZE
        for number in self.syscalls:
            mask[number // 32] |= 1 << number % 32
        columns = [[f[i] for f in self.fields] for i in range(3)]
        names, operators, values = (
            column + [0] * (AUDIT_MAX_FIELDS - len(column)) for column in columns
        )
        return b"".join(
            (
                self._HEAD.pack(self.flags, self.action, len(self.fields)),
                struct.pack(f"={AUDIT_BITMASK_SIZE}I", *mask),
                struct.pack(f"={AUDIT_MAX_FIELDS}I", *names),
                struct.pack(f"={AUDIT_MAX_FIELDS}I", *values),
                struct.pack(f"={AUDIT_MAX_FIELDS}I", *operators),
                struct.pack("=I", len(self.strings)),
                self.strings,
            )
        )


class Meminfo(IntEnum):
    """Positions in what SO_MEMINFO returns (include/uapi/linux/sock_diag.h)."""

    RMEM_ALLOC = 0
    RCVBUF = 1
    DROPS = 8
