"""The log's folder: makes room for a new log, and removes what is not to be kept.

All of it happens in the log's writer thread, through a descriptor of the folder, so that nobody
can put another folder in its place meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.daemon.secure_open import open_directory
from auditd_py.log import rotation
from auditd_py.log.rotation import Archive, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASIDE: Final = ".compressing"


@dataclass(frozen=True, slots=True)
class Compression:
    """An archive being compressed: from the descriptor `source` to `target`.

    `identity` finds the archive again, which may have another number by then.
    """

    source: int
    target: int
    identity: tuple[int, int]

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self.source)
        os.close(self.target)


class Archives:
    """The rotated files of the log at `path`. Methods raise LogError and OSError."""

    def __init__(self, path: str, group: int) -> None:
        self._path = path
        self._base = os.path.basename(path)
        self._mode = 0o440 if group else 0o400
        self._open_mode = 0o640 if group else 0o600

    def name(self, archive: Archive) -> str:
        """Return the path of an archive."""
        return self._path + archive.ending

    def rotate(self, fd: int, num_logs: int | None, *, free_oldest: bool = False) -> int:
        """Make the log, open as `fd`, archive 1 and return how many archives there are now.

        `num_logs` None keeps all there are; with `free_oldest` the oldest one goes even if there
        may be more. The log's name is free afterwards; if that fails, the log is as it was.
        """
        with self._folder() as folder:
            found = self._found(folder)
            if free_oldest and num_logs is not None and found:
                num_logs = min(num_logs, found[-1].number + 1)
            steps = rotation.shift(found, num_logs)
            for archive in steps.remove:
                os.unlink(self._base + archive.ending, dir_fd=folder)
            for archive in steps.move:
                up = Archive(archive.number + 1, archive.suffix)
                self._rename(folder, archive.ending, up.ending)
            os.fchmod(fd, self._mode)
            try:
                self._rename(folder, "", ".1")
            except OSError:
                os.fchmod(fd, self._open_mode)
                raise
            return max((archive.number for archive in steps.move), default=0) + 1

    def remove_excess(self, num_logs: int) -> list[str]:
        """Remove what is beyond `num_logs` files; return the paths."""
        with self._folder() as folder:
            gone = rotation.excess(self._base, os.listdir(folder), num_logs)
            return self._remove(folder, gone)

    def remove_expired(
        self, *, log_size: int, now_s: float, keep_days: int, keep_total: int
    ) -> list[str]:
        """Remove what `keep_days` and `keep_total` (bytes) no longer allow; return the paths."""
        with self._folder() as folder:
            stored = [self._stored(folder, archive) for archive in self._found(folder)]
            gone = rotation.expired(
                stored,
                log_size=log_size,
                now_s=now_s,
                keep_days=keep_days,
                keep_total=keep_total,
            )
            return self._remove(folder, gone)

    def begin_compression(self) -> Compression | None:
        """Return the oldest archive that is not compressed, None if there is none.

        What it becomes is collected in a file aside, one at a time.
        """
        with self._folder() as folder:
            found = [archive for archive in self._found(folder) if not archive.suffix]
            if not found:
                return None
            flags = os.O_NOFOLLOW | os.O_CLOEXEC
            source = os.open(self._base + found[-1].ending, os.O_RDONLY | flags, dir_fd=folder)
            try:
                self._drop_aside(folder)
                target = os.open(
                    self._base + _ASIDE,
                    os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags,
                    0o600,
                    dir_fd=folder,
                )
            except BaseException:
                os.close(source)
                raise
            status = os.fstat(source)
            return Compression(source, target, (status.st_dev, status.st_ino))

    def end_compression(self, work: Compression, suffix: str) -> str:
        """Put what was collected in the archive's place; return its path, empty if it is gone."""
        with self._folder() as folder:
            archive = self._identified(folder, work.identity)
            if archive is None:
                self._drop_aside(folder)
                return ""
            status = os.fstat(work.source)
            os.fchown(work.target, status.st_uid, status.st_gid)
            os.fchmod(work.target, self._mode)
            os.utime(work.target, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fdatasync(work.target)
            done = Archive(archive.number, suffix)
            self._rename(folder, _ASIDE, done.ending)
            os.unlink(self._base + archive.ending, dir_fd=folder)
            return self.name(done)

    def drop_compression(self) -> None:
        """Remove what was collected so far, also by a daemon that was killed."""
        with self._folder() as folder:
            self._drop_aside(folder)

    def _identified(self, folder: int, identity: tuple[int, int]) -> Archive | None:
        for archive in self._found(folder):
            found = os.stat(self._base + archive.ending, dir_fd=folder, follow_symlinks=False)
            if (found.st_dev, found.st_ino) == identity:
                return archive
        return None

    def _drop_aside(self, folder: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._base + _ASIDE, dir_fd=folder)

    def _remove(self, folder: int, gone: list[Archive]) -> list[str]:
        for archive in gone:
            os.unlink(self._base + archive.ending, dir_fd=folder)
        return [self.name(archive) for archive in gone]

    def _found(self, folder: int) -> list[Archive]:
        return rotation.archives(self._base, os.listdir(folder))

    def _stored(self, folder: int, archive: Archive) -> Stored:
        found = os.stat(self._base + archive.ending, dir_fd=folder, follow_symlinks=False)
        return Stored(archive, found.st_size, found.st_mtime)

    def _rename(self, folder: int, old: str, new: str) -> None:
        os.rename(self._base + old, self._base + new, src_dir_fd=folder, dst_dir_fd=folder)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[int]:
        folder = open_directory(self._path)
        try:
            yield folder
        finally:
            os.close(folder)
