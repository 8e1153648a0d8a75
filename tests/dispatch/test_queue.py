"""auditd_py.dispatch.queue: a plugin that reads, stops, dies; nothing is lost and none doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.dispatch.frame import Format, binary, count
from auditd_py.dispatch.queue import PluginQueue


def chunk(first: int, records: int, form: Format) -> bytes:
    lines = b"".join(b"type=T msg=%d\n" % n for n in range(first, first + records))
    return binary(lines, [1300] * records, 1) if form is Format.BINARY else lines


def numbers(data: bytes, form: Format) -> list[int]:
    found = []
    while data:
        if form is Format.STRING:
            line, _, data = data.partition(b"\n")
        else:
            size = int.from_bytes(data[12:16], "little")
            line, data = data[16 : 16 + size], data[16 + size :]
        found.append(int(line.split(b"=")[2]))
    return found


def test_what_comes_when_it_is_full_is_dropped_and_counted():
    queue = PluginQueue(Format.STRING, 5)
    assert queue.put(chunk(0, 3, Format.STRING), 3) == 0
    assert queue.put(chunk(3, 4, Format.STRING), 4) == 2
    assert queue.put(chunk(7, 2, Format.STRING), 2) == 2
    assert numbers(b"".join(queue.vector()), Format.STRING) == [0, 1, 2, 3, 4]
    assert (queue.records, queue.most, queue.dropped) == (5, 5, 4)


def test_what_was_sent_makes_room():
    queue = PluginQueue(Format.BINARY, 3)
    queue.put(chunk(0, 3, Format.BINARY), 3)
    queue.sent(sum(map(len, queue.vector())))
    assert queue.records == 0
    assert queue.put(chunk(3, 3, Format.BINARY), 3) == 0


def test_a_queue_that_is_given_up_counts_what_was_in_it():
    queue = PluginQueue(Format.STRING, 9)
    queue.put(chunk(0, 4, Format.STRING), 4)
    assert (queue.clear(), queue.dropped, queue.vector()) == (4, 4, [])


class Pipe:
    """A socket with room for so many bytes, and a plugin that reads it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, vector: list[bytes | memoryview]) -> int:
        data = b"".join(vector)[: self.room - len(self.data)]
        self.data += data
        return len(data)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 9)),
        st.tuples(st.just("read"), st.integers(0, 300)),
        st.tuples(st.just("die"), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("form", list(Format))
@given(room=st.integers(1, 400), steps=STEPS)
def test_a_plugin_that_dies_again_and_again_misses_no_record(form, room, steps):
    queue, pipe = PluginQueue(form, 10_000), Pipe(room)
    put, got, partly = 0, [], b""
    for what, amount in [*steps, ("die", 0)]:
        if what == "put":
            queue.put(chunk(put, amount, form), amount)
            put += amount
        elif what == "read":
            partly += pipe.data[:amount]
            pipe.data = pipe.data[amount:]
        else:
            whole = _whole(partly, form)
            got += numbers(whole, form)
            queue.rewind(len(pipe.data))
            pipe.data = partly = b""
        queue.sent(pipe.write(queue.vector()))
        queue.unread(len(pipe.data))
    while pipe.data:
        partly, pipe.data = partly + pipe.data, b""
        queue.sent(pipe.write(queue.vector()))
        queue.unread(len(pipe.data))
    got += numbers(_whole(partly, form), form)
    assert got == list(range(put))
    assert queue.records == 0


def _whole(data: bytes, form: Format) -> bytes:
    """Return the records in `data` that are complete; the plugin dies with the rest."""
    if form is Format.STRING:
        return data[: data.rfind(b"\n") + 1]
    here = 0
    while here + 16 <= len(data):
        following = here + 16 + int.from_bytes(data[here + 12 : here + 16], "little")
        if following > len(data):
            break
        here = following
    return data[:here]


def test_records_are_counted_as_they_are_put_back():
    queue = PluginQueue(Format.STRING, 10)
    data = chunk(0, 4, Format.STRING)
    queue.put(data, 4)
    queue.sent(len(data) - 3)
    queue.rewind(len(data) - 3 - 20)
    assert queue.records == count(b"".join(queue.vector()), Format.STRING) == 3
