"""How records look to a plugin: lines, or messages with a header.

The header is the C daemon's struct audit_dispatcher_header: version, its own length, record type
and size of what follows, each a native u32. Version 0 has the record's bare text, version 1 the
whole line as in the log, without newline.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = struct.Struct("=IIII")

_TEXT_AFTER: Final = b" msg="


class Format(StrEnum):
    """The word of `format` in a plugin's settings."""

    STRING = "string"
    BINARY = "binary"


def binary(lines: bytes, types: Sequence[int], version: int) -> bytes:
    """Return the messages of whole `lines`, whose record types are `types`."""
    parts: list[bytes] = []
    pack = HEADER.pack
    for kind, line in zip(types, lines.split(b"\n"), strict=False):
        payload = line.partition(_TEXT_AFTER)[2] if version == 0 else line
        parts += (pack(version, HEADER.size, kind, len(payload)), payload)
    return b"".join(parts)


def end_of(data: bytes, records: int, form: Format) -> int:
    """Return where the first `records` records in `data` end; `data` begins with a record."""
    position = 0
    if form is Format.BINARY:
        for _ in range(records):
            position += HEADER.size + HEADER.unpack_from(data, position)[3]
        return position
    for _ in range(records):
        position = data.index(b"\n", position) + 1
    return position


def boundary_before(data: bytes, position: int, form: Format) -> int:
    """Return the beginning of the record that `position` is in; `data` begins with a record."""
    if form is Format.STRING:
        return data.rfind(b"\n", 0, position) + 1
    here = 0
    while here + HEADER.size <= len(data):
        following = here + HEADER.size + HEADER.unpack_from(data, here)[3]
        if following > position:
            break
        here = following
    return here


def count(data: bytes, form: Format) -> int:
    """Return how many records begin in `data`, which begins with one."""
    if form is Format.STRING:
        return data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)
    here = records = 0
    while here + HEADER.size <= len(data):
        here += HEADER.size + HEADER.unpack_from(data, here)[3]
        records += 1
    return records
