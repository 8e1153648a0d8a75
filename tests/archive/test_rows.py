"""auditd_py.archive.rows: a log is written back from them, and reports find in them what they need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.archive.rows import Rows, day_name, numbered
from auditd_py.archive.schema import COMPOSITE, REST, SCHEMA
from auditd_py.report.blocks import blocks
from auditd_py.report.columns import NAMES
from auditd_py.report.packed import pack, unpack
from auditd_py.report.scan import ALL, Scanner
from tests.report.logs import call, login, path, recorded

GOLDEN = ["alpha-raw", "alpha-enriched"]


def made(log: bytes, size: int = 1 << 24) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a log in the order of their events, and its other lines."""
    rows = Rows("a run", 2)
    events, rest = [], []
    for block in blocks([log[at : at + 4096] for at in range(0, len(log), 4096)], size):
        tables, others = rows.block(block)
        assert others.schema == REST
        for table in tables.values():
            assert table.schema == SCHEMA
            events += table.to_pylist()
        rest += others.to_pylist()
    return sorted(events, key=lambda row: row["order"]), rest


def written_back(events: list[dict[str, Any]], rest: list[dict[str, Any]]) -> bytes:
    lines = [(row["line"], row["text"]) for row in rest]
    for row in events:
        gaps = [*unpack(row["gaps"])] if row["gaps"] else []
        lines += numbered(row["line"], gaps, row["lines"])
    lines.sort()
    assert [number for number, _ in lines] == list(range(len(lines)))
    return b"".join(text + b"\n" for _, text in lines)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("size", [1 << 16, 1 << 24])
def test_a_recorded_log_is_written_back(name, size):
    log = recorded(name)
    assert written_back(*made(log, size)) == log


@pytest.mark.parametrize("name", GOLDEN)
def test_the_columns_of_reports_are_those_of_the_log(name):
    log = recorded(name)
    events, _ = made(log)
    columns = Scanner(ALL).columns(b"\n" + log)
    assert len(events) == len(columns) > 1400
    for name_ in set(NAMES) - {"stamp"}:
        values = columns.column(name_)
        wanted = [*map(pack, values)] if name_ in COMPOSITE else values
        assert [row[name_] for row in events] == wanted, name_
    stamps = [
        b"%(second)d.%(milli)03d:%(serial)d" % {k.encode(): v for k, v in row.items()}
        for row in events
    ]
    assert stamps == columns.stamp


def test_what_others_read():
    log = (
        b"type=SYSTEM_BOOT msg=audit(1700000000.001:3): pid=1 uid=0 msg='res=success'\n"
        b"node=web1 type=SYSCALL msg=audit(1700086400.123:9): arch=c000003e syscall=59 success=no"
        b" exit=-13 a0=1 a1=2 a2=3 a3=4 items=1 ppid=70 pid=71 auid=1000 uid=1001 gid=5 euid=0"
        b' suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=4 comm="a b" exe="/bin/x" key="k"\n'
        b'node=web1 type=EXECVE msg=audit(1700086400.123:9): argc=2 a0="x" a1=612062\n'
        b'node=web1 type=PATH msg=audit(1700086400.123:9): item=0 name="/bin/x" nametype=NORMAL\n'
        b"node=web1 type=SOCKADDR msg=audit(1700086400.123:9): saddr=020000357F0000010000000000000000\n"
    )
    (boot, event), rest = made(log)
    assert rest == []
    assert (boot["boot"], boot["node"], event["boot"], event["node"]) == (
        1700000000, None, None, b"web1",
    )  # fmt: skip
    assert event["time"].isoformat() == "2023-11-15T22:13:20.123000+00:00"
    assert event["day"].isoformat() == "2023-11-15" == day_name(event["second"] // 86400)
    assert event["record_types"] == ["SYSCALL", "EXECVE", "PATH", "SOCKADDR"]
    assert (event["key"], event["paths"]) == (["k"], ["/bin/x"])
    assert event["argv"] == ["x", "a b"]
    assert event["addresses"] == ["127.0.0.1"]
    ids = ("exit", "ppid", "pid", "task_uid", "euid", "auid", "session")
    assert [event[name] for name in ids] == [-13, 70, 71, 1001, 0, 1000, 4]


def test_days_and_nodes_are_partitions():
    log = b"".join(
        path(n, b'"f"', node=(b"a", b"")[n % 2], second=86399 + n // 2) for n in range(4)
    )
    tables, _ = Rows("r", 2).block(b"\n" + log)
    assert {partition: len(table) for partition, table in tables.items()} == {
        (b"a", 0): 1, (None, 0): 1, (b"a", 1): 1, (None, 1): 1,
    }  # fmt: skip


def record(kind: str, serial: int) -> bytes:
    if kind == "login":
        return login(100 + serial)
    return call(serial) if kind == "call" else path(serial, b'"f"')


ODD = st.sampled_from([
    b"", b"\r", b"no record", b"type=CWD msg=audit(1.5:3): x", b"\0\0\0", b"type=X msg=audit(1.1000:3): y",
    b"type=EOE msg=audit(170.100:77): ", b"node=x type=CWD msg=audit(170.100:5): cwd=\"/\"",
    b"type=PATH msg=audit(170.100:8): item=0 name=\"a\"\x1dOUID=\"b\"", b"audit(170.100:5): \xff",
])  # fmt: skip


@given(
    st.lists(
        st.one_of(ODD, st.tuples(st.sampled_from(["call", "path", "login"]), st.integers(0, 6)))
    )
)
def test_any_lines_are_written_back(parts):
    lines = [part + b"\n" if isinstance(part, bytes) else record(*part) for part in parts]
    log = b"".join(lines)
    for size in (1 << 24, 300):
        assert written_back(*made(log, size)) == log
