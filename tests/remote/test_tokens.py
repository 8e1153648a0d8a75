"""Kerberos tokens as they cross the network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.frame import encode
from auditd_py.remote.tokens import MAX_TOKEN, Tokens, framed, messages

TOKENS = st.lists(st.binary(max_size=40), max_size=8)


@given(TOKENS, st.lists(st.integers(1, 30), max_size=40))
def test_a_stream_gives_the_same_however_it_is_cut(tokens, sizes):
    data = b"".join(map(framed, tokens))
    taker = Tokens()
    found: list[bytes] = []
    here = 0
    for size in sizes:
        found += taker.feed(data[here : here + size])
        here += size
    found += taker.feed(data[here:])
    assert found == tokens


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_are_tokens_or_a_wire_error(parts):
    taker = Tokens()
    try:
        for part in parts:
            assert all(len(token) <= MAX_TOKEN for token in taker.feed(part))
    except WireError:
        pass


def test_a_token_that_claims_too_much_is_refused_before_it_came():
    with pytest.raises(WireError, match="a token of 65537 bytes, 65536 are allowed"):
        Tokens().feed((MAX_TOKEN + 1).to_bytes(4, "big"))


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 15))
def test_only_whole_messages_are_taken(texts, rest):
    whole = [encode(0, number, text) for number, text in enumerate(texts)]
    cut = encode(0, 99, b"the rest")[:rest]
    assert list(messages(b"".join(whole) + cut)) == whole
