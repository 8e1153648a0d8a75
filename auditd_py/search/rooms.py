"""A file's lines in memory that is used again and again. HOT.

To read into new memory takes three times as long: the kernel makes each page when it is touched.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = 1 << 18  # bytes; a line that is longer is cut

_NEWLINE: Final = 10


class Rooms:
    """Memory for `count` blocks of at most `size` bytes, BLOCK if 0, at a time."""

    def __init__(self, count: int, size: int = 0) -> None:
        self._size = size = size or BLOCK
        room = size + 2  # with the end of the line before it, and one for its last line
        self.memory = mmap.mmap(-1, count * room)
        self._free = [number * room + 1 for number in reversed(range(count))]

    def leave(self, start: int) -> None:
        """Let the room of the block that begins at a place be used again."""
        self._free.append(start)

    def blocks(self, descriptor: int) -> Iterator[tuple[int, int]]:
        """Give where a file's lines begin and end in memory, block by block, as it is now.

        Before each block a line ends. A last line without an end is given one.
        """
        memory, size, offset = self.memory, os.fstat(descriptor).st_size, 0
        with memoryview(memory) as whole:
            while offset < size:
                start = self._free.pop()
                with whole[start : start + self._size] as room:
                    count = os.preadv(descriptor, [room], offset)
                if not count:
                    self.leave(start)
                    return
                memory[start - 1] = _NEWLINE
                end = memory.rfind(b"\n", start, start + count) + 1
                if not end:
                    end = start + count + 1
                    memory[end - 1] = _NEWLINE
                    offset -= 1
                offset += end - start
                yield start, end
