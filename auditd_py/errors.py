"""What can go wrong, sorted by who must act."""

from __future__ import annotations

import os
from typing import NamedTuple


class AuditError(Exception):
    """Base of every error this package raises on purpose."""


class Problem(NamedTuple):
    """One thing wrong with a settings file.

    `line` is 1-based, 0 when the problem is the file itself or a combination of lines.
    `keyword` is empty when the line has none. `text` says what is wrong and what is allowed.
    """

    path: str
    line: int
    keyword: str
    text: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.keyword + ': ' if self.keyword else ''}{self.text}"


class ConfigError(AuditError):
    """A settings file cannot be used; the administrator must edit it.

    `problems` holds everything wrong with the file, in line order, at least one.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class KernelError(AuditError):
    """The kernel refused a request; `errno` is its reason, `request` what was asked."""

    def __init__(self, errno: int, request: str) -> None:
        super().__init__(f"{request}: {os.strerror(errno)} (errno {errno})")
        self.errno = errno
        self.request = request


class WireError(AuditError):
    """Bytes from a socket are not what the protocol allows."""


class TimeError(AuditError):
    """A date or time on a command line cannot be understood; the text says what is allowed."""


class LogError(AuditError):
    """The log file cannot be used; `path` names the component at fault."""

    def __init__(self, path: str, reason: str, errno: int = 0) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno


class ActionError(AuditError):
    """An action of auditd.conf could not be done."""


class RuleError(AuditError):
    """A rule cannot be used; whoever wrote it must change it.

    `reason` says why. `text` is the line it stands in and `span` the offending part of it, from
    and up to a position. `suggestion` is the nearest word that is allowed, empty if none is
    near. `where` is `file:line`, empty for a command line.
    """

    def __init__(
        self,
        reason: str,
        text: str = "",
        span: tuple[int, int] = (0, 0),
        suggestion: str = "",
        where: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.span = span
        self.suggestion = suggestion
        self.where = where

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.reason}" if self.where else self.reason]
        start, end = self.span
        hint = f"did you mean {self.suggestion}?" if self.suggestion else ""
        if self.text and end > start:
            # of a long line what is around the part
            first = max(0, start - 60) if len(self.text) > 100 else 0
            part = self.text[first : max(first + 100, min(end, start + 60))]
            marks = "^" * min(end - start, len(part) + first - start)
            lines.append("  " + "".join(c if c.isprintable() else "?" for c in part))
            lines.append(f"  {' ' * (start - first)}{marks} {hint}".rstrip())
        elif hint:
            lines.append(f"  {hint}")
        return "\n".join(lines)
