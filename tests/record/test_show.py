"""auditd_py.record.show, beside what the reference shows."""

from __future__ import annotations

import grp
import gzip
import pwd
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.record.escape import Escape
from auditd_py.record.event import assemble
from auditd_py.record.fields import fields
from auditd_py.record.interpret import Names
from auditd_py.record.plain import default_text, raw_text, raw_text_marked
from auditd_py.record.record import parse_record
from auditd_py.record.show import InterpretedText

DATA = Path(__file__).parent.parent / "data"
LOGS = ("alpha-raw", "alpha-enriched")


def log(name: str) -> bytes:
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def events(data: bytes):
    return assemble(map(parse_record, data.split(b"\n")[:-1]))


def user(uid: int) -> bytes | None:
    try:
        return pwd.getpwuid(uid).pw_name.encode()
    except KeyError:
        return None


def group(gid: int) -> bytes | None:
    try:
        return grp.getgrgid(gid).gr_name.encode()
    except KeyError:
        return None


def protocol(number: int) -> bytes | None:
    return {1: b"icmp", 6: b"tcp", 17: b"udp"}.get(number)


def stamp(seconds: int) -> bytes:
    return time.strftime("%m/%d/%y %H:%M:%S", time.gmtime(seconds)).encode()


def ctime(seconds: int) -> bytes:
    return time.asctime(time.gmtime(seconds)).encode()


def shown(text: bytes, record_type: bytes = b"USER", mode: Escape = Escape.TTY) -> bytes:
    line = b"type=" + record_type + b" msg=audit(0.000:1): " + text
    maker = InterpretedText(Names({1: b"daemon"}.get), stamp, mode)
    return maker.text(parse_record(line))


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_shown_as_the_reference_shows_it(name):
    text = b"".join(default_text(event, ctime) for event in events(log(f"{name}.log")))
    assert text == log(f"{name}.default")


@pytest.mark.peer
@pytest.mark.parametrize("name", [*LOGS, "enriched-sample"])
def test_names_are_those_of_the_reference(name, peers, tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(log(f"{name}.log"))
    expected = peers.run("ausearch", "-i", "-if", str(path)).stdout
    maker = InterpretedText(Names(user, group, protocol), stamp)
    text = b"".join(maker.event(event) for event in events(log(f"{name}.log")))
    # 3.0.9 takes LOGIN for the last record of its event, which it is not
    assert sorted(set(text.decode("utf-8", "surrogateescape").splitlines())) == sorted(
        set(expected.splitlines())
    )


@pytest.mark.peer
@pytest.mark.parametrize("mode", Escape)
def test_lines_are_escaped_as_the_reference_does(mode, peers, tmp_path):
    line = b'type=USER msg=audit(1700000000.000:1): pid=1 x=\x1b[31m$a;"q"\n'
    path = tmp_path / "audit.log"
    path.write_bytes(line)
    expected = peers.run("ausearch", "--escape", mode, "-if", str(path)).stdout
    (event,) = events(line)
    assert default_text(event, ctime, mode).decode() == expected


def test_raw_lines_are_as_they_were_read():
    data = log("alpha-enriched.log")
    lines = [line for event in events(data) for line in raw_text(event).splitlines()]
    assert sorted(lines) == sorted(data.splitlines())


def test_the_reference_marks_every_raw_line_of_an_enriched_event():
    (event,) = events(
        b'type=SYSCALL msg=audit(0.000:1): uid=0\x1dUID="root"\ntype=CWD msg=audit(0.000:1): a=1\n'
    )
    assert raw_text_marked(event).endswith(b"a=1\x1d\n")


def test_an_interpreted_record_begins_with_node_type_and_time():
    maker = InterpretedText(Names(), stamp)
    line = b"node=web1 type=1300 msg=audit(1700000000.007:9): exit=0"
    head = b"node=web1 type=SYSCALL msg=audit(11/14/23 22:13:20.007:9) : "
    assert maker.record(parse_record(line)) == head + b"exit=0 \n"
    line = b"type=UNKNOWN[1899] msg=audit(1700000000.007:9): plain text"
    assert maker.record(parse_record(line)).endswith(b"(11/14/23 22:13:20.007:9) : plain text\n\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b"pid=1 uid=1 msg='op=x acct=\"al\" res=1'",
            b"pid=1 uid=daemon msg='op=x acct=al res=yes' ",
        ),
        (b"op=a b uid=0 trailing", b"op=a b uid=root trailing "),
        (b"uid=0,gid=0,x", b"uid=root gid=root x "),
        (b"(hostname=?, addr=?, terminal=a)", b"(hostname=?, addr=?  terminal=a) "),
        (b'acct="root": exe="/x y" uid=0', b"acct=root  exe=/x y uid=root "),
        (b'dev="sda1" cmdline="a uid=0 b"', b'dev="sda1" cmdline="a uid=0 b" '),
        (b'exe="open uid=0', b'exe="open uid=root '),
        (b"key=6101622063 a=1", b"key=a key=b c a=1 "),
        (b"key=(null)", b"key=(null) "),
        (b"uid=0 ", b"uid=root "),
        (b"tty=pts0  uid=0", b"tty=pts0  uid=root "),
        (b"subj=a:b:c:s0,c1", b"subj=a:b:c:s0,c1 "),
        (b"text=it's \" and = signs", b"text=it's \" and = signs "),
        (b"name=610A x=\x1b[31m", b"name=a\\012 x=\\033[31m "),
    ],
)
def test_text_between_values_is_kept(text, expected):
    assert shown(text) == expected


def test_an_avc_is_shown_in_its_own_words():
    text = b'avc:  denied  { read } for  pid=1 comm="cat" dev="sda1" tclass=file'
    expected = b'avc:  denied  { read } for  pid=1 comm=cat dev="sda1" tclass=file '
    assert shown(text, b"AVC") == expected


def test_values_are_escaped_for_a_shell():
    assert shown(b'exe="/a$b" dev="c d"', mode=Escape.SHELL) == b'exe=/a\\$b dev="c d" '


def test_what_was_remembered_of_one_call_is_not_used_for_another():
    maker = InterpretedText(Names(), stamp)

    def text(middle: bytes) -> bytes:
        line = b"type=SYSCALL msg=audit(0.000:1): arch=" + middle
        return maker.text(parse_record(line))

    assert text(b"c000003e syscall=2 a0=1 a1=2 a2=6") == (
        b"arch=x86_64 syscall=open a0=0x1 a1=O_RDWR a2=0x6 "
    )
    assert text(b"c000003e syscall=2 a0=1 a1=42 a2=6") == (
        b"arch=x86_64 syscall=open a0=0x1 a1=O_RDWR|O_CREAT a2=0006 "
    )
    assert text(b"40000003 syscall=2 a0=1 a1=2 a2=6") == (
        b"arch=i386 syscall=fork a0=0x1 a1=0x2 a2=0x6 "
    )
    assert text(b"c000003e syscall=2 a0=1\x1dSYSCALL=mine") == (b"arch=x86_64 syscall=mine a0=0x1 ")
    # not where the kernel puts them
    assert text(b"40000003 x=1 syscall=2 a0=1") == b"arch=i386 x=1 syscall=fork a0=0x1 "
    assert text(b"c000003e x=1 syscall=2 a0=1") == b"arch=x86_64 x=1 syscall=open a0=0x1 "


@pytest.mark.parametrize(
    "text",
    [
        b"uid=0," * 40_000,
        b"avc:  denied  {" + b" " * 200_000,
        b'a="' * 80_000,
        b'a="x ' * 40_000,
        b"key=" + b"6101" * 50_000,
        b"a" * 200_000 + b"=",
        b"data=" + b"1B" * 100_000,
        b"data=" + b"FF" * 100_000,
        b"(" * 200_000,
    ],
)
def test_a_very_long_line_takes_no_longer_than_its_length(text):
    begin = time.process_time()
    assert shown(text, b"AVC")
    fields(parse_record(b"type=AVC msg=audit(0.000:1): " + text))
    assert time.process_time() - begin < 2


@given(
    st.sampled_from([b"USER", b"SYSCALL", b"AVC", b"EXECVE", b"TTY", b"NETFILTER_PKT"]),
    st.lists(st.sampled_from([b"uid=", b"a0=", b"msg='", b'"', b" ", b",", b"=", b"key=", b"saddr=",
                              b"hook=", b"\x1d", b"UID=", b"4294967295", b"6101", b"(", b")", b"\xff",
                              b"arch=c000003e syscall=2 ", b"exit=-1", b"data=", b":"])),
)  # fmt: skip
def test_any_text_is_shown_on_one_line_without_control_characters(record_type, words):
    text = shown(b"".join(words).replace(b"\n", b""), record_type)
    assert b"\n" not in text[:-1]
    assert not any(byte < 0x20 for byte in text[:-1])


@given(st.binary(max_size=200))
def test_random_bytes_are_shown_or_refused(text):
    try:
        record = parse_record(b"type=USER msg=audit(0.000:1): " + text)
    except WireError:
        return
    InterpretedText(Names(), stamp).record(record)
    default_text(next(assemble([record])), ctime)
