"""A search that goes on where the one before ended: each event once, also across rotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.search.checkpoint import (
    BAD_FILE,
    Checkpoint,
    CheckpointError,
    Shown,
    Skip,
    read_checkpoint,
    split_ended,
    write_checkpoint,
)
from auditd_py.search.reader import blocks, first_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.record.event import Event
    from auditd_py.search.reader import LogFile
    from auditd_py.search.scan import Run, Scan


class Resume:
    """One such search over open files, the oldest first.

    Events that may go on in what is not written yet stay for the next. `by_time` asks only the
    time of the checkpoint, for when its file is gone.
    """

    def __init__(self, path: str, files: list[LogFile], *, by_time: bool = False) -> None:
        self._path = path
        self._files = files
        self._point = read_checkpoint(path)
        self._by_time = by_time
        self._segments: list[tuple[int, LogFile, int]] = []
        self._shown = Shown()
        self._last: Event | None = None
        self._place: int | None = None

    def events(self, scan: Scan, on_problem: Callable[[str], None]) -> Iterator[Event]:
        """Give the events that are wanted and new. Raises CheckpointError."""
        skip = Skip(self._point, by_time=self._by_time)
        first, offset = self._beginning()
        for file in self._files[first:]:
            self._segments.append((scan.place, file, offset))
            for data, end in blocks(file, on_problem, offset, whole=file is self._files[-1]):
                yield from self._new(scan.feed_all(data, end), scan, skip)
            offset = 0
        ended, held = split_ended(scan.open_events(), scan.latest)
        yield from self._new(ended, scan, skip)
        self._place = min((_place(event) for event in held), default=scan.place)

    def save(self) -> None:
        """Write the checkpoint, if an event was shown; raises CheckpointError."""
        if self._last is None:
            return
        # a search that was broken off goes on behind its last event, in their order
        place = self._segments[-1][0] if self._place is None else self._place
        start, file, offset = next(s for s in reversed(self._segments) if s[0] <= place)
        device, inode = file.identity
        point = Checkpoint(device, inode, self._last.key, self._last.records[0].type_number)
        if self._place is not None:
            point.offset = offset + place - start
            point.first = first_identity(file)
            point.done = self._shown.behind(place)
            if self._point is not None:  # what was shown before may stand behind it still
                point.done |= {key for key in self._point.done if key[1] > point.last[1] - 3600}
        write_checkpoint(self._path, point)

    def _new(
        self, events: Iterator[Event] | list[Event], scan: Scan, skip: Skip
    ) -> Iterator[Event]:
        for event in events:
            if not skip.is_new(event):
                continue
            wanted = scan.wanted(event)
            if wanted is not None:
                self._shown.add(event.key, _end(event))
                self._last = wanted
                yield wanted

    def _beginning(self) -> tuple[int, int]:
        """Return the file to begin with, and where in it."""
        point = self._point
        if point is None or self._by_time:
            return 0, 0
        offset = point.offset or 0
        for number, file in enumerate(self._files):
            if file.identity == (point.device, point.inode):
                same = point.first in (b"", first_identity(file))
                if same and (file.compression or offset <= file.size):
                    return number, offset
        for number, file in enumerate(self._files):
            # a compressed archive is another file with the same lines
            if file.compression and point.first and point.first == first_identity(file):
                return number, offset
        raise CheckpointError(
            f"{self._path}: the log it names is gone: use -ts checkpoint to go on by time", BAD_FILE
        )


def _place(event: Event) -> int:
    runs: list[Run] = event.records  # type: ignore[assignment]
    return min(run.place for run in runs)


def _end(event: Event) -> int:
    runs: list[Run] = event.records  # type: ignore[assignment]
    return max(run.place + len(run.line) + 1 for run in runs)
