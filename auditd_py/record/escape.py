"""What is done to bytes before a terminal or a shell sees them, and how typed keys are shown."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Final

from auditd_py.tables.tty_keys import keys


class Escape(StrEnum):
    """How values are escaped (ausearch --escape)."""

    RAW = "raw"  # not at all
    TTY = "tty"  # control characters as \ooo
    SHELL = "shell"  # and a backslash before what a shell reads in double quotes
    SHELL_QUOTE = "shell_quote"  # and before what a shell reads anywhere


_SPECIAL: Final = {
    Escape.TTY: re.compile(rb"[\x00-\x1f]"),
    Escape.SHELL: re.compile(rb"""[\x00-\x1f"'`$\\!()| ]"""),
    Escape.SHELL_QUOTE: re.compile(rb"""[\x00-\x1f"'`$\\!()| ;#&*?\[\]<>{}]"""),
}


def escaped(value: bytes, mode: Escape) -> bytes:
    """Return a value as it may be shown."""
    special = _SPECIAL.get(mode)
    return value if special is None else special.sub(_escape, value)


def _escape(found: re.Match[bytes]) -> bytes:
    byte = found[0][0]
    return b"\\%03o" % byte if byte < 0x20 else b"\\" + found[0]


def typed(data: bytes) -> bytes:
    r"""Return what was typed at a terminal: text in quotes, keys by name, e.g. `"ls",<ret>`.

    Other bytes are \ooo in the quotes.
    """
    parts: list[bytes] = []
    text = bytearray()
    for key, plain, quoted, other in _typed().findall(data):
        if key:
            if text:
                parts.append(b'"%b"' % bytes(text))
                text.clear()
            parts.append(b"<" + keys()[key] + b">")
        else:
            text += plain or (b"\\" + quoted if quoted else b"\\%03o" % other[0])
    if text:
        parts.append(b'"%b"' % bytes(text))
    return b",".join(parts)


@cache
def _typed() -> re.Pattern[bytes]:
    known = b"|".join(re.escape(key) for key in keys())
    return re.compile(rb"(" + known + rb")|([ !#-\[\]-~]+)|([\"\\])|(.)", re.DOTALL)
