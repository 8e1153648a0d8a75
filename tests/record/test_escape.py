"""auditd_py.record.escape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.escape import Escape, escaped, typed
from auditd_py.tables.tty_keys import keys

TEXT = b"a b\n$x;'\xc3\xa9\x7f"


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (Escape.RAW, TEXT),
        (Escape.TTY, b"a b\\012$x;'\xc3\xa9\x7f"),
        (Escape.SHELL, b"a\\ b\\012\\$x;\\'\xc3\xa9\x7f"),
        (Escape.SHELL_QUOTE, b"a\\ b\\012\\$x\\;\\'\xc3\xa9\x7f"),
    ],
)
def test_what_a_terminal_or_shell_would_obey_is_escaped(mode, shown):
    assert escaped(TEXT, mode) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"ls \r", b'"ls ",<ret>'),
        (b'say "a\\b"', b'"say \\"a\\\\b\\""'),
        (b"\x1b[A\x1b[B\x1b", b"<up>,<down>,<esc>"),
        (b"\x1b[1;2A", b"<scroll-backward>"),
        (b"\xff\0", b'"\\377\\000"'),
        (b"\x7f\x03", b"<backspace>,<^C>"),
        (b"", b""),
    ],
)
def test_typed_keys_have_names(data, shown):
    assert typed(data) == shown


def test_no_key_hides_a_longer_one():
    known = list(keys())
    hidden = [(a, b) for i, a in enumerate(known) for b in known[i + 1 :] if b.startswith(a)]
    assert hidden == []


@given(st.binary())
def test_what_was_typed_is_shown_without_control_characters(data):
    assert not any(byte < 0x20 or byte > 0x7E for byte in typed(data))
