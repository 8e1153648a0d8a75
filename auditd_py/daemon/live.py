"""A line on the terminal that shows how the daemon does."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditd_py.daemon.kernel import Kernel
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.source import Source


class LiveLine:
    """Rewrites one line each second: records a second, written, lost, backlog."""

    def __init__(self, source: Source, kernel: Kernel, log_file: LogFile) -> None:
        self._source = source
        self._kernel = kernel
        self._log_file = log_file

    async def run(self) -> None:
        """Show the line until cancelled, then end it."""
        before, since = self._source.counters.records, time.monotonic()
        try:
            while True:
                await asyncio.sleep(1)
                now, records = time.monotonic(), self._source.counters.records
                rate = (records - before) / (now - since)
                before, since = records, now
                self._show(
                    f"{rate:,.0f} records/s   written {self._log_file.counters.written:,}   "
                    f"lost {self._kernel.lost:,}   backlog {self._kernel.status.backlog:,}"
                )
        finally:
            self._show("")

    def _show(self, text: str) -> None:
        try:
            sys.stderr.write("\r\033[K" + text)
            sys.stderr.flush()
        except OSError:
            pass  # the terminal is gone; SIGHUP or SIGTERM will tell
