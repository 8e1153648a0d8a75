"""User and group names for enrichment, looked up off the event loop.

The name service may itself wait for something that is being audited, so a look-up has a limit:
after it the id is written as unknown, and until the service answers again nobody waits for it.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
import queue
import threading
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

LIMIT_S: Final = 3.0

log = structlog.get_logger()


class NameService:
    """Resolves ids in a thread of its own. `timeouts` counts look-ups given up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float = LIMIT_S) -> None:
        self.timeouts = 0
        self._loop = loop
        self._limit_s = limit_s
        self._stuck: asyncio.Future[object] | None = None
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def look_up(
        self, users: Collection[int], groups: Collection[int]
    ) -> tuple[dict[int, bytes | None], dict[int, bytes | None]]:
        """Return the names of user and group ids; None for one that does not exist."""
        nobody: tuple[dict[int, bytes | None], dict[int, bytes | None]] = (
            dict.fromkeys(users),
            dict.fromkeys(groups),
        )
        if self._stuck is not None and not self._stuck.done():
            self.timeouts += 1
            return nobody
        future: asyncio.Future[object] = self._loop.create_future()
        found: tuple[dict[int, bytes | None], dict[int, bytes | None]] = ({}, {})

        def work() -> None:
            for uid in users:
                found[0][uid] = _user(uid)
            for gid in groups:
                found[1][gid] = _group(gid)
            try:
                self._loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:
                pass  # the loop ended meanwhile

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="names", daemon=True)
            self._thread.start()
        self._queue.put(work)
        try:
            async with asyncio.timeout(self._limit_s):
                await asyncio.shield(future)
        except TimeoutError:
            self._stuck = future
            self.timeouts += 1
            log.error("the name service does not answer; ids are logged as unknown until it does")
            return nobody
        return found

    def _run(self) -> None:
        while work := self._queue.get():
            work()


def _finish(future: asyncio.Future[object]) -> None:
    if not future.done():
        future.set_result(None)


def _user(uid: int) -> bytes | None:
    try:
        return pwd.getpwuid(uid).pw_name.encode("utf-8", "surrogateescape")
    except (KeyError, OSError, OverflowError):
        return None


def _group(gid: int) -> bytes | None:
    try:
        return grp.getgrgid(gid).gr_name.encode("utf-8", "surrogateescape")
    except (KeyError, OSError, OverflowError):
        return None
