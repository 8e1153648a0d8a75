"""From records to lines to the log and the plugins, in the kernel's order. HOT for batches."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditd_py.netlink.uapi import RecordType
from auditd_py.record.daemon_record import stamped
from auditd_py.record.enrich import ACCOUNT_TYPES_AFTER, ACCOUNT_TYPES_BEFORE
from auditd_py.record.serials import SerialGaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.daemon.dispatcher import Dispatcher
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.names import NameService
    from auditd_py.netlink.datagram import Batch
    from auditd_py.record.line import LineFormatter

_ACCOUNT_TYPES = ACCOUNT_TYPES_BEFORE | ACCOUNT_TYPES_AFTER


@dataclass(slots=True)
class _Segment:
    """Records that wait; `forget` asks for names to be read again before them.

    `take` gets their lines in place of the log.
    """

    records: list[tuple[int, bytes]]
    forget: bool = False
    take: Callable[[bytes], None] | None = None


class Pipeline:
    """Formats batches and hands them to the log, and to the plugins of `dispatcher` if it is set.

    When a record names an id whose name is not known yet, it and everything after it is held
    until the name service has answered; `on_ready` is then called. Nothing overtakes.
    `on_config_change`, if set, is called when the kernel records a change of its configuration.
    """

    def __init__(
        self,
        formatter: LineFormatter,
        log_file: LogFile | None,
        names: NameService,
        on_ready: Callable[[], None],
    ) -> None:
        self.formatter = formatter
        self.log_file = log_file
        self.gaps = SerialGaps()
        self.on_config_change: Callable[[], None] | None = None
        self.dispatcher: Dispatcher | None = None
        self._names = names
        self._on_ready = on_ready
        self._held: list[_Segment] = []
        self._resolving: asyncio.Task[None] | None = None
        self.serial = random.randrange(10000)  # noqa: S311  as the C daemon: not a secret

    def batch(self, batch: Batch) -> bool:
        """Take one received batch; return whether more may come now."""
        self.gaps.batch(batch.types, batch.slots, batch.lengths)
        if self.on_config_change is not None and RecordType.CONFIG_CHANGE in batch.types:
            self.on_config_change()
        if self._held:
            self._hold(batch.texts())
            return False
        enricher = self.formatter.enricher
        if enricher is not None and not _ACCOUNT_TYPES.isdisjoint(batch.types):
            self._hold(batch.texts())
            return not self._held
        dispatching = self.dispatcher is not None and self.dispatcher.active
        if dispatching:
            lines, count, everything, types = self.formatter.batch_for_all(
                batch.types, batch.slots, batch.lengths
            )
        else:
            lines, count = self.formatter.batch(batch.types, batch.slots, batch.lengths)
        if enricher is not None and (enricher.wanted_users or enricher.wanted_groups):
            self._hold(batch.texts())
            return False
        self._write(lines, count)
        if dispatching:
            self._dispatch(everything, types)
        return self.log_file is None or not self.log_file.full

    def daemon_record(
        self, kind: int, text: str, take: Callable[[bytes], None] | None = None
    ) -> None:
        """Write a record of the daemon's own: `text` is what follows the time stamp.

        `take(line)` is given its line instead, when all before it has gone to the log.
        """
        self.serial += 1
        record = (kind, stamped(time.time(), self.serial, text))
        self._hold_segments([_Segment([record], take=take)])

    async def settle(self) -> None:
        """Return when nothing is held any more."""
        while self._resolving is not None:
            await asyncio.shield(self._resolving)

    def _write(self, lines: bytes, count: int) -> None:
        if self.log_file is not None and lines:
            self.log_file.append(lines, count)

    def _dispatch(self, lines: bytes, types: list[int]) -> None:
        if self.dispatcher is not None and self.dispatcher.active and types:
            self.dispatcher.give(lines, types, self.formatter.version)

    def _hold(self, records: list[tuple[int, bytes]]) -> None:
        self._hold_segments(self._segments(records))

    def _hold_segments(self, segments: list[_Segment]) -> None:
        # what needs no look-up goes on at once; the rest waits in order
        self._held += segments
        if self._resolving is None:
            self._release()
            if self._held:
                self._resolving = asyncio.get_running_loop().create_task(self._resolve())

    def _segments(self, records: list[tuple[int, bytes]]) -> list[_Segment]:
        if self.formatter.enricher is None:
            return [_Segment(records)]
        segments = [_Segment([])]
        for record in records:
            if record[0] in ACCOUNT_TYPES_BEFORE:
                segments.append(_Segment([], forget=True))
            segments[-1].records.append(record)
            if record[0] in ACCOUNT_TYPES_AFTER:
                segments.append(_Segment([], forget=True))
        return segments

    def _release(self) -> None:
        enricher = self.formatter.enricher
        while self._held:
            segment = self._held[0]
            if enricher is not None and segment.forget:
                enricher.forget_names()
                segment.forget = False
            lines, count, everything, types = self.formatter.records_for_all(segment.records)
            if enricher is not None and (enricher.wanted_users or enricher.wanted_groups):
                return
            if segment.take is not None:
                segment.take(lines)
            else:
                self._write(lines, count)
            self._dispatch(everything, types)
            del self._held[0]

    async def _resolve(self) -> None:
        enricher = self.formatter.enricher
        try:
            while self._held and enricher is not None:
                users, groups = await self._names.look_up(
                    sorted(enricher.wanted_users), sorted(enricher.wanted_groups)
                )
                for uid, name in users.items():
                    enricher.learn_user(uid, name)
                for gid, name in groups.items():
                    enricher.learn_group(gid, name)
                self._release()
        finally:
            self._resolving = None
            self._on_ready()
