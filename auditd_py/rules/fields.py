"""The fields of a rule: what values each takes, on which lists and with which operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.rules import host as features
from auditd_py.rules.rule import (
    EQUAL,
    EXCLUDE,
    EXIT,
    FIELD_COMPARE,
    FILESYSTEM,
    NO_LIST,
    NOT_EQUAL,
    PERMISSIONS,
    USER,
    Field,
)
from auditd_py.tables import families
from auditd_py.tables.machines import ARCHES, MACHINES
from auditd_py.tables.record_types import NUMBERS as RECORD_TYPES
from auditd_py.tables.rule_names import COMPARISONS, FIELDS, OPERATORS
from auditd_py.tables.rule_values import ERRNOS, FILE_SYSTEMS, FILE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from auditd_py.rules.host import Host

MAX_STRING: Final = 4096  # PATH_MAX
_U32: Final = 0xFFFFFFFF
_HEX: Final = frozenset("0123456789abcdef")
_AF_MAX: Final = 46
_OPERATOR_BYTES: Final = "!<>=&"

# name: which kind of value; the rest are strings
KINDS: Final[Mapping[str, str]] = {
    name: kind
    for kind, names in {
        "number": "pid ppid pers devmajor devminor success",
        "inode": "inode",
        "user": "uid euid suid fsuid auid loginuid obj_uid",
        "group": "gid egid sgid fsgid obj_gid",
        "errno": "exit",
        "record type": "msgtype",
        "permission": "perm",
        "file type": "filetype",
        "file system": "fstype",
        "machine": "arch",
        "argument": "a0 a1 a2 a3",
        "session": "sessionid",
        "family": "saddr_fam",
    }.items()
    for name in names.split()
}

_EXIT_ONLY: Final = frozenset(
    (
        "ppid", "devmajor", "devminor", "success", "inode", "exit", "obj_user", "obj_role",
        "obj_type", "obj_lev_low", "obj_lev_high", "path", "dir", "filetype",
    )
)  # fmt: skip
_TWO_OPERATORS: Final = frozenset(("inode", "fstype", "arch", "exe"))
_NEEDS: Final = {"exe": features.EXECUTABLE_PATH, "sessionid": features.SESSIONID_FILTER}
_OLD_EXCLUDE: Final = frozenset(
    (
        "pid", "uid", "gid", "auid", "loginuid", "msgtype", "subj_user", "subj_role", "subj_type",
        "subj_sen", "subj_clr", "exe",
    )
)  # fmt: skip

_COMPARISON_CODES: Final = {
    pair: code for code, (a, b) in COMPARISONS.items() for pair in ((a, b), (b, a))
}
COMPARED: Final = frozenset(name for pair in COMPARISONS.values() for name in pair)


class FieldError(Exception):
    """A field cannot be used; `offset` and `length` say which part of it."""

    def __init__(
        self, reason: str, offset: int, length: int, word: str = "", known: Iterable[str] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.length = length
        self.word = word
        self.known = known


def split_field(text: str, option: str) -> tuple[str, str, str]:
    """Return name, operator and value of what follows -F or -C (`option`)."""
    for operator in OPERATORS:
        at = text.find(operator)
        if at >= 0:
            break
    else:
        raise FieldError(f"{option} missing operation for {text}", 0, len(text), text, FIELDS)
    name, value = text[:at], text[at + len(operator) :]
    if not name:
        reason = f"{option} missing field name before operator for {text}"
        raise FieldError(reason, 0, len(operator))
    if not value:
        spaces = "  " if option == "-C" else " "
        reason = f"{option} missing value after operation for{spaces}{name}"
        raise FieldError(reason, at, len(operator))
    return name, operator, value


def parse_field(text: str, rule_list: int, host: Host) -> Field:
    """Return the field that `-F text` means in a rule of `rule_list`.

    Raises FieldError. What the rule holds already (calls, key, number of fields) is not seen.
    """
    name, operator, value = split_field(text, "-F")
    word, name = name, name.lower()
    if name not in FIELDS:
        raise FieldError(f"-F unknown field: {word}", 0, len(word), name, FIELDS)
    check_place(name, word, operator, rule_list, host)
    at = len(word) + len(operator)
    if _OPERATOR_BYTES.find(value[0]) >= 0 and name in KINDS:
        # `auid>==500`: what was taken for the value begins with an operator
        raise FieldError(f"-F value should be number for {word}", at, len(value))
    kind = KINDS.get(name)
    if kind is None:
        data = value.encode("utf-8", "surrogateescape")
        if len(data) >= MAX_STRING:
            raise FieldError("String value too long", at, len(value))
        return Field(FIELDS[name], OPERATORS[operator], data)
    number = _VALUES[kind](word, value, at, host)
    return Field(FIELDS[name], OPERATORS[operator], number & _U32)


def check_place(name: str, word: str, operator: str, rule_list: int, host: Host) -> None:
    """Raise FieldError if the list or the kernel does not take the field with the operator."""
    span = (0, len(word))
    if rule_list in (EXCLUDE, FILESYSTEM):
        _check_list(name, word, rule_list, host)
    if name in _NEEDS and not host.features() & _NEEDS[name]:
        raise FieldError(f"Field option not supported by kernel: {word}", *span)
    if name in _EXIT_ONLY and rule_list not in (EXIT, NO_LIST):
        raise FieldError(f"{word} can only be used with exit filter list", *span)
    if name == "msgtype" and rule_list not in (EXCLUDE, USER):
        reason = "msgtype field can only be used with exclude or user filter list"
        raise FieldError(reason, *span)
    if name == "sessionid" and rule_list not in (EXCLUDE, USER, EXIT):
        reason = f"{word} must be used with exclude, user, or exit filter"
        raise FieldError(reason, *span)
    if (name == "perm" and rule_list not in (EXIT, EXCLUDE, NO_LIST)) or (
        name == "fstype" and rule_list != FILESYSTEM
    ):
        raise FieldError(f"{word} field is not valid for the filter", *span)
    code = OPERATORS[operator]
    if name == "perm" and code != EQUAL:
        raise FieldError(f"{word} only takes = operator", len(word), len(operator), operator, "=")
    if name in _TWO_OPERATORS and code not in (EQUAL, NOT_EQUAL):
        raise FieldError(f"{word} only takes = or != operators", len(word), len(operator))


def _check_list(name: str, word: str, rule_list: int, host: Host) -> None:
    if rule_list == FILESYSTEM:
        if not host.features() & features.FILTER_FS:
            reason = f"{word} filter is not supported by the kernel"
            raise FieldError(reason, 0, len(word))
    elif not host.features() & features.EXCLUDE_EXTEND and name not in _OLD_EXCLUDE:
        reason = "Only msgtype, *uid, *gid, pid, and subj* fields can be used with exclude filter"
        raise FieldError(reason, 0, len(word))


def parse_comparison(text: str, rule_list: int) -> Field:
    """Return the field that `-C text` means. Raises FieldError."""
    left, operator, right = split_field(text, "-C")
    if OPERATORS[operator] not in (EQUAL, NOT_EQUAL):
        reason = f"{left} only takes = or != operators"
        raise FieldError(reason, len(left), len(operator))
    if rule_list not in (EXIT, NO_LIST):
        raise FieldError(f"{left} can only be used with exit filter list", 0, len(left))
    names = [name.lower().replace("loginuid", "auid") for name in (left, right)]
    at = len(left) + len(operator)
    if names[0] not in FIELDS:
        raise FieldError(f"-C unknown field: {left}", 0, len(left), names[0], COMPARED)
    if names[1] not in FIELDS:
        reason = f"-C unknown right hand value for comparison with: {left}"
        raise FieldError(reason, at, len(right), names[1], COMPARED)
    code = _COMPARISON_CODES.get((names[0], names[1]))
    if code is None:
        reason = f"-C incompatible comparison {left}"
        raise FieldError(reason, 0, len(text), "", ())
    return Field(FIELD_COMPARE, OPERATORS[operator], code)


def permission_bits(letters: str) -> int | None:
    """Return the bits of `letters`, None if they are not one to four of rwxa."""
    if not 0 < len(letters) <= 4:
        return None
    bits = 0
    for letter in letters.lower():
        if letter not in PERMISSIONS:
            return None
        bits |= PERMISSIONS[letter]
    return bits


def number_value(text: str) -> int | None:
    """Return a number as C writes it: decimal, 0x hex, 0 octal; None if it is none."""
    digits = text.lower()
    base = 10
    if digits.startswith("0x"):
        digits, base = digits[2:], 16
    elif digits.startswith("0") and len(digits) > 1:
        digits, base = digits[1:], 8
    if not digits.isascii() or not digits.isalnum() or len(digits) > 32:
        return None
    try:
        return int(digits, base)
    except ValueError:
        return None


def _number(name: str, value: str, at: int, _: Host) -> int:
    number = number_value(value)
    if number is None:
        raise FieldError(f"-F value should be number for {name}", at, len(value))
    if number > _U32:
        raise FieldError(f"value is too large for field: {name}", at, len(value))
    return number


def _signed(name: str, value: str, at: int, host: Host) -> int:
    if value[0] != "-":
        return _number(name, value, at, host)
    number = number_value(value[1:])
    if number is None:
        raise FieldError(f"-F value should be number for {name}", at, len(value))
    if number > 1 << 31:
        raise FieldError(f"value is too large for field: {name}", at, len(value))
    return -number


def _argument(name: str, value: str, at: int, _: Host) -> int:
    # the kernel compares 32 bits; more have always been cut off
    number = number_value(value.removeprefix("-"))
    if number is None:
        raise FieldError(f"-F value should be number for {name}", at, len(value))
    return -number if value[0] == "-" else number


def _session(name: str, value: str, at: int, host: Host) -> int:
    return _U32 if value == "unset" else _signed(name, value, at, host)


def _user(name: str, value: str, at: int, host: Host) -> int:
    if value == "unset":
        return _U32
    if value[0] == "-" or value[0].isdigit():
        return _signed(name, value, at, host)
    return _account(value, at, host.user_id(value), "user")


def _group(name: str, value: str, at: int, host: Host) -> int:
    if value[0] == "-" or value[0].isdigit():
        return _signed(name, value, at, host)
    return _account(value, at, host.group_id(value), "group")


def _account(value: str, at: int, number: int | None, what: str) -> int:
    if number is None:
        raise FieldError(f"Unknown {what}: {value}", at, len(value))
    return number


def _errno(name: str, value: str, at: int, host: Host) -> int:
    word = value.removeprefix("-")
    if word[:1].isdigit():
        return _signed(name, value, at, host)
    number = ERRNOS.get(word.upper())
    if number is None:
        raise FieldError(f"-F unknown errno - {name}", at, len(value), word.upper(), ERRNOS)
    return -number if value[0] == "-" else number


def _record_type(_: str, value: str, at: int, host: Host) -> int:
    if value[0].isdigit():
        return _number("msgtype", value, at, host)
    number = RECORD_TYPES.get(value.upper())
    if number is None:
        reason = "-F unknown message type - msgtype"
        raise FieldError(reason, at, len(value), value.upper(), RECORD_TYPES)
    return number


def _permission(_: str, value: str, at: int, __: Host) -> int:
    bits = permission_bits(value)
    if bits is None:
        raise FieldError("Permission can only contain  'rwxa'", at, len(value))
    return bits


def _file_type(name: str, value: str, at: int, _: Host) -> int:
    number = FILE_TYPES.get(value.lower())
    if number is None and value.isascii() and value.isdecimal() and len(value) < 10:
        number = int(value)  # as it is listed
    if number is None:
        reason = f"-F unknown file type -  {name}"
        raise FieldError(reason, at, len(value), value.lower(), FILE_TYPES)
    return number


def _file_system(name: str, value: str, at: int, host: Host) -> int:
    if value[0].isdigit():
        return _number(name, value, at, host)
    number = FILE_SYSTEMS.get(value.lower())
    if number is None:
        reason = f"file system type is unknown for field: {name}"
        raise FieldError(reason, at, len(value), value.lower(), FILE_SYSTEMS)
    return number


def _family(name: str, value: str, at: int, host: Host) -> int:
    if not value[0].isdigit() and value.lower() in families.NUMBERS:
        reason = f"-F value should be number for {name}"
        known = str(families.NUMBERS[value.lower()])
        raise FieldError(reason, at, len(value), known, (known,))
    number = _number(name, value, at, host)
    if number >= _AF_MAX:
        raise FieldError(f"value is too large for field: {name}", at, len(value))
    return number


def _machine(name: str, value: str, at: int, host: Host) -> int:
    word = value.lower()
    if word in ("b64", "b32"):
        arch = host.arch_of_bits(word)
        if arch is None:
            reason = f"{name} requested bit level not supported by machine"
            raise FieldError(reason, at, len(value))
        return arch
    if word in ARCHES:
        if ARCHES[word] not in host.arches:
            reason = f"{name} elf mapping not found ({host.machine} runs no {word} programs)"
            raise FieldError(reason, at, len(value))
        return ARCHES[word]
    digits = word.removeprefix("0x")
    if not set(digits) <= _HEX or (digits == word and len(word) != 8) or not digits:
        known = (*ARCHES, "b64", "b32")
        raise FieldError(f"{name} machine type not found", at, len(value), word, known)
    if int(digits, 16) not in MACHINES:
        raise FieldError(f"{name} elf mapping not found", at, len(value))
    return int(digits, 16)


_VALUES: Final[dict[str, Callable[[str, str, int, Host], int]]] = {
    "number": _number,
    "inode": _number,
    "user": _user,
    "group": _group,
    "errno": _errno,
    "record type": _record_type,
    "permission": _permission,
    "file type": _file_type,
    "file system": _file_system,
    "machine": _machine,
    "argument": _argument,
    "session": _session,
    "family": _family,
}
