"""Which collector writes which records of a node: the value of the node's key in the bucket.

Before a collector writes records it has its claim to them stored in the key, by an update that
succeeds only if nobody else changed the key since. A collector that was given up therefore claims
nothing more; what it had claimed stays `pending` for it, because only its own log can tell how
much of that is written. Nothing here touches a socket: see daemon/fleet_node for what is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from auditd_py.errors import WireError
from auditd_py.remote.stream import STREAM_SIZE

MOST_STREAMS: Final = 16  # of a node; one, unless its queue was made anew or it has a double
MOST_AWAITED: Final = 64  # gaps that are remembered

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """The records from number `first` to `last` of a stream.

    They lie in messages whose sequences are `lowest` to `highest`. `slot` is the name under which
    a collector's positions know how many of them are written: the stream's own, or that of a part
    which is written after later ones.
    """

    stream: bytes
    first: int
    last: int
    lowest: int
    highest: int
    slot: bytes

    def meets(self, stream: bytes, first: int, last: int) -> bool:
        """Return whether any of these records is among its own."""
        return self.stream == stream and self.first <= last and first <= self.last


@dataclass(frozen=True, slots=True)
class Part:
    """Records of a message that are to be written, by number; `slot` as in Claim."""

    first: int
    last: int
    slot: bytes


@dataclass(slots=True)
class NodeKey:
    """What the key of a node says.

    `owner` is the name of a collector, empty if nobody has the node, and `session` tells its
    processes apart; `by` is the one that stored this, and `updates` makes each value differ.
    `consumer` is the one the owner made. `following` has the number after the last
    record that was claimed, by stream. `awaited` are records that nobody wrote though later ones
    are claimed: they were missing in the stream, or an administrator gave a claim up.
    """

    owner: str = ""
    session: str = ""
    by: str = ""
    updates: int = 0
    consumer: str = ""
    following: dict[bytes, int] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    pending: list[tuple[str, Claim]] = field(default_factory=list)
    awaited: list[Claim] = field(default_factory=list)

    def copy(self) -> NodeKey:
        """Return one that may be changed."""
        return replace(
            self, following=dict(self.following), claims=list(self.claims),
            pending=list(self.pending), awaited=list(self.awaited),
        )  # fmt: skip

    def blocked(self, stream: bytes, first: int, last: int) -> bool:
        """Return whether somebody is to write, or just writes, any of these records."""
        return any(claim.meets(stream, first, last) for claim in self.claims) or any(
            claim.meets(stream, first, last) for _, claim in self.pending
        )

    def take(
        self, stream: bytes, first: int, last: int, sequence: int, claims: list[Claim]
    ) -> list[Part]:
        """Return what is new of the records in a message, and add it to `claims`.

        Records that are missing before them are awaited from then on, but not those before the
        first ones of a stream: a host begins one at any number, and publishes in order. What is
        not new was claimed before: it is written, unless `blocked` says otherwise.
        """
        parts = [part for claim in list(self.awaited) for part in self._late(claim, first, last)
                 if claim.stream == stream]  # fmt: skip
        following = self.following.pop(stream, first)
        if last >= following:
            if first > following:
                self._await(stream, following, first - 1, sequence)
            parts.append(Part(max(first, following), last, stream))
        self.following[stream] = max(following, last + 1)
        while len(self.following) > MOST_STREAMS:
            oldest = next(iter(self.following))
            del self.following[oldest]
            self.awaited = [claim for claim in self.awaited if claim.stream != oldest]
        for part in parts:
            _add(claims, stream, part, sequence)
        return parts

    def take_over(self, owner: str, session: str) -> None:
        """Give the node to another collector; what was claimed is pending for the former one."""
        self.pending += [(self.owner, claim) for claim in self.claims]
        self.claims = []
        self.owner, self.session = owner, session

    def release(self, collector: str) -> int:
        """Have others write what is pending for a collector; return how many claims that are."""
        given = [claim for owner, claim in self.pending if owner == collector]
        if self.owner == collector:
            given += self.claims
            self.claims, self.owner, self.session = [], "", ""
        self.pending = [one for one in self.pending if one[0] != collector]
        for claim in given:
            self._await(claim.stream, claim.first, claim.last, claim.lowest)
        return len(given)

    def _late(self, claim: Claim, first: int, last: int) -> list[Part]:
        first, last = max(first, claim.first), min(last, claim.last)
        if first > last:
            return []
        self.awaited.remove(claim)
        if claim.first < first:
            self._await(claim.stream, claim.first, first - 1, claim.lowest)
        if last < claim.last:
            self._await(claim.stream, last + 1, claim.last, claim.lowest)
        return [Part(first, last, slot_name(claim.stream, first, last))]

    def _await(self, stream: bytes, first: int, last: int, sequence: int) -> None:
        self.awaited.append(
            Claim(stream, first, last, sequence, sequence, slot_name(stream, first, last))
        )
        del self.awaited[:-MOST_AWAITED]


def _add(claims: list[Claim], stream: bytes, part: Part, sequence: int) -> None:
    if claims and claims[-1].slot == part.slot and claims[-1].last + 1 == part.first:
        claims[-1] = replace(
            claims[-1], last=part.last, lowest=min(claims[-1].lowest, sequence),
            highest=max(claims[-1].highest, sequence),
        )  # fmt: skip
    else:
        claims.append(Claim(stream, part.first, part.last, sequence, sequence, part.slot))


def slot_name(stream: bytes, first: int, last: int) -> bytes:
    """Return the slot of records that are written after later ones of their stream."""
    return sha256(b"%s %d %d" % (stream, first, last)).digest()[:STREAM_SIZE]


def pack_key(key: NodeKey) -> bytes:
    """Return the value of a node's key."""
    return json.dumps(
        {
            "v": _FORMAT,
            "owner": key.owner,
            "session": key.session,
            "by": key.by,
            "updates": key.updates,
            "consumer": key.consumer,
            "following": {stream.hex(): number for stream, number in key.following.items()},
            "claims": [_packed(claim) for claim in key.claims],
            "pending": [[owner, *_packed(claim)] for owner, claim in key.pending],
            "awaited": [_packed(claim) for claim in key.awaited],
        },
        separators=(",", ":"),
    ).encode()


def parse_key(data: bytes) -> NodeKey:
    """Return what the value of a node's key says. Raises WireError if it is not one of ours."""
    try:
        found: dict[str, Any] = json.loads(data)
        if found["v"] != _FORMAT:
            raise WireError(f"form {found['v']} of a node's key, {_FORMAT} is known")
        return NodeKey(
            owner=str(found["owner"]),
            session=str(found["session"]),
            by=str(found["by"]),
            updates=int(found["updates"]),
            consumer=str(found["consumer"]),
            following={bytes.fromhex(k): int(n) for k, n in found["following"].items()},
            claims=[_parsed(row) for row in found["claims"]],
            pending=[(str(owner), _parsed(row)) for owner, *row in found["pending"]],
            awaited=[_parsed(row) for row in found["awaited"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"not the key of a node: {error!r}") from None


def _packed(claim: Claim) -> list[object]:
    slot = "" if claim.slot == claim.stream else claim.slot.hex()
    return [claim.stream.hex(), claim.first, claim.last, claim.lowest, claim.highest, slot]


def _parsed(row: list[Any]) -> Claim:
    stream, first, last, lowest, highest, slot = row
    name = bytes.fromhex(stream)
    return Claim(
        name, int(first), int(last), int(lowest), int(highest),
        bytes.fromhex(slot) if slot else name,
    )  # fmt: skip
