"""auditd_py.search.scan: the same events however the log is cut, and whatever is between them."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditd_py.record.event import Event, assemble
from auditd_py.record.plain import raw_text_marked
from auditd_py.record.record import Record, parse_record
from auditd_py.search import rooms
from auditd_py.search.query import Query
from auditd_py.search.reader import lines_of
from auditd_py.search.scan import Scan, records_of
from auditd_py.search.straight import RawLines

DATA = Path(__file__).parent.parent / "data"
LOG = gzip.decompress((DATA / "alpha-raw.log.gz").read_bytes())
TYPES = (b"SYSCALL", b"CWD", b"PATH", b"PROCTITLE")


def scanned(
    data: bytes, query: Query, size: int = 1 << 20, *, sparsely: bool = True
) -> list[Event]:
    pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
    scan = Scan(query, sparsely=sparsely)
    found = [event for block, end in lines_of(pieces) for event in scan.feed(block, end)]
    return [records_of(event) for event in [*found, *scan.end()]]


def test_all_events_are_those_of_the_assembler():
    wanted = list(assemble(parse_record(line) for line in LOG.split(b"\n") if line))
    assert scanned(LOG, Query()) == wanted
    assert scanned(LOG, Query(), 999) == wanted


QUERIES = [
    Query(key=b"shadow_watch"), Query(key=b"exec", success=False), Query(file=b"/etc/shadow"),
    Query(exe=b"sudo"), Query(comm=b"sshd"), Query(types=frozenset({1112})), Query(pid=19770),
    Query(any_uid=1001), Query(auid=0xFFFFFFFF), Query(serial=1542071), Query(host=b"127.0.0.1"),
    Query(exit=-13), Query(syscall="connect"), Query(syscall=59), Query(terminal=b"ssh"),
    Query(vm=b"vm one"), Query(vm_uuid=b"d4a2"), Query(start=1795332030, end=1795332033),
    Query(success=False), Query(gid=0, comm=b"cat"), Query(context=b"init_t"),
    Query(file=b"passwd", exact=True), Query(key=b"net", end=1795332030), Query(session=4),
]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(query, marks=[] if n % 6 == 0 else [pytest.mark.slow])
        for n, query in enumerate(QUERIES)
    ],
    ids=range(len(QUERIES)),
)
def test_looking_for_bytes_first_finds_the_same(query):
    wanted = [event.key for event in scanned(LOG, Query()) if query.matches(event)]
    assert sorted(e.key for e in scanned(LOG, query)) == sorted(wanted)
    assert sorted(e.key for e in scanned(LOG, query, 5000)) == sorted(wanted)
    assert [e.key for e in scanned(LOG, query, sparsely=False)] == wanted


def test_the_queries_find_something():
    found = [len(scanned(LOG, query)) for query in QUERIES]
    assert [query for query, count in zip(QUERIES, found, strict=True) if not count] == [
        Query(file=b"passwd", exact=True)
    ]


def line(serial: int, part: int, second: int, node: bytes = b"", text: bytes = b"") -> bytes:
    head = b"node=" + node + b" " if node else b""
    return b"%btype=%b msg=audit(%d.%03d:%d): x=%d key=\"%b\"\n" % (
        head, TYPES[part], second, serial % 1000, serial, part, text,
    )  # fmt: skip


@st.composite
def logs(draw):
    """A log whose events stand between each other, with the serials that have the key."""
    total = draw(st.integers(1, 15))
    keyed = draw(st.sets(st.integers(1, total)))
    where = {serial: draw(st.sampled_from([0, 2])) for serial in keyed}
    waiting = dict.fromkeys(range(1, total + 1), 0)
    lines = []
    while waiting:
        serial = draw(st.sampled_from(sorted(waiting)[:5]))
        part = waiting[serial]
        text = b"rare" if where.get(serial) == part else b"-"
        lines.append(line(serial, part, 100 + serial // 8, text=text))
        waiting[serial] += 1
        if part == 3:
            del waiting[serial]
    return lines, keyed


@settings(max_examples=80, deadline=None)
@given(logs(), st.integers(30, 2000), st.booleans())
def test_every_record_is_in_its_event_whatever_the_order(log, size, sparsely):
    lines, keyed = log
    found = scanned(b"".join(lines), Query(key=b"rare") if sparsely else Query(), size)
    wanted: dict[int, list[Record]] = {}
    for one in lines:
        record = parse_record(one[:-1])
        wanted.setdefault(record.serial, []).append(record)
    serials = sorted(keyed if sparsely else wanted)
    assert [event.serial for event in found] == serials
    assert {event.serial: event.records for event in found} == {s: wanted[s] for s in serials}


def read_from_file(path: Path, query: Query) -> list[Event]:
    scan = Scan(query)
    with path.open("rb") as file:
        found = [e for block in scan.read(file.fileno()) for e in scan.feed_block(block)]
    return [records_of(event) for event in [*found, *scan.end()]]


@pytest.mark.parametrize("query", QUERIES[:6:2], ids=range(3))
@pytest.mark.parametrize("size", [3000, 1 << 18])
def test_a_file_is_searched_as_its_bytes_are(query, size, tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "BLOCK", size)
    path = tmp_path / "log"
    path.write_bytes(LOG)
    assert read_from_file(path, query) == scanned(LOG, query) != []


@settings(max_examples=30, deadline=None)
@given(logs(), st.sampled_from([200, 500, 2000]))
def test_every_record_is_in_its_event_when_read_from_a_file(log, size):
    lines, keyed = log
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "BLOCK", size)
        file.write(b"".join(lines))
        file.flush()
        found = read_from_file(Path(file.name), Query(key=b"rare"))
    assert [event.serial for event in found] == sorted(keyed)
    assert all(len(event.records) == 4 for event in found)


def raw(blocks: list[tuple[bytes, int]]) -> list[bytes | memoryview]:
    lines = RawLines(Scan(Query()))
    return [one for data, end in blocks for one in lines.feed(data, end)] + list(lines.end())


def raw_by_event(blocks: list[tuple[bytes, int]]) -> bytes:
    scan = Scan(Query())
    events = [event for data, end in blocks for event in scan.feed(data, end)]
    return b"".join(map(raw_text_marked, [*events, *scan.end()]))


def cut(data: bytes, size: int) -> list[tuple[bytes, int]]:
    return list(lines_of(iter([data[at : at + size] for at in range(0, len(data), size)])))


@settings(max_examples=80, deadline=None)
@given(logs(), st.integers(100, 2000), st.sampled_from([b"", b"9", b"99999"]), st.booleans())
def test_raw_lines_are_those_of_the_events(log, size, more, orderly):
    lines = [one.replace(b"audit(", b"audit(1700000") for one in log[0]]
    lines = [one.replace(b":", b":" + more, 1) for one in lines]
    if orderly:
        lines.sort(key=lambda one: parse_record(one).serial)
    blocks = cut(b"".join(lines), size)
    assert b"".join(raw(blocks)) == raw_by_event(blocks)


@pytest.mark.parametrize("size", [700, 5000, 1 << 20])
def test_raw_lines_of_real_logs(size):
    for name in ("alpha-raw.log.gz", "alpha-enriched.log.gz"):
        blocks = cut(gzip.decompress((DATA / name).read_bytes()), size)
        assert b"".join(raw(blocks)) == raw_by_event(blocks) != b""


def test_raw_lines_in_order_are_passed_on_as_they_are():
    lines = [
        line(serial, part, 1_700_000_000 + serial // 10)
        for serial in range(1, 400)
        for part in range(4)
    ]
    data = b"".join(lines)
    blocks = cut(data, 5000)
    late = cut(b"".join([*lines[:800], lines[790], *lines[800:]]), 5000)
    assert b"".join(raw(blocks)) == data
    assert all(isinstance(one, memoryview) for one in raw(blocks))
    passed = [isinstance(one, memoryview) for one in raw(late)]
    assert (passed[0], passed[-1]) == (True, True)  # it goes back to passing on
    assert not all(passed)


def test_a_node_whose_clock_is_behind_holds_up_only_its_own():
    seconds = {b"a": 100_000, b"b": 100_000 - 86400, b"c": 100_300}
    lines = [
        line(serial, part, seconds[node] + serial * 3, node, b"rare" if serial == 7 else b"-")
        for serial in range(1, 20)
        for part in range(4)
        for node in seconds
    ]
    for query, count in ((Query(), 19), (Query(key=b"rare"), 1)):
        scan = Scan(query)
        early = [e for one in lines for e in scan.feed(one, len(one))]
        found = [*early, *scan.end()]
        for node in seconds:
            times = [event.seconds for event in found if event.node == node]
            assert len(times) == count
            assert times == sorted(times)
        # all but the last few are given while the log is read
        assert len(early) >= len(found) - 3
        assert all(len(records_of(event).records) == 4 for event in found)


def test_what_is_no_record_is_told_and_the_rest_is_found():
    junk: list[bytes] = []
    scan = Scan(Query(), on_junk=junk.append)
    data = b"what\n" + line(1, 0, 5) + b"\0\0\0\ntype=X msg=audit(1.1000:3): y\n" + line(1, 1, 5)
    found = [*scan.feed(data, len(data)), *scan.end()]
    assert [len(records_of(event).records) for event in found] == [2]
    assert junk == [b"what", b"\0\0\0", b"type=X msg=audit(1.1000:3): y"]


def test_a_line_of_junk_with_what_is_looked_for_is_told():
    junk: list[bytes] = []
    scan = Scan(Query(key=b"rare"), on_junk=junk.append)
    data = b"this is rare\nthis is not\n"
    assert [*scan.feed(data, len(data)), *scan.end()] == []
    assert junk == [b"this is rare\n".rstrip()]


@given(st.binary(max_size=300), st.sampled_from([Query(), Query(key=b"a"), Query(pid=1)]))
def test_random_bytes_are_events_or_junk(data, query):
    junk: list[bytes] = []
    scan = Scan(query, on_junk=junk.append)
    data += b"\n"
    events = [*scan.feed(data, len(data)), *scan.end()]
    if query.everything:
        lines = [line for event in events for line in [r.line for r in records_of(event).records]]
        assert sorted(junk + lines) == sorted(line for line in data.split(b"\n") if line)
