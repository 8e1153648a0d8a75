"""auditd_py.rules.codec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.netlink.uapi import RuleData
from auditd_py.rules.codec import decode_rule, encode_rule
from auditd_py.rules.rule import ALL_CALLS, EQUAL, EXIT, KEY, Field, Rule
from tests.rules.strategies import RULES

OPEN = Rule(EXIT, 2, 1 << 2, (Field(11, EQUAL, 0xC000003E), Field(KEY, EQUAL, b"key")))


@given(RULES)
def test_what_is_encoded_is_decoded(rule: Rule):
    data = encode_rule(rule)
    assert len(data) % 4 == 0
    assert decode_rule(data) == rule


def test_the_struct_is_the_same_as_the_one_made_by_hand():
    by_hand = RuleData(4, 2, (2,), ((11, EQUAL, 0xC000003E), (KEY, EQUAL, 3)), b"key").pack()
    assert encode_rule(OPEN) == by_hand + b"\0"
    assert decode_rule(by_hand) == OPEN


def test_all_calls_are_64_words_of_ones():
    assert encode_rule(Rule(EXIT, 2, ALL_CALLS))[12:268] == b"\xff" * 256


def test_a_prepended_rule_has_the_flag():
    assert encode_rule(Rule(EXIT, 2, prepend=True))[0] == EXIT | 0x10


@pytest.mark.parametrize("length", [0, 1039, 1040, 1042])
def test_a_rule_cut_short_is_refused(length):
    with pytest.raises(WireError):
        decode_rule(encode_rule(OPEN)[:length])


@given(st.binary(max_size=1100))
def test_random_bytes_give_wire_error_only(data: bytes):
    try:
        decode_rule(data)
    except WireError:
        pass


@given(st.binary(min_size=4, max_size=4), st.integers(0, 1039))
def test_a_damaged_rule_gives_wire_error_only(four: bytes, at: int):
    data = bytearray(encode_rule(OPEN))
    data[at : at + 4] = four
    try:
        decode_rule(bytes(data))
    except WireError:
        pass


@pytest.mark.parametrize(("field", "count"), [(8, 65), (1036, 2000)])
def test_counts_that_cannot_be_are_refused(field, count):
    data = bytearray(encode_rule(OPEN))
    data[field : field + 4] = count.to_bytes(4, "little")
    with pytest.raises(WireError):
        decode_rule(bytes(data))


def test_a_string_longer_than_what_is_left_is_refused():
    data = bytearray(encode_rule(OPEN))
    data[524 + 4 : 524 + 8] = (4).to_bytes(4, "little")
    with pytest.raises(WireError, match="field 210 is 4 bytes, 3 left"):
        decode_rule(bytes(data))
