"""Files that hold secrets or say who may do what: read only if nobody else could have changed them."""

from __future__ import annotations

import binascii
import os
import stat
from typing import Final

LEAST_KEY: Final = 32  # bytes of a pre-shared key, as in the reference

OTHERS: Final = 0o077  # mode bits that a file with a secret must not have
WRITERS: Final = 0o022  # those that a list of names must not have

_MOST: Final = 1 << 20


class SecretError(Exception):
    """A file must not be used; the text says why."""


def read_private(path: str, forbidden: int = OTHERS) -> bytes:
    """Return the contents of root's own regular file, no link, without the mode bits `forbidden`.

    Raises SecretError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise SecretError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise SecretError(f"{path}: not a regular file")
        if found.st_uid != 0 or found.st_mode & forbidden:
            mode = 0o777 & ~forbidden & 0o644
            raise SecretError(
                f"{path}: others can use it: chown root {path}; chmod {mode:o} {path}"
            )
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise SecretError(f"{path}: larger than {_MOST} bytes")
    return data


def read_key(path: str) -> bytes:
    """Return a pre-shared key: the first line of a file, in hex. Raises SecretError."""
    try:
        key = binascii.unhexlify(read_private(path).partition(b"\n")[0].strip())
    except binascii.Error:
        raise SecretError(f"{path}: its first line is not hexadecimal") from None
    if len(key) < LEAST_KEY:
        raise SecretError(f"{path}: {len(key)} bytes, {LEAST_KEY} are needed")
    return key
