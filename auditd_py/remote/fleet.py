"""Records of a host in messages of a NATS stream: what publisher and collector agree on.

The subject is `audit.<site>.<node>`. A message is a run of consecutive records of the host's
queue, each a line. Its header `Auditd-Stream` says which: the queue's stream and numbers, as in
remote/stream. HOT: 0.2 µs a record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from auditd_py.errors import WireError
from auditd_py.remote.node import node_of
from auditd_py.remote.stream import STREAM_SIZE, printed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION_HEADER: Final = "Auditd-Py"
STREAM_HEADER: Final = "Auditd-Stream"
ID_HEADER: Final = "Nats-Msg-Id"  # the server drops a second message with the same one
HEADER_ROOM: Final = 1024  # bytes of a message that its headers may take

_VERSION: Final = "1"
_PREFIX: Final = "audit"
_MOST: Final = (1 << 63) - 1
_NUMBERS: Final = re.compile(r"([0-9a-f]{32}) ([0-9]{1,19}) ([0-9]{1,9})")
_STAMP: Final = re.compile(rb"msg=audit\([0-9]+\.[0-9]+:([0-9]+)\)")
_UNPRINTED: Final = re.compile(rb"[\n\r\0]")


@dataclass(frozen=True, slots=True)
class Run:
    """`count` records of a stream from number `first` on; `lines` has a newline after each."""

    stream: bytes
    first: int
    count: int
    lines: bytes


def lines_of(texts: Sequence[bytes]) -> bytes:
    """Return records as the lines of a message; no record can make two of them."""
    lines = b"\n".join(texts) + b"\n"
    if lines.count(b"\n") != len(texts) or b"\0" in lines or b"\r" in lines:
        lines = b"\n".join([_UNPRINTED.sub(b" ", text) for text in texts]) + b"\n"
    if b"\x1d" in lines:
        lines = b"\n".join([printed(text) for text in lines[:-1].split(b"\n")]) + b"\n"
    return lines


def runs_of(stream: bytes, first: int, texts: Sequence[bytes]) -> list[tuple[bytes, Run]]:
    """Return the messages of a queue's records: one with its node, or one each time that changes.

    `stream` and `first` are the queue's. Each node has a stream of its own, as the messages of
    different nodes may go to different collectors.
    """
    lines = lines_of(texts)
    node = node_of(lines)
    if (b"\n" + lines).count(b"\nnode=" + node + b" ") == len(texts):
        return [(node, Run(stream_of(stream, node), first, len(texts), lines))]
    runs = []
    for name, group in groupby(texts, node_of):
        own = list(group)
        runs.append((name, Run(stream_of(stream, name), first, len(own), lines_of(own))))
        first += len(own)
    return runs


def halves(run: Run) -> tuple[Run, Run]:
    """Return a run of more than one record as two."""
    lines = run.lines.split(b"\n")[:-1]
    count = len(lines) // 2
    front, back = (b"\n".join(part) + b"\n" for part in (lines[:count], lines[count:]))
    return (
        Run(run.stream, run.first, count, front),
        Run(run.stream, run.first + count, run.count - count, back),
    )


def stream_of(stream: bytes, node: bytes) -> bytes:
    """Return the name of the stream that a node's records of a queue's stream have."""
    return blake2b(node, digest_size=STREAM_SIZE, key=stream).digest()


def headers_of(stream: bytes, first: int, count: int) -> dict[str, str]:
    """Return the headers of a message that say which records it has."""
    return {VERSION_HEADER: _VERSION, STREAM_HEADER: f"{stream.hex()} {first} {count}"}


def message_id(node: bytes, boot: str, run: Run) -> str:
    """Return what only this message has: node, boot, serial of its first record, and the part.

    The part is the numbers in the stream, as of one event some records may be in this message and
    some in the one before. The count is in it: were two messages of different length to have one
    id, a server would drop the longer one, whose end it has not.
    """
    found = _STAMP.search(run.lines[:512].partition(b"\n")[0])
    serial = found[1].decode() if found else "-"
    return f"{subject_token(node)} {boot} {serial} {run.stream.hex()[:8]}-{run.first}+{run.count}"


def stamp_of(text: bytes) -> bytes:
    """Return what all records of an event have in common: time and serial; empty if unknown."""
    found = _STAMP.search(text, 0, 300)
    return found[0] if found else b""


def read_run(headers: Mapping[str, str] | None, data: bytes) -> Run:
    """Return the records of a message. Raises WireError."""
    headers = headers or {}
    if headers.get(VERSION_HEADER) != _VERSION:
        raise WireError(f"version {headers.get(VERSION_HEADER, 'none')} of the message")
    found = _NUMBERS.fullmatch(headers.get(STREAM_HEADER, ""))
    if found is None:
        raise WireError(f"no numbers in {STREAM_HEADER}")
    first, count = int(found[2]), int(found[3])
    if not first or not count or first + count > _MOST:
        raise WireError(f"{count} records from number {first} on")
    lines = data.count(b"\n")
    if not data.endswith(b"\n") or lines != count:
        raise WireError(f"{lines} lines, {count} are promised")
    return Run(bytes.fromhex(found[1]), first, count, data)


def subject_token(name: bytes) -> str:
    """Return a name as a part of a subject: dots, spaces, wildcards and the like are %XX."""
    return quote_from_bytes(name, safe=":+@").replace(".", "%2E")


def subject_of(site: str, node: bytes) -> str:
    """Return the subject of a node's messages; `site` is a token as it is."""
    return f"{_PREFIX}.{site}.{subject_token(node)}"


def node_of_subject(subject: str) -> bytes:
    """Return the node whose records have the subject; empty if it is none of ours."""
    words = subject.split(".")
    if len(words) != 3 or words[0] != _PREFIX:
        return b""
    return unquote_to_bytes(words[2])
