"""A log in blocks of whole events. HOT: as fast as the disk.

All that is done with a log is done block by block, so memory stays the same however long it is.
A block ends where no event is open: its records may stand between those of others, so the
records around the place are looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK: Final = 4 << 20  # bytes; the columns of one take about 15 MB; in more, pages are made anew
_NEAR: Final = 256 << 10  # bytes before the end of a block in which its last events are

_stamps = re.compile(rb"audit\((\d+\.\d+:\d+)\)").finditer


def blocks(chunks: Iterable[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """Give the bytes of a log in blocks of about `size`.

    `chunks` are pieces of the log in order, cut anywhere. Each block begins with a newline that
    stands for the one before its first line, and ends with its last line's. Records of one event
    are in one block if they stand at most a block apart.
    """
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length < size:
            continue
        whole = b"".join((b"\n", *held))
        held.clear()
        place = cut(whole)
        if place > 1:
            rest = whole[place:]
            whole = whole[:place]
            yield whole
        else:  # without an end of a line nothing can be a record
            rest = whole[1:] if length <= 8 * size else b"\n"
        held, length = [rest], len(rest)
    rest = b"".join(held)
    if rest:
        yield b"\n" + rest + (b"" if rest.endswith(b"\n") else b"\n")


def cut(whole: bytes) -> int:
    """Return where no event is open: after the newline that is the last such; 0 if none is."""
    near = _NEAR
    while True:
        start = whole.rfind(b"\n", 0, max(len(whole) - near, 0)) + 1
        found = _cut_after(whole, start)
        if found or start == 0:
            # all of it is one knot: it is cut where the last event began
            return found or whole.rfind(b"\n") + 1
        near *= 8


def _cut_after(whole: bytes, start: int) -> int:
    """Return the last place after `start` where the events before end and those after begin.

    What comes after the whole is not known, so events whose records are in its last part stay
    together. A place that no time crosses is better than one where a clock went back.
    """
    found = [(match[1], match.start()) for match in _stamps(whole, start)]
    last_place = {stamp: place for place, (stamp, _) in enumerate(found)}
    earliest = found[-1][0] if found else b""
    earliest_after = [b""] * len(found)
    for place in range(len(found) - 1, -1, -1):
        earliest = earliest_after[place] = min(earliest, found[place][0])
    cut = cut_in_time = open_until = 0
    latest = b""
    for place, (stamp, offset) in enumerate(found[: len(found) // 2]):
        if place > open_until:
            cut = whole.rfind(b"\n", 0, offset) + 1
            if latest <= earliest_after[place]:
                cut_in_time = cut
        open_until = max(open_until, last_place[stamp])
        latest = max(latest, stamp)
    return cut_in_time or cut
