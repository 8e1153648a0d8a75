"""Logs as blocks of whole lines: files and their archives, compressed ones, pipes. HOT.

A log's files are opened together before the first is read, so that a rotation meanwhile neither
hides lines nor shows them twice. A file is read to its end as it is then.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
import zlib
from typing import TYPE_CHECKING, Any, Final

from auditd_py.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Blocks = Iterator[tuple[bytes, int]]

BLOCK: Final = 1 << 20  # bytes: what is searched at once; a line that is longer is cut
INACTIVITY_S: Final = 3.0  # a pipe that says nothing for so long has told whole events

_ATTEMPTS: Final = 8
_AGAIN_S: Final = 0.003  # a rotation takes less
_second = re.compile(rb"audit\((\d{1,12})\.\d{1,9}:\d{1,18}\)").search
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}


class LogFile:
    """An open file of a log; `descriptor` belongs to whoever opened it.

    Of one that is not compressed, what is read can be the part from `start` to `stop`.
    """

    __slots__ = ("compression", "descriptor", "path", "start", "stop")

    def __init__(
        self, path: str, descriptor: int, compression: str = "", start: int = 0, stop: int = 0
    ) -> None:
        self.path = path
        self.descriptor = descriptor
        self.compression = compression
        self.start = start
        self.stop = stop

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    @property
    def size(self) -> int:
        """Bytes as they are stored."""
        return os.fstat(self.descriptor).st_size

    @property
    def is_plain(self) -> bool:
        """Whether it is neither compressed nor a pipe."""
        return not self.compression and stat.S_ISREG(os.fstat(self.descriptor).st_mode)

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


def open_file(path: str) -> LogFile:
    """Open one file, or a pipe by its name; raises LogError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LogError(path, f"cannot be opened: {error.strerror}", error.errno or 0) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise LogError(path, "is a folder")
    start = os.pread(descriptor, 2, 0) if stat.S_ISREG(mode) else b""
    return LogFile(path, descriptor, _MAGIC.get(start, ""))


def open_log(path: str) -> list[LogFile]:
    """Open a log and its archives (`.1`, `.1.gz`, `.1.zst` …), the oldest first.

    The log itself may be missing if it has archives. Raises LogError.
    """
    for attempt in range(_ATTEMPTS):
        names, moving = _names(path)
        last = attempt == _ATTEMPTS - 1
        if not moving or last:
            files: list[LogFile] = []
            try:
                files.extend(map(open_file, names))
                if last or (all(map(_is_there, files)) and _names(path) == (names, moving)):
                    return files
            except LogError as error:
                if error.errno != errno.ENOENT or last:
                    for file in files:
                        file.close()
                    raise
            for file in files:
                file.close()
        if attempt:
            time.sleep(_AGAIN_S)
    return []


def _names(path: str) -> tuple[list[str], bool]:
    """Return the files of a log, the oldest first, and whether they are just being moved.

    A rotation gives the oldest the next number first: meanwhile a number is missing.
    """
    from auditd_py.log.rotation import archives  # only where there are any

    folder, base = os.path.split(path)
    try:
        present = os.listdir(folder or ".")
    except OSError:
        present = []
    found = archives(base, present)
    names: list[str] = []
    for archive in reversed(found):
        name = path + archive.ending
        # while an archive is compressed both are there: the plain one is whole
        if not (archive.suffix and f"{base}.{archive.number}" in present):
            names.append(name)
    if not names or base in present:
        names.append(path)
    after_gap = f"{base}.{len({archive.number for archive in found}) + 2}"
    moving = base not in present or any(one.startswith(after_gap) for one in present)
    return names, moving


def _is_there(file: LogFile) -> bool:
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file.identity


def from_time(files: list[LogFile], start: int | None) -> list[LogFile]:
    """Return the files that may have events since a second; close the others.

    Those before the newest whose first record is not later are older as a whole.
    """
    if start is None:
        return files
    for place in range(len(files) - 1, 0, -1):
        first = first_second(files[place])
        if first is not None and first < start:
            for file in files[:place]:
                file.close()
            return files[place:]
    return files


def first_second(file: LogFile) -> int | None:
    """Return the time of a file's first record; None if it has none near its beginning."""
    found = _second(beginning(file))
    return int(found[1]) if found else None


def first_identity(file: LogFile) -> bytes:
    """Return what tells a file's first line from all others, empty if it has none yet."""
    line, end, _ = beginning(file).partition(b"\n")
    return b"%08x" % zlib.crc32(line) if end else b""


def beginning(file: LogFile) -> bytes:
    """Return the first bytes of a file, up to 64 KiB as they are stored; none of a pipe."""
    if not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
        return b""
    data = os.pread(file.descriptor, 65536, 0)
    if file.compression == "gzip":
        try:
            data = zlib.decompressobj(31).decompress(data, 65536)
        except zlib.error:
            return b""
    elif file.compression:
        try:
            return next(_zstd(iter((data, b"")).__next__), b"")
        except ValueError:
            return b""
    return data


def blocks(
    file: LogFile, on_problem: Callable[[str], None], offset: int = 0, *, whole: bool = False
) -> Blocks:
    """Give a file's lines from an offset on: bytes, and where the last whole line in them ends.

    The offset is in bytes that are not compressed. A last line without an end is given as if it
    had one, but not with `whole`. `on_problem` is told why a compressed file cannot be read
    further.
    """
    if file.compression:
        reads = _after(_unpacked(file, on_problem), offset)
        yield from lines_of(reads)
    elif stat.S_ISREG(os.fstat(file.descriptor).st_mode):
        yield from _file_blocks(file.descriptor, offset, whole=whole)
    else:
        yield from pipe_blocks(file.descriptor)


def bytes_of(file: LogFile, on_problem: Callable[[str], None], offset: int = 0) -> Iterator[bytes]:
    """Give the bytes of a file from an offset on, as they are when they are not compressed.

    `on_problem` is told why a compressed file cannot be read further.
    """
    if file.compression:
        yield from _after(_unpacked(file, on_problem), offset)
    elif file.is_plain:
        size = file.size
        while offset < size and (
            data := os.pread(file.descriptor, min(BLOCK, size - offset), offset)
        ):
            offset += len(data)
            yield data
    else:
        while data := os.read(file.descriptor, BLOCK):
            yield data


def _after(reads: Iterator[bytes], offset: int) -> Iterator[bytes]:
    for data in reads:
        if offset < len(data):
            yield data[offset:]
        offset = max(0, offset - len(data))


def _file_blocks(descriptor: int, offset: int, *, whole: bool) -> Blocks:
    size = os.fstat(descriptor).st_size  # whoever writes on may be faster than who reads
    while offset < size and (data := os.pread(descriptor, BLOCK, offset)):
        end = data.rfind(b"\n") + 1
        if not end:  # a line without an end
            if whole and len(data) < BLOCK:
                return
            offset += len(data)
            yield data + b"\n", len(data) + 1
            continue
        offset += end
        yield data, end


def lines_of(reads: Iterator[bytes]) -> Blocks:
    """Give the same of a stream in pieces; an empty piece gives what is held back so far."""
    rest = b""
    for data in reads:
        if not data:
            yield b"", 0
            continue
        end = data.rfind(b"\n") + 1
        if not end and len(rest) + len(data) <= BLOCK:
            rest += data
            continue
        end = end or len(data)
        block = rest + data[:end]
        rest = data[end:]
        if not block.endswith(b"\n"):
            block += b"\n"
        yield block, len(block)
    if rest:
        yield rest + b"\n", len(rest) + 1


def pipe_blocks(descriptor: int, inactivity_s: float = INACTIVITY_S) -> Blocks:
    """Give what comes through a pipe; an empty block whenever nothing came for a while."""
    yield from lines_of(_pipe_reads(descriptor, inactivity_s))


def _pipe_reads(descriptor: int, inactivity_s: float) -> Iterator[bytes]:
    waiting = False
    while True:
        if waiting and not select.select([descriptor], [], [], inactivity_s)[0]:
            waiting = False
            yield b""
            continue
        data = os.read(descriptor, BLOCK)
        if not data:
            return
        waiting = True
        yield data


def _unpacked(file: LogFile, on_problem: Callable[[str], None]) -> Iterator[bytes]:
    unpack = _gzip if file.compression == "gzip" else _zstd
    offset = 0

    def read() -> bytes:
        nonlocal offset
        data = os.pread(file.descriptor, BLOCK >> 2, offset)
        offset += len(data)
        return data

    try:
        yield from unpack(read)
    except (zlib.error, EOFError, ValueError) as error:
        on_problem(f"{file.path}: is damaged, what follows is missing: {error}")


def _gzip(read: Callable[[], bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(31)
    data = read()
    while data:
        piece = unpacker.decompress(data, BLOCK)
        if piece:
            yield piece
        data = unpacker.unconsumed_tail
        if unpacker.eof:  # one more member may follow
            data = unpacker.unused_data or read()
            unpacker = zlib.decompressobj(31)
        elif not data:
            data = read()
            if not data:
                raise EOFError("it is cut short")


def _zstd(read: Callable[[], bytes]) -> Iterator[bytes]:
    for piece in _zstd_reader(read):
        if piece:
            yield piece


def _zstd_reader(read: Callable[[], bytes]) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise ValueError("zstd needs the zstandard package: pip install auditd-py[zstd]") from None
    unpacker: Any = zstandard.ZstdDecompressor().decompressobj()
    while data := read():
        while data:
            try:
                yield unpacker.decompress(data)
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from None
            data = unpacker.unused_data
            if data or unpacker.eof:
                unpacker = zstandard.ZstdDecompressor().decompressobj()
