"""The record that -m sends."""

from __future__ import annotations


def user_message(text: str, exe: str, terminal: str) -> bytes:
    """Return the text of a USER record; `terminal` is empty without one.

    It has three NUL bytes at most at its end: with the one that ends it in the message it is a
    multiple of 4 bytes long.
    """
    whole = (
        f"text={text} exe={_encoded(exe)} hostname=? addr=? terminal={terminal or '?'} res=success"
    ).encode("utf-8", "surrogateescape")
    return whole + bytes(-(len(whole) + 1) % 4)


def _encoded(text: str) -> str:
    if all("!" <= c <= "~" and c != '"' for c in text):
        return f'"{text}"'
    return text.encode("utf-8", "surrogateescape").hex().upper()
