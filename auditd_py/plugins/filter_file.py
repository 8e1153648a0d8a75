"""The file of audisp-filter: one search expression a line."""

from __future__ import annotations

import os
import stat
from typing import Final

from auditd_py.errors import RuleError
from auditd_py.search.expression import Expression

MOST: Final = 1023  # bytes of a line


def read_filter(path: str) -> list[Expression]:
    """Return the expressions of a file.

    Raises OSError if it cannot be read, and an ExceptionGroup of RuleError for all that is wrong
    with it: then none of it is to be used.
    """
    # O_NONBLOCK: a FIFO must not hold up the plugin
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ExceptionGroup(path, [RuleError("not a regular file", where=path)])
        if mode & stat.S_IWOTH:
            reason = f"world writable: chmod o-w {path}"
            raise ExceptionGroup(path, [RuleError(reason, where=path)])
        return parse_filter(file.read(), path)


def parse_filter(data: bytes, path: str) -> list[Expression]:
    """Return the expressions in the bytes of a file; raises as `read_filter`."""
    found: list[Expression] = []
    errors: list[RuleError] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            found.append(_expression(line))
        except RuleError as error:
            error.where = f"{path}:{number}"
            errors.append(error)
    if errors:
        raise ExceptionGroup(path, errors)
    return found


def _expression(line: bytes) -> Expression:
    if len(line) > MOST:
        raise RuleError(f"{len(line)} bytes long: {MOST} are allowed")
    return Expression(line.decode("utf-8", "surrogateescape"))
