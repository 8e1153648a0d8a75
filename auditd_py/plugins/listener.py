"""A socket in the file system that clients connect to, and that never takes another's place."""

from __future__ import annotations

import errno
import os
import socket
import stat


class Listener:
    """Listens at a path until closed.

    The socket appears at its path with its mode and ready, in one step; one that a program left
    behind is replaced. Raises OSError: also where something else is at the path, or somebody
    listens there.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        _check_free(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        new = f"{path[:96]}.{os.getpid()}"
        mask = os.umask(0o777 & ~mode)
        try:
            self.socket.bind(new)
            try:
                os.chmod(new, mode)
                self.socket.listen(128)
                self._identity = _identity(new)
                os.rename(new, path)
            except BaseException:
                os.unlink(new)
                raise
        except BaseException:
            self.socket.close()
            raise
        finally:
            os.umask(mask)
        self.socket.setblocking(False)

    def close(self) -> None:
        """Stop listening; remove the socket unless another has taken its place."""
        self.socket.close()
        try:
            if _identity(self._path) == self._identity:
                os.unlink(self._path)
        except OSError:
            pass


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _check_free(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "is there and is no socket: remove it", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass
        raise OSError(errno.EADDRINUSE, "somebody listens there", path)
