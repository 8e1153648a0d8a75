"""auditd_py.remote.frame"""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.frame import (
    FATAL,
    MAX_TEXT,
    PREFIX,
    REPLY,
    WARN,
    Decoder,
    Kind,
    Message,
    encode,
    encode_records,
    fits,
)

# what Debian's audisp-remote 3.0.9 sends for the record "hello"
GOLDEN = bytes.fromhex("fe0000ff 0000 00000000 0600 01000000") + b"hello\n"

message = st.tuples(
    st.one_of(st.sampled_from(list(Kind)), st.integers(0, 2**32 - 1)),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=200),
)


def read(data: bytes, cuts: list[int]) -> tuple[list[Message], str]:
    """Feed the stream in pieces; return its messages and why it broke."""
    decoder = Decoder()
    found: list[Message] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for begin, end in itertools.pairwise(edges):
            found += decoder.feed(data[begin:end])
        decoder.feed(b"")
    except WireError as error:
        return found, str(error)
    return found, ""


def test_a_message_is_what_the_reference_sends():
    assert encode(Kind.MESSAGE, 1, b"hello\n") == GOLDEN
    assert encode_records([b"hello"], 1) == GOLDEN
    assert Decoder().feed(GOLDEN) == [(Kind.MESSAGE, 1, b"hello\n")]


def test_types_and_masks_have_the_numbers_of_the_reference():
    assert [int(kind) for kind in Kind] == [
        0, 1, 0x40000000, 0x40000001, 0x50000001, 0x60000001, 0x60000002,
    ]  # fmt: skip
    assert (REPLY, FATAL, WARN) == (0x40000000, 0x20000000, 0x10000000)


def test_sequences_start_again_after_the_largest():
    data = encode_records([b"a", b"b"], 2**32 - 1)
    assert [sequence for _, sequence, _ in Decoder().feed(data)] == [2**32 - 1, 0]


def test_the_longest_message_passes_and_one_byte_more_is_refused():
    assert len(Decoder().feed(encode(Kind.MESSAGE, 1, b"x" * MAX_TEXT))) == 1
    with pytest.raises(WireError, match="8971 bytes, 8970 are allowed"):
        Decoder().feed(encode(Kind.MESSAGE, 1, b"x" * (MAX_TEXT + 1)))


def test_a_length_is_refused_before_the_text_comes():
    with pytest.raises(WireError, match="65535 bytes"):
        Decoder().feed(PREFIX + bytes.fromhex("00000000 ffff 01000000"))


@pytest.mark.parametrize("data", [b"type=", b"\xfe\0\0\xff\1", b"\xfe\0\0\xff\0\1", b"\xff"])
def test_what_is_no_header_is_refused_at_its_first_bytes(data):
    with pytest.raises(WireError, match="no header where one must be"):
        Decoder().feed(data)


def test_messages_before_a_break_are_given_first():
    decoder = Decoder()
    assert decoder.feed(GOLDEN + b"rubbish") == [(0, 1, b"hello\n")]
    assert decoder.error is not None
    with pytest.raises(WireError):
        decoder.feed(GOLDEN)


def test_memory_and_array_are_read_like_bytes():
    decoder = Decoder()
    assert decoder.feed(memoryview(GOLDEN)[:7]) == []
    assert decoder.feed(bytearray(GOLDEN[7:])) == [(0, 1, b"hello\n")]


@pytest.mark.parametrize("text", [b"", b"x", b"x\n", b"x" * 9000, b"x" * 8969 + b"\n"])
def test_a_record_made_to_fit_goes_into_a_message(text):
    kind, _, got = Decoder().feed(encode_records([fits(text)], 7))[0]
    assert kind == 0
    assert got == text.removesuffix(b"\n")[:8969] + b"\n"


@given(st.lists(message, max_size=6), st.lists(st.integers(0), max_size=12))
def test_what_was_encoded_is_decoded_however_it_is_cut(messages, cuts):
    data = b"".join(encode(*parts) for parts in messages)
    assert read(data, cuts) == (messages, "")


@given(
    st.lists(st.one_of(st.binary(max_size=40), message.map(lambda m: encode(*m))), max_size=6),
    st.lists(st.integers(0), max_size=12),
)
def test_any_bytes_give_the_same_whole_and_byte_by_byte(parts, cuts):
    data = b"".join(parts)
    whole = read(data, [])[0]
    assert read(data, cuts)[0] == whole
    assert read(data, list(range(len(data))))[0] == whole
    assert bool(read(data, [])[1]) == bool(read(data, cuts)[1])


@given(st.lists(st.binary(max_size=20000), max_size=5))
def test_an_incomplete_message_is_all_that_is_kept(parts):
    decoder = Decoder()
    for part in parts:
        with contextlib.suppress(WireError):
            decoder.feed(part)
        assert decoder.pending < 16 + MAX_TEXT
