"""When the log is forced to disk.

The unit of durability is the batch: what was waiting in the kernel is written together and
flushed once. A power cut would have taken those records from the kernel's queue as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto


class Durability(Enum):
    """How written records reach the disk itself."""

    KERNEL = auto()  # when the kernel thinks fit
    FLUSH = auto()  # after the write that completes `freq` records
    FLUSH_ASIDE = auto()  # the same, while writing goes on
    EACH_WRITE = auto()  # every write returns when it is on disk


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """What a `flush` and `freq` of auditd.conf ask for."""

    durability: Durability
    freq: int = 0
    open_flags: int = 0

    @property
    def flushes(self) -> bool:
        """Whether written records must be counted for a flush."""
        return self.durability in (Durability.FLUSH, Durability.FLUSH_ASIDE)


def flush_policy(flush: str, freq: int) -> FlushPolicy:
    """Return the policy for the word of `flush` (auditd.conf's, lower case) and `freq`."""
    match flush:
        case "incremental":
            return FlushPolicy(Durability.FLUSH, freq)
        case "incremental_async":
            return FlushPolicy(Durability.FLUSH_ASIDE, freq)
        case "data":
            return FlushPolicy(Durability.EACH_WRITE, open_flags=os.O_DSYNC)
        case "sync":
            return FlushPolicy(Durability.EACH_WRITE, open_flags=os.O_SYNC)
        case "none":
            return FlushPolicy(Durability.KERNEL)
    raise ValueError(f"flush = {flush}")
