"""auditd_py.rules.file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.rules.file import errors, lex, merged, parse_file, wanted
from auditd_py.rules.host import Host
from auditd_py.rules.parse import parse_words
from tests.rules.strategies import WORDS

if TYPE_CHECKING:
    from auditd_py.rules.rule import Rule


def added(text: str) -> Rule:
    """Return the rule of a command line as the kernel has it."""
    rule = parse_words(text).added()
    assert rule is not None
    return rule.canonical()


def parsed(text: str, path: str = "a.rules"):
    """Return the lines of a file that has no errors."""
    lines = parse_file(text.encode(), path, Host())
    assert errors(lines) == []
    return lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"-w /a  -p wa \n", ["-w", "/a", "-p", "wa"]),
        (b"   -D", ["-D"]),
        (b"-D\r\n", ["-D"]),
        (b"-w /a\\ b", ["-w", "/a b"]),
        (b"-w /a\\\\b", ["-w", "/a\\b"]),
        (b"-w /a\\b\\", ["-w", "/a\\b\\"]),
        (b"-w\t/a", ["-w\t/a"]),
        (b'-k "a b"', ["-k", '"a', 'b"']),
        (b"-k \\ x\\ ", ["-k", " x "]),
        (b"-w /\xff", ["-w", "/\udcff"]),
    ],
)
def test_a_line_is_split_at_spaces(text, words):
    assert [line.line.words for line in lex(text, "a")] == [words]


def test_empty_lines_and_comments_count_as_lines():
    text = b"# comment\n\n  # another\n-D\n\r\n-b 5\n"
    assert [(line.number, line.line.words) for line in lex(text, "a")] == [
        (4, ["-D"]),
        (6, ["-b", "5"]),
    ]


@pytest.mark.parametrize(("length", "wrong"), [(6144, False), (6145, True)])
def test_a_line_has_6144_bytes_at_most(length, wrong):
    (line,) = lex(b"-k " + b"x" * (length - 3), "a")
    assert (line.error is not None) == wrong


def test_all_errors_of_a_file_are_found_with_their_lines():
    text = b"-a always,exit -F arch=b64 -S opnat\n-D\n-w etc\n-R other\n"
    found = errors(parse_file(text, "x/a.rules", Host()))
    assert [str(error).splitlines()[0] for error in found] == [
        "x/a.rules:1: Syscall name unknown: opnat",
        "x/a.rules:3: The path must start with '/'",
        "x/a.rules:4: -R is not allowed in a rule file",
    ]


def test_an_error_points_into_a_line_with_escapes():
    (found,) = errors(parse_file(b"-w /a\\ b -p z", "a", Host()))
    assert found.text[slice(*found.span)] == "z"


def test_a_file_says_what_the_kernel_holds_afterwards():
    lines = parsed("-D\n-b 5\n-w /a\n-a never,task -F uid=0\n-A always,exit -F uid=1\n-b 6\n-e 1\n")
    found = wanted(lines, [added("-w /old")])
    expected = ["-a never,task -F uid=0", "-A always,exit -F uid=1", "-w /a"]
    assert found.rules == [added(text) for text in expected]
    assert [s.option for s in found.settings.values()] == ["-b 6", "-e 1"]


def test_rules_that_are_there_are_kept_without_a_delete():
    lines = parsed("-w /a\n-D -k x\n-W /b\n")
    found = wanted(lines, [added("-w /b"), added("-w /c"), added("-w /d -k xyz")])
    assert found.rules == [added("-w /c"), added("-w /a")]


def test_duplicates_and_what_cannot_be_deleted_are_named():
    lines = parsed("-w /a\n", "a") + parsed("-a always,exit -F path=/a -F perm=rwxa\n-W /x\n", "b")
    found = wanted(lines)
    assert [line.where for line in found.duplicates] == ["b:1"]
    assert [line.where for line in found.missing] == ["b:2"]
    assert found.rules == [added("-w /a")]


def test_of_several_files_deleting_all_comes_first():
    lines = parsed("-w /a\n-D\n", "a") + parsed("-D\n-w /b\n-D -k x\n", "b")
    assert [line.line.text for line in merged(lines)] == ["-D", "-w /a", "-w /b", "-D -k x"]


@given(st.binary(max_size=200))
def test_random_bytes_give_rule_errors_only(data: bytes):
    lines = parse_file(data, "a", Host())
    wanted(lines)
    for error in errors(lines):
        str(error)


@given(st.lists(WORDS, max_size=4))
def test_random_lines_give_rule_errors_only(lines):
    text = "\n".join(" ".join(words) for words in lines)
    found = parse_file(text.encode("utf-8", "surrogateescape"), "a", Host())
    wanted(found)
    for error in errors(found):
        str(error)
