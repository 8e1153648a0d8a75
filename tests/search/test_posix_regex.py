import contextlib
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.search.posix_regex import compile_posix

CASES = [
    (b"a+b", b"xaab", True),
    (b"^a$", b"a", True),
    (b"[]a]b", b"]b", True),
    (b"[^]a]b", b"]b", False),
    (b"[[:alpha:]_]+[[:digit:]]", b"ab_1", True),
    (b"[a\\]b", b"\\b", True),
    (b"\\<ls\\>", b"an ls here", True),
    (b"\\<ls\\>", b"also", False),
    (b"a++b", b"aab", True),
    (b"(ab){2}", b"abab", True),
    (b"x|y", b"zy", True),
    (b"\\.", b"a", False),
    (b"\\d", b"d", True),
    (b"[.]", b"a", False),
    (b"[&&~]", b"~", True),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_a_pattern_matches_as_posix_says(pattern, text, expected):
    assert bool(compile_posix(pattern).search(text)) == expected


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_grep_says_the_same(pattern, text, expected):
    grep = shutil.which("grep")
    assert grep
    done = subprocess.run([grep, "-Eq", "--", pattern], input=text, stderr=subprocess.DEVNULL)
    assert (done.returncode == 0) == expected


@pytest.mark.parametrize("pattern", [b"(", b"[a", b"a\\", b"(?i)a", b"[[:none:]]", b"a{3,1}"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match=r"\w"):
        compile_posix(pattern)


@given(st.binary(max_size=30))
def test_any_bytes_are_a_pattern_or_a_value_error(pattern):
    with contextlib.suppress(ValueError):
        compile_posix(pattern)
