"""auditd_py.remote.store"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.frame import MAX_TEXT
from auditd_py.remote.store import RING, Found, Ring, Write, is_old, old_texts

SIZE = 2000


class Disk:
    """A file, and the writes it got since it was last seen whole."""

    def __init__(self, size: int = SIZE) -> None:
        self.data = bytearray()
        self.ring = Ring(size)
        self.write(self.ring.fresh())

    def write(self, writes: list[Write], most: int = 1 << 30) -> None:
        """Write; the power goes after `most` bytes."""
        for offset, data in writes:
            part = data[:most]
            most -= len(part)
            missing = offset + len(part) - len(self.data)
            self.data += bytes(max(0, missing))
            self.data[offset : offset + len(part)] = part

    def put(self, *texts: bytes) -> int:
        taken, writes = self.ring.put(list(texts))
        self.write(writes)
        return taken

    def release(self, amount: int) -> None:
        self.write([self.ring.release(amount)])

    def reopen(self) -> Found:
        self.ring = Ring(0)
        found = self.ring.load(bytes(self.data))
        assert self.ring.records == len(found.texts)
        return found


def texts(first: int, amount: int, size: int = 10) -> list[bytes]:
    return [b"%d" % n + b"x" * size for n in range(first, first + amount)]


def test_what_was_put_is_there_again():
    disk = Disk()
    assert disk.put(b"one", b"two", b"three") == 3
    assert disk.reopen() == Found([b"one", b"two", b"three"])


def test_what_was_released_is_not():
    disk = Disk()
    disk.put(b"one", b"two", b"three")
    disk.release(2)
    assert disk.reopen() == Found([b"three"])
    disk.put(b"four")
    disk.release(1)
    assert disk.reopen() == Found([b"four"])


def test_an_empty_queue_begins_at_the_front_again():
    disk = Disk()
    for n in range(1000):
        disk.put(*texts(n, 3))
        disk.release(3)
    assert len(disk.data) < RING + 200
    assert disk.reopen() == Found()


def test_a_full_ring_takes_no_more_and_goes_round():
    disk = Disk()
    expected: list[bytes] = []
    for n in range(200):
        new = texts(n * 10, 10, n % 90)
        taken = disk.put(*new)
        expected += new[:taken]
        assert disk.ring.used <= SIZE
        disk.release(n % 7 if len(expected) > 7 else 0)
        del expected[: n % 7 if len(expected) > 7 else 0]
    assert disk.reopen().texts == expected
    assert len(disk.data) <= RING + SIZE


def test_an_entry_that_ends_with_the_ring_is_followed_by_one_at_its_beginning():
    disk = Disk(4 * 30)
    four = texts(0, 4, 9)  # of 30 bytes each
    assert disk.put(*four) == 4
    disk.release(2)
    assert disk.put(b"next") == 1
    assert len(disk.data) == RING + 4 * 30
    assert disk.reopen().texts == [*four[2:], b"next"]


def test_a_damaged_entry_is_told_and_the_others_are_read():
    disk = Disk()
    disk.put(*texts(0, 9))
    place = disk.data.index(b"4xxx")
    disk.data[place + 2] ^= 1
    found = disk.reopen()
    assert found.texts == texts(0, 4) + texts(5, 4)
    assert found.notes == ["1 records are damaged and lost"]
    disk.release(5)
    disk.put(b"new")
    assert disk.reopen().texts == [*texts(6, 3), b"new"]


def test_one_head_may_be_damaged():
    disk = Disk()
    disk.put(*texts(0, 3))
    disk.release(1)
    newest = max((512, 1024), key=lambda at: struct.unpack_from("<Q", disk.data, at))
    disk.data[newest + 3] ^= 1
    assert disk.reopen().texts == texts(0, 3)


def test_without_heads_all_that_can_be_read_is_taken():
    disk = Disk()
    disk.put(*texts(0, 3))
    disk.data[512:2048] = bytes(1536)
    found = disk.reopen()
    assert found.texts == texts(0, 3)
    assert found.notes == ["both heads are damaged: all records in the file are taken"]


@pytest.mark.parametrize("data", [b"", b"x" * 9000, b"\0audisp-remote" + bytes(9000)])
def test_another_file_is_refused(data):
    with pytest.raises(WireError):
        Ring(0).load(data)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.lists(st.integers(0, 300), max_size=5)),
            st.tuples(st.just("release"), st.integers(0, 5)),
            st.tuples(st.just("reopen"), st.just(0)),
        ),
        max_size=40,
    ),
    st.lists(st.integers(0, 300), min_size=1, max_size=5),
    st.integers(0, 2000),
)
def test_after_a_cut_all_that_was_put_is_there_and_nothing_torn(steps, last, cut):
    disk, expected, n = Disk(), [], 0
    for what, argument in steps:
        if what == "put":
            new = [b"%d" % (n + i) + b"x" * size for i, size in enumerate(argument)]
            n += len(new)
            expected += new[: disk.put(*new)]
        elif what == "release":
            amount = min(argument, len(expected))
            disk.release(amount)
            del expected[:amount]
        else:
            assert disk.reopen() == Found(expected)
    new = [b"last%d" % i + b"x" * size for i, size in enumerate(last)]
    taken, writes = disk.ring.put(new)
    disk.write(writes, cut)
    found = disk.reopen()
    assert found.texts[: len(expected)] == expected
    assert found.texts[len(expected) :] == new[: len(found.texts) - len(expected)]
    assert len(found.texts) <= len(expected) + taken
    assert not found.damaged
    if cut >= sum(len(data) for _, data in writes):
        assert len(found.texts) == len(expected) + taken


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, RING + 1500), st.integers(1, 255)), max_size=8),
    st.integers(0, RING + 1500),
)
def test_any_damage_is_survived(damage, cut):
    disk = Disk()
    disk.put(*texts(0, 20))
    disk.release(5)
    for place, change in damage:
        if place < len(disk.data):
            disk.data[place] ^= change
    del disk.data[cut:]
    try:
        found = disk.reopen()
    except WireError:
        return
    assert set(found.texts) <= set(texts(0, 20))
    disk.ring.put([b"more"])
    disk.ring.release(disk.ring.records)


def old_file(texts: list[bytes], entries: int, head: int) -> bytes:
    data = bytearray((entries + 1) * 12288)
    data[:32] = struct.pack(
        ">14sBBIIII", b"\0audisp-remote", 0, 0, entries, 12288, head, len(texts)
    )
    for n, text in enumerate(texts):
        at = ((head + n) % entries + 1) * 12288
        data[at : at + len(text) + 1] = text + b"\0"
    return bytes(data)


def test_the_queue_of_the_c_program_is_read_round_its_end():
    data = old_file([b"one\n", b"two", b"three\n"], 4, 3)
    assert is_old(data)
    assert old_texts(data) == Found([b"one", b"two", b"three"])


def test_an_empty_slot_of_it_is_damaged_and_a_long_one_is_cut():
    found = old_texts(old_file([b"one", b"", b"x" * 12000], 4, 0))
    assert found.texts == [b"one", b"x" * (MAX_TEXT - 1)]
    assert found.damaged == 1


@given(st.binary(max_size=100))
def test_any_file_that_begins_like_it_is_read_or_refused(data):
    try:
        old_texts(b"\0audisp-remote\0\0" + data)
    except WireError:
        return
