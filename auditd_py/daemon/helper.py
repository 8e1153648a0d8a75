"""Has programs of ours look after rotated logs, in processes of idle priority."""

from __future__ import annotations

import structlog

from auditd_py.daemon import idle_program
from auditd_py.errors import LogError

log = structlog.get_logger()


class Helper:
    """Runs the module `program`, one at a time; `failed` counts those that did not succeed.

    `failure` is what is logged then; the next rotation tries again.
    """

    def __init__(self, program: str, failure: str) -> None:
        self.failed = 0
        self._program = program
        self._failure = failure
        self._busy = False
        self._next: tuple[str, ...] | None = None

    @property
    def busy(self) -> bool:
        """Whether it runs now."""
        return self._busy

    async def run(self, *arguments: str) -> None:
        """Run the program, or again as soon as it is done."""
        self._next = arguments
        if self._busy:
            return
        self._busy = True
        try:
            while self._next is not None:
                words, self._next = self._next, None
                await idle_program.run("-m", self._program, *words)
        except (OSError, LogError) as error:
            self.failed += 1
            log.error(self._failure, reason=str(error))
        finally:
            self._busy = False
