"""auditd_py.rules.words."""

from __future__ import annotations

import pytest

from auditd_py.errors import RuleError
from auditd_py.rules.words import Line, nearest, options


def found(*words: str) -> list[tuple[str, str]]:
    """Return name and argument of the options of a command line."""
    return [(option.name, option.value) for option in options(Line.of_words(words))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-w", "/etc", "-p", "wa"], [("w", "/etc"), ("p", "wa")]),
        (["-w/etc"], [("w", "/etc")]),
        (["-li"], [("l", ""), ("i", "")]),
        (["-liw", "/etc"], [("l", ""), ("i", ""), ("w", "/etc")]),
        (["-k", "-S"], [("k", "-S")]),
        (["--signal", "stop"], [("signal", "stop")]),
        (["--signal=stop"], [("signal", "stop")]),
        (["--sig", "stop"], [("signal", "stop")]),
        (["--backlog_wait_time="], [("backlog_wait_time", "")]),
        (["--reset-lost"], [("reset-lost", "")]),
        (["stray"], [("", "stray")]),
        (["-"], [("", "-")]),
        (["--", "-w"], [("", "-w")]),
        ([], []),
    ],
)
def test_options_are_found_as_getopt_does(words, expected):
    assert found(*words) == expected


@pytest.mark.parametrize(
    ("words", "reason", "span"),
    [
        (["-z"], "Option -z is invalid", (0, 2)),
        (["-l", "-iz"], "Option -z is invalid", (3, 6)),
        (["-w"], "Option -w is invalid", (0, 2)),
        (["-i", "--signal"], "Option --signal is invalid", (3, 11)),
        (["--reset-lost=1"], "Option --reset-lost=1 is invalid", (0, 14)),
        (["--reset"], "Option --reset is invalid", (0, 7)),
        (["--reset-lots"], "Option --reset-lots is invalid", (0, 12)),
    ],
)
def test_an_option_that_cannot_be_is_pointed_at(words, reason, span):
    with pytest.raises(RuleError) as caught:
        found(*words)
    assert (caught.value.reason, caught.value.span) == (reason, span)


def test_the_nearest_option_is_named():
    with pytest.raises(RuleError) as caught:
        found("--reset-lots")
    assert caught.value.suggestion == "--reset-lost"


def test_words_with_spaces_are_shown_in_quotes():
    line = Line.of_words(["-w", "/a b", ""])
    assert (line.text, line.spans) == ("-w '/a b' ''", [(0, 2), (4, 8), (11, 11)])


@pytest.mark.parametrize(
    ("word", "meant"), [("opnat", "openat"), ("xyzzy", ""), ("", ""), ("o" * 100, "")]
)
def test_the_nearest_word_is_found(word, meant):
    assert nearest(word, ["open", "openat", "close"]) == meant
