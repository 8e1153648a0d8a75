"""Opens the log file the way evidence must be kept: nobody but root can have put it there.

A collector that runs as another user may own it as well: it could do no less to it anyway.
"""

from __future__ import annotations

import errno
import os
import stat

from auditd_py.errors import LogError
from auditd_py.log.rotation import archives


def open_log(path: str, group: int, flags: int) -> tuple[int, bool]:
    """Return a descriptor that appends to `path`, and whether its last line is cut short.

    The file is made if missing: 0600 root, or 0640 root:`group` with a group other than root,
    whose directory then becomes root:`group` 0750. `flags` are added to the open.

    Raises LogError naming the component at fault: every directory must belong to root and be
    writable by root alone, and neither they nor the file may be links.
    """
    directory = open_directory(path)
    name = os.path.basename(path)
    try:
        if group:
            give(directory, group)
            os.fchmod(directory, 0o750)
        try:
            fd = os.open(
                name,
                os.O_RDWR
                | os.O_APPEND
                | os.O_CREAT
                | os.O_NOFOLLOW
                | os.O_CLOEXEC
                | os.O_NONBLOCK
                | flags,
                0o600,
                dir_fd=directory,
            )
        except OSError as error:
            raise _refusal(path, error) from None
        try:
            return fd, _prepare(fd, path, group)
        except BaseException:
            os.close(fd)
            raise
    finally:
        os.close(directory)


def open_directory(path: str) -> int:
    """Return a descriptor of the folder of the log `path`; raises LogError as `open_log`."""
    if not path.startswith("/"):
        raise LogError(path, "must be an absolute path")
    parts = path.split("/")[1:-1]
    if not {".", ".."}.isdisjoint(parts):
        raise LogError(path, "the path of the log may not contain . or ..")
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    walked = ""
    try:
        _check_directory(fd, "/")
        for part in parts:
            if not part:
                continue
            walked += "/" + part
            try:
                below = os.open(
                    part,
                    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                    dir_fd=fd,
                )
            except OSError as error:
                raise _refusal(walked, error) from None
            os.close(fd)
            fd = below
            _check_directory(fd, walked)
    except BaseException:
        os.close(fd)
        raise
    return fd


def give(fd: int, group: int) -> None:
    """Give a file to the daemon's user and `group`; a collector that is not root keeps its own."""
    user = os.geteuid()
    os.fchown(fd, user, -1 if user and not group else group)


def seal_archives(path: str, group: int) -> None:
    """Make the rotated files of `path` up to the first missing number readable only.

    Raises LogError if one is not a regular file of root's.
    """
    base = os.path.basename(path)
    directory = open_directory(path)
    try:
        for archive in archives(base, os.listdir(directory)):
            name = base + archive.ending
            try:
                fd = os.open(
                    name,
                    os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK,
                    dir_fd=directory,
                )
            except OSError as error:
                raise _refusal(path + archive.ending, error) from None
            try:
                _check_owned(fd, path + archive.ending)
                give(fd, group)
                os.fchmod(fd, 0o440 if group else 0o400)
            finally:
                os.close(fd)
    finally:
        os.close(directory)


def _prepare(fd: int, path: str, group: int) -> bool:
    _check_owned(fd, path)
    give(fd, group)
    os.fchmod(fd, 0o640 if group else 0o600)
    os.set_blocking(fd, True)
    size = os.fstat(fd).st_size
    return bool(size) and os.pread(fd, 1, size - 1) != b"\n"


def _check_owned(fd: int, path: str) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise LogError(path, "is not a regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise LogError(path, f"belongs to uid {found.st_uid}, must belong to root")


def _check_directory(fd: int, path: str) -> None:
    found = os.fstat(fd)
    if found.st_uid not in (0, os.geteuid()):
        raise LogError(path, f"belongs to uid {found.st_uid}, must belong to root")
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise LogError(path, f"has mode {mode:04o}: only root may be able to write in it")


def _refusal(path: str, error: OSError) -> LogError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.islink(path):
        return LogError(path, "is a symbolic link, which is not followed", errno.ELOOP)
    return LogError(path, os.strerror(error.errno or errno.EIO), error.errno or errno.EIO)
