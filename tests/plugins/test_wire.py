from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.plugins.wire import HEADER, MAX_RECORD, Stream, message
from tests.plugins.records import CWD, ENRICHED, PROCTITLE, RAW

LINES = [RAW, CWD, ENRICHED, b"node=web1 " + PROCTITLE]


def read(data: bytes, cuts: list[int] | None = None) -> list[bytes]:
    stream = Stream()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    found = [line for a, b in pairwise(places) for line in stream.feed(data[a:b])]
    return found + stream.end()


def test_lines_come_as_they_are():
    assert read(b"".join(line + b"\n" for line in LINES)) == LINES


def test_the_last_line_needs_no_newline():
    assert read(RAW) == [RAW]


@pytest.mark.parametrize("version", [0, 1])
def test_messages_become_lines(version):
    data = b"".join(
        message(line, 1300 if b"SYSCALL" in line else 1307, version) for line in LINES[:3]
    )
    assert read(data) == LINES[:3]


def test_a_message_of_version_0_has_the_bare_text():
    assert message(CWD, 1307, 0) == HEADER.pack(0, 16, 1307, len(CWD) - 13) + CWD[13:]


def test_a_type_without_a_name_is_written_with_its_number():
    text = b"audit(1.000:1): x=1"
    assert read(HEADER.pack(0, 16, 1199, len(text)) + text) == [b"type=UNKNOWN[1199] msg=" + text]


def test_a_newline_inside_a_message_does_not_cut_the_line():
    assert read(HEADER.pack(1, 16, 1300, 3) + b"a\nb") == [b"a b"]


@given(st.lists(st.integers(0, 10_000)), st.sampled_from([None, 0, 1]))
def test_fragments_give_the_same_records(cuts, version):
    if version is None:
        data = b"".join(line + b"\n" for line in LINES)
    else:
        data = b"".join(message(line, 1300, version) for line in LINES)
    assert read(data, cuts) == read(data)


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_garbage_raises_only_wire_errors(first, second):
    stream = Stream()
    try:
        for part in (first, second):
            assert all(isinstance(line, bytes) for line in stream.feed(part))
        stream.end()
    except WireError:
        pass


@pytest.mark.parametrize(
    "header",
    [(2, 16, 1300, 1), (1, 20, 1300, 1), (1, 0, 1300, 1), (1, 16, 1300, MAX_RECORD + 1)],
    ids=["version", "long header", "no header", "size"],
)
def test_a_header_that_is_none_is_refused(header):
    stream = Stream()
    stream.feed(message(RAW, 1300))
    with pytest.raises(WireError, match="no header"):
        stream.feed(HEADER.pack(*header) + b"x")


def test_a_stream_that_ends_inside_a_message_is_refused():
    stream = Stream()
    stream.feed(message(RAW, 1300)[:-1])
    with pytest.raises(WireError, match="the stream ends"):
        stream.end()


def test_a_stream_without_newlines_takes_bounded_memory():
    stream = Stream()
    found = [line for _ in range(40) for line in stream.feed(b"x" * (MAX_RECORD // 4))]
    assert {len(line) for line in found} == {MAX_RECORD}
