"""auditd_py.record.record."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.record.record import Lines, parse_record, type_number

SYSCALL = b"type=SYSCALL msg=audit(1795332010.694:1540182): arch=c000003e syscall=44 key=(null)"


def test_the_head_of_a_line_is_read():
    record = parse_record(SYSCALL)
    assert (record.node, record.type_name, record.type_number) == (None, b"SYSCALL", 1300)
    assert (record.seconds, record.milliseconds, record.serial) == (1795332010, 694, 1540182)
    assert record.text == b"arch=c000003e syscall=44 key=(null)"


def test_a_node_stands_before_the_type():
    record = parse_record(b"node=web1.example " + SYSCALL)
    assert record.node == b"web1.example"
    assert record.key == (b"web1.example", 1795332010, 694, 1540182)


def test_what_the_daemon_added_is_no_part_of_the_text():
    record = parse_record(SYSCALL + b'\x1dARCH=x86_64 UID="root"')
    assert record.text == b"arch=c000003e syscall=44 key=(null)"
    assert record.enriched == b'ARCH=x86_64 UID="root"'
    assert record.plain_line == SYSCALL
    assert record.parts() == (record.text, record.enriched)


def test_a_program_cannot_add_names_to_its_message():
    line = b'type=USER msg=audit(1.000:1): uid=1 msg=\'x\x1dUID="root"\'\x1dUID="daemon"'
    assert parse_record(line).enriched == b'UID="daemon"'


def test_the_name_of_a_socket_may_have_the_mark_in_it():
    line = b"type=SOCKADDR msg=audit(1.000:1): saddr=01001D\x1dSADDR={ saddr_fam=local path=\x1d }"
    assert parse_record(line).enriched == b"SADDR={ saddr_fam=local path=\x1d }"


@pytest.mark.parametrize(
    ("line", "type_name", "text"),
    [
        (b"type=KERNEL msg=audit(1118156425.123:0): initialized", b"KERNEL", b"initialized"),
        (b"audit(1107291212.001:7): syscall=5", b"", b"syscall=5"),
        (b"type=UNKNOWN[1899] msg=audit(1.0:1):", b"UNKNOWN[1899]", b""),
        (b"type=1300 msg=audit(1.0:1): a=1", b"1300", b"a=1"),
    ],
)
def test_old_and_strange_lines_are_records(line, type_name, text):
    record = parse_record(line)
    assert (record.type_name, record.text) == (type_name, text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"type=SYSCALL",
        b"type=SYSCALL msg=audit(1.2:x): a=1",
        b"type=SYSCALL msg=audit(1.1000:1): a=1",
        b" type=SYSCALL msg=audit(1.100:1): a=1",
    ],
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(WireError):
        parse_record(line)


def test_an_error_shows_the_line_without_its_control_characters():
    with pytest.raises(WireError, match=r"no record: a\\x1b\[31m\\xff"):
        parse_record(b"a\x1b[31m\xff")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"EOE", 1320),
        (b"UNKNOWN[1199]", 1199),
        (b"1300", 1300),
        (b"NOPE", 0),
        (b"", 0),
        (b"\xff", 0),
    ],
)
def test_record_types_have_numbers(name, number):
    assert type_number(name) == number


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_the_documented_error_only(line):
    try:
        record = parse_record(line)
    except WireError:
        return
    assert record.line == line


@given(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))),
    st.lists(st.integers(0, 300)),
)
def test_lines_are_the_same_whole_and_in_pieces(lines, cuts):
    data = b"\n".join(lines)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(places)]
    cutter = Lines()
    found = [line for piece in pieces for line in cutter.feed(piece)]
    found += cutter.end()
    assert found == [line for line in lines if line]


def test_a_line_without_an_end_takes_bounded_memory():
    cutter = Lines(longest=10)
    found = [part for _ in range(7) for part in cutter.feed(b"abcd")]
    found += cutter.end()
    assert b"".join(found) == b"abcd" * 7
    assert max(map(len, found)) == 10
