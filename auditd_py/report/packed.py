"""Values of columns that have several parts, as bytes: alike if and only if the values are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from auditd_py.report.columns import Value

COMPOSITE: Final = frozenset({"types", "keys", "files", "accesses"})  # columns that have them

_NONE: Final = b"-"


def pack(value: Value) -> bytes:
    """Return a tuple of numbers, bytes, None and such tuples as bytes."""
    if isinstance(value, tuple):
        return b"(%d:" % len(value) + b"".join(map(pack, value))
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    return _NONE if value is None else b"#%d:" % value


def unpack(data: bytes) -> Value:
    """Return what `pack` was given. Raises ValueError."""
    value, end = _unpack(data, 0)
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _unpack(data: bytes, at: int) -> tuple[Value, int]:
    kind = data[at : at + 1]
    if kind == _NONE:
        return None, at + 1
    start = at + 1 if kind in {b"(", b"#"} else at
    colon = data.index(b":", start)
    number, end = int(data[start:colon]), colon + 1
    if kind == b"#":
        return number, end
    if kind != b"(":
        if end + number > len(data):
            raise ValueError("cut")
        return data[end : end + number], end + number
    parts = []
    for _ in range(number):
        part, end = _unpack(data, end)
        parts.append(part)
    return tuple(parts), end
