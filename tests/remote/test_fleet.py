"""Messages of a fleet: what goes in comes out, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.remote.fleet import (
    Run,
    headers_of,
    lines_of,
    message_id,
    node_of_subject,
    read_run,
    subject_of,
)
from auditd_py.remote.stream import printed

STREAM = bytes(range(16))
LINE = b"node=web1 type=SYSCALL msg=audit(1700000000.000:%d): arch=c000003e\n"


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(1, 1 << 60))
def test_records_are_read_as_they_are_written_to_a_log(texts: list[bytes], first: int):
    run = read_run(headers_of(STREAM, first, len(texts)), lines_of(texts))
    assert (run.stream, run.first, run.count) == (STREAM, first, len(texts))
    assert run.lines.split(b"\n")[:-1] == [printed(text) for text in texts]


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        (None, b"a\n"),
        ({}, b"a\n"),
        ({"Auditd-Py": "2", "Auditd-Stream": f"{STREAM.hex()} 1 1"}, b"a\n"),
        ({"Auditd-Py": "1"}, b"a\n"),
        (headers_of(STREAM, 1, 2), b"a\n"),
        (headers_of(STREAM, 1, 1), b"a\nb\n"),
        (headers_of(STREAM, 1, 1), b"a"),
        (headers_of(STREAM, 1, 0), b""),
        (headers_of(STREAM, 0, 1), b"a\n"),
        (headers_of(STREAM, (1 << 63) - 1, 1), b"a\n"),
    ],
)
def test_a_message_that_is_not_whole_is_refused(headers: dict[str, str] | None, data: bytes):
    with pytest.raises(WireError):
        read_run(headers, data)


@given(st.text(max_size=60), st.binary(max_size=20))
def test_a_foreign_message_raises_nothing_else(numbers: str, data: bytes):
    try:
        run = read_run({"Auditd-Py": "1", "Auditd-Stream": numbers}, data)
    except WireError:
        return
    assert run.lines == data


@given(st.binary(min_size=1, max_size=40))
def test_any_node_name_is_one_token_of_a_subject(node: bytes):
    subject = subject_of("site", node)
    assert subject.count(".") == 2
    assert not set(subject) & set(" *>\t\r\n\0")
    assert subject.isascii()
    assert node_of_subject(subject) == node


def test_a_foreign_subject_has_no_node():
    assert [node_of_subject(s) for s in ("audit.x", "other.site.node", "audit.a.b.c")] == [b""] * 3


def test_an_id_has_node_boot_serial_and_part():
    run = Run(STREAM, 17, 3, LINE % 4711)
    assert message_id(b"web1.example", "b00t", run) == "web1%2Eexample b00t 4711 00010203-17+3"


def test_a_longer_run_from_the_same_record_has_another_id():
    ids = {message_id(b"n", "b", Run(STREAM, 1, count, LINE % 1)) for count in (1, 2)}
    assert len(ids) == 2


def test_a_record_without_serial_has_an_id():
    assert " - " in message_id(b"n", "b", Run(STREAM, 1, 1, b"type=TEST msg=x\n"))
