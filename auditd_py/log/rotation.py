"""Which files a rotation moves and removes, and when the next one is due."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER: Final = "never"
SUFFIXES: Final = {"gzip": ".gz", "zstd": ".zst"}

_ARCHIVE = re.compile(r"\.([1-9][0-9]{0,8})(\.gz|\.zst)?")
_MINUTES = re.compile(r"([0-9]+)m")
_DAY_S: Final = 86400


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """A rotated log: audit.log.`number``suffix`; the suffix is of its compression, if any."""

    number: int
    suffix: str = ""

    @property
    def ending(self) -> str:
        """What follows the log's own name."""
        return f".{self.number}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An archive as it is on disk: its size in bytes and when it was last written to."""

    archive: Archive
    size: int
    written_s: float


def archives(base: str, names: Iterable[str]) -> list[Archive]:
    """Return the archives of the log `base` among `names`, newest first.

    They are counted from 1 to the first number that is missing: what comes after a gap was put
    there by somebody else.
    """
    found: dict[int, list[Archive]] = {}
    for name in names:
        if name.startswith(base) and (match := _ARCHIVE.fullmatch(name, len(base))):
            archive = Archive(int(match[1]), match[2] or "")
            found.setdefault(archive.number, []).append(archive)
    together = []
    number = 1
    while number in found:
        together += sorted(found[number])
        number += 1
    return together


def excess(base: str, names: Iterable[str], num_logs: int) -> list[Archive]:
    """Return the archives that are too many for `num_logs` files with the log itself.

    They are counted from `num_logs` to the first number that is missing.
    """
    found = {
        name[len(base) :]
        for name in names
        if name.startswith(base) and _ARCHIVE.fullmatch(name, len(base))
    }
    too_many = []
    number = max(num_logs, 1)
    while here := [
        archive
        for suffix in ("", *SUFFIXES.values())
        if (archive := Archive(number, suffix)).ending in found
    ]:
        too_many += here
        number += 1
    return too_many


@dataclass(frozen=True, slots=True)
class Shift:
    """What makes room for a new archive 1: first `remove`, then `move` each one number up."""

    remove: list[Archive]
    move: list[Archive]


def shift(found: list[Archive], num_logs: int | None) -> Shift:
    """Return what to do before the log becomes archive 1.

    `found` as `archives` returns it. `num_logs` None keeps them all.
    """
    oldest = len(found) + 1 if num_logs is None else num_logs - 1
    return Shift(
        remove=[archive for archive in found if archive.number >= oldest],
        move=[archive for archive in reversed(found) if archive.number < oldest],
    )


def expired(
    stored: list[Stored], *, log_size: int, now_s: float, keep_days: int, keep_total: int
) -> list[Archive]:
    """Return the archives to remove, oldest first; a limit of 0 is none.

    `keep_days`: written to within so many days. `keep_total`: bytes, the log itself included.
    """
    gone = []
    total = log_size + sum(one.size for one in stored)
    for one in reversed(stored):
        too_old = keep_days and now_s - one.written_s > keep_days * _DAY_S
        too_much = keep_total and total > keep_total
        if not (too_old or too_much):
            break  # what is newer stays: archives never have a gap
        gone.append(one.archive)
        total -= one.size
    return gone


def next_rotation(every: str, since_s: float) -> float:
    """Return when a log begun at `since_s` is rotated, seconds since 1970; inf for never.

    `every` is hourly, daily, weekly (Monday), all by the local clock, or minutes like 30m.
    """
    if every == NEVER:
        return float("inf")
    if match := _MINUTES.fullmatch(every):
        period_s = int(match[1]) * 60
        return (since_s // period_s + 1) * period_s
    now = time.localtime(since_s)
    year, month, day = now[:3]
    match every:
        case "hourly":
            # by what is left of the hour: it may come twice when summer ends
            return math.floor(since_s) + 3600 - now.tm_min * 60 - now.tm_sec
        case "daily":
            return time.mktime((year, month, day + 1, 0, 0, 0, 0, 0, -1))
        case "weekly":
            return time.mktime((year, month, day + 7 - now.tm_wday, 0, 0, 0, 0, 0, -1))
    raise ValueError(f"rotate_interval = {every}")
