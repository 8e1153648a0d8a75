"""auditd_py.remote.receiver"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.frame import MAX_TEXT, Decoder, Kind, encode, encode_records
from auditd_py.remote.receiver import (
    DISK_ERROR,
    DISK_FULL,
    SUSPENDED,
    Batch,
    Receiver,
    ending,
)
from auditd_py.remote.stream import hello

LINE = b"type=SYSCALL msg=audit(1.000:7): arch=c000003e"


def replies(data: bytes) -> list[tuple[int, int, bytes]]:
    return Decoder().feed(data)


def fed(receiver: Receiver, data: bytes, cuts: list[int]) -> tuple[list[bytes], bytes, bool]:
    """Return texts, acknowledgements and whether the stream was refused."""
    texts: list[bytes] = []
    acks = b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        batch = receiver.feed(data[begin:end])
        texts += batch.texts
        acks += batch.written()
        if batch.error:
            return texts, acks, True
    return texts + receiver.end().texts, acks, False


def test_a_batch_of_pipelined_records_is_acknowledged_in_one_piece():
    texts = [b"type=A msg=audit(1.0:%d): x" % n for n in range(64)]
    batch = Receiver().feed(encode_records(texts, 100))
    assert batch.texts == texts
    assert replies(batch.written()) == [(Kind.ACK, 100 + n, b"") for n in range(64)]


def test_low_space_is_told_and_heartbeats_are_just_acknowledged():
    stream = encode_records([LINE], 1) + encode(Kind.HEARTBEAT, 2)
    batch = Receiver().feed(stream)
    assert replies(batch.written(disk_low=True)) == [(Kind.DISKLOW, 1, b""), (Kind.ACK, 2, b"")]
    assert replies(Receiver().feed(encode_records([LINE], 3)).written(disk_low=True)) == [
        (Kind.DISKLOW, 3, b"")
    ]


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (DISK_FULL, (Kind.DISKFULL, b"disk full")),
        (DISK_ERROR, (Kind.DISKERROR, b"disk write error")),
        (SUSPENDED, (Kind.DISKERROR, b"remote logging suspended")),
    ],
)
def test_records_that_were_not_written_are_refused_with_the_reason(refusal, expected):
    stream = encode_records([LINE, LINE], 1) + encode(Kind.HEARTBEAT, 3) + encode_records([LINE], 4)
    kind, text = expected
    assert replies(Receiver().feed(stream).replies(1, refusal)) == [
        (Kind.ACK, 1, b""), (kind, 2, text), (Kind.ACK, 3, b""), (kind, 4, text),
    ]  # fmt: skip


def test_a_heartbeat_alone_wants_a_reply_and_writes_nothing():
    batch = Receiver().feed(encode(Kind.HEARTBEAT, 9))
    assert (batch.texts, batch.wants_reply) == ([], True)
    assert replies(batch.written()) == [(Kind.ACK, 9, b"")]


def test_an_empty_record_is_acknowledged_and_not_written():
    batch = Receiver().feed(encode(Kind.MESSAGE, 9, b"\n"))
    assert (batch.texts, batch.wants_reply) == ([], True)


def test_an_unknown_type_is_a_record():
    assert Receiver().feed(encode(77, 9, LINE)).texts == [LINE]


def test_a_reply_from_a_client_is_refused_after_what_came_before():
    receiver = Receiver()
    batch = receiver.feed(encode_records([LINE], 1) + encode(Kind.ACK, 1))
    assert batch.texts == [LINE]
    assert "a reply from a client" in str(batch.error)
    with pytest.raises(WireError):
        receiver.feed(b"")


def test_a_record_cannot_forge_another_line():
    batch = Receiver().feed(encode(0, 1, LINE + b"\ntype=USER forged\0more\n"))
    assert batch.texts == [LINE + b" type=USER forged more"]


def test_a_record_has_one_interpreted_part():
    batch = Receiver().feed(encode(0, 1, LINE + b'\x1dARCH=x86_64\x1dUID="root"\r\n'))
    assert batch.texts == [LINE + b'\x1dARCH=x86_64 UID="root" ']


def test_a_cut_batch_answers_what_it_keeps():
    stream = encode(Kind.HEARTBEAT, 1) + encode_records([LINE] * 3, 2) + encode(Kind.HEARTBEAT, 5)
    batch = Receiver().feed(stream)
    batch.cut(1, "for a reason")
    assert batch.texts == [LINE]
    assert [sequence for _, sequence, _ in replies(batch.written())] == [1, 2]
    assert str(batch.error) == "for a reason"


def test_a_hello_alone_is_one():
    stream = encode(Kind.HEARTBEAT, 0, hello(bytes(range(16)), 7))
    batch = Receiver().feed(stream)
    assert batch.hello == (bytes(range(16)), 7)
    assert replies(batch.greeting(b"said")) == [(Kind.ACK, 0, b"said")]
    assert replies(batch.written()) == [(Kind.ACK, 0, b"")]
    assert Receiver().feed(stream + encode_records([LINE], 1)).hello is None


def test_too_long_a_message_ends_the_connection_with_a_reason():
    batch = Receiver().feed(encode_records([LINE], 1) + encode(0, 2, b"x" * 8971))
    assert batch.texts == [LINE]
    assert "8971 bytes" in str(batch.error)


def test_garbage_before_the_first_header_is_skipped():
    receiver = Receiver()
    batch = receiver.feed(b"GET /\r\n\r\n\xfe\0\0" + encode_records([LINE], 1))
    assert (batch.texts, batch.error, receiver.skipped) == ([LINE], None, 12)


def test_garbage_without_end_is_refused():
    receiver = Receiver()
    assert receiver.feed(b"x" * MAX_TEXT).error is None
    assert "no header" in str(receiver.feed(b"x").error)


def test_garbage_after_a_header_is_refused():
    batch = Receiver().feed(encode_records([LINE], 1) + b"rubbish")
    assert "no header where one must be" in str(batch.error)


def test_plain_text_is_refused_with_the_remedy():
    assert "tcp_plain_clients = yes" in str(Receiver().feed(LINE + b"\n").error)


def test_plain_lines_are_records_on_request_and_get_no_reply():
    receiver = Receiver(plain=True)
    batch = receiver.feed(LINE + b"\nrubbish\nnode=a " + LINE + b"\r\n" + LINE[:20])
    assert batch.texts == [LINE, b"node=a " + LINE]
    assert not batch.wants_reply
    assert batch.written() == b""
    assert receiver.feed(LINE[20:]).texts == []
    assert receiver.end().texts == [LINE]


def test_a_client_with_headers_is_served_where_plain_lines_are_allowed():
    batch = Receiver(plain=True).feed(encode_records([LINE], 1))
    assert batch.texts == [LINE]
    assert batch.wants_reply


def test_a_plain_line_without_end_is_refused():
    assert Receiver(plain=True).feed(LINE + b"x" * MAX_TEXT).error is not None


def test_of_a_message_cut_off_nothing_is_written():
    receiver = Receiver(plain=True)
    receiver.feed(encode_records([LINE], 1)[:-1])
    assert receiver.incomplete == 16 + len(LINE)
    assert receiver.end() == Batch()


def test_a_server_that_ends_says_so():
    assert replies(ending()) == [(Kind.ENDING, 0, b"")]


parts = st.one_of(
    st.binary(max_size=30),
    st.just(LINE + b"\n"),
    st.binary(max_size=30).map(lambda text: encode(0, 5, text)),
    st.builds(encode, st.integers(0, 2**32 - 1), st.integers(0, 9), st.binary(max_size=9)),
    st.integers(8900, 9100).map(lambda size: b"x" * size),
    st.integers(8900, 9100).map(lambda size: LINE + b"x" * size + b"\n"),
)


@given(st.lists(parts, max_size=6), st.lists(st.integers(0), max_size=12), st.booleans())
def test_any_bytes_give_the_same_however_they_are_cut(pieces, cuts, plain):
    data = b"".join(pieces)
    whole = fed(Receiver(plain=plain), data, [])
    assert fed(Receiver(plain=plain), data, cuts) == whole


@given(st.lists(parts, max_size=4), st.booleans())
def test_any_bytes_give_the_same_byte_by_byte(pieces, plain):
    data = b"".join(pieces)
    if len(data) < 3000:
        whole = fed(Receiver(plain=plain), data, [])
        assert fed(Receiver(plain=plain), data, list(range(len(data)))) == whole
