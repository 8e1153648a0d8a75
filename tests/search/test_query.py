"""auditd_py.search.query."""

from __future__ import annotations

import pytest

from auditd_py.record.event import Event
from auditd_py.record.record import parse_record
from auditd_py.search.query import Query

CALL = (
    b"arch=%b syscall=%d success=no exit=-13 a0=0 a1=0 a2=0 a3=0 items=1 ppid=10 pid=11 auid=1000"
    b" uid=1001 gid=2 euid=1002 suid=4 fsuid=5 egid=6 sgid=7 fsgid=8 tty=pts0 ses=9"
    b' comm="ls" exe="/bin/ls" subj=s:u:b:j key="watch"'
)
LINES = [
    b"type=SYSCALL msg=audit(100.002:3): " + CALL % (b"c000003e", 257),
    b'type=CWD msg=audit(100.002:3): cwd="/etc/ssh"',
    b'type=PATH msg=audit(100.002:3): item=0 name="../shadow" obj=o:b:j nametype=NORMAL',
    b"type=PATH msg=audit(100.002:3): item=1 name=2F612062 nametype=CREATE",
]
EVENT = Event([parse_record(line) for line in LINES])


@pytest.mark.parametrize(
    ("criteria", "other"),
    [
        ({"serial": 3}, {"serial": 4}),
        ({"start": 100, "end": 100}, {"start": 101}),
        ({"types": frozenset({1302, 1})}, {"types": frozenset({1309})}),
        ({"key": b"atc"}, {"key": b"atc", "exact": True}),
        ({"key": b"watch", "exact": True}, {"key": b"other"}),
        ({"file": b"../sha"}, {"file": b"passwd"}),
        ({"file": b"/etc/shadow", "exact": True}, {"file": b"shadow", "exact": True}),
        ({"file": b"/etc/ssh", "exact": True}, {"file": b"/etc", "exact": True}),
        ({"file": b"a b"}, {"file": b"a c"}),
        ({"exe": b"/ls"}, {"exe": b"/ls", "exact": True}),
        ({"comm": b"ls", "exact": True}, {"comm": b"lsx"}),
        ({"terminal": b"pts"}, {"terminal": b"tty"}),
        ({"arch": 0xC000003E}, {"arch": 0x40000003}),
        ({"syscall": 257}, {"syscall": 2}),
        ({"syscall": "openat"}, {"syscall": "open"}),
        ({"exit": -13}, {"exit": 13}),
        ({"success": False}, {"success": True}),
        ({"pid": 11, "ppid": 10, "session": 9}, {"pid": 10}),
        ({"auid": 1000}, {"auid": 1001}),
        ({"any_uid": 1002}, {"any_uid": 4}),
        ({"any_gid": 6}, {"any_gid": 7}),
        ({"gid": 2}, {"gid": 6}),
        ({"subject": b"u:b"}, {"subject": b"o:"}),
        ({"object": b"o:b"}, {"object": b"u:b"}),
        ({"context": b"o:b"}, {"context": b"zz"}),
        ({"nodes": frozenset()}, {"nodes": frozenset({b"n"})}),
        ({"pid": 11, "key": b"watch"}, {"pid": 12, "key": b"watch"}),
    ],
    ids=repr,
)
def test_a_criterion_is_met_or_not(criteria, other):
    assert Query(**criteria).matches(EVENT)
    assert not Query(**other).matches(EVENT)
    lines = b"\n".join(LINES)
    needles = Query(**criteria).needles()
    assert not needles or any(needle in lines for needle in needles)


def test_a_call_is_looked_for_by_its_name_on_each_machine():
    line = b"type=SYSCALL msg=audit(100.002:3): " + CALL % (b"c00000b7", 56)
    arm = Event([parse_record(line)])
    assert Query(syscall="openat").matches(arm)
    assert not Query(syscall="clone").matches(arm)
    assert Query(syscall="clone").matches(
        Event([parse_record(line.replace(b"c00000b7", b"c000003e"))])
    )


def test_the_rarest_criterion_is_looked_for_in_bytes():
    query = Query(any_uid=1002, types=frozenset({1300}), key=b"watch")
    assert query.needles() == [b"watch", b"7761746368"]
    assert Query(file=b"/etc/a b").needles() == [b"612062", b"a b"]
    assert Query(auid=0xFFFFFFFF).needles() == [b"auid=4294967295", b"auid=-1"]
    assert Query(success=True).needles() == []


def test_a_query_is_what_it_asks_for():
    assert Query().everything
    assert not Query(start=1).everything
    assert not Query(start=1, exact=True).selective
    assert Query(key=b"a").selective
    assert repr(Query(pid=1, exact=True)) in (
        "Query(exact=True, pid=1)",
        "Query(pid=1, exact=True)",
    )
    with pytest.raises(TypeError, match="no criterion: colour"):
        Query(colour=1)
