"""What a plugin reads: lines, or messages with a header; which of them the first byte says.

The header is struct audit_dispatcher_header: version, its own length, record type and size of
what follows, each a native u32. Version 0 has the record's bare text, version 1 the whole line.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from auditd_py.errors import WireError
from auditd_py.record.record import Lines
from auditd_py.tables.record_types import type_name

HEADER: Final = struct.Struct("=IIII")
MAX_RECORD: Final = (
    1 << 17
)  # a line of the log is at most 9,225 bytes; a reader's file may have more

_BINARY: Final = (b"\0", b"\1")  # of a version, on either kind of machine; no line begins so


class Stream:
    """Cuts what the daemon sends, in whatever pieces it comes, into records.

    `binary` is None until the first byte has come. `version` is that of the newest message.
    """

    def __init__(self) -> None:
        self.binary: bool | None = None
        self.version = 1
        self._lines = Lines(MAX_RECORD)
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without newline, as in a log.

        Raises WireError for a header that is none; there is no way to go on after that.
        """
        if not data:
            return []
        if self.binary is None:
            self.binary = data.startswith(_BINARY)
        return self._messages(data) if self.binary else list(self._lines.feed(data))

    def end(self) -> list[bytes]:
        """Return the last line, if it has no newline.

        Raises WireError if the stream ends inside of a message.
        """
        if self._rest:
            raise WireError(f"the stream ends {len(self._rest)} bytes into a message")
        return list(self._lines.end())

    def _messages(self, data: bytes) -> list[bytes]:
        data = self._rest + data
        found: list[bytes] = []
        here, last, head = 0, len(data), HEADER.size
        while here + head <= last:
            version, length, kind, size = HEADER.unpack_from(data, here)
            if version > 1 or length != head or size > MAX_RECORD:
                self._rest = b""
                raise WireError(
                    f"no header of a message: version {version}, length {length}, size {size}"
                )
            if here + head + size > last:
                break
            start, here = here + head, here + head + size
            # a newline would cut a line in two
            text = data[start:here].replace(b"\n", b" ")
            found.append(text if version else _prefix(kind) + text)
            self.version = version
        self._rest = data[here:]
        return found


def message(line: bytes, kind: int, version: int = 1) -> bytes:
    """Return the message of a line; version 0 of one that does not begin with `type=` is 1."""
    if version == 0 and line.startswith(b"type="):
        line = line.partition(b" msg=")[2]
    else:
        version = 1
    return HEADER.pack(version, HEADER.size, kind, len(line)) + line


@lru_cache(maxsize=1024)
def _prefix(kind: int) -> bytes:
    return b"type=" + type_name(kind).encode("ascii") + b" msg="
