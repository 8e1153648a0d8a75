"""What only a terminal gets: colour, a pager, and how far a long search has come."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

_FIRST_S: Final = 1.0  # a shorter search shows no bar
_EVERY_S: Final = 0.2
_WIDTH: Final = 30

_marked = re.compile(
    rb"^(?P<rule>----)$|^(?P<time>time->.*)$|(?P<type>\btype=[^ ]+)"
    rb"|(?P<bad>\b(?:success=no|res=(?:failed|no|0)|result=failed|avc: +denied|exit=E[A-Z]+[^ ]*))(?=[ '\n]|$)"
    rb"|(?P<key>\bkey=(?!\(null\))[^ \n]+)",
    re.MULTILINE,
)
_COLORS: Final = {"rule": b"2", "time": b"1", "type": b"36", "bad": b"31", "key": b"33"}


def colored(text: bytes) -> bytes:
    """Return what ausearch shows, with the colours of a terminal."""
    return _marked.sub(_colored, text)


def _colored(found: re.Match[bytes]) -> bytes:
    return b"\x1b[%bm%b\x1b[0m" % (_COLORS[found.lastgroup or "rule"], found[0])


def wants_color(when: str) -> bool:
    """Say whether output is to be coloured: always, never, or on a terminal (auto)."""
    if when != "auto":
        return when == "always"
    return os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def start_pager() -> subprocess.Popen[bytes] | None:
    """Start the pager that reads what is written, None if there is none to start."""
    import shutil
    import subprocess

    words = shlex.split(os.environ.get("PAGER") or "less")
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        return None
    environment = {"LESS": "FRX", **os.environ}
    return subprocess.Popen(words, stdin=subprocess.PIPE, env=environment)  # noqa: S603  the user's own


class Progress:
    """Shows on standard error how much of a search is done, if that is a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._on = os.isatty(2) and total > 0
        self._begun = self._next = time.monotonic()
        self._next += _FIRST_S
        self._shown = False
        self._done = 0

    def add(self, count: int) -> None:
        """Note that so many bytes are done."""
        if not self._on:
            return
        self._done += count
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        part = min(1.0, self._done / self._total)
        filled = int(part * _WIDTH)
        left_s = (now - self._begun) * (1 - part) / max(part, 0.001)
        sys.stderr.write(
            f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%}"
            f" of {self._total / 1e6:,.0f} MB, {left_s:.0f} s left \x1b[K"
        )
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the bar away before something else is written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
