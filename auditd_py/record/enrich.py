"""Makes the names that ENRICHED lines add. HOT: 0.7 µs a SYSCALL, 0.5 a PATH, 0.1 if nothing.

After a record and the byte 0x1D come pairs like `UID="root"`: one for each field that holds a
user, a group, a syscall, a machine or a socket address, named as the field in capitals, in the
order of the fields. What a SYSCALL or PATH adds depends on a part of its bytes that few records
differ in, so the pairs are looked up by that part.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditd_py.record.sockaddr import sockaddr_text
from auditd_py.tables.fields import TYPES
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.record_types import NUMBERS
from auditd_py.tables.syscalls import MULTIPLEXED, names, syscall_name

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSCALL: Final = NUMBERS["SYSCALL"]
PATH: Final = NUMBERS["PATH"]
SOCKADDR: Final = NUMBERS["SOCKADDR"]

# accounts change: names are forgotten before a record of the first kind is formatted, which
# may be the first to use a new id, and after one of the second, which still has the old name
ACCOUNT_TYPES_BEFORE: Final = frozenset(NUMBERS[name] for name in ("ADD_USER", "ADD_GROUP"))
ACCOUNT_TYPES_AFTER: Final = frozenset(
    NUMBERS[name] for name in ("USER_MGMT", "DEL_USER", "DEL_GROUP", "GRP_MGMT")
)

# the kernel's own, with no field that has a name to add (kernel/auditsc.c, kernel/audit.c)
_NOTHING_TO_ADD: Final = frozenset(
    NUMBERS[name]
    for name in (
        "BPRM_FCAPS",
        "CAPSET",
        "CWD",
        "EOE",
        "EXECVE",
        "FD_PAIR",
        "MMAP",
        "MQ_GETSETATTR",
        "MQ_NOTIFY",
        "MQ_OPEN",
        "MQ_SENDRECV",
        "PROCTITLE",
        "SOCKETCALL",
    )
)

# id= is a group in the first, saddr= no struct sockaddr in the second
_GROUP_RECORDS: Final = frozenset(NUMBERS[name] for name in ("ADD_GROUP", "DEL_GROUP", "GRP_MGMT"))
_PLAIN_ADDRESSES: Final = frozenset(NUMBERS[name] for name in ("AVC", "USER_AVC", "NETFILTER_PKT"))

_KINDS: Final = {
    name.encode("ascii"): kind
    for name, kind in TYPES.items()
    if kind in {"uid", "gid", "syscall", "arch", "sockaddr"}
}
_DEPENDS_ON_A0: Final = tuple(f"SYSCALL={name}".encode("ascii") for name in MULTIPLEXED)

MAX_LINE: Final = 8970 + 255  # MAX_AUDIT_MESSAGE_LENGTH and room for a node's name
_PREFIX: Final = 64  # the longest `type=NAME msg=` is shorter
_LEAST_ROOM: Final = 24  # with less left, nothing more is added
_MEMO_ROOM: Final = 4096  # for pairs that are remembered; longer texts are made each by itself
_SHORT_TEXT: Final = MAX_LINE - _PREFIX - _MEMO_ROOM

UNSET: Final = 0xFFFFFFFF
_MOST_PARTS: Final = 4096  # about 1.5 MB
_MOST_NAMES: Final = 1 << 18  # more than the ids that fit into one batch of the largest records

_PLAIN_NAME: Final = re.compile(rb"[!#-~]*")
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")


class Enricher:
    """Makes the pairs, from the names it has been told; it asks nobody.

    `users` and `groups` hold what is written for an id. An id that is in neither is put into
    `wanted_users` or `wanted_groups`, and the suffix is provisional: look the ids up, tell
    their names, and ask again.
    """

    def __init__(self) -> None:
        self.users: dict[int, bytes] = {}
        self.groups: dict[int, bytes] = {}
        self.wanted_users: set[int] = set()
        self.wanted_groups: set[int] = set()
        self._memo: dict[bytes, bytes] = {}
        self.forget_names()

    def suffix(self, record_type: int, text: bytes) -> bytes:
        """Return what follows `text` in an ENRICHED line: nothing, or 0x1D and the pairs.

        `text` is all that stands after `msg=`, of any bytes.
        """
        if record_type == SYSCALL:
            # in the kernel's order: stamp, arch, syscall, what varies, auid to fsgid, tty, and
            # what others wrote; partition, because find with its arguments takes twice the time
            head, auid, tail = text.partition(b" auid=")
            ids, tty, _ = tail.partition(b" tty=")
            call = head.partition(b" success=")[0].partition(b"): ")[2]
            part = call + auid + ids if tty and call else b""
        elif record_type == PATH:
            _, ouid, tail = text.partition(b" ouid=")
            if not ouid:
                return b""  # a name that is not there has no owner
            part = ouid + tail.partition(b" rdev=")[0]
        elif record_type in _NOTHING_TO_ADD:
            return b""
        elif record_type == SOCKADDR:
            part = text.partition(b"): ")[2]
        else:
            part = b""
        if part and len(text) < _SHORT_TEXT:
            try:
                return self._memo[part]
            except KeyError:
                return self._remembered(record_type, part, text)
        return self._made(record_type, text, MAX_LINE - _PREFIX - len(text))

    def learn_user(self, uid: int, name: bytes | None) -> None:
        """Take the name of a user; None if there is no such user."""
        self._learn(self.users, uid, name)
        self.wanted_users.discard(uid)

    def learn_group(self, gid: int, name: bytes | None) -> None:
        """Take the name of a group; None if there is no such group."""
        self._learn(self.groups, gid, name)
        self.wanted_groups.discard(gid)

    def forget_names(self) -> None:
        """Forget what was told: accounts may have changed."""
        self._memo.clear()
        for known in (self.users, self.groups):
            known.clear()
            known[0] = b'"root"'
            known[UNSET] = b'"unset"'

    def _learn(self, known: dict[int, bytes], number: int, name: bytes | None) -> None:
        if len(known) >= _MOST_NAMES:
            self.forget_names()
        value = b'"unknown(%d)"' % number if name is None else encoded_name(name)
        if known.get(number, value) != value:
            self._memo.clear()
        known[number] = value

    def _remembered(self, record_type: int, part: bytes, text: bytes) -> bytes:
        suffix = self._made(record_type, part, _MEMO_ROOM)
        if record_type == SYSCALL and any(call in suffix for call in _DEPENDS_ON_A0):
            return self._made(record_type, text, _MEMO_ROOM)
        if not self.wanted_users and not self.wanted_groups:
            if len(self._memo) >= _MOST_PARTS:
                self._memo.clear()
            self._memo[part] = suffix
        return suffix

    def _made(self, record_type: int, text: bytes, room: int) -> bytes:
        suffix = b""
        for name, value in self._pairs(record_type, text):
            if room - len(suffix) < _LEAST_ROOM:
                break
            pair = name.upper() + b"=" + value
            if len(suffix) + 1 + len(pair) <= room:
                suffix += (b" " if suffix else b"\x1d") + pair
            if name == b"saddr":
                break  # its value has spaces: it stands alone
        return suffix

    def _pairs(self, record_type: int, text: bytes) -> Iterator[tuple[bytes, bytes]]:
        arch = b""
        for name, kind, value in _fields(record_type, text):
            if kind == "arch":
                arch = value
                yield name, _machine(value)
            elif kind == "syscall":
                yield name, _operation(value) if name == b"uring_op" else _call(arch, value, text)
            elif kind == "sockaddr":
                yield name, _CONTROL.sub(_octal, sockaddr_text(value))
            elif (number := _id(value)) is not None:
                known, wanted = (
                    (self.users, self.wanted_users)
                    if kind == "uid"
                    else (self.groups, self.wanted_groups)
                )
                if number not in known:
                    wanted.add(number)
                yield name, known.get(number) or b'"unknown(%d)"' % number


def encoded_name(name: bytes) -> bytes:
    """Return a name in quotes, or as hex if it has a quote, a space or what is not ASCII."""
    return b'"' + name + b'"' if _PLAIN_NAME.fullmatch(name) else name.hex().upper().encode()


def _fields(record_type: int, text: bytes) -> Iterator[tuple[bytes, str, bytes]]:
    """Give name, kind and value of the fields that have something to add."""
    for word in text.split(b" "):
        name, _, value = word.partition(b"=")
        if name == b"msg" and value[:1] == b"'":
            name, _, value = value[1:].partition(b"=")
        name = name.removeprefix(b"(")
        kind = _KINDS.get(name)
        if kind is None:
            continue
        value = value.rstrip(b":,')")
        if name == b"id" and record_type in _GROUP_RECORDS:
            kind = "gid"
        if value and not (kind == "sockaddr" and record_type in _PLAIN_ADDRESSES):
            yield name, kind, value


def _number(value: bytes) -> int | None:
    digits = value.removeprefix(b"-")
    return int(value) if digits.isdigit() and len(digits) <= 10 else None


def _id(value: bytes) -> int | None:
    """Return an id as the kernel counts it, -1 being 4294967295; None for what is no id."""
    number = _number(value)
    if number is None or not -(1 << 31) <= number <= UNSET:
        return None
    return number & UNSET


def _hex(value: bytes) -> int:
    try:
        return int(value, 16)
    except ValueError:
        return -1


def _machine(value: bytes) -> bytes:
    arch = _hex(value)
    if arch in MACHINES:
        return MACHINES[arch][0].encode("ascii")
    return b"unknown-elf-type(" + value + b")"


def _call(arch: bytes, value: bytes, text: bytes) -> bytes:
    number = _number(value)
    first_argument = text.partition(b" a0=")[2].partition(b" ")[0]
    name = None if number is None else syscall_name(_hex(arch), number, _hex(first_argument))
    return b"unknown-syscall(" + value + b")" if name is None else name.encode("ascii")


def _operation(value: bytes) -> bytes:
    number = _number(value)
    name = None if number is None else names("uring").get(number)
    return b"unknown-syscall(" + value + b")" if name is None else name.encode("ascii")


def _octal(control: re.Match[bytes]) -> bytes:
    return b"\\%03o" % ord(control[0])
