"""auditd_py.record.enrich, and its agreement with what auditd 4.2.2 wrote."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.enrich import (
    ACCOUNT_TYPES_AFTER,
    ACCOUNT_TYPES_BEFORE,
    MAX_LINE,
    Enricher,
    encoded_name,
)
from auditd_py.tables.fields import TYPES
from auditd_py.tables.record_types import NUMBERS, type_number

SAMPLE = Path(__file__).parent.parent / "data" / "enriched-sample.log.gz"

STAMP = b"audit(1693000000.123:45): "
IDS = b"uid=%d gid=%d euid=%d suid=%d fsuid=%d egid=%d sgid=%d fsgid=%d"
CALL = (
    STAMP + b"arch=%b syscall=%b success=yes exit=3 a0=%b a1=0 a2=0 a3=0 items=1 ppid=1 pid=2 "
    b'auid=%d %b tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" key=(null)'
)
ROOT = IDS % ((0,) * 8)
ROOT_NAMES = (
    b'AUID="unset" UID="root" GID="root" EUID="root" SUID="root" FSUID="root" EGID="root" '
    b'SGID="root" FSGID="root"'
)


def call(arch: bytes = b"c000003e", number: bytes = b"257", a0: bytes = b"1") -> bytes:
    return CALL % (arch, number, a0, 4294967295, ROOT)


def pairs(kind: str, text: bytes, enricher: Enricher | None = None) -> bytes:
    """Return what is added to a record, without 0x1D."""
    suffix = (enricher or Enricher()).suffix(NUMBERS[kind], STAMP + text)
    assert suffix[:1] in {b"", b"\x1d"}
    return suffix[1:]


def test_a_syscall_gets_machine_call_and_names() -> None:
    suffix = Enricher().suffix(1300, call())
    assert suffix == b"\x1dARCH=x86_64 SYSCALL=openat " + ROOT_NAMES


def test_a_path_gets_owner_and_group() -> None:
    text = b'item=0 name="/etc/" inode=19 mode=040755 ouid=0 ogid=0 rdev=00:00 nametype=PARENT'
    assert pairs("PATH", text) == b'OUID="root" OGID="root"'


def test_a_path_that_is_not_there_gets_nothing() -> None:
    assert pairs("PATH", b'item=0 name="/x" nametype=UNKNOWN cap_frootid=0') == b""


@pytest.mark.parametrize("kind", ["CWD", "PROCTITLE", "EXECVE", "EOE", "FD_PAIR", "MMAP"])
def test_types_without_names_get_nothing(kind: str) -> None:
    assert pairs(kind, b"uid=0") == b""


def test_an_address_stands_alone() -> None:
    text = b"saddr=02000050010203040000000000000000"
    assert pairs("SOCKADDR", text) == b"SADDR={ saddr_fam=inet laddr=1.2.3.4 lport=80 }"


def test_a_newline_in_the_name_of_a_socket_does_not_end_the_line() -> None:
    text = b"saddr=0100000A1D62"
    assert pairs("SOCKADDR", text) == b"SADDR={ saddr_fam=local path=\\012\\035b }"


@pytest.mark.parametrize("kind", ["NETFILTER_PKT", "AVC"])
def test_a_plain_address_gets_nothing(kind: str) -> None:
    assert pairs(kind, b"saddr=127.0.0.1 daddr=127.0.0.1") == b""


def test_fields_in_a_message_of_a_program_are_fields() -> None:
    text = b"pid=1 uid=0 auid=-1 ses=-1 msg='op=login id=0 res=success'"
    assert pairs("USER_LOGIN", text) == b'UID="root" AUID="unset" ID="root"'


def test_the_first_and_last_field_of_a_message_are_fields() -> None:
    assert pairs("USER_LOGIN", b"uid=0 msg='uid=0 auid=0'") == b'UID="root" UID="root" AUID="root"'


def test_punctuation_around_a_field_is_not_part_of_it() -> None:
    assert pairs("USER", b"(uid=0) gid=0, euid=0:") == b'UID="root" GID="root" EUID="root"'


@pytest.mark.parametrize("kind", ["ADD_GROUP", "DEL_GROUP", "GRP_MGMT"])
def test_an_id_is_a_groups_in_records_about_groups(kind: str) -> None:
    enricher = Enricher()
    enricher.learn_group(1005, b"devs")
    assert pairs(kind, b"msg='op=x id=1005'", enricher) == b'ID="devs"'


@pytest.mark.parametrize(
    ("field", "pair"),
    [
        (b"uid=-1", b'UID="unset"'),
        (b"uid=4294967295", b'UID="unset"'),
        (b"uid=-2", b'UID="unknown(4294967294)"'),
        (b"uid=007", b'UID="unknown(7)"'),
        (b"gid=1234", b'GID="unknown(1234)"'),
    ],
)
def test_an_id_is_an_unsigned_number_of_32_bits(field: bytes, pair: bytes) -> None:
    assert pairs("USER", field) == pair


@pytest.mark.parametrize(
    "value", [b"?", b'"x"', b"", b"12abc", b"0x10", b"4294967296", b"(none)", b"-", b"--1", b"+1"]
)
def test_what_is_no_id_gets_no_name(value: bytes) -> None:
    # the C daemon takes the digits it finds, so that `uid=?` is root to it
    assert pairs("USER", b"uid=" + value + b" gid=0") == b'GID="root"'


@pytest.mark.parametrize(
    ("arch", "number", "a0", "added"),
    [
        (b"40000003", b"5", b"0", b"ARCH=i386 SYSCALL=open"),
        (b"c00000b7", b"56", b"0", b"ARCH=aarch64 SYSCALL=openat"),
        (b"16", b"5", b"0", b"ARCH=s390 SYSCALL=open"),
        (b"C000003E", b"257", b"0", b"ARCH=x86_64 SYSCALL=openat"),
        (b"c000003e", b"1073742081", b"0", b"ARCH=x86_64 SYSCALL=openat"),
        (b"c000003e", b"9999", b"0", b"ARCH=x86_64 SYSCALL=unknown-syscall(9999)"),
        (b"c000003e", b"-1", b"0", b"ARCH=x86_64 SYSCALL=unknown-syscall(-1)"),
        (b"c000003e", b"abc", b"0", b"ARCH=x86_64 SYSCALL=unknown-syscall(abc)"),
        (b"deadbeef", b"5", b"0", b"ARCH=unknown-elf-type(deadbeef) SYSCALL=unknown-syscall(5)"),
        (b"zzz", b"5", b"0", b"ARCH=unknown-elf-type(zzz) SYSCALL=unknown-syscall(5)"),
        (b"40000003", b"102", b"2", b"ARCH=i386 SYSCALL=socketcall(bind)"),
        (b"40000003", b"102", b"63", b"ARCH=i386 SYSCALL=socketcall"),
        (b"40000003", b"117", b"17", b"ARCH=i386 SYSCALL=ipc(shmget)"),
    ],
)
def test_a_call_is_named_by_its_machine(
    arch: bytes, number: bytes, a0: bytes, added: bytes
) -> None:
    suffix = Enricher().suffix(1300, call(arch, number, a0))
    assert suffix == b"\x1d" + added + b" " + ROOT_NAMES


def test_one_socketcall_is_not_taken_for_another() -> None:
    enricher = Enricher()
    first = enricher.suffix(1300, call(b"40000003", b"102", b"2"))
    second = enricher.suffix(1300, call(b"40000003", b"102", b"3"))
    assert (b"(bind)" in first, b"(connect)" in second) == (True, True)


def test_digits_of_a_call_are_not_taken_for_those_of_an_id() -> None:
    enricher = Enricher()
    enricher.suffix(1300, CALL % (b"c000003e", b"2", b"0", 57, ROOT))
    suffix = enricher.suffix(1300, CALL % (b"c000003e", b"25", b"0", 7, ROOT))
    assert suffix.startswith(b'\x1dARCH=x86_64 SYSCALL=mremap AUID="unknown(7)"')


def test_a_call_that_has_not_returned_gets_names() -> None:
    text = call().replace(b" success=yes exit=3", b"")
    assert Enricher().suffix(1300, text) == Enricher().suffix(1300, call())


def test_an_operation_of_io_uring_is_named() -> None:
    assert pairs("URINGOP", b"uring_op=18 uid=0") == b'URING_OP=openat UID="root"'


def test_a_name_that_could_be_misread_is_hex() -> None:
    assert encoded_name(b'a "b') == b"61202262"


def test_a_plain_name_is_in_quotes() -> None:
    assert encoded_name(b"www-data") == b'"www-data"'


def test_an_id_without_a_name_yet_is_wanted() -> None:
    enricher = Enricher()
    pairs("USER", b"uid=5 gid=6 euid=0 egid=4294967295", enricher)
    assert (enricher.wanted_users, enricher.wanted_groups) == ({5}, {6})


def test_a_learned_name_is_written_and_no_longer_wanted() -> None:
    enricher = Enricher()
    pairs("USER", b"uid=5", enricher)
    enricher.learn_user(5, b"games")
    assert pairs("USER", b"uid=5", enricher) == b'UID="games"'
    assert enricher.wanted_users == set()


def test_an_id_that_nobody_has_is_unknown_and_no_longer_wanted() -> None:
    enricher = Enricher()
    enricher.learn_user(5, None)
    assert pairs("USER", b"uid=5", enricher) == b'UID="unknown(5)"'
    assert enricher.wanted_users == set()


def test_a_provisional_suffix_is_not_remembered() -> None:
    enricher = Enricher()
    text = CALL % (b"c000003e", b"257", b"0", 1000, ROOT)
    enricher.suffix(1300, text)
    enricher.learn_user(1000, b"alice")
    assert b'AUID="alice"' in enricher.suffix(1300, text)


def test_a_changed_name_replaces_what_was_remembered() -> None:
    enricher = Enricher()
    enricher.learn_user(1000, b"alice")
    text = CALL % (b"c000003e", b"257", b"0", 1000, ROOT)
    enricher.suffix(1300, text)
    enricher.learn_user(1000, b"bob")
    assert b'AUID="bob"' in enricher.suffix(1300, text)


def test_forgetting_leaves_root_and_unset() -> None:
    enricher = Enricher()
    enricher.learn_user(1000, b"alice")
    enricher.learn_group(1000, b"alice")
    enricher.forget_names()
    presets = {0: b'"root"', 4294967295: b'"unset"'}
    assert (enricher.users, enricher.groups) == (presets, presets)


def test_a_forgotten_name_is_wanted_again() -> None:
    enricher = Enricher()
    enricher.learn_user(1000, b"alice")
    text = CALL % (b"c000003e", b"257", b"0", 1000, ROOT)
    enricher.suffix(1300, text)
    enricher.forget_names()
    enricher.suffix(1300, text)
    assert enricher.wanted_users == {1000}


def test_what_is_remembered_has_a_bound() -> None:
    enricher = Enricher()
    text = b'item=0 name="x" ouid=0%b ogid=0 rdev=00:00'
    for number in range(10000):
        enricher.suffix(1302, STAMP + text % (b" inode=%d" % number))
    assert len(enricher._memo) <= 4096


def test_a_line_does_not_outgrow_the_readers_of_lines() -> None:
    text = STAMP + b"uid=0 " * 1450
    suffix = Enricher().suffix(1100, text)
    assert suffix.startswith(b'\x1dUID="root" UID="root"')
    assert len(text) + len(suffix) <= MAX_LINE


def test_a_pair_that_does_not_fit_is_left_out_whole() -> None:
    enricher = Enricher()
    enricher.learn_user(1, b"x" * 200)
    text = STAMP + b"uid=1 gid=0 text=" + b"x" * 8950
    assert enricher.suffix(1100, text) == b'\x1dGID="root"'


def test_the_account_records_after_and_before_which_names_are_forgotten() -> None:
    assert {1114, 1116} == ACCOUNT_TYPES_BEFORE
    assert {1102, 1115, 1117, 1132} == ACCOUNT_TYPES_AFTER


FIELDS = st.sampled_from(
    [b"uid=", b" auid=", b" tty=", b" ouid=", b" rdev=", b"arch=c000003e", b" syscall=", b"saddr=",
     b"msg='", b" success=", b"): ", b"0", b"1", b"257", b"-1", b" ", b"'", b"0200", b"(", b"="]
)  # fmt: skip
TEXTS = (
    st.binary()
    | st.lists(FIELDS).map(b"".join)
    | st.lists(FIELDS).map(lambda words: call() + b"".join(words))
)
KINDS = st.sampled_from(sorted({*NUMBERS.values(), 0, 1199, 65535}))


@given(KINDS | st.integers(), TEXTS)
def test_any_bytes_have_a_suffix(kind: int, text: bytes) -> None:
    assert Enricher().suffix(kind, text)[:1] in {b"", b"\x1d"}


@given(st.lists(st.tuples(st.sampled_from([1300, 1302, 1306, 1100]), TEXTS)))
def test_a_suffix_depends_on_nothing_but_its_record(records: list[tuple[int, bytes]]) -> None:
    enricher = Enricher()
    enricher.learn_user(1, b"one")
    for _ in range(2):
        for kind, text in records:
            fresh = Enricher()
            fresh.learn_user(1, b"one")
            assert enricher.suffix(kind, text) == fresh.suffix(kind, text)


def told(kind: str, text: bytes, added: bytes) -> tuple[dict[int, bytes | None], ...]:
    """Return the users and groups whose names a recorded line shows, by id."""
    shown: tuple[dict[int, bytes | None], ...] = ({}, {})
    fields = iter(re.findall(rb"[ (']([a-z_-]+)=(-?\d+)", text))
    for label, value in re.findall(rb'([A-Z_-]+)="([^"]*)"', added):
        name, number = next(field for field in fields if field[0].upper() == label)
        group = TYPES[name.decode()] == "gid" or (
            name == b"id" and kind in {"ADD_GROUP", "DEL_GROUP"}
        )
        shown[group][int(number) & 0xFFFFFFFF] = None if b"(" in value else value
    return shown


def test_the_suffixes_are_those_of_the_c_daemon() -> None:
    enricher = Enricher()
    different = []
    for line in gzip.decompress(SAMPLE.read_bytes()).splitlines():
        record, separator, added = line.partition(b"\x1d")
        name, text = record.removeprefix(b"type=").split(b" msg=", 1)
        kind = type_number(name.decode())
        assert kind is not None
        if kind in ACCOUNT_TYPES_BEFORE:
            enricher.forget_names()
        enricher.suffix(kind, text)
        users, groups = told(name.decode(), text, added)
        for uid in sorted(enricher.wanted_users):
            enricher.learn_user(uid, users[uid])
        for gid in sorted(enricher.wanted_groups):
            enricher.learn_group(gid, groups[gid])
        if enricher.suffix(kind, text) != separator + added:
            different.append(line)
        if kind in ACCOUNT_TYPES_AFTER:
            enricher.forget_names()
    assert different == []
