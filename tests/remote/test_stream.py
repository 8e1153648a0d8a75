"""auditd_py.remote.stream"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.remote.stream import (
    SLOT_SIZE,
    Position,
    Slot,
    answer,
    hello,
    pack_slot,
    parse_answer,
    parse_hello,
    record_sum,
    unpack_slot,
)

names = st.binary(min_size=16, max_size=16).filter(any)
numbers = st.integers(1, 2**63 - 1)
sums = st.none() | st.integers(0, 2**32 - 1)
positions = st.builds(Position, numbers, sums)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
slots = st.builds(
    Slot, names, positions, u32, sums, u64, u64, u64, u32, st.integers(0, 2**40)
)  # fmt: skip


@given(names, numbers)
def test_a_hello_comes_back(name, number):
    assert parse_hello(hello(name, number)) == (name, number)


@given(positions)
def test_an_answer_comes_back(position):
    assert parse_answer(answer(position)) == position


@given(slots)
def test_a_slot_comes_back(slot):
    assert len(pack_slot(slot)) == SLOT_SIZE
    assert unpack_slot(pack_slot(slot)) == slot


@given(slots, st.integers(0, 76), st.integers(1, 255))
def test_a_damaged_slot_is_none(slot, place, change):
    data = bytearray(pack_slot(slot))
    data[place] ^= change
    assert unpack_slot(bytes(data)) is None


@given(st.binary())
def test_other_texts_are_none(text):
    assert parse_hello(text) is None
    assert parse_answer(text) is None


def test_a_number_that_is_too_large_is_none():
    assert parse_hello(hello(bytes(16), 2**63)) is None
    assert parse_hello(hello(bytes(16), 0)) is None


def test_the_sum_is_that_of_the_line_as_it_is_written():
    assert record_sum(b"a\nb\0") == record_sum(b"a b ")


def test_lines_that_are_there_move_the_position():
    slot = Slot(bytes(16), Position(7, 1), 3, 2)
    assert slot.settled(0).before == Position(7, 1)
    assert slot.settled(2).before == Position(9)
    assert slot.settled(3).before == Position(10, 2)
