"""A log for each node in a folder of its own: `collector_log_dir`/NODE/audit.log.

Each has its own size, rotation and flush. At most MOST_OPEN are open at a time; the one that was
written to longest ago is closed. Everything here runs in the log's thread.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from auditd_py.daemon.positions import Positions
from auditd_py.daemon.secure_open import open_directory
from auditd_py.daemon.writer import LogCounters, LogSettings, Writer
from auditd_py.errors import LogError
from auditd_py.log.space import SpaceWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditd_py.daemon.positions import Origin
    from auditd_py.daemon.writer import Events

MOST_OPEN: Final = 128
MOST_NODES: Final = 16_384  # folders; records of further nodes are not written
LOG: Final = "audit.log"
_TELL_S: Final = 60.0


class NodeLogs:
    """The logs below `settings.node_dir`; `totals` counts what is written in all of them."""

    def __init__(self, events: Events, totals: LogCounters) -> None:
        self.positions: Positions | None = None
        self.suspended = False
        self.failed = False  # any of them
        self._events = events
        self._totals = totals
        self._settings: LogSettings | None = None
        self._writers: OrderedDict[str, Writer] = OrderedDict()
        self._space: SpaceWatch | None = None
        self._told_at = 0.0

    @property
    def active(self) -> bool:
        """Whether nodes have logs of their own."""
        return self.positions is not None

    def open(self, settings: LogSettings) -> None:
        """Use `settings` from now on. Raises LogError; the former ones then stay in use."""
        folder = settings.node_dir
        if folder is not None:
            os.close(open_directory(os.path.join(folder, LOG)))
        same = self._settings is not None and self._settings.node_dir == folder
        if same:
            self._close_logs()
        else:
            self.close()
        self.suspended = self.failed = False
        self._settings = settings
        if folder is not None:
            self._space = SpaceWatch(settings.space_left, settings.admin_space_left)
            if self.positions is None:
                self.positions = Positions(os.path.join(folder, "positions"), self._events.told)

    def append(
        self, node: str, chunks: list[bytes], counts: list[int], origins: Mapping[int, Origin]
    ) -> int:
        """Write whole lines of a node; return how many of them are in its log: the first ones."""
        wanted = sum(counts)
        writer = self._writer(node)
        if writer is None:
            for origin in origins.values():
                origin.stream.broken = True
            self._totals.unwritten += wanted
            return 0
        before = replace(writer.counters)
        writer.append(chunks, counts, origins)
        now, totals = writer.counters, self._totals
        totals.written_bytes += now.written_bytes - before.written_bytes
        totals.flushes += now.flushes - before.flushes
        totals.errors += now.errors - before.errors
        totals.torn += now.torn - before.torn
        missing = now.unwritten - before.unwritten
        totals.unwritten += missing
        totals.written += wanted - missing
        self.failed |= writer.failed
        if writer.suspended:
            self._suspend()
        return wanted - missing

    def resume(self, first: bytes, *, rearm: bool) -> None:
        """As Writer.resume, of all that are open."""
        self.suspended = False
        for writer in self._writers.values():
            if writer.suspended or writer.failed:
                writer.resume(first, rearm=rearm)
        self.failed = False

    def rotate(self) -> None:
        """Begin a new log of each node whose log is open and has anything in it."""
        for writer in self._writers.values():
            writer.begin_anew()

    def tick(self) -> None:
        """As Writer.tick."""
        for writer in self._writers.values():
            writer.tick()
        if any(writer.suspended for writer in self._writers.values()):
            self._suspend()

    def flush(self) -> None:
        """Flush all that are open."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flush and close all."""
        self._close_logs()
        if self.positions is not None:
            self.positions.close()
            self.positions = None

    def _close_logs(self) -> None:
        for writer in self._writers.values():
            _close(writer)
        self._writers.clear()

    def _suspend(self) -> None:
        # what one may not do, none may: it is the same disk, and the same action
        self.suspended = True
        for writer in self._writers.values():
            writer.suspend()

    def _writer(self, node: str) -> Writer | None:
        writer = self._writers.get(node)
        if writer is not None:
            self._writers.move_to_end(node)
            return writer
        if self.suspended or self._settings is None or self._settings.node_dir is None:
            return None
        try:
            writer = self._opened(node, self._settings, self._settings.node_dir)
        except (OSError, LogError) as error:
            self._tell(f"the log of node {node} cannot be opened: {error}")
            return None
        self._writers[node] = writer
        if len(self._writers) > MOST_OPEN:
            _close(self._writers.popitem(last=False)[1])
        return writer

    def _opened(self, node: str, settings: LogSettings, folder: str) -> Writer:
        path = os.path.join(folder, node, LOG)
        root = open_directory(os.path.join(folder, LOG))
        try:
            if len(os.listdir(root)) > MOST_NODES:
                raise LogError(folder, f"has {MOST_NODES} nodes already")
            os.mkdir(node, 0o700, dir_fd=root)
        except FileExistsError:
            pass
        finally:
            os.close(root)
        writer = Writer(self._events)
        writer.positions = self.positions
        writer.open(replace(settings, path=path, positions=False))
        if self._space is not None:
            writer.space = self._space  # told once, not by each
        return writer

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if not self._told_at or now - self._told_at >= _TELL_S:
            self._told_at = now
            self._events.told("error", text)


def _close(writer: Writer) -> None:
    writer.positions = None  # which go on
    writer.close()
