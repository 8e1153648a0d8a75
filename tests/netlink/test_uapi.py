"""auditd_py.netlink.uapi: sizes and layouts of include/uapi/linux/audit.h."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.netlink.uapi import RuleData, SignalInfo

WORD = st.integers(0, 0xFFFFFFFF)


def test_a_rule_without_strings_has_the_size_of_the_struct():
    assert len(RuleData(4, 2).pack()) == 1040


def test_a_rule_is_laid_out_as_the_struct():
    rule = RuleData(4, 2, (0, 33, 2047), ((11, 0x40000000, 7), (210, 0x40000000, 3)), b"key").pack()
    assert struct.unpack_from("=III", rule) == (4, 2, 2)  # flags, action, field_count
    mask = struct.unpack_from("=64I", rule, 12)
    assert {i: word for i, word in enumerate(mask) if word} == {0: 1, 1: 2, 63: 1 << 31}
    assert struct.unpack_from("=3I", rule, 268) == (11, 210, 0)  # fields
    assert struct.unpack_from("=3I", rule, 524) == (7, 3, 0)  # values
    assert struct.unpack_from("=3I", rule, 780) == (0x40000000, 0x40000000, 0)  # fieldflags
    assert struct.unpack_from("=I", rule, 1036) == (3,)  # buflen
    assert rule[1040:] == b"key"


@given(st.lists(st.tuples(WORD, WORD, WORD), max_size=64), st.binary(max_size=5000))
def test_a_rule_keeps_its_fields_and_strings(fields, strings):
    rule = RuleData(1, 0, (), tuple(fields), strings).pack()
    count = len(fields)
    names, values, operators = (
        struct.unpack_from(f"={count}I", rule, offset) for offset in (268, 524, 780)
    )
    assert list(zip(names, operators, values, strict=True)) == fields
    assert rule[1036:] == struct.pack("=I", len(strings)) + strings


@given(st.binary(max_size=40))
def test_any_bytes_are_a_sender_or_none(payload):
    found = SignalInfo.unpack(payload)
    if len(payload) < 8:
        assert found is None
    else:
        assert found is not None
        assert struct.pack("=II", found.auid, found.pid) == payload[:8]
        assert payload[8:].startswith(found.context)


def test_a_sender_without_a_context_has_none():
    assert SignalInfo.unpack(struct.pack("=II", 1000, 42)) == SignalInfo(1000, 42, b"")


def test_a_senders_context_ends_before_the_nul():
    payload = struct.pack("=II", 0, 1) + b"unconfined\n\0"
    assert SignalInfo.unpack(payload) == SignalInfo(0, 1, b"unconfined")
