"""auditd_py.netlink.datagram."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.netlink.datagram import SLOTS, Batch
from auditd_py.record.line import LineFormatter
from auditd_py.record.serials import SerialGaps

BATCH = Batch()


def datagram(kind: int, text: bytes) -> bytes:
    # nlmsg_len as the kernel sets it for records: without the header
    return struct.pack("=IHHII", len(text), kind, 0, 0, 0) + text


def received(datagrams: list[bytes]) -> list[tuple[int, bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        found = []
        for data in datagrams:
            theirs.send(data)
            assert BATCH.receive(ours.fileno()) == 1
            found += BATCH.texts()
        assert BATCH.receive(ours.fileno()) == 0
        return found


def test_a_text_is_all_that_follows_the_header():
    assert received([datagram(1300, b"audit(1.002:3): a=1")]) == [(1300, b"audit(1.002:3): a=1")]


def test_the_longest_record_is_received_whole():
    text = b"x" * 8970
    assert received([datagram(1309, text)]) == [(1309, text)]


def test_one_call_takes_all_that_waits():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        for i in range(8):
            theirs.send(datagram(1300 + i, b"%d" % i))
        assert BATCH.receive(ours.fileno()) == 8
        assert BATCH.types == [1300 + i for i in range(8)]
        assert BATCH.texts() == [(1300 + i, b"%d" % i) for i in range(8)]


def test_a_closed_socket_is_an_error():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.close()
    fd = ours.fileno()
    ours.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        BATCH.receive(fd)


def test_slots_take_no_memory_before_they_are_used():
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    before = resident()
    batch = Batch()
    assert resident() - before < 1 << 20
    assert len(batch.slots) == SLOTS


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_random_datagrams_make_whole_lines_and_no_exception(datagrams):
    formatter, gaps = LineFormatter(), SerialGaps()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        for data in datagrams:
            theirs.send(data)
            BATCH.receive(ours.fileno())
            gaps.batch(BATCH.types, BATCH.slots, BATCH.lengths)
            lines, count = formatter.batch(BATCH.types, BATCH.slots, BATCH.lengths)
            if BATCH.types[0] not in {1300, 1302, 1306, 1307, 1309, 1317, 1327}:
                assert lines.count(b"\n") == count
            assert lines == b"" or lines.endswith(b"\n")
    assert gaps.end_window() >= 0
