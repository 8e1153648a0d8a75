"""POSIX extended regular expressions, which search expressions are written in, as Python's."""

from __future__ import annotations

import re
from typing import Final

_CLASSES: Final = {
    b"alpha": rb"a-zA-Z", b"digit": rb"0-9", b"alnum": rb"a-zA-Z0-9", b"upper": rb"A-Z",
    b"lower": rb"a-z", b"space": rb" \t\n\r\f\v", b"blank": rb" \t", b"xdigit": rb"0-9A-Fa-f",
    b"punct": rb"!-/:-@\[-`{-~", b"cntrl": rb"\x00-\x1f\x7f", b"print": rb" -~",
    b"graph": rb"!-~",
}  # fmt: skip
# what GNU's library adds
_ESCAPES: Final = {
    b"<": rb"\b(?=\w)", b">": rb"\b(?<=\w)", b"`": rb"\A", b"'": rb"\Z",
    **{c: b"\\" + c for c in (b"w", b"W", b"s", b"S", b"b", b"B")},
}  # fmt: skip

_piece = re.compile(
    rb"(?P<escape>\\(?P<char>.))|(?P<bracket>\[(?P<not>\^?)"
    rb"(?P<set>\]?(?:\[:[a-z]*:\]|\[\.[^]]*\.\]|\[=[^]]*=\]|[^]])*)\])"
    rb"|(?P<group>\(\?)|(?P<repeat>[*+?]{2,})|(?P<end>\$)|(?P<other>.)",
    re.DOTALL,
)
_member = re.compile(rb"\[:([a-z]*):\]|\[[.=](.)[.=]\]|(.)", re.DOTALL)


def compile_posix(pattern: bytes) -> re.Pattern[bytes]:
    """Return the pattern for use on bytes; raises ValueError if it is none."""
    if pattern.endswith(b"\\") and not pattern.endswith(b"\\\\"):
        raise ValueError("nothing follows the last backslash")
    translated = b"".join(_translated(piece) for piece in _piece.finditer(pattern))
    try:
        return re.compile(translated, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(getattr(error, "msg", str(error))) from None


def _translated(piece: re.Match[bytes]) -> bytes:
    if piece["escape"]:
        char = piece["char"]
        return _ESCAPES.get(char) or (b"\\" + char if char in b"123456789" else re.escape(char))
    if piece["bracket"]:
        members = b"".join(_translated_member(found) for found in _member.finditer(piece["set"]))
        return b"[" + piece["not"] + members + b"]"
    if piece["group"]:
        raise ValueError("nothing before the ? to repeat")
    if piece["repeat"]:
        # a repetition repeated: of the same thing once, any number of times, or none
        signs = set(piece["repeat"])
        return b"+" if signs == set(b"+") else b"?" if signs == set(b"?") else b"*"
    return rb"\Z" if piece["end"] else piece[0]


def _translated_member(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        if found[1] not in _CLASSES:
            raise ValueError(f"no such class: [:{found[1].decode()}:]")
        return _CLASSES[found[1]]
    char: bytes = found[2] or found[3]
    return char if char == b"-" or char.isalnum() else b"\\" + char
