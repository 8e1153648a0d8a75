"""auditd_py.remote.sender"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.frame import FATAL, REPLY, WARN, Decoder, Kind, encode
from auditd_py.remote.sender import Answers, Retry, Trouble, Window


def texts(*numbers: int) -> list[bytes]:
    return [b"record %d" % number for number in numbers]


def sent(data: bytes) -> list[bytes]:
    return [text.rstrip(b"\n") for kind, _, text in Decoder().feed(data) if kind == 0]


def answer(data: bytes, kind: int = Kind.ACK, text: bytes = b"") -> bytes:
    """Return an answer of one kind to each message in `data`."""
    return b"".join(encode(kind, sequence, text) for _, sequence, _ in Decoder().feed(data))


def test_records_are_released_in_order_as_they_are_acknowledged():
    window = Window(4)
    acks = answer(window.send(texts(1, 2, 3)))
    assert (window.room, window.waiting) == (1, 3)
    assert window.receive(acks[:16]).released == 1
    assert window.receive(acks[16:40]).released == 1
    assert window.receive(acks[40:]).released == 1
    assert (window.room, window.waiting, window.records) == (4, 0, 0)


def test_after_a_break_it_goes_on_at_the_first_unacknowledged():
    window = Window(8)
    window.receive(answer(window.send(texts(1, 2, 3)))[:16])
    window.heartbeat()
    again = window.restart()
    assert sent(again) == texts(2, 3)
    assert window.receive(answer(again)) == Answers(released=2)


def test_a_heartbeat_releases_nothing():
    window = Window(8)
    assert window.receive(answer(window.heartbeat())) == Answers()
    assert window.waiting == 0


def test_a_warning_is_told_once_and_its_records_are_released():
    window = Window(8)
    answers = window.receive(answer(window.send(texts(1, 2)), Kind.DISKLOW))
    assert answers == Answers(2, 0, {Trouble.DISK_LOW: "type 0x50000001"})


def test_what_a_full_disk_refused_is_sent_again_and_nothing_else():
    window = Window(8)
    window.send(texts(1, 2, 3, 4))
    mixed = b"".join(encode(Kind.ACK, sequence) for sequence in (1, 2, 3, 4))
    mixed = mixed.replace(encode(Kind.ACK, 2), encode(Kind.DISKFULL, 2, b"disk full"))
    answers = window.receive(mixed)
    assert answers == Answers(1, 0, {Trouble.DISK_FULL: "disk full"})
    assert window.refused
    assert (window.room, window.waiting, window.records) == (0, 0, 3)
    again = window.restart()
    assert sent(again) == texts(2)
    assert window.receive(answer(again)) == Answers(released=3)
    assert window.records == 0


def test_what_is_given_up_is_lost_and_counted():
    window = Window(8, {Trouble.DISK_ERROR})
    answers = window.receive(answer(window.send(texts(1, 2)), Kind.DISKERROR, b"disk write error"))
    assert answers == Answers(2, 2, {Trouble.DISK_ERROR: "disk write error"})


@pytest.mark.parametrize(
    ("kind", "trouble", "released"),
    [
        (REPLY | FATAL | 9, Trouble.GENERIC_ERROR, 0),
        (REPLY | WARN | 9, Trouble.GENERIC_WARNING, 1),
        (REPLY | FATAL | WARN | 9, Trouble.GENERIC_ERROR, 0),
    ],
)
def test_unknown_answers_are_told_by_their_mask(kind, trouble, released):
    window = Window(8)
    answers = window.receive(answer(window.send(texts(1)), kind, b"what\n"))
    assert answers == Answers(released, 0, {trouble: "what"})


@pytest.mark.parametrize("kind", [Kind.MESSAGE, Kind.HEARTBEAT, REPLY | 5, 99])
def test_what_is_no_answer_breaks_the_connection(kind):
    window = Window(8)
    answers = window.receive(answer(window.send(texts(1)), kind))
    assert answers.error is not None
    assert sent(window.restart()) == texts(1)


def test_an_answer_to_another_message_breaks_the_connection():
    window = Window(8)
    window.send(texts(1, 2))
    answers = window.receive(encode(Kind.ACK, 1) + encode(Kind.ACK, 3))
    assert (answers.released, str(answers.error)) == (1, "an answer to message 3, not 2")
    assert Window(8).receive(encode(Kind.ACK, 1)).error is not None


def test_the_end_of_a_server_is_told():
    window = Window(8)
    window.send(texts(1))
    answers = window.receive(encode(Kind.ENDING, 0))
    assert answers == Answers(troubles={Trouble.REMOTE_ENDING: "it ends"})
    assert window.records == 1


def test_sequences_pass_their_end():
    window = Window(8)
    window._next = 2**32 - 2
    assert window.receive(answer(window.send(texts(1, 2, 3, 4)))) == Answers(released=4)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 5)),
            st.tuples(st.just("beat"), st.just(0)),
            st.tuples(st.just("break"), st.just(0)),
            st.tuples(st.just("ack"), st.lists(st.sampled_from("aaalfd"), max_size=6)),
        ),
        max_size=30,
    )
)
def test_every_record_is_released_once_in_order_and_written(steps):
    """A server that refuses some, a connection that breaks: in the end the log has all."""
    kinds = {"a": Kind.ACK, "l": Kind.DISKLOW, "f": Kind.DISKFULL, "d": Kind.DISKERROR}
    window, log, count, released = Window(8), [], 0, 0
    pending: list[tuple[int, int, bytes]] = []

    def serve(choices: str) -> None:
        nonlocal released
        data = b""
        for choice in choices[: len(pending)]:
            _, sequence, text = pending.pop(0)
            kind = kinds[choice] if text else Kind.ACK
            if text and not kind & FATAL:
                log.append(text.rstrip(b"\n"))
            data += encode(kind, sequence)
        answers = window.receive(data)
        assert answers.error is None
        released += answers.released
        assert set(texts(*range(released))) <= set(log)

    for what, argument in steps:
        if what == "send" and window.room:
            amount = min(argument, window.room)
            pending += Decoder().feed(window.send(texts(*range(count, count + amount))))
            count += amount
        elif what == "beat" and not window.refused:
            pending += Decoder().feed(window.heartbeat())
        elif what == "break" or (what == "ack" and window.refused and not window.waiting):
            pending = Decoder().feed(window.restart())
        elif what == "ack":
            serve(argument)
    pending = Decoder().feed(window.restart())
    serve("a" * 99)
    assert released == count
    assert set(log) == set(texts(*range(count)))


anything = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            encode,
            st.one_of(st.sampled_from(list(Kind)), st.integers(0, 2**32 - 1)),
            st.integers(0, 12),
            st.binary(max_size=12),
        ),
        st.just(encode(Kind.ACK, 1) + encode(Kind.DISKLOW, 2) + encode(Kind.DISKFULL, 3)),
    ),
    max_size=8,
)


def told(parts: list[bytes], amount: int) -> tuple[int, int, set[Trouble], bool]:
    """Return what a window of so many records makes of answers: all, until they are an error."""
    window = Window(10)
    window.send(texts(*range(amount)))
    whole = Answers()
    for part in parts:
        answers = window.receive(part)
        whole.released += answers.released
        whole.lost += answers.lost
        whole.troubles |= answers.troubles
        if answers.error is not None:
            assert isinstance(answers.error, WireError)
            whole.error = answers.error
            break
    assert window.records == amount - whole.released
    again = sent(window.restart())
    assert [text for text in texts(*range(whole.released, amount)) if text in again] == again
    return whole.released, whole.lost, set(whole.troubles), whole.error is not None


@given(anything, st.integers(0, 10))
def test_any_bytes_mean_the_same_whole_halved_and_byte_by_byte(parts, amount):
    data = b"".join(parts)
    half = len(data) // 2
    whole = told([data], amount)
    assert told([data[:half], data[half:]], amount) == whole
    assert told([data[n : n + 1] for n in range(len(data))], amount) == whole


@given(st.lists(st.sampled_from([Kind.ACK, Kind.DISKLOW, Kind.DISKFULL]), max_size=9), st.data())
def test_answers_mean_the_same_however_they_are_cut(kinds, data):
    stream = b"".join(encode(kind, 1 + n) for n, kind in enumerate(kinds))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=9))
    whole, cut = Window(10), Window(10)
    for window in (whole, cut):
        window.send(texts(*range(10)))
    expected = whole.receive(stream)
    found = [cut.receive(stream[a:b]) for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert sum(answers.released for answers in found) == expected.released
    assert set().union(*(answers.troubles for answers in found)) == set(expected.troubles)


def test_the_second_attempt_is_immediate_and_the_others_wait():
    retry = Retry(1.0, 4, 100)
    assert [retry.failed(now) for now in (0, 0, 1, 2, 3)] == [0, 1, 1, None, 0]


def test_attempts_end_when_their_time_is_over():
    retry = Retry(1.0, 100, 5)
    assert [retry.failed(now) for now in (0, 1, 2, 4, 5, 6)] == [0, 1, 1, 1, None, 0]


def test_a_success_begins_anew():
    retry = Retry(1.0, 2, 5)
    retry.failed(0)
    retry.succeeded()
    assert retry.failed(1) == 0


def test_one_attempt_is_one_attempt():
    assert Retry(1.0, 1, 5).failed(0) is None


def test_nothing_is_sent_before_the_first_heartbeat_is_answered():
    window = Window(8)
    window.send(texts(1, 2, 3))
    greeting = window.greet(b"hello")
    assert Decoder().feed(greeting) == [(Kind.HEARTBEAT, 0, b"hello")]
    assert (window.room, window.waiting) == (0, 1)
    answers = window.receive(answer(greeting, text=b"welcome"))
    assert answers == Answers(greeting=b"welcome")
    assert window.release(2) == 2
    assert sent(window.restart()) == texts(3)
    assert window.room == 7


@pytest.mark.parametrize("wrong", [encode(Kind.ACK, 1), encode(Kind.DISKFULL, 0)])
def test_another_answer_to_the_first_heartbeat_is_an_error(wrong):
    window = Window(8)
    window.greet(b"hello")
    assert window.receive(wrong).error is not None


def test_in_order_only_the_first_refused_record_may_be_given_up():
    window = Window(8, {Trouble.DISK_ERROR})
    window.ordered = True
    answers = window.receive(answer(window.send(texts(1, 2, 3)), Kind.DISKERROR, b"disk error"))
    assert answers == Answers(1, 1, {Trouble.DISK_ERROR: "disk error"})
    assert (window.refused, window.room, window.records) == (True, 0, 2)
    assert sent(window.restart()) == texts(2, 3)


def test_in_order_a_record_given_up_alone_stops_the_rest_too():
    window = Window(8, {Trouble.DISK_ERROR})
    window.ordered = True
    window.receive(answer(window.send(texts(1)), Kind.DISKERROR))
    assert (window.refused, window.room, window.records) == (True, 0, 0)
    assert window.restart() == b""
    assert window.room == 8
