"""A log that is being written, read on and on, from file to file when it is rotated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from auditd_py.errors import LogError
from auditd_py.search.reader import blocks, open_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.search.reader import Blocks, LogFile


def follow_blocks(path: str, files: list[LogFile], on_problem: Callable[[str], None]) -> Blocks:
    """Give the lines of a log's open files, the oldest first, and then those that are written.

    An empty block says that there is nothing new: the caller waits as it likes. Ends never.
    """
    for file in files[:-1]:
        yield from blocks(file, on_problem)
        file.close()
    file, offset = files[-1], 0
    while True:
        before = offset
        for data, end in blocks(file, on_problem, offset, whole=True):
            offset += end
            yield data, end
        if offset > before:
            continue
        newer = _newer(path, file)
        if newer:
            # what was written between the last look and the rotation, also a line cut short
            yield from blocks(file, on_problem, offset)
            file.close()
            for between in newer[:-1]:
                yield from blocks(between, on_problem)
                between.close()
            file, offset = newer[-1], 0
            continue
        if file.size < offset:
            on_problem(f"{path}: was emptied, beginning anew")
            offset = 0
            continue
        yield b"", 0


def _newer(path: str, file: LogFile) -> list[LogFile]:
    """Return the files that came after one, none if it is the log still."""
    try:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) == file.identity:
            return []
        files = open_log(path)
    except (OSError, LogError):
        return []  # between two names: look again
    here = [number for number, one in enumerate(files) if one.identity == file.identity]
    # if it is gone, so are those before the newest, or they were read as its followers
    first = here[0] + 1 if here else len(files) - 1
    for one in files[:first]:
        one.close()
    return files[first:]
