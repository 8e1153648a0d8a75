"""Records that tests send."""

from __future__ import annotations

import gzip
from pathlib import Path

RAW = (
    b"type=SYSCALL msg=audit(1795332010.694:7): arch=c000003e syscall=44 success=yes exit=60 a0=3"
    b' a1=7ffc75b5d740 a2=3c a3=0 items=0 ppid=1 pid=2 auid=4294967295 uid=0 comm="ls" key=(null)'
)
ENRICHED = RAW + b'\x1dARCH=x86_64 SYSCALL=sendto AUID="unset" UID="root"'
PROCTITLE = b"type=PROCTITLE msg=audit(1795332010.694:7): proctitle=6C73002D6C"
CWD = b'type=CWD msg=audit(1795332010.694:7): cwd="/srv"'


def event(serial: int, *, key: str = "k", comm: str = "ls", end: bytes = b"") -> list[bytes]:
    """Return the records of an event."""
    head = b"msg=audit(1795332010.694:%d): " % serial
    found = [
        b"type=SYSCALL " + head + b"arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4"
        b' items=1 ppid=1 pid=2 auid=1000 uid=0 comm="%b" exe="/bin/ls" key="%b"'
        % (comm.encode(), key.encode()),
        b"type=CWD " + head + b'cwd="/srv"',
        b"type=PROCTITLE " + head + b"proctitle=6C73002D6C",
    ]
    return [*found, b"type=EOE " + head] if end else found


def golden(name: str) -> list[bytes]:
    """Return the lines of a log of tests/data, recorded from a real kernel."""
    path = Path(__file__).parent.parent / "data" / name
    with gzip.open(path) as file:
        return file.read().split(b"\n")[:-1]
