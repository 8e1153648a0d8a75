"""Flushing beside the writer: the thread that makes files durable while writing goes on."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE_S: Final = 0.05  # between two flushes of the log
_MOST_RETIRED: Final = 16  # descriptors of logs that were rotated away


class Flusher:
    """Flushes the log (flush = incremental_async), and files that were rotated away.

    Requests made while a flush runs, or shortly after it, become one flush: a disk that does
    nothing but flush slows down everything else on it. `on_flush()` and `on_error(error)` are
    called in its thread.
    """

    def __init__(
        self, fd: int, on_flush: Callable[[], None], on_error: Callable[[OSError], None]
    ) -> None:
        self._fd = fd
        self._on_flush = on_flush
        self._on_error = on_error
        self._asked = False
        self._retired: deque[int] = deque()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-flusher", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Flush the log soon."""
        self._asked = True
        self._wanted.set()

    def switch(self, fd: int) -> None:
        """Take `fd` for the log; flush and close the descriptor there was.

        That happens aside, or at once where too many are waiting for it already.
        """
        old, self._fd = self._fd, fd
        if len(self._retired) < _MOST_RETIRED:
            self._retired.append(old)
            self._wanted.set()
        else:
            self._flush(old)
            os.close(old)

    def stop(self) -> None:
        """End the thread; the log's descriptor stays open and is the caller's."""
        self._ending.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            while self._retired:
                fd = self._retired.popleft()
                self._flush(fd)
                os.close(fd)
            if self._ending.is_set():
                return
            if self._asked:
                self._asked = False
                self._flush(self._fd)
                self._ending.wait(_PAUSE_S)

    def _flush(self, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            self._on_error(error)
        else:
            self._on_flush()
