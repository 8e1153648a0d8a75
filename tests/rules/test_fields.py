"""auditd_py.rules.fields: every field, with the values, lists and operators it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.rules.fields import (
    FieldError,
    number_value,
    parse_comparison,
    parse_field,
    permission_bits,
    split_field,
)
from auditd_py.rules.host import Host
from auditd_py.rules.rule import EXIT, FIELD_COMPARE, Rule
from auditd_py.rules.show import rule_text
from auditd_py.tables.rule_names import COMPARISONS, FIELDS, LISTS, OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.rules.rule import Field

HOST = Host(user_id={"root": 0}.get, group_id={"adm": 4}.get)

VALUES = {
    "pid": ("1", 1), "ppid": ("1", 1), "pers": ("0x10", 16), "devmajor": ("8", 8),
    "devminor": ("1", 1), "success": ("0", 0), "inode": ("4294967295", 0xFFFFFFFF),
    "uid": ("root", 0), "euid": ("1", 1), "suid": ("1", 1), "fsuid": ("1", 1),
    "auid": ("unset", 0xFFFFFFFF), "loginuid": ("-1", 0xFFFFFFFF), "obj_uid": ("1", 1),
    "gid": ("adm", 4), "egid": ("1", 1), "sgid": ("1", 1), "fsgid": ("1", 1), "obj_gid": ("1", 1),
    "exit": ("-EACCES", 0xFFFFFFF3), "msgtype": ("cwd", 1307),
    "subj_user": ("u", b"u"), "subj_role": ("r", b"r"), "subj_type": ("t", b"t"),
    "subj_sen": ("s0", b"s0"), "subj_clr": ("s0", b"s0"), "obj_user": ("u", b"u"),
    "obj_role": ("r", b"r"), "obj_type": ("t", b"t"), "obj_lev_low": ("s0", b"s0"),
    "obj_lev_high": ("s0", b"s0"), "path": ("/x", b"/x"), "dir": ("/x", b"/x"),
    "perm": ("wa", 10), "filetype": ("fifo", 0x1000), "fstype": ("cgroup2", 0x63677270),
    "arch": ("b32", 0x40000003), "a0": ("-1", 0xFFFFFFFF), "a1": ("0xf", 15), "a2": ("1", 1),
    "a3": ("1", 1), "sessionid": ("unset", 0xFFFFFFFF), "saddr_fam": ("10", 10),
    "exe": ("/x", b"/x"), "key": ("k", b"k"),
}  # fmt: skip
LISTS_OF = {"msgtype": {"exclude", "user"}, "fstype": {"filesystem"}, "perm": {"exit", "exclude"},
            "sessionid": {"exclude", "user", "exit"}}  # fmt: skip
EXIT_ONLY = {
    "ppid", "devmajor", "devminor", "success", "inode", "exit", "obj_user", "obj_role", "obj_type",
    "obj_lev_low", "obj_lev_high", "path", "dir", "filetype",
}  # fmt: skip


def check_part(parse: Callable[[], Field], text: str) -> Field | None:
    """Return the field; that there is none must be blamed on a part of the text."""
    try:
        return parse()
    except FieldError as error:
        start, end = error.offset, error.offset + error.length
    assert 0 <= start <= end <= len(text)
    return None


def test_every_field_is_tried():
    assert VALUES.keys() == FIELDS.keys()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_takes_its_values_on_its_lists(name):
    text, value = VALUES[name]
    allowed = {"exit"} if name in EXIT_ONLY else LISTS_OF.get(name, set(LISTS))
    taken = set()
    for list_name, number in LISTS.items():
        try:
            field = parse_field(f"{name}={text}", number, HOST)
        except FieldError:
            continue
        assert (field.code, field.value) == (FIELDS[name], value)
        taken.add(list_name)
    assert taken == allowed


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_takes_its_operators(name):
    number = LISTS[min(LISTS_OF.get(name, {"exit"}))]
    taken = set()
    for operator in OPERATORS:
        try:
            parse_field(f"{name}{operator}{VALUES[name][0]}", number, HOST)
        except FieldError:
            continue
        taken.add(operator)
    two = {"inode", "fstype", "arch", "exe"}
    assert taken == ({"="} if name == "perm" else {"=", "!="} if name in two else set(OPERATORS))


@pytest.mark.parametrize(("code", "pair"), COMPARISONS.items())
def test_a_comparison_is_listed_one_way_round(code, pair):
    left, right = pair
    for text in (f"{left}!={right}", f"{right}!={left}"):
        field = parse_comparison(text, EXIT)
        assert (field.code, field.value) == (FIELD_COMPARE, code)
        assert rule_text(Rule(EXIT, 2, 1, (field,))) == f"-a always,exit -S read -C {left}!={right}"


def test_there_are_25_comparisons():
    assert len(COMPARISONS) == 25


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a0&=1", ("a0", "&=", "1")),
        ("a0&1", ("a0", "&", "1")),
        ("uid>=1", ("uid", ">=", "1")),
        ("uid>1", ("uid", ">", "1")),
        ("path=/a<b", ("path", "=", "/a<b")),
        ("key=a!=b", ("key=a", "!=", "b")),
    ],
)
def test_the_first_operator_of_the_table_splits(text, parts):
    assert split_field(text, "-F") == parts


@pytest.mark.parametrize(
    ("letters", "bits"), [("r", 4), ("awxr", 15), ("WA", 10), ("ww", 2), ("", None), ("rr-", None)]
)
def test_permissions_are_bits(letters, bits):
    assert permission_bits(letters) == bits


@pytest.mark.parametrize("text", ["", "x", "0x", "1 ", "1_0", "0b1", "٣", "+1", "9" * 33])
def test_what_is_no_number_in_c_is_none(text):
    assert number_value(text) is None


@given(st.text(max_size=30), st.sampled_from([*LISTS.values(), 0xFFFFFFFF]))
def test_random_text_gives_field_error_only(text: str, number: int):
    check_part(lambda: parse_field(text, number, HOST), text)
    check_part(lambda: parse_comparison(text, number), text)


@given(
    st.sampled_from(sorted(FIELDS)), st.sampled_from(list(OPERATORS)), st.text(max_size=30),
    st.sampled_from(list(LISTS.values())),
)  # fmt: skip
def test_random_values_give_field_error_only(name: str, operator: str, value: str, number: int):
    text = f"{name}{operator}{value}"
    field = check_part(lambda: parse_field(text, number, HOST), text)
    if field is None:
        return
    assert isinstance(field.value, bytes) or 0 <= field.value <= 0xFFFFFFFF
