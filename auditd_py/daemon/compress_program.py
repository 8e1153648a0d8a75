"""The program that compresses one archive: standard input to standard output, at idle priority.

It is run by its path, so that it loads nothing of the daemon: compress_program.py gzip|zstd.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO, Protocol

_BLOCK = 1 << 20


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compress(form: str, source: BinaryIO, target: BinaryIO) -> None:
    """Write `source` compressed as `form` (gzip or zstd) to `target`."""
    packer = _packer(form)
    while block := source.read(_BLOCK):
        target.write(packer.compress(block))
    target.write(packer.flush())
    target.flush()


def _packer(form: str) -> _Packer:
    if form == "gzip":
        import zlib

        return zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with gzip's header and checksum
    import zstandard

    return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()


def be_idle() -> None:
    """Take only what nobody else wants of the processor, and end when told to."""
    # the daemon ignores all signals, and its children would inherit that
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.nice(19 - os.nice(0))
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    be_idle()
    compress(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
