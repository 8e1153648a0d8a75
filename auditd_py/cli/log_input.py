"""What the commands that report on logs share: the locale of times, and which log is read."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from auditd_py.search import reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.search.reader import LogFile


def use_locale() -> None:
    """Write and read times as the locale of the environment does."""
    import _locale  # the module `locale` takes five times as long to load

    try:
        _locale.setlocale(_locale.LC_TIME, "")
    except _locale.Error:  # type: ignore[attr-defined]
        pass  # the locale is not installed: that of C


def say(text: str) -> None:
    """Tell the user something that is no result."""
    sys.stderr.write(f"{text}\n")


def opened(path: str, *, logs_even_if_piped: bool = False) -> list[LogFile]:
    """Open what is to be read: a file, a folder's log, standard input or the configured log.

    Raises LogError.
    """
    if path and os.path.isdir(path):
        say(f"NOTE - using logs in {path}")
        return reader.open_log(os.path.join(path, "audit.log"))
    if path:
        return [reader.open_file(path)]
    if not logs_even_if_piped and stat.S_ISFIFO(os.fstat(0).st_mode):
        return [reader.open_file("/dev/stdin")]
    from auditd_py.search.settings import reader_settings

    settings = reader_settings()
    for problem in settings.problems:
        say(problem)
    return reader.open_log(settings.log_file)


def chunks(files: Iterable[LogFile]) -> Iterator[bytes]:
    """Give the bytes of files, in order, and close each."""
    for file in files:
        left = file.stop - file.start if file.stop else None
        for data, end in reader.blocks(file, say, file.start):
            wanted = end if left is None else min(end, left)
            yield data if wanted == len(data) else data[:wanted]
            if left is not None:
                left -= wanted
                if not left:
                    break
        file.close()
