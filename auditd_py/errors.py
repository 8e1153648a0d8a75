"""What can go wrong, sorted by who must act."""

from __future__ import annotations

import os
from dataclasses import dataclass


class AuditError(Exception):
    """Base of every error this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
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


class LogError(AuditError):
    """The log file cannot be used; `path` names the component at fault."""

    def __init__(self, path: str, reason: str, errno: int = 0) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno
