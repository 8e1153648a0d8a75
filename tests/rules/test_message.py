"""auditd_py.rules.message."""

from __future__ import annotations

import pytest

from auditd_py.rules.message import user_message


def test_the_text_says_who_sent_it():
    assert user_message("a b", "/sbin/auditctl", "pts/0").rstrip(b"\0") == (
        b'text=a b exe="/sbin/auditctl" hostname=? addr=? terminal=pts/0 res=success'
    )


def test_a_path_with_a_space_is_hex():
    assert b" exe=2F6120 hostname" in user_message("x", "/a ", "")


@pytest.mark.parametrize("length", range(4))
def test_with_its_last_nul_it_is_a_multiple_of_four(length):
    assert len(user_message("x" * length, "/x", "") + b"\0") % 4 == 0
