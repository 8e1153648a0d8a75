"""Counts a long log with two processes, each one half of it."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, Final

from auditd_py.report.blocks import BLOCK, cut
from auditd_py.search.reader import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST: Final = 24 << 20  # bytes: below, one process is as fast


def halves(files: list[LogFile]) -> tuple[list[LogFile], list[LogFile]] | None:
    """Return two parts of a log of about the same size, where no event is in both.

    None if it is too short for that, or not to be read from its middle, or if there is but one
    processor.
    """
    if len(os.sched_getaffinity(0)) < 2 or not all(file.is_plain for file in files):
        return None
    total = sum(file.size for file in files)
    middle = total // 2
    if total < _LEAST:
        return None
    for number, file in enumerate(files):
        if file.size < middle:
            middle -= file.size
            continue
        start = max(0, middle - BLOCK)
        place = cut(os.pread(file.descriptor, middle - start, start))
        if not place:
            return None
        first = LogFile(file.path, file.descriptor, stop=start + place)
        second = LogFile(file.path, os.dup(file.descriptor), start=first.stop)
        return [*files[:number], first], [second, *files[number + 1 :]]
    return None


class Half:
    """What another process counts: `count` returns what can be pickled."""

    def __init__(self, count: Callable[[], Any]) -> None:
        self._count = count
        self._pipe, pipe = os.pipe()
        self._process = os.fork()
        if not self._process:
            status = 1
            try:
                os.close(self._pipe)
                with open(pipe, "wb") as output:
                    pickle.dump(count(), output)
                status = 0
            finally:
                os._exit(status)
        os.close(pipe)

    def result(self) -> Any:  # noqa: ANN401
        """Return what was counted; if the process failed it is counted here."""
        with open(self._pipe, "rb") as file:
            data = file.read()
        _, status = os.waitpid(self._process, 0)
        return self._count() if status else pickle.loads(data)  # noqa: S301  our own process
