"""Finding bytes: the same places as bytes.find gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.search.find import finder

LARGE = 300_000


@given(
    st.binary(max_size=200), st.binary(min_size=1, max_size=8), st.integers(0, LARGE),
    st.integers(0, LARGE),
)  # fmt: skip
def test_a_large_block_is_searched_as_python_does(text, needle, start, end):
    data = (text * (LARGE // max(len(text), 1) + 1))[:LARGE].ljust(LARGE, b"\0")
    find = finder(data)
    assert find != data.find  # it is the other way of doing it
    assert find(needle, start, end) == data.find(needle, start, end)


def test_all_places_are_found_up_to_the_end():
    data = b"x" * (LARGE - 4) + b"rare"
    find = finder(data)
    assert find(b"rare", 0, LARGE) == LARGE - 4
    assert find(b"rare", LARGE - 4, LARGE) == LARGE - 4
    assert find(b"rare", LARGE - 3, LARGE) == -1
    assert find(b"rare", 0, LARGE - 1) == -1
    assert find(b"rare", LARGE, 0) == -1


def test_a_small_block_is_searched_by_python_itself():
    data = b"some bytes"
    assert finder(data)(b"bytes", 0, 10) == 5
