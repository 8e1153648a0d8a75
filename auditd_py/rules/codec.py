"""A rule as audit_rule_data, the kernel's struct for it, and back."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

from auditd_py.errors import WireError
from auditd_py.netlink.uapi import AUDIT_BITMASK_SIZE, AUDIT_MAX_FIELDS
from auditd_py.rules.rule import STRING_FIELDS, Field, Rule

AUDIT_FILTER_PREPEND: Final = 0x10

# flags, action, field_count, mask, fields, values, fieldflags, buflen
_FIELDS: Final = struct.Struct(f"={AUDIT_MAX_FIELDS}I")
_HEAD: Final = struct.Struct("=III")
_BUFLEN: Final = struct.Struct("=I")
_MASK_AT: Final = _HEAD.size
_FIELDS_AT: Final = _MASK_AT + AUDIT_BITMASK_SIZE * 4
_VALUES_AT: Final = _FIELDS_AT + _FIELDS.size
_OPERATORS_AT: Final = _VALUES_AT + _FIELDS.size
_BUFLEN_AT: Final = _OPERATORS_AT + _FIELDS.size
_BUF_AT: Final = _BUFLEN_AT + _BUFLEN.size


def encode_rule(rule: Rule) -> bytes:
    """Return the payload of ADD_RULE and DEL_RULE, a multiple of 4 bytes long."""
    codes, values, operators = (array("I", bytes(_FIELDS.size)) for _ in range(3))
    strings = b""
    for i, field in enumerate(rule.fields):
        codes[i] = field.code
        operators[i] = field.operator
        value = field.value
        if isinstance(value, bytes):
            values[i] = len(value)
            strings += value
        else:
            values[i] = value
    return b"".join(
        (
            _HEAD.pack(
                rule.list | (AUDIT_FILTER_PREPEND if rule.prepend else 0),
                rule.action,
                len(rule.fields),
            ),
            _words(rule.calls.to_bytes(AUDIT_BITMASK_SIZE * 4, "little")),
            codes.tobytes(),
            values.tobytes(),
            operators.tobytes(),
            _BUFLEN.pack(len(strings)),
            strings,
            bytes(-len(strings) % 4),
        )
    )


def decode_rule(data: bytes) -> Rule:
    """Return the rule that a LIST_RULES reply carries.

    Raises WireError if the bytes are no audit_rule_data.
    """
    if len(data) < _BUF_AT:
        raise WireError(f"audit_rule_data of {len(data)} bytes, at least {_BUF_AT} are sent")
    flags, action, count = _HEAD.unpack_from(data)
    (length,) = _BUFLEN.unpack_from(data, _BUFLEN_AT)
    if count > AUDIT_MAX_FIELDS or length > len(data) - _BUF_AT:
        raise WireError(f"audit_rule_data with {count} fields and {length} bytes of strings")
    codes, values, operators = (
        _FIELDS.unpack_from(data, at) for at in (_FIELDS_AT, _VALUES_AT, _OPERATORS_AT)
    )
    fields = []
    at, end = _BUF_AT, _BUF_AT + length
    for code, value, operator in zip(codes[:count], values, operators, strict=False):
        if code in STRING_FIELDS:
            if value > end - at:
                raise WireError(f"audit_rule_data: field {code} is {value} bytes, {end - at} left")
            fields.append(Field(code, operator, data[at : at + value]))
            at += value
        else:
            fields.append(Field(code, operator, value))
    calls = int.from_bytes(_words(data[_MASK_AT:_FIELDS_AT]), "little")
    prepend = bool(flags & AUDIT_FILTER_PREPEND) and flags < 2 * AUDIT_FILTER_PREPEND
    rule_list = flags & ~AUDIT_FILTER_PREPEND if prepend else flags
    return Rule(rule_list, action, calls, tuple(fields), prepend)


def _words(data: bytes) -> bytes:
    # the mask is made of 32-bit words in the machine's byte order
    if sys.byteorder == "little":
        return data
    words = array("I", data)
    words.byteswap()
    return words.tobytes()
