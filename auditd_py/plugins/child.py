"""A program that a plugin runs, and feeds as the daemon would."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

_END_S: Final = 0.5  # after the end of its input, and again after SIGTERM


class Child:
    """The process; `input` is our end of its standard input and never blocks.

    Raises OSError if the program cannot be run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.gone = False
        self.input, theirs = socket.socketpair()
        try:
            # the command is the administrator's
            self._process = subprocess.Popen(command, stdin=theirs.fileno())  # noqa: S603
        except BaseException:
            self.input.close()
            raise
        finally:
            theirs.close()
        self.input.setblocking(False)

    def look(self, _mask: int) -> None:
        """Find out why `input` can be read: the program says something, or has gone."""
        try:
            self.gone = not self.input.recv(4096)
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> int:
        """End its input, then it, by force at last; return 1 unless it ended well."""
        self.input.close()
        for end in (self._process.terminate, self._process.kill):
            try:
                return int(self._process.wait(_END_S) != 0)
            except subprocess.TimeoutExpired:
                end()
        self._process.wait()
        return 1
