"""Where audisp-json writes: a file, a socket, standard output."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from typing import TYPE_CHECKING, Final

from auditd_py.plugins.outlet import SocketSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.plugins.outlet import Sink

FORMS: Final = "stdout, file:PATH, unix:PATH or tcp:HOST:PORT"

_ALIVE_MS: Final = 30_000  # a peer that confirms nothing for so long is gone


def sink_maker(word: str, mode: int) -> Callable[[], Sink]:
    """Return what connects to the output that a word names; raises ValueError if it is none.

    The function raises OSError while there is no connecting; a file is made with `mode`.
    """
    form, _, place = word.partition(":")
    if word == "stdout":
        return lambda: DescriptorSink(os.dup(1))
    if form in ("file", "unix") and place.startswith("/"):
        if form == "file":
            return lambda: DescriptorSink(open_file(place, mode))
        return lambda: _unix(place)
    host, colon, port = place.rpartition(":")
    if form == "tcp" and host and colon and port.isdecimal() and 0 < int(port) < 65536:
        return lambda: _tcp(host.strip("[]"), int(port))
    raise ValueError(f"{word}: {FORMS} is allowed as output, with absolute paths")


class DescriptorSink:
    """A file or pipe. Its descriptor may be shared, so that it is not made non-blocking."""

    whole = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def send(self, data: bytes | memoryview) -> int:
        """See Sink."""
        if self._file:
            return os.write(self._descriptor, data)
        if not self._poll.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        # a pipe that says it takes something takes so much without waiting
        return os.write(self._descriptor, data[: select.PIPE_BUF])

    def fileno(self) -> int:
        """See Sink."""
        return self._descriptor

    def close(self) -> None:
        """See Sink."""
        os.close(self._descriptor)


def open_file(path: str, mode: int) -> int:
    """Return a descriptor that appends whole lines to a file that nobody else can have put there.

    Raises OSError: also for a link, a file of somebody else's, or one with a second name, and
    where others may write in its folder.
    """
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(folder)
        if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "others may write in its folder", path)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(os.path.basename(path), flags, mode, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _prepare(file, path)
    except BaseException:
        os.close(file)
        raise
    return file


def _prepare(file: int, path: str) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        raise PermissionError(errno.EPERM, "is not a file of our own", path)
    if found.st_size and os.pread(file, 1, found.st_size - 1) != b"\n":
        os.write(file, b"\n")  # the end of a line that a full disk cut


def _unix(path: str) -> SocketSink:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return SocketSink(connection)


def _tcp(host: str, port: int) -> SocketSink:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(errno.EHOSTUNREACH, error.strerror or "no such host", host) from None
    family, kind, protocol, _, address = found[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _ALIVE_MS)
        connection.setblocking(False)
        connection.connect(address)
    except BlockingIOError:
        pass  # under way: it can be sent to when it is there
    except BaseException:
        connection.close()
        raise
    return SocketSink(connection)
