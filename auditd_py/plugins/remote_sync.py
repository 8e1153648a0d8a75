"""Forces the forwarder's queue to disk beside its loop: a slow disk does not stop it reading."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue


class Syncer:
    """A thread for fdatasync; `wake` becomes readable when one is over."""

    def __init__(self) -> None:
        self.busy = False
        self.wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._done: SimpleQueue[OSError | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, descriptor: int) -> None:
        """Force to disk what was written to a file; one at a time."""
        self.busy = True
        self._wanted.put(descriptor)

    def over(self) -> bool:
        """Say whether what was begun is over since the last call. Raises its OSError."""
        if not self.busy or self._done.empty():
            return False
        os.read(self.wake, 1)
        self.busy = False
        error = self._done.get()
        if error is not None:
            raise error
        return True

    def close(self) -> None:
        """Return when nothing is under way any more."""
        self._wanted.put(None)
        self._thread.join()
        os.close(self.wake)
        os.close(self._woken)

    def _run(self) -> None:
        while (descriptor := self._wanted.get()) is not None:
            failure: OSError | None = None
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                failure = error
            self._done.put(failure)
            os.write(self._woken, b"\0")
