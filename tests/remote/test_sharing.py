"""Shares of collectors: even, and reached whatever the beginning."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.remote.sharing import share


def test_a_collector_alone_takes_all() -> None:
    take, give = share("c1", {"a": "", "b": "dead"}, [], {"c1"})
    assert (sorted(take), give) == (["a", "b"], [])


def test_what_was_its_own_comes_first() -> None:
    assert share("c1", {"a": "", "b": "c1", "c": "c2"}, [], {"c1", "c2"})[0][0] == "b"


def test_nobody_takes_from_one_that_lives() -> None:
    assert share("c1", {"a": "c2", "b": "c2"}, [], {"c1", "c2"}) == ([], [])


@given(st.integers(0, 20), st.lists(st.sampled_from(["c1", "c2", "c3", "dead", ""]), max_size=20))
def test_rounds_of_all_end_with_even_shares(nodes: int, first: list[str]) -> None:
    owners = {f"n{n}": (first[n] if n < len(first) else "") for n in range(nodes)}
    living = {"c1", "c2", "c3"}
    for _ in range(4):
        for me in sorted(living):
            held = [node for node, owner in owners.items() if owner == me]
            take, give = share(me, owners, held, living)
            owners.update(dict.fromkeys(take, me))
            owners.update(dict.fromkeys(give, ""))
    counts = Counter(owners.values())
    assert set(counts) <= living
    assert max(counts.values(), default=0) <= -(-nodes // 3)
