"""auditd_py.report.scan."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditd_py.report.blocks import blocks
from auditd_py.report.columns import NAMES, Columns
from auditd_py.report.definitions import REPORTS
from auditd_py.report.expressions import Whole, expressions
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


DETAILS = {
    "cwd": b'CWD msg=audit(%b): cwd="/"',
    "title": b"PROCTITLE msg=audit(%b): proctitle=61",
    "end": b"EOE msg=audit(%b): ",
    "socket": b"SOCKADDR msg=audit(%b): saddr=020000160A000009",
    "denial": b"AVC msg=audit(%b): avc:  denied  { read } for scontext=a:b:c:d "
    b"tcontext=e:f:g:h tclass=file permissive=0",
    "odd call": b"SYSCALL msg=audit(%b): arch=c000003e syscall=1 success=yes exit=0 a0=0 a1=0 a2=0 "
    b"a3=0 items=0 ppid=1 pid=2 auid=oops",
    "odd path": b"PATH msg=audit(%b): item=0 name=oops nametype=NORMAL",
    "nothing": b"audit(%b)",
}
ABC = (b'"a"', b'"b"', b'"c"')
ENDS = ("title", "end")  # of an event: nothing of it follows
KINDS = ["call", "path", "login", *(kind for kind in DETAILS if kind not in ENDS)]


def line(serial: int, kind: str, text: bytes, node: bytes) -> bytes:
    if kind == "call":
        return call(serial, exe=text, key=text, node=node)
    if kind == "path":
        return path(serial, text, node=node)
    if kind == "login":
        return login(100 + serial, acct=text)
    before = b"node=" + node + b" " if node else b""
    return before + b"type=" + DETAILS[kind] % (b"1700000000.000:%d" % serial) + b"\n"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 8), st.sampled_from(KINDS), TEXT, st.sampled_from([b"", b"a", b"b"])
        )
    ),
    st.booleans(),
)
@example([(1, "call", b'"/a"', b"")] + [(1, "path", b'"%d"' % n, b"") for n in range(6)], False)
@example(
    [(1, kind, text, b"") for kind, text in zip(("path", "call", "path"), ABC, strict=False)], False
)
@example([(n, kind, b"61", b"") for n in (10, 9) for kind in ("call", "path")], False)
@example(
    [(1, kind, text, text[1:2]) for kind, text in zip(("call", "path", "call"), ABC, strict=False)],
    True,
)
def test_any_mixture_of_records_gives_the_same_all_ways(records, with_nodes):
    log = b"".join(
        line(serial, kind, text, node if with_nodes else b"")
        for serial, kind, text, node in records
    )
    assert rows(log) == rows(field_by_field(log))
    look = expressions(ALL, nodes=with_nodes)
    assert all(piece[:1] in (b"", b"\n") for piece in Whole(look, b"\n" + log).pieces)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from([b"", b"a"]),
            st.lists(st.sampled_from(["path", "path", "cwd", "title", "end", "socket", "denial"])),
        ),
        max_size=8,
    ),
    st.sampled_from([frozenset({"exe"}), frozenset({"files"}), frozenset({"host", "types"}), ALL]),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_events_in_one_piece_and_apart_are_the_same(events, wanted, chance):
    log, apart = [], []
    for serial, node, kinds in events:
        log += [line(serial, kind, b'"/a"', node) for kind in ("call", *kinds)]
    log.append(line(100, "login", b"", b""))
    apart = list(log)
    for place in range(len(apart) - 1):
        if chance.random() < 0.3 and of_event(apart[place]) != of_event(apart[place + 1]):
            apart[place : place + 2] = apart[place + 1], apart[place]
    for lines in (log, apart):
        text = b"".join(lines)
        found = telling(rows(text, wanted))
        assert found == telling(rows(field_by_field(text), wanted))


def of_event(text: bytes) -> bytes:
    return text.partition(b"audit(")[2].partition(b")")[0] + text[: text.index(b"type=")]


def telling(found: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return what is said of events that have something in the wanted columns."""
    return [row for row in found if any(value not in (None, ()) for value in row[2:])]


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


def stamp(serial: int) -> bytes:
    return b"1700000000.000:%d" % serial


def test_events_come_in_the_order_of_their_time():
    log = call(5, milli=5) + call(4, milli=4) + call(6, milli=6)
    assert [row[1] for row in rows(log)] == [b"1700000000.%03d:%d" % (n, n) for n in (4, 5, 6)]
    for others in (b"", login(1)):
        log = others + call(10) + call(9)
        assert [columns.stamp[-2:] for columns in read(log)] == [[stamp(9), stamp(10)]]


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
