"""auditd_py.report.blocks."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.report.blocks import blocks
from tests.report.logs import call, path, recorded


def stamps(block: bytes) -> set[bytes]:
    return set(re.findall(rb"audit\(([^)]+)\)", block))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.integers(1, 5000), st.integers(100, 4000))
def test_no_byte_is_lost_however_the_log_is_cut(piece, size):
    log = b"".join(call(n) + path(n, b'"/a"') for n in range(30))
    made = list(blocks(pieces(log, piece), size))
    assert b"".join(block[1:] for block in made) == log
    assert all(block[:1] == b"\n" and block[-1:] == b"\n" for block in made)


def test_the_records_of_an_event_are_in_one_block():
    made = list(blocks(pieces(recorded("alpha-raw"), 4096), 100_000))
    assert len(made) > 5
    seen: set[bytes] = set()
    for block in made:
        assert not seen & stamps(block)
        seen |= stamps(block)


def test_interleaved_events_stay_together():
    lines: list[bytes] = []
    for n in range(0, 400, 4):
        lines += [call(m, milli=m) for m in range(n, n + 4)]
        lines += [path(m, b'"/a"', milli=m) for m in range(n, n + 4)]
    made = list(blocks(pieces(b"".join(lines), 1000), 20_000))
    assert len(made) > 5
    assert all(block.count(b"type=PATH") == block.count(b"type=SYSCALL") for block in made)


def test_a_last_line_without_its_newline_counts():
    assert list(blocks([b"a\nb"])) == [b"\na\nb\n"]


def test_an_empty_log_has_no_block():
    assert list(blocks([])) == []


def test_a_stream_without_a_newline_does_not_fill_the_memory():
    longest = max(len(block) for block in blocks((b"x" * 1000 for _ in range(1000)), 1000))
    assert longest < 20_000
