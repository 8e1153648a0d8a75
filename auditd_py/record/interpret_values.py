"""The kinds of values that fields have, and how each is named.

Each function takes who knows names, the value as written and the record around it, and returns
a text for any value: `conversion error(…)` where there is no number in it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from auditd_py.record.escape import typed
from auditd_py.record.fields import decoded, from_hex
from auditd_py.record.interpret_arguments import (
    arguments_of,
    flags,
    mmap_flags,
    mode,
    open_flags,
    personality,
    short_mode,
)
from auditd_py.record.sockaddr import sockaddr_text
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.rule_values import ERRNOS
from auditd_py.tables.syscalls import names as call_names
from auditd_py.tables.syscalls import syscall_name
from auditd_py.tables.values import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.interpret import Context, Names

    Kind = Callable[[Names, bytes, Context], bytes]

_URINGOP: Final = 1336
_HIGHEST_ID: Final = 0xFFFFFFFF  # the id that is none; -1 for those who write it signed
_MAX_ERRNO: Final = 4095  # include/linux/err.h
_ERRNOS: Final = {number: name.encode() for name, number in reversed(ERRNOS.items())}
_ARGUMENT: Final = re.compile(rb"(?:^| )a([0-3])=([0-9a-f]{1,16})(?= |$)")


def _conversion_error(value: bytes) -> bytes:
    return b"conversion error(" + value + b")"


def integer(value: bytes, base: int = 10) -> int | None:
    """Return the number that a value is, None if it is none."""
    digits = value.removeprefix(b"-")
    if not digits.isalnum() or len(digits) > 24:
        return None
    try:
        return int(value, base)
    except ValueError:
        return None


def _id(value: bytes) -> int | None:
    number = integer(value, 16 if value[:2] == b"0x" else 10)
    if number is None or not -(1 << 31) <= number <= _HIGHEST_ID:
        return None
    return number & _HIGHEST_ID


def _uid(known: Names, value: bytes, _context: Context) -> bytes:
    number = _id(value)
    return _conversion_error(value) if number is None else known.user_name(number)


def _gid(known: Names, value: bytes, _context: Context) -> bytes:
    number = _id(value)
    return _conversion_error(value) if number is None else known.group_name(number)


def _arch(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    if number is None:
        return _conversion_error(value)
    if number in MACHINES:
        return MACHINES[number][0].encode("ascii")
    return b"unknown-elf-type(" + value + b")"


def _syscall(_known: Names, value: bytes, context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    if context.type_number == _URINGOP:
        name = call_names("uring").get(number)
    else:
        first = dict(_ARGUMENT.findall(context.text)).get(b"0")
        name = syscall_name(context.arch, number, int(first, 16) if first else None)
    return name.encode("ascii") if name else b"unknown-syscall(" + value + b")"


def _exit(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    if number >= 0 or number < -_MAX_ERRNO:
        return value
    name = _ERRNOS.get(-number, b"unknown-errno")
    return b"%b(%b)" % (name, os.strerror(-number).encode("utf-8", "surrogateescape"))


def _errno(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if not number:
        return _conversion_error(value) if number is None else value
    return _ERRNOS.get(abs(number), b"UNKNOWN")


def _decoded(_known: Names, value: bytes, _context: Context) -> bytes:
    return decoded(value)


def _key(_known: Names, value: bytes, _context: Context) -> bytes:
    if value[:1] == b'"':
        return decoded(value)
    return from_hex(value) or value


def _proctitle(_known: Names, value: bytes, _context: Context) -> bytes:
    if value[:1] == b'"':
        return decoded(value)
    return (from_hex(value) or value).replace(b"\0", b" ")


def _perm(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        # a rule's own letters
        letters = {b"r": b"read", b"w": b"write", b"x": b"exec", b"a": b"attr"}
        words = [letters.get(value[i : i + 1]) for i in range(len(value))]
        return b",".join(word for word in words if word) if all(words) else value
    all_of = ((4, b"read"), (2, b"write"), (1, b"exec"), (8, b"attr"))
    return b",".join(name for bit, name in all_of if number & bit or not number)


def _mode(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 8)
    return _conversion_error(value) if number is None else mode(number)


def _mode_short(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 8)
    return _conversion_error(value) if number is None else short_mode(number)


def _sockaddr(_known: Names, value: bytes, _context: Context) -> bytes:
    return sockaddr_text(value)


def _promisc(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    return _conversion_error(value) if number is None else b"yes" if number else b"no"


def _capability(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    return names("capability").get(number) or b"unknown-capability(" + value + b")"


def _cap_bitmap(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    if number is None:
        return _conversion_error(value)
    found = [name for bit, name in names("capability").items() if number >> bit & 1]
    return b",".join(found) or b"none"


def _success(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    return value if number is None else {0: b"no", 1: b"yes"}.get(number, b"unset")


def _argument(place: int) -> Kind:
    def value_of(known: Names, value: bytes, context: Context) -> bytes:
        describe = arguments_of(context.call).get(place) if context.call else None
        number = integer(value, 16) if describe else None
        if describe is None or number is None or number < 0:
            return b"0x" + value
        found = dict(_ARGUMENT.findall(context.text))
        arguments = [int(found.get(b"%d" % i, b"0"), 16) for i in range(4)]
        return describe(number, value, arguments, known)

    return value_of


def _signal(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    return names("signal").get(number) or b"unknown-signal(" + value + b")"


def _list(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    return names("list").get(number) or b"unknown-list(" + value + b")"


def _tty_data(_known: Names, value: bytes, _context: Context) -> bytes:
    raw = None if value[:1] == b'"' else from_hex(value)
    return value if raw is None else typed(raw)


def _session(_known: Names, value: bytes, _context: Context) -> bytes:
    return b"unset" if value == b"4294967295" else value


def _named(table: str, unknown: bytes, base: int = 10) -> Kind:
    """Return what names a number by a table; others give `unknown`, with the value if it says %b."""

    def name(_known: Names, value: bytes, _context: Context) -> bytes:
        number = integer(value, base)
        if number is None:
            return _conversion_error(value)
        found = names(table).get(number)
        return found or (unknown % value if b"%b" in unknown else unknown)

    return name


def _protocol(known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    return known.protocol_name(number) or b"undefined protocol"


def _plain(_known: Names, value: bytes, _context: Context) -> bytes:
    return value


def _personality(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    return _conversion_error(value) if number is None else personality(number)


def _seccomp(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    if number is None:
        return _conversion_error(value)
    # SECCOMP_RET_ACTION_FULL
    return names("seccomp").get(number & 0xFFFF0000) or b"unknown-seccomp-code(" + value + b")"


def _oflag(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16 if value[:2] == b"0x" else 8)
    return _conversion_error(value) if number is None else open_flags(number)


def _mmap(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    return _conversion_error(value) if number is None else mmap_flags(number)


def _other(context: Context, name: bytes) -> bytes:
    found = re.search(b"(?:^| )%b=([^ ,]+)" % name, context.text)
    return found[1] if found else b""


def _hook(_known: Names, value: bytes, context: Context) -> bytes:
    number = integer(value)
    if number is None:
        return _conversion_error(value)
    table = "arp_hook" if _other(context, b"family") == b"3" else "inet_hook"
    return names(table).get(number) or b"unknown-hook(" + value + b")"


def _macproto(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    if number is None:
        return _conversion_error(value)
    return {0x800: b"IP", 0x806: b"ARP"}.get(number, b"UNKNOWN")


def _ioctl(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    return (
        _conversion_error(value) if number is None else names("ioctl").get(number, b"0x%x" % number)
    )


def _choice(words: dict[int, bytes], other: bytes) -> Kind:
    def word(_known: Names, value: bytes, _context: Context) -> bytes:
        number = integer(value)
        return _conversion_error(value) if number is None else words.get(number, other)

    return word


def _resolve(_known: Names, value: bytes, _context: Context) -> bytes:
    number = integer(value, 16)
    return _conversion_error(value) if number is None else flags("resolve", number)


def _fan_info(_known: Names, value: bytes, context: Context) -> bytes:
    if _other(context, b"fan_type") != b"1":
        return value
    number = integer(value, 16)
    return _conversion_error(value) if number is None else b"%d" % number


KINDS: Final[dict[str, Kind]] = {
    "uid": _uid,
    "gid": _gid,
    "syscall": _syscall,
    "arch": _arch,
    "exit": _exit,
    "escaped": _decoded,
    "escaped_file": _decoded,
    "escaped_key": _key,
    "perm": _perm,
    "mode": _mode,
    "mode_short": _mode_short,
    "sockaddr": _sockaddr,
    "promisc": _promisc,
    "capability": _capability,
    "success": _success,
    "a0": _argument(0),
    "a1": _argument(1),
    "a2": _argument(2),
    "a3": _argument(3),
    "signal": _signal,
    "list": _list,
    "tty_data": _tty_data,
    "session": _session,
    "cap_bitmap": _cap_bitmap,
    "nfproto": _named("protocol_family", b"unknown-netfilter-protocol(%b)"),
    "icmptype": _named("icmp", b"unknown-icmp-type(%b)"),
    "protocol": _protocol,
    "addr": _plain,
    "personality": _personality,
    "seccomp": _seccomp,
    "oflag": _oflag,
    "mmap": _mmap,
    "mac_label": _plain,
    "proctitle": _proctitle,
    "hook": _hook,
    "netaction": _named("action", b"unknown-action(%b)"),
    "macproto": _macproto,
    "ioctl_req": _ioctl,
    "fanotify": _choice({1: b"allow", 2: b"deny"}, b"unknown"),
    "nlmcgrp": _choice({1: b"audit-netlink-multicast"}, b"audit-none"),
    "resolve": _resolve,
    "trust": _choice({0: b"no", 1: b"yes"}, b"unknown"),
    "fan_type": _choice({0: b"none", 1: b"rule_info"}, b"unknown"),
    "fan_info": _fan_info,
    "errno": _errno,
}
