"""Has the archives of a log indexed for reports, in a process of idle priority."""

from __future__ import annotations

import structlog

from auditd_py.daemon import idle_program
from auditd_py.errors import LogError

log = structlog.get_logger()


class Indexer:
    """Runs index_program, one at a time; `failed` counts those that did not succeed."""

    def __init__(self) -> None:
        self.failed = 0
        self._busy = False
        self._again = False

    @property
    def busy(self) -> bool:
        """Whether it runs now."""
        return self._busy

    async def run(self, path: str) -> None:
        """Index the archives of the log `path`. What fails is logged: the next rotation tries."""
        self._again = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._again:
                self._again = False
                await idle_program.run("-m", "auditd_py.daemon.index_program", path)
        except (OSError, LogError) as error:
            self.failed += 1
            log.error("archives cannot be indexed", reason=str(error))
        finally:
            self._busy = False
