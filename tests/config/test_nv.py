import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.config.nv import MAX_FILE, Entry, file_flaws, read_lines, read_settings, shown
from auditd_py.errors import ConfigError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="settings files belong to root")


def entries_of(data: bytes) -> list[Entry]:
    entries, problems = read_lines(data, "f.conf")
    assert problems == []
    return entries


def problems_of(data: bytes) -> list[str]:
    return [str(problem) for problem in read_lines(data, "f.conf")[1]]


def refusal(path: Path, **kinds: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings(str(path), **{"allow_links": False, **kinds})
    return str(caught.value)


def test_a_line_is_keyword_equal_sign_value() -> None:
    assert entries_of(b"num_logs = 5\n") == [Entry(1, "num_logs", "5")]


def test_words_after_the_value_are_options() -> None:
    assert entries_of(b"args = 0640 /run/x string\n") == [
        Entry(1, "args", "0640", ("/run/x", "string"))
    ]


def test_keywords_are_lowered_and_values_are_not() -> None:
    assert entries_of(b"Log_File = /Var/Log\n") == [Entry(1, "log_file", "/Var/Log")]


def test_tabs_separate_words() -> None:
    assert entries_of(b"\tnum_logs\t=\t5\t\n") == [Entry(1, "num_logs", "5")]


def test_a_last_line_without_newline_counts() -> None:
    assert entries_of(b"freq = 1\nnum_logs = 5") == [
        Entry(1, "freq", "1"),
        Entry(2, "num_logs", "5"),
    ]


def test_lines_may_end_in_crlf() -> None:
    assert entries_of(b"freq = 1\r\n\r\n# x\r\nname = a\r\n") == [
        Entry(1, "freq", "1"),
        Entry(4, "name", "a"),
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_keyword() -> None:
    assert entries_of(b"\xef\xbb\xbffreq = 1\n") == [Entry(1, "freq", "1")]


def test_a_long_line_is_read() -> None:
    assert entries_of(b"name = " + b"a" * 5000 + b"\n") == [Entry(1, "name", "a" * 5000)]


def test_comments_and_empty_lines_set_nothing() -> None:
    assert entries_of(b"# a = b\n\n   \t\n  ##num_logs = 5\n") == []


def test_a_comment_may_be_in_any_encoding() -> None:
    assert entries_of(b"# caf\xe9\n") == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"num_logs=5", "f.conf:1: no equal sign with spaces around it: write num_logs = 5"),
        (b"num_logs =5", "f.conf:1: num_logs: no equal sign with spaces around it: write num_logs = 5"),
        (b"num_logs 5", "f.conf:1: num_logs: no equal sign with spaces around it: write num_logs = 5"),
        (b"name", "f.conf:1: name: no equal sign with spaces around it: write name = VALUE"),
        (b"name = ", "f.conf:1: name: no value after the equal sign: give one, or put # before the line"),
        (b"= 5", "f.conf:1: no keyword before the equal sign"),
        (b"name = a\0b", "f.conf:1: has the control byte 0x00: remove it"),
        (b"name = \xe9", "f.conf:1: has the byte 0xe9, which is not UTF-8: write it in UTF-8"),
    ],
)  # fmt: skip
def test_a_malformed_line_is_a_problem_that_says_what_to_do(line: bytes, problem: str) -> None:
    assert problems_of(line) == [problem]


def test_every_malformed_line_is_reported_and_the_others_are_read() -> None:
    entries, problems = read_lines(b"a\nfreq = 1\nb\n", "f.conf")
    assert [entry.keyword for entry in entries] == ["freq"]
    assert [problem.line for problem in problems] == [1, 3]


@given(st.binary())
def test_random_bytes_give_entries_and_problems_only(data: bytes) -> None:
    entries, problems = read_lines(data, "f.conf")
    lines = [entry.line for entry in entries] + [problem.line for problem in problems]
    assert len(set(lines)) == len(lines)


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@given(words.filter(lambda word: word[0] not in "#=\ufeff"), words, st.lists(words))
def test_what_is_written_is_read_back(keyword: str, value: str, options: list[str]) -> None:
    line = " ".join((keyword, "=", value, *options)).encode()
    assert entries_of(line) == [Entry(1, keyword.lower(), value, tuple(options))]


def test_a_value_in_a_message_is_short_and_printable() -> None:
    assert shown("a" * 100) == "a" * 57 + "..."
    assert shown("a\u202eb") == r"'a\u202eb'"


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_settings(str(tmp_path / "none"), allow_links=False) is None


@needs_root
def test_the_bytes_of_a_file_are_returned(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.write_bytes(b"freq = 1\n")
    assert read_settings(str(path), allow_links=False) == b"freq = 1\n"


@needs_root
def test_a_link_is_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    link = tmp_path / "f.conf"
    link.symlink_to("real")
    assert "a symbolic link, which is not followed here" in refusal(link)
    assert read_settings(str(link), allow_links=True) == b"x"


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.conf").symlink_to("f.conf")
    assert "Too many levels of symbolic links" in refusal(tmp_path / "f.conf", allow_links=True)


@needs_root
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.touch()
    os.chown(path, 1234, 0)
    assert (
        refusal(path) == f"{path}: owned by uid 1234, it must be owned by root: chown root {path}"
    )


@needs_root
def test_a_file_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.touch()
    path.chmod(0o666)
    assert refusal(path) == f"{path}: writable by everybody: chmod o-w {path}"


@needs_root
def test_a_file_its_group_may_write_is_refused_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.touch()
    path.chmod(0o660)
    assert read_settings(str(path), allow_links=False) == b""
    assert "writable by its group" in refusal(path, refused_mode=stat.S_IWGRP | stat.S_IWOTH)


def test_all_that_is_wrong_with_a_file_is_told() -> None:
    assert len(file_flaws("f", stat.S_IFREG | 0o666, 5)) == 2


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "not a regular file" in refusal(tmp_path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.conf")
    assert "not a regular file" in refusal(tmp_path / "f.conf")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be opened: Not a directory" in refusal(tmp_path / "file" / "f.conf")


@needs_root
def test_a_file_too_long_for_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.write_bytes(b"#" * MAX_FILE)
    assert read_settings(str(path), allow_links=False) == b"#" * MAX_FILE
    path.write_bytes(b"#" * (MAX_FILE + 1))
    assert f"longer than {MAX_FILE} bytes" in refusal(path)
