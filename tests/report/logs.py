"""Logs for the tests of reports."""

from __future__ import annotations

import gzip
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"


def recorded(name: str) -> bytes:
    """Return a recorded log, `alpha-raw` or `alpha-enriched`."""
    return gzip.decompress((DATA / f"{name}.log.gz").read_bytes())


def call(
    serial: int,
    *,
    second: int = 1_700_000_000,
    milli: int = 0,
    exe: bytes = b'"/bin/true"',
    key: bytes = b"(null)",
    success: bytes = b"yes",
    auid: int = 1000,
    node: bytes = b"",
    enriched: bytes = b"",
) -> bytes:
    """Return a SYSCALL record of openat."""
    return (
        b"%btype=SYSCALL msg=audit(%d.%03d:%d): arch=c000003e syscall=257 success=%b exit=3 "
        b"a0=ffffff9c a1=7ffe a2=0 a3=0 items=1 ppid=1 pid=%d auid=%d uid=0 gid=0 euid=0 suid=0 "
        b'fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="true" exe=%b key=%b%b\n'
    ) % (
        b"node=" + node + b" " if node else b"",
        second, milli, serial, success, 100 + serial % 7, auid, exe, key, enriched,
    )  # fmt: skip


def path(
    serial: int,
    name: bytes,
    *,
    second: int = 1_700_000_000,
    milli: int = 0,
    nametype: bytes = b"NORMAL",
    node: bytes = b"",
) -> bytes:
    """Return a PATH record."""
    return (
        b"%btype=PATH msg=audit(%d.%03d:%d): item=0 name=%b inode=1 dev=08:01 mode=0100644 ouid=0 "
        b"ogid=0 rdev=00:00 nametype=%b cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n"
    ) % (b"node=" + node + b" " if node else b"", second, milli, serial, name, nametype)


def login(serial: int, *, second: int = 1_700_000_000, acct: bytes = b'"bob"') -> bytes:
    """Return a failed USER_LOGIN record."""
    return (
        b"type=USER_LOGIN msg=audit(%d.000:%d): pid=9 uid=0 auid=4294967295 ses=4294967295 "
        b'msg=\'op=login acct=%b exe="/usr/sbin/sshd" hostname=? addr=10.0.0.9 terminal=ssh '
        b"res=failed'\n"
    ) % (second, serial, acct)
