"""What tests of the log have in common: who is told, and lines that can be counted."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from auditd_py.daemon.logfile import LogFile, LogSettings
from auditd_py.log.flush import FlushPolicy, flush_policy

if TYPE_CHECKING:
    from pathlib import Path

    from auditd_py.log.incident import Incident

NONE = flush_policy("none", 0)


class Told:
    """Whom a LogFile tells, see logfile.Watcher."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        self.messages: list[tuple[str, str]] = []
        self.rotations = 0
        self.recoverable = asyncio.Event()
        self.space = asyncio.Event()
        self._changed = asyncio.Event()

    def incident(self, incident: Incident) -> None:
        self.incidents.append(incident)
        self._changed.set()

    def log_recoverable(self) -> None:
        self.recoverable.set()
        self._changed.set()

    def log_rotated(self) -> None:
        self.rotations += 1
        self._changed.set()

    def log_told(self, level: str, text: str) -> None:
        self.messages.append((level, text))
        self._changed.set()

    def log_has_space(self) -> None:
        self.space.set()
        self._changed.set()


class Log:
    """A LogFile, whom it told, and lines with numbers in it."""

    def __init__(self, path: Path, limit: int = 1 << 20) -> None:
        self.path = path
        self.told = Told()
        self.file = LogFile(asyncio.get_running_loop(), limit, self.told)
        self.appended = 0

    async def open(self, policy: FlushPolicy = NONE, group: int = 0, **settings: object) -> None:
        """Open it with such LogSettings."""
        await self.file.open(LogSettings(str(self.path), group, policy, **settings))  # type: ignore[arg-type]

    def append(self, lines: int = 1, width: int = 100) -> None:
        """Append so many lines in one piece, each `width` bytes."""
        numbers = range(self.appended, self.appended + lines)
        self.file.append(b"".join(b"%0*d\n" % (width - 1, n) for n in numbers), lines)
        self.appended += lines

    async def settled(self) -> None:
        """Return when all that was asked of the log is done, and told."""
        await self.file.settle()
        await asyncio.sleep(0)

    async def tick(self) -> None:
        """Let the log do what is due by time."""
        self.file.tick()
        await self.settled()

    def numbers(self, path: Path | None = None) -> list[int]:
        """Return the numbers of the lines in the log, or in `path`; fails on a torn line."""
        lines = (path or self.path).read_bytes().split(b"\n")
        assert lines.pop() == b""
        return [int(line) for line in lines]

    def archives(self) -> list[Path]:
        """Return log and archives, the oldest first."""
        found = {}
        for path in self.path.parent.iterdir():
            if match := re.fullmatch(
                re.escape(self.path.name) + r"(?:\.(\d+)(?:\.\w+)?)?", path.name
            ):
                found[int(match[1] or 0)] = path
        return [found[number] for number in sorted(found, reverse=True)]
