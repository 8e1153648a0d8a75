"""auditd_py.search.subject."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.event import Event, assemble
from auditd_py.record.record import parse_record
from auditd_py.search.subject import Access, File, Subject

DATA = Path(__file__).parent.parent / "data"
SYSCALL = (b"SYSCALL", (
    b"arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c a1=7f a2=0 a3=0 items=1"
    b" ppid=10 pid=11 auid=4294967295 uid=1 gid=2 euid=3 suid=4 fsuid=5 egid=6 sgid=7 fsgid=8"
    b' tty=pts0 ses=9 comm=6C20 exe="/bin/ls" subj=a:b:c:s0-s1:c0,c1 key=6B31016B32'
))  # fmt: skip


def subject(*records: tuple[bytes, bytes]) -> Subject:
    lines = [b"type=%b msg=audit(1.002:3): %b" % record for record in records]
    return Subject(Event([parse_record(line) for line in lines]))


def user(name: bytes, message: bytes) -> Subject:
    return subject((name, b"pid=1 uid=0 auid=5 ses=7 msg='%b'" % message))


def test_a_system_call_says_who_made_it():
    found = subject(SYSCALL)
    assert (found.auid, found.uid, found.gid, found.euid, found.egid) == (0xFFFFFFFF, 1, 2, 3, 6)
    assert (found.suid, found.fsuid, found.sgid, found.fsgid) == (4, 5, 7, 8)
    assert (found.ppid, found.pid, found.ses) == (10, 11, 9)
    assert (found.arch, found.syscall, found.success, found.exit) == (0xC000003E, 257, False, -13)
    assert (found.comm, found.exe, found.terminal) == (b"l ", b"/bin/ls", b"pts0")
    assert (found.subjects, found.keys) == ([b"a:b:c:s0-s1:c0,c1"], [b"k1", b"k2"])


def test_a_system_call_in_another_order_says_the_same():
    name, text = SYSCALL
    mixed = b" ".join(sorted(text.split(b" ")))
    whole, other = subject((name, text)), subject((name, mixed))
    names = [n for n in Subject.__slots__ if n not in ("event", "records")]
    assert {n: getattr(whole, n) for n in names} == {n: getattr(other, n) for n in names}


@pytest.mark.parametrize("place", [0, 1])
def test_the_call_goes_before_what_else_the_event_says(place):
    records = [(b"CONFIG_CHANGE", b"auid=7 ses=1 op=set res=1")]
    records.insert(place, SYSCALL)
    found = subject(*records)
    assert (found.auid, found.success, found.op) == (0xFFFFFFFF, False, b"set")


def test_files_are_those_of_paths_with_their_kind():
    found = subject(
        (b"CWD", b'cwd="/a b"'),
        (b"PATH", b'item=0 name="/etc/" inode=1 mode=040755 nametype=PARENT cap_fp=0'),
        (b"PATH", b"item=1 name=2F6120 nametype=CREATE"),
        (b"PATH", b'item=2 name="x" obj=o:r:t:s0 nametype=NORMAL'),
        (b"PATH", b"item=3 name=(null) nametype=NORMAL"),
    )
    assert found.cwd == b"/a b"
    assert found.files == [
        File(b"/etc/", b"PARENT"), File(b"/a ", b"CREATE"), File(b"x", b"NORMAL"),
        File(b"(null)", b"NORMAL"),
    ]  # fmt: skip
    assert found.objects == [b"o:r:t:s0"]


def test_a_socket_is_an_address_or_a_file():
    found = subject(
        (b"SOCKADDR", b"saddr=020000357F0000350000000000000000"),
        (b"SOCKADDR", b"saddr=01002F72756E2F7800"),
    )
    assert (found.addresses, found.files) == ([b"127.0.0.53"], [File(b"/run/x")])
    assert found.host == b"127.0.0.53"


def test_a_message_of_a_program_is_read_into_its_quotes():
    found = user(
        b"USER_AUTH", b'op=PAM:x acct="al" exe="/s" hostname=h addr=::1 terminal=ssh res=failed'
    )
    assert (found.pid, found.auid, found.ses, found.op) == (1, 5, 7, b"PAM:x")
    assert (found.acct, found.exe, found.terminal) == (b"al", b"/s", b"ssh")
    assert (found.hostname, found.addr, found.host, found.success) == (b"h", b"::1", b"h", False)


@pytest.mark.parametrize(
    ("message", "host"),
    [(b"hostname=? addr=1.2.3.4", b"1.2.3.4"), (b"hostname=? addr=?", b"?"), (b"op=x", None)],
)
def test_the_host_is_the_address_if_no_name_is_known(message, host):
    assert user(b"USER_START", message).host == host


def test_the_uid_of_the_message_goes_before_the_senders():
    assert user(b"USER_LOGIN", b"op=login uid=1000 exe=x res=success").uid == 1000


@pytest.mark.parametrize(
    ("name", "ids"),
    [(b"ADD_GROUP", (None, 9)), (b"USER_MGMT", (9, None)), (b"LOGIN", (None, None))],
)
def test_an_id_is_a_users_or_a_groups(name, ids):
    found = user(name, b"op=x id=9 res=success")
    assert (found.account_id, found.group_id) == ids


@pytest.mark.parametrize(
    "text",
    [
        b"pid=1 uid=0 old-auid=4294967295 auid=1001 tty=(none) old-ses=4294967295 ses=4 res=1",
        b"login pid=1 uid=0 old auid=4294967295 new auid=1001 old ses=4294967295 new ses=4",
    ],
)
def test_a_login_has_the_new_ids(text):
    found = subject((b"LOGIN", text))
    assert (found.auid, found.ses) == (1001, 4)


@pytest.mark.parametrize(
    ("result", "success"),
    [(b"res=success", True), (b"res=1", True), (b"res=0", False), (b"result=Failed", False),
     (b"res=failed'", False), (b"x=1", None)],
)  # fmt: skip
def test_the_result_of_a_message(result, success):
    assert user(b"USER_ACCT", result).success is success


def test_a_decision_of_selinux():
    avc = (b"AVC", (
        b'avc:  denied  { read write } for  pid=9 comm="x" name="shadow" dev="sda1" ino=1'
        b" scontext=u:r:a:s0 tcontext=u:r:b:s0:c1,c2 tclass=file permissive=0"
    ))  # fmt: skip
    found = subject(avc)
    assert found.accesses == [
        Access(b"denied", b"read,write", b"u:r:a:s0", b"u:r:b:s0:c1,c2", b"file")
    ]
    assert (found.success, found.files) == (False, [File(b"shadow")])
    assert (found.subjects, found.objects) == ([b"u:r:a:s0"], [b"u:r:b:s0:c1,c2"])
    assert subject(avc, (b"SYSCALL", SYSCALL[1].replace(b"=no", b"=yes"))).success is True


def test_virtual_machines_have_a_name_an_id_and_disks():
    found = user(b"VIRT_RESOURCE", b'resrc=disk vm="a b" uuid=1-2 old-disk="?" new-disk="/d e"')
    assert (found.vm, found.vm_uuid, found.files) == (b"a b", b"1-2", [File(b"/d e")])


def test_the_address_of_a_client_has_no_port():
    assert subject((b"DAEMON_ACCEPT", b"op=connect addr=10.1.2.3:4000 res=success")).addr == (
        b"10.1.2.3"
    )


def test_every_recorded_event_has_a_subject():
    data = gzip.decompress((DATA / "alpha-enriched.log.gz").read_bytes())
    events = list(assemble(parse_record(line) for line in data.split(b"\n") if line))
    found = [Subject(event) for event in events]
    calls = [s for s in found if any(r.type_name == b"SYSCALL" for r in s.records)]
    assert len(calls) > 1000
    assert all(s.exe and s.comm and s.auid is not None and s.pid for s in calls)


@given(
    st.sampled_from([b"SYSCALL", b"PATH", b"AVC", b"SOCKADDR", b"LOGIN", b"USER", b"CWD"]),
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                b'uid= saddr= key= name= auid=x ses=-1 arch=zz syscall=1 id=- acct=" res='.split()
            ),
        )
    ),
)
def test_any_text_has_a_subject(name, words):
    text = b" ".join(words).replace(b"\n", b"")
    assert subject((name, text)).records
