"""Which nodes a collector takes and gives back, so that all collectors have about as many."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet


def share(
    me: str, owners: Mapping[str, str], held: Collection[str], living: AbstractSet[str]
) -> tuple[list[str], list[str]]:
    """Return the nodes that `me` should take, and those that it should give back.

    `owners` has the collector of each node, or an empty name, and `living` the collectors that
    work, `me` among them. Nobody keeps more than its share, rounded up. A node is free if its
    owner does not live; who may take several begins where others do not.
    """
    most = -(-len(owners) // max(1, len(living)))
    if len(held) > most:
        return [], sorted(held)[most:]
    free = [
        node for node, owner in owners.items()
        if node not in held and (owner == me or owner not in living)
    ]  # fmt: skip
    free.sort(key=lambda node: (owners[node] != me, crc32(f"{me}/{node}".encode())))
    return free[: most - len(held)], []
