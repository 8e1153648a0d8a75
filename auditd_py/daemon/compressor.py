"""Compresses rotated logs, one at a time, in a process of idle priority."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py.daemon import idle_program
from auditd_py.errors import LogError
from auditd_py.log.rotation import SUFFIXES

if TYPE_CHECKING:
    from auditd_py.daemon.logfile import LogFile

_PROGRAM: Final = str(Path(__file__).with_name("compress_program.py"))

log = structlog.get_logger()


class Compressor:
    """Compresses the archives of `log_file`; `failed` counts those that could not be."""

    def __init__(self, log_file: LogFile) -> None:
        self.done = 0
        self.failed = 0
        self._log_file = log_file
        self._one = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether it compresses now."""
        return self._one.locked()

    async def run(self, form: str) -> None:
        """Compress all that is not compressed yet as `form`, gzip or zstd.

        Returns at the first failure, which is logged: the next rotation tries again. One call
        waits for another, so that what comes after it finds the archives compressed.
        """
        async with self._one:
            try:
                while await self._compress_one(form):
                    self.done += 1
            except (OSError, LogError) as error:
                self.failed += 1
                log.error("a rotated log cannot be compressed", reason=str(error))

    async def _compress_one(self, form: str) -> bool:
        work = await self._log_file.begin_compression()
        if work is None:
            return False
        suffix = ""
        try:
            await idle_program.run(_PROGRAM, form, source=work.source, target=work.target)
            suffix = SUFFIXES[form]
        finally:
            # shielded: the file aside must go, or take its place, also when the daemon ends
            path = await asyncio.shield(self._log_file.end_compression(work, suffix))
        if path:
            log.info("rotated log compressed", path=path)
        return True
