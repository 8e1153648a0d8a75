"""Claims of collectors: no record is anybody's twice, and none is nobody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.claims import MOST_AWAITED, Claim, NodeKey, pack_key, parse_key

STREAM, OTHER = b"s" * 16, b"o" * 16


def taken(key: NodeKey, first: int, last: int, sequence: int = 1) -> list[int]:
    """Return the numbers that are new."""
    parts = key.take(STREAM, first, last, sequence, [])
    return [number for part in parts for number in range(part.first, part.last + 1)]


def test_records_are_new_once() -> None:
    key = NodeKey()
    assert taken(key, 5, 7) == [5, 6, 7]
    assert taken(key, 5, 7) == []
    assert taken(key, 6, 9) == [8, 9]


def test_streams_have_numbers_of_their_own() -> None:
    key = NodeKey()
    taken(key, 1, 9)
    assert [part.first for part in key.take(OTHER, 1, 1, 2, [])] == [1]


def test_what_was_missing_is_new_when_it_comes_late() -> None:
    key = NodeKey()
    taken(key, 1, 2)
    assert taken(key, 8, 9) == [8, 9]
    assert taken(key, 4, 5) == [4, 5]
    assert taken(key, 1, 9) == [3, 6, 7]
    assert key.awaited == []


def test_claims_follow_each_other_as_one() -> None:
    key, claims = NodeKey(), list[Claim]()
    key.take(STREAM, 1, 10, 3, claims)
    key.take(STREAM, 11, 20, 5, claims)
    assert claims == [Claim(STREAM, 1, 20, 3, 5, STREAM)]


def test_what_comes_late_has_a_slot_of_its_own() -> None:
    key, claims = NodeKey(), list[Claim]()
    key.take(STREAM, 1, 1, 1, claims)
    key.take(STREAM, 3, 3, 2, claims)
    key.take(STREAM, 2, 2, 3, claims)
    assert len({claim.slot for claim in claims}) == 2
    assert [(claim.first, claim.last) for claim in claims] == [(1, 1), (3, 3), (2, 2)]


def test_a_claim_stays_pending_for_who_made_it() -> None:
    key = NodeKey(owner="c1", session="a", claims=[Claim(STREAM, 1, 5, 1, 1, STREAM)])
    key.take_over("c2", "b")
    assert (key.owner, key.claims, key.pending[0][0]) == ("c2", [], "c1")
    assert key.blocked(STREAM, 5, 9)
    assert not key.blocked(STREAM, 6, 9)
    assert not key.blocked(OTHER, 1, 5)


def test_what_is_released_is_new_again() -> None:
    key = NodeKey(owner="c1", claims=[Claim(STREAM, 1, 5, 1, 1, STREAM)], following={STREAM: 6})
    key.take_over("c2", "b")
    assert key.release("c3") == 0
    assert key.release("c1") == 1
    assert not key.blocked(STREAM, 1, 5)
    assert taken(key, 1, 9) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_gaps_are_not_remembered_without_end() -> None:
    key = NodeKey()
    for number in range(1, 500, 2):
        taken(key, number, number)
    assert len(key.awaited) == MOST_AWAITED


RUNS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=40)


@given(RUNS)
def test_whatever_comes_each_record_is_new_exactly_once(runs: list[tuple[int, int]]) -> None:
    key, seen = NodeKey(), set[int]()
    taken(key, 1, 1)
    seen.add(1)
    for first, more in runs:
        new = taken(key, first, first + more)
        assert len(set(new)) == len(new)
        assert not seen.intersection(new)
        assert set(new) == set(range(first, first + more + 1)) - seen
        seen |= set(new)


@given(RUNS)
def test_a_key_is_read_as_it_was_written(runs: list[tuple[int, int]]) -> None:
    key = NodeKey(owner="c1", session="a", by="b", updates=3, consumer="x")
    for first, more in runs:
        key.take(STREAM, first, first + more, first, key.claims)
    key.pending = [("c2", claim) for claim in key.claims[:2]]
    assert parse_key(pack_key(key)) == key


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_key(data)
    with pytest.raises(WireError):
        parse_key(b'{"v":1,"owner":' + data)
