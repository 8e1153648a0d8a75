"""Free space on the log's file system: which thresholds are crossed, and when it will be full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from auditd_py.log.incident import Condition

FULL_BLOCKS: Final = 5  # fewer free blocks than this is full, as for the C daemon

_REARM_AFTER_S: Final = 10.0  # space must stay recovered for this long
_MIN_MARGIN: Final = 16 << 10
_MAX_MARGIN: Final = 64 << 20
_LEAST_BYTES: Final = 16 << 10  # between two looks
_MOST_BYTES: Final = 16 << 20
_SAMPLE_S: Final = 60.0
_SAMPLES: Final = 60  # an hour of them


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold of auditd.conf: MiB, or percent of the file system."""

    amount: int
    percent: bool = False

    def bytes_of(self, total: int) -> int:
        """Return the threshold in bytes on a file system of `total` bytes."""
        return ((total >> 20) * self.amount // 100 if self.percent else self.amount) << 20


@dataclass(frozen=True, slots=True)
class Free:
    """What the file system says: bytes, and the size of a block."""

    free: int
    total: int
    block: int


@dataclass(slots=True)
class SpaceWatch:
    """Follows the free space through its thresholds. Times are seconds of one clock.

    A threshold is reported once when it is crossed, and again only after there was more space
    than it and a margin for ten seconds.
    """

    space_left: Limit
    admin_space_left: Limit
    crossed: set[Condition] = field(default_factory=set)
    last: Free | None = None
    _recovered_at: dict[Condition, float] = field(default_factory=dict)
    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    def limits(self, found: Free) -> dict[Condition, int]:
        """Return the thresholds in bytes, the earliest warning first."""
        return {
            Condition.SPACE_LEFT: self.space_left.bytes_of(found.total),
            Condition.ADMIN_SPACE_LEFT: self.admin_space_left.bytes_of(found.total),
            Condition.DISK_FULL: FULL_BLOCKS * found.block,
        }

    def look(self, found: Free, now_s: float) -> list[Condition]:
        """Return the thresholds crossed since the last look, the earliest warning first."""
        self.last = found
        if not self._samples or now_s - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now_s, found.free))
        new = []
        for condition, limit in self.limits(found).items():
            if found.free < limit:
                self._recovered_at.pop(condition, None)
                if condition not in self.crossed:
                    self.crossed.add(condition)
                    new.append(condition)
            elif condition in self.crossed:
                self._recover(condition, found.free - limit, limit, now_s)
        return new

    def mark_full(self) -> bool:
        """Note that a write found the disk full; return whether that is new."""
        new = Condition.DISK_FULL not in self.crossed
        self.crossed.add(Condition.DISK_FULL)
        self._recovered_at.pop(Condition.DISK_FULL, None)
        return new

    def bytes_until_look(self) -> int:
        """Return how much may be written before the next look, so that none is jumped over."""
        if self.last is None:
            return 0
        ahead = [
            self.last.free - limit
            for condition, limit in self.limits(self.last).items()
            if condition not in self.crossed
        ]
        return max(_LEAST_BYTES, min([_MOST_BYTES, *(distance // 2 for distance in ahead)]))

    def full_in_s(self, now_s: float) -> float | None:
        """Return the seconds until nothing is left at the last hour's rate.

        None if the disk is not filling up, or is watched for less than a minute.
        """
        if self.last is None or not self._samples:
            return None
        since, free = self._samples[0]
        used = free - self.last.free
        if now_s - since < _SAMPLE_S or used <= 0:
            return None
        return self.last.free * (now_s - since) / used

    def _recover(self, condition: Condition, above: int, limit: int, now_s: float) -> None:
        if above < min(max(limit // 10, _MIN_MARGIN), _MAX_MARGIN):
            self._recovered_at.pop(condition, None)
        elif now_s - self._recovered_at.setdefault(condition, now_s) >= _REARM_AFTER_S:
            self.crossed.discard(condition)
            del self._recovered_at[condition]


def forecast(full_in_s: float | None) -> str:
    """Return when the disk will be full, in words."""
    if full_in_s is None:
        return "not filling up"
    minutes = int(full_in_s // 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    if days > 365:
        return "not within a year"
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{amount} {unit}" for amount, unit in parts if amount][:2] or ["a minute"]
    return f"full in {' '.join(shown)} at this hour's rate"
