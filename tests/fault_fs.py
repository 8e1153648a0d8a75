"""A file system that fails on demand: fault_fs.py BACKING PLACE MODE_FILE.

It shows the folder BACKING at PLACE. What the file MODE_FILE says happens to every write, flush,
create and rename: `ok`, the name of an errno like EIO or EDQUOT, or `block`, which makes them
wait until it says something else.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy


class FaultFs(mfusepy.Operations):  # type: ignore[misc]  # it has no types
    use_ns = True

    def __init__(self, backing: str, mode: Path) -> None:
        self._backing = backing
        self._mode = mode

    def _real(self, path: str) -> str:
        return self._backing + path

    def _fail(self) -> None:
        while (mode := self._mode.read_text()) == "block":
            time.sleep(0.01)
        if mode != "ok":
            raise mfusepy.FuseOSError(getattr(errno, mode))

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._real(path))
        return {
            key: getattr(found, key)
            for key in ("st_ino", "st_mode", "st_nlink", "st_size", "st_uid", "st_gid")
        } | {key: getattr(found, f"{key}_ns") for key in ("st_atime", "st_mtime", "st_ctime")}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._real(path))
        return {
            key: getattr(found, key)
            for key in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize", "f_namemax")
        }

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~(os.O_APPEND | os.O_NOFOLLOW))

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._fail()
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._fail()
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._fail()
        os.fsync(fh)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._fail()
        os.truncate(self._real(path), length)

    def rename(self, old: str, new: str) -> None:
        self._fail()
        os.rename(self._real(old), self._real(new))

    def unlink(self, path: str) -> None:
        self._fail()
        os.unlink(self._real(path))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._real(path), uid, gid)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


if __name__ == "__main__":
    mfusepy.FUSE(
        FaultFs(sys.argv[1], Path(sys.argv[3])), sys.argv[2], foreground=True, hard_remove=True
    )
