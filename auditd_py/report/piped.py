"""What mkbar and mkgraph read: counts and pairs, a line each, as aureport, awk and uniq write."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Counts = Counter[tuple[bytes, ...]]


@dataclass(slots=True)
class Piped:
    """What was read: counts, the words above them, and how many lines were neither."""

    counts: Counts = field(default_factory=Counter)
    title: str = ""
    skipped: int = 0


def read_counts(lines: Iterable[bytes]) -> Piped:
    """Read lines of a count and a name; the first line of a summary above them is its title."""
    found = Piped()
    for line in lines:
        count, _, name = line.strip().partition(b" ")
        if count.isdigit() and name.strip() and len(count) < 19:
            found.counts[(name.strip(),)] += int(count)
        elif not found.counts and line.strip().endswith(b"Report"):
            found.title = line.strip().decode("utf-8", "backslashreplace")
        elif not _is_frame(line):
            found.skipped += 1
    return found


def read_pairs(lines: Iterable[bytes]) -> Piped:
    """Read lines of two words, perhaps with a count before them (`uniq -c`)."""
    found = Piped()
    for line in lines:
        words = line.split()
        if len(words) == 2:
            found.counts[words[0], words[1]] += 1
        elif len(words) == 3 and words[0].isdigit() and len(words[0]) < 19:
            found.counts[words[1], words[2]] += int(words[0])
        elif not _is_frame(line):
            found.skipped += 1
    return found


def _is_frame(line: bytes) -> bool:
    """Say whether a line is only there for the eye, as aureport writes them."""
    text = line.strip()
    return not text.strip(b"=") or text.startswith((b"total ", b"<no events", b"#"))
