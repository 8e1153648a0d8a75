"""auditd_py.record.fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.fields import (
    decoded,
    enriched_names,
    fields,
    from_hex,
    full_path,
    keys_of,
)
from auditd_py.record.record import parse_record


def record(text: bytes, record_type: bytes = b"USER"):
    return parse_record(b"type=" + record_type + b" msg=audit(1.000:1): " + text)


def split(text: bytes, record_type: bytes = b"USER", **options):
    return fields(record(text, record_type), **options)


def test_words_are_names_and_values_as_written():
    assert split(b'arch=c000003e exit=-13 comm="cat" tty=(none) key=(null)') == [
        (b"arch", b"c000003e"),
        (b"exit", b"-13"),
        (b"comm", b'"cat"'),
        (b"tty", b"(none)"),
        (b"key", b"(null)"),
    ]


def test_a_message_of_a_program_counts_as_fields():
    assert split(b'pid=1 uid=0 msg=\'op=login acct="al" exe="/x" terminal=ssh res=failed\'') == [
        (b"pid", b"1"),
        (b"uid", b"0"),
        (b"op", b"login"),
        (b"acct", b'"al"'),
        (b"exe", b'"/x"'),
        (b"terminal", b"ssh"),
        (b"res", b"failed"),
    ]


def test_punctuation_of_old_messages_is_no_part_of_values():
    assert split(b'user pid=1 uid=0: exe="/bin/su" (hostname=?, addr=::, terminal=a res=ok)\'') == [
        (b"pid", b"1"),
        (b"uid", b"0"),
        (b"exe", b'"/bin/su"'),
        (b"hostname", b"?"),
        (b"addr", b"::"),
        (b"terminal", b"a"),
        (b"res", b"ok"),
    ]


def test_quotes_hold_spaces_together_unless_told_otherwise():
    assert split(b'vm="vm one" uuid=1') == [(b"vm", b'"vm one"'), (b"uuid", b"1")]
    assert split(b'vm="vm one" uuid=1', quoted_spaces=False) == [(b"vm", b'"vm'), (b"uuid", b"1")]


def test_an_avc_tells_its_result_and_permissions():
    text = b'avc:  denied  { read write } for  pid=1 comm="cat" tclass=file'
    assert split(text, b"AVC") == [
        (b"seresult", b"denied"),
        (b"seperms", b"read,write"),
        (b"pid", b"1"),
        (b"comm", b'"cat"'),
        (b"tclass", b"file"),
    ]


def test_many_keys_are_many_fields():
    assert split(b"key=6101622063") == [(b"key", b'"a"'), (b"key", b"622063")]
    assert keys_of(b'"a"') == [b'"a"']
    assert keys_of(b"(null)") == [b"(null)"]


def test_empty_values_and_bare_words_are_left_out():
    assert split(b"policy loaded a= b=1 = c") == [(b"b", b"1")]


def test_names_of_the_daemon_are_by_the_name_of_the_field():
    line = b'uid=0 uid=1\x1dUID="root" UID="x" AUID=616220 ARCH=x86_64 SYSCALL=unknown-syscall(9)'
    assert enriched_names(record(line)) == {b"uid": b"root", b"auid": b"ab ", b"arch": b"x86_64"}


def test_the_address_of_a_socket_stands_alone():
    line = b"saddr=0200\x1dSADDR={ saddr_fam=inet laddr=1.2.3.4 lport=80 }"
    names = enriched_names(record(line, b"SOCKADDR"))
    assert names == {b"saddr": b"{ saddr_fam=inet laddr=1.2.3.4 lport=80 }"}


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (b'"/bin/ls"', b"/bin/ls"),
        (b'"open', b'"open'),
        (b"2F746D702F6120620A", b"/tmp/a b\n"),
        (b"002F6162", b"/ab"),
        (b"61006200", b"a"),
        (b"/bin/su", b"/bin/su"),
        (b"abc", b"abc"),
        (b"?", b"?"),
        (b"", b""),
    ],
)
def test_values_are_quoted_or_hex_or_plain(value, meaning):
    assert decoded(value) == meaning


def test_hex_is_nothing_but_hex():
    assert from_hex(b"6a6B") == b"jk"
    assert from_hex(b"6a 6b") is None
    assert from_hex(b"6a6") is None


@pytest.mark.parametrize(
    ("name", "cwd", "path"),
    [
        (b"a", b"/srv", b"/srv/a"),
        (b"/a", b"/srv", b"/a"),
        (b"../a", b"/srv/b", b"/srv/a"),
        (b"/a/./b", b"/", b"/a/./b"),
        (b"../../..", b"/a", b"/"),
        (b"a", b"", b"a"),
    ],
)
def test_paths_are_put_after_the_working_folder(name, cwd, path):
    assert full_path(name, cwd) == path


@given(st.binary(max_size=300), st.sampled_from([b"AVC", b"USER_TTY", b"EXECVE", b"SOCKADDR"]))
def test_any_text_has_fields(text, record_type):
    line = record(text.replace(b"\n", b""), record_type)
    for name, value in fields(line):
        assert name
        assert b"=" not in name
        # an empty value is a key that is none, or what a lone quote leaves
        assert value or name == b"key" or b"'" in text
    enriched_names(line)
