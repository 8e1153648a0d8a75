"""auditd_py.dispatch.frame"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.dispatch.frame import HEADER, Format, binary, boundary_before, count, end_of

LINES = b"type=SYSCALL msg=audit(1.000:1): a=1\ntype=EOE msg=audit(1.000:1):\n"


def messages(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        version, length, kind, size = HEADER.unpack_from(data)
        assert length == 16
        found.append((version, kind, data[16 : 16 + size]))
        data = data[16 + size :]
    return found


def test_version_0_has_the_bare_text():
    assert messages(binary(LINES, [1300, 1320], 0)) == [
        (0, 1300, b"audit(1.000:1): a=1"),
        (0, 1320, b"audit(1.000:1):"),
    ]


def test_version_1_has_the_whole_line():
    lines = b"node=a " + LINES
    assert messages(binary(lines, [1300, 1320], 1))[0] == (
        1,
        1300,
        b"node=a type=SYSCALL msg=audit(1.000:1): a=1",
    )


RECORDS = st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b" ")), min_size=1)


def framed(records: list[bytes], form: Format) -> tuple[bytes, list[int]]:
    lines = b"".join(record + b"\n" for record in records)
    data = binary(lines, [1300] * len(records), 1) if form is Format.BINARY else lines
    extra = 16 if form is Format.BINARY else 1
    starts = [0]
    for record in records:
        starts.append(starts[-1] + len(record) + extra)
    return data, starts


@pytest.mark.parametrize("form", list(Format))
@given(records=RECORDS)
def test_records_are_found_by_count_and_position(form, records):
    data, starts = framed(records, form)
    assert count(data, form) == len(records)
    assert [end_of(data, n, form) for n in range(len(records) + 1)] == starts
    for position in range(len(data)):
        here = boundary_before(data, position, form)
        assert here == max(start for start in starts if start <= position)
