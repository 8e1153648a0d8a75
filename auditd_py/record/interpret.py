"""What the values of fields are called: users, calls, flags, decoded names (ausearch -i).

Nobody is asked here: names of users, groups and protocols come from functions that are handed
in. What the daemon wrote into an ENRICHED record goes before them, because it knew the names
of its own machine at the time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.record.fields import enriched_names, fields, from_hex
from auditd_py.record.interpret_values import KINDS
from auditd_py.tables.fields import TYPES
from auditd_py.tables.record_types import NUMBERS
from auditd_py.tables.syscalls import syscall_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.record import Record

UNSET: Final = 0xFFFFFFFF
_AUDIT_ARCH: Final = re.compile(rb"(?:^| )arch=([0-9a-f]{1,8}) syscall=(\d{1,9})(?: |$)")
_CALL: Final = re.compile(rb"(?:^| )syscall=(\d{1,9})(?: |$)")
_ARCH: Final = re.compile(rb"(?:^| )arch=([0-9a-f]{1,8})(?: |$)")

_EXECVE: Final = 1309
_TRUSTED_APP: Final = 1121
# fields that are something else in records of one type
_ADJUSTED: Final = {
    (NUMBERS[record_type], name): kind
    for record_type, name, kind in (
        ("ADD_GROUP", b"id", "gid"),
        ("AVC", b"saddr", ""),
        ("CRYPTO_KEY_USER", b"fp", ""),
        ("DEL_GROUP", b"id", "gid"),
        ("GRP_MGMT", b"id", "gid"),
        ("KERN_MODULE", b"name", "escaped"),
        ("MQ_OPEN", b"mode", "mode_short"),
        ("NETFILTER_PKT", b"saddr", "addr"),
        ("USER_AVC", b"saddr", ""),
        ("USER_TTY", b"msg", "escaped"),
    )
}

# which names the pairs of an enriched record may give
_ENRICHED: Final = frozenset(
    name.encode()
    for name, kind in TYPES.items()
    if kind in {"uid", "gid", "syscall", "arch", "sockaddr"}
)
_TYPES: Final = {name.encode(): kind for name, kind in TYPES.items()}
_NULL: Final = frozenset({b"(null)", b"(none)"})


def nobody(_number: int) -> bytes | None:
    """Know no name; stands for a look-up that is not there."""
    return None


@dataclass(slots=True)
class Names:
    """Who knows names: each function takes a number and returns a name, or None.

    What they said is kept: make a new object when accounts may have changed.
    """

    user: Callable[[int], bytes | None] = nobody
    group: Callable[[int], bytes | None] = nobody
    protocol: Callable[[int], bytes | None] = nobody
    _users: dict[int, bytes] = field(default_factory=dict)
    _groups: dict[int, bytes] = field(default_factory=dict)

    def user_name(self, uid: int) -> bytes:
        """Return the name of a user, `unset` or `unknown(1234)`."""
        return _looked_up(self._users, self.user, uid)

    def group_name(self, gid: int) -> bytes:
        """Return the name of a group, `unset` or `unknown(1234)`."""
        return _looked_up(self._groups, self.group, gid)

    def protocol_name(self, number: int) -> bytes | None:
        """Return the name of an internet protocol, as /etc/protocols has it."""
        return self.protocol(number) if number < 256 else None


def _looked_up(known: dict[int, bytes], ask: Callable[[int], bytes | None], number: int) -> bytes:
    if number == UNSET:
        return b"unset"
    if number == 0:
        return b"root"
    name = known.get(number)
    if name is None:
        if len(known) > 65536:
            known.clear()
        name = known[number] = ask(number) or b"unknown(%d)" % number
    return name


@dataclass(slots=True)
class Context:
    """What the value of a field depends on beside itself: its record.

    `call` is the name of the system call, empty if there is none or it is not known.
    """

    type_number: int
    text: bytes
    enriched: dict[bytes, bytes]
    arch: int = 0
    call: str = ""


def context_of(record: Record) -> Context:
    """Return what the values of a record's fields depend on."""
    text = record.text
    enriched = enriched_names(record)
    arch, number = _machine_and_call(text)
    name = syscall_name(arch, number) if number is not None else None
    return Context(record.type_number, text, enriched, arch, name or "")


def _machine_and_call(text: bytes) -> tuple[int, int | None]:
    found = _AUDIT_ARCH.search(text)
    if found:
        return int(found[1], 16), int(found[2])
    arch, call = _ARCH.search(text), _CALL.search(text)
    return (int(arch[1], 16) if arch else 0), (int(call[1]) if call else None)


def kind_of(name: bytes, value: bytes, type_number: int) -> str:
    """Return which kind of value a field has (tables/fields), empty for a plain one."""
    adjusted = _ADJUSTED.get((type_number, name))
    if adjusted is not None:
        return adjusted
    kind: str = _TYPES.get(name, "")
    if type_number == _EXECVE and name[:1] == b"a" and name != b"argc" and b"_len" not in name:
        return "escaped"
    if name == b"acct" or (type_number == _TRUSTED_APP and not kind and name != b"pid"):
        # programs write them as they like
        return "escaped" if value[:1] == b'"' or from_hex(value) is not None else ""
    return kind


class Interpreter:
    """Gives names to values. Results are bytes, not escaped (see escape.py)."""

    def __init__(self, known: Names | None = None) -> None:
        self.names = known or Names()

    def fields(self, record: Record) -> list[tuple[bytes, bytes, bytes]]:
        """Return name, value as written, and what it is called, of each field of a record."""
        context = context_of(record)
        return [(name, value, self.value(name, value, context)) for name, value in fields(record)]

    def value(self, name: bytes, value: bytes, context: Context) -> bytes:
        """Return what the value of one field is called, in a record.

        `value` is as written; in none of them is an error: what is no number where one should
        be gives `conversion error(…)`, what has no name a text with `unknown` and the number.
        A `key` that is many gives them with 0x01 between.
        """
        return self.value_of_kind(kind_of(name, value, context.type_number), name, value, context)

    def value_of_kind(self, kind: str, name: bytes, value: bytes, context: Context) -> bytes:
        """Return the same for a value whose kind is known (see kind_of)."""
        if name in context.enriched and name in _ENRICHED:
            return context.enriched[name]
        if not kind or value in _NULL:
            return value
        return KINDS[kind](self.names, value, context)
