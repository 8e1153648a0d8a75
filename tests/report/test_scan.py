"""auditd_py.report.scan."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.report.blocks import blocks
from auditd_py.report.columns import NAMES, Columns
from auditd_py.report.definitions import REPORTS
from auditd_py.report.scan import ALL, Scanner
from tests.report.logs import call, login, path, recorded


def read(log: bytes, wanted: frozenset[str] = ALL) -> list[Columns]:
    scanner = Scanner(wanted)
    return [scanner.columns(block) for block in blocks([log], 1 << 24)]


def rows(log: bytes, wanted: frozenset[str] = ALL) -> list[tuple[object, ...]]:
    """Return the events, each with its wanted columns."""
    names = [name for name in NAMES if name in wanted | {"node", "stamp"}]
    return [
        row
        for columns in read(log, wanted)
        for row in zip(*(columns.column(name) for name in names), strict=True)
    ]


def field_by_field(log: bytes) -> bytes:
    """Return the same log so that no line looks like those that are read with expressions."""
    log = re.sub(rb"(type=SYSCALL [^\n]*) a0=", rb"\1 odd=1 a0=", log)
    return re.sub(rb"(type=PATH [^\n]*) item=", rb"\1 odd=1 item=", log)


@pytest.mark.parametrize("name", ["alpha-raw", "alpha-enriched"])
def test_expressions_give_what_reading_field_by_field_gives(name):
    log = recorded(name)
    assert rows(log) == rows(field_by_field(log))
    assert len(rows(log)) > 1400


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_a_report_needs_no_more_columns_than_it_says(report):
    log = recorded("alpha-raw")
    few = [list(report.rows(columns)) for columns in read(log, report.needs)]
    everything = [list(report.rows(columns)) for columns in read(log)]
    assert [value for _, value in few[0]] == [value for _, value in everything[0]]


TEXT = st.binary(max_size=20).map(
    lambda raw: b'"' + raw + b'"' if raw.isalnum() else (raw.hex().upper().encode() or b"(null)")
)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 8), st.sampled_from(["call", "path", "login"]), TEXT,
            st.sampled_from([b"", b"a", b"b"]),
        )
    )
)  # fmt: skip
def test_any_mixture_of_records_gives_the_same_both_ways(records):
    lines = []
    for serial, kind, text, node in records:
        if kind == "call":
            lines.append(call(serial, exe=text, key=text, node=node))
        elif kind == "path":
            lines.append(path(serial, text, node=node))
        else:
            lines.append(login(100 + serial, acct=text))
    log = b"".join(lines)
    assert rows(log) == rows(field_by_field(log))


def test_records_of_events_may_stand_between_those_of_others():
    together = b"".join(
        line for n in (1, 2) for line in (call(n), path(n, b'"/a"'), path(n, b'"/b"'))
    )
    apart = b"".join(
        [call(1), call(2), path(2, b'"/a"'), path(1, b'"/a"'), path(2, b'"/b"'), path(1, b'"/b"')]
    )
    assert rows(apart) == rows(together)


def test_events_of_one_stamp_and_two_nodes_are_two():
    log = call(1, node=b"a", exe=b'"/a"') + call(1, node=b"b", exe=b'"/b"')
    assert [row[:1] + row[2:] for row in rows(log, frozenset({"exe"}))] == [
        (b"a", b"/a"),
        (b"b", b"/b"),
    ]


def test_a_call_in_hex_and_keys_of_many_rules_are_decoded():
    log = call(1, exe=b"2F612062", key=b"6101622063")
    assert rows(log, frozenset({"exe", "keys"}))[0][2:] == (b"/a b", (b"a", b"b c"))


def test_text_of_a_program_is_no_record():
    forged = login(1, acct=b'"type=SYSCALL msg=audit(1.000:1):"')
    assert len(rows(forged + call(2))) == 2


def test_events_come_in_the_order_of_their_time():
    log = call(5, milli=5) + call(4, milli=4) + call(6, milli=6)
    assert [row[1] for row in rows(log)] == [b"1700000000.%03d:%d" % (n, n) for n in (4, 5, 6)]


def test_lines_that_are_no_records_are_counted():
    scanner = Scanner(frozenset({"exe"}))
    scanner.columns(b"\nnonsense\ntype=USER msg=audit(1.2000:1): x\n" + call(1))
    assert scanner.malformed == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data):
    for columns in read(call(1) + data.replace(b"audit", b"audit(1.000:1)") + b"\n" + call(2)):
        assert len(columns.exe) == len(columns)


def test_records_without_their_call_are_an_event_but_for_a_lone_end():
    details = b'type=CWD msg=audit(1700000000.000:1): cwd="/"\n' + path(2, b'"/a"')
    end = b"type=EOE msg=audit(1700000000.000:3): \n"
    assert [row[2] for row in rows(details + end + call(4), frozenset({"type"}))] == [
        b"CWD",
        b"PATH",
        b"SYSCALL",
    ]
