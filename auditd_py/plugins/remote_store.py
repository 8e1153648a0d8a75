"""The forwarder's queue on disk: the file of remote/store, read, written and locked."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Final

from auditd_py.errors import LogError, WireError
from auditd_py.remote.queue import MemoryQueue
from auditd_py.remote.store import MAGIC, Found, Ring, capacity, is_old, old_texts
from auditd_py.remote.stream import STREAM_SIZE

if TYPE_CHECKING:
    from auditd_py.remote.store import Write

_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class FileQueue(MemoryQueue):
    """A queue whose records are on disk before they can be taken, and until they are released.

    What it holds is in memory as well: the file is read when the program starts, and never else.
    `notes` say what was found in the file. With `sync`, each batch survives also a power cut.
    """

    def __init__(self, path: str, depth: int, *, sync: bool = True) -> None:
        """Open or make the file; raises LogError if that cannot be done."""
        super().__init__(depth, os.urandom(STREAM_SIZE))
        self.notes: list[str] = []
        self._path = path
        self._sync = sync
        self._ring = Ring(capacity(depth))
        self._fd = -1
        try:
            self._fd = _opened(path)
            self._load()
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except LogError:
            self.close()
            raise

    def put(self, texts: list[bytes]) -> int:
        """See MemoryQueue. Raises LogError if they are not on disk; then they are in memory."""
        room = max(0, self.depth - self.waiting)
        if not texts or not room:
            return len(texts)
        taken, writes = self._ring.put(texts[:room])
        surplus = len(texts) - taken
        super().put(texts[:taken])
        self._write(writes, sync=self._sync)
        return surplus

    def release(self, amount: int) -> None:
        """See MemoryQueue. A power cut may bring the records back: they are sent again then."""
        super().release(amount)
        if amount:
            self._write([self._ring.release(amount)], sync=False)

    def in_memory(self) -> MemoryQueue:
        """Return a queue with the same records that has no file, to go on with."""
        queue = MemoryQueue(self.depth, self.stream)
        queue.first = self.first
        queue._texts, queue._taken = self._texts, self._taken  # noqa: SLF001  of its own class
        return queue

    def rename(self, stream: bytes) -> None:
        """See MemoryQueue. Raises LogError."""
        super().rename(stream)
        self._write([self._ring.name(stream)], sync=True)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _load(self) -> None:
        data = _read(self._fd)
        if not any(data[: len(MAGIC)]):
            self._write([self._ring.name(self.stream), *self._ring.fresh()], sync=True)
            return
        if is_old(data):
            self._import(data)
            return
        try:
            found = self._ring.load(data)
        except WireError as error:
            aside = _set_aside(self._path)
            self.notes.append(f"{self._path}: {error}: kept as {aside}, a new one is begun")
            self._replace([])
            return
        self.notes += [f"{self._path}: {note}" for note in found.notes]
        self.first, self.stream = found.first, found.stream or self.stream
        if self._ring.size != capacity(self.depth):
            self._replace(found.texts)
            return
        super().put(found.texts)
        if not found.stream:
            self.rename(self.stream)

    def _import(self, data: bytes) -> None:
        try:
            found = old_texts(data)
        except WireError as error:
            found = Found(notes=[str(error)])
        aside = _set_aside(self._path)
        self.notes.append(
            f"{self._path}: {len(found.texts)} records of the C daemon's queue taken over, "
            f"which is kept as {aside}"
        )
        self.notes += [f"{self._path}: {note}" for note in found.notes]
        self._replace(found.texts)

    def _replace(self, texts: list[bytes]) -> None:
        """Begin a new file with these records, in the place of the old one."""
        self.depth = max(self.depth, len(texts))
        total = sum(map(len, texts)) + 64 * len(texts)
        self._ring = Ring(max(capacity(self.depth), total), self.first)
        new = f"{self._path}.new"
        fd = os.open(new, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
        old, self._fd = self._fd, fd
        os.close(old)
        _lock(self._fd)
        writes = [self._ring.name(self.stream), *self._ring.fresh()]
        writes += self._ring.put(texts)[1]
        self._write(writes, sync=True)
        os.rename(new, self._path)
        _sync_directory(self._path)
        super().put(texts)

    def _write(self, writes: list[Write], *, sync: bool) -> None:
        try:
            for start, data in writes:
                done = 0
                while done < len(data):
                    done += os.pwrite(self._fd, memoryview(data)[done:], start + done)
            if sync:
                os.fdatasync(self._fd)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> LogError:
        return LogError(self._path, error.strerror or str(error), error.errno or 0)


def _opened(path: str) -> int:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory, mode=0o700)
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        _sync_directory(path)
    try:
        _check(fd)
        _lock(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def _lock(fd: int) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise OSError(error.errno, "another program uses it") from None
        raise


def _read(fd: int) -> bytes:
    parts = []
    at = 0
    while part := os.pread(fd, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _set_aside(path: str) -> str:
    aside = f"{path}.old"
    os.link(path, f"{aside}.new")
    os.rename(f"{aside}.new", aside)
    return aside


def _sync_directory(path: str) -> None:
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
