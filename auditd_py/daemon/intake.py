"""From clients to the log and back: what they sent in a turn of the loop, and its answers. HOT.

The batches of all clients that were read in one turn of the event loop go to the log as one
piece, and are answered together when it is written: with fifty clients that send one record at a
time the log is asked once, not fifty times. Benchmarks: collect-64, collect-1, collect-sync.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING

from auditd_py.daemon.positions import Origin
from auditd_py.log.incident import Condition
from auditd_py.remote.node import folder_name, node_of
from auditd_py.remote.receiver import DISK_ERROR, DISK_FULL, SUSPENDED
from auditd_py.remote.stream import answer, record_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditd_py.daemon.collector import Client
    from auditd_py.daemon.logfile import LogFile
    from auditd_py.daemon.positions import Stream
    from auditd_py.remote.receiver import Batch, Refusal
    from auditd_py.remote.stream import Position


class Intake:
    """Writes what clients sent, in order for each of them, and answers it in order.

    `writes()` says whether there is a log at all; `on_full()` is called when it takes no more.
    With `by_node` each node has a log of its own.
    """

    def __init__(
        self, log_file: LogFile, writes: Callable[[], bool], on_full: Callable[[], None]
    ) -> None:
        self._log_file = log_file
        self._writes = writes
        self._on_full = on_full
        self._loop = asyncio.get_running_loop()
        self.by_node = False
        self._gathered: list[tuple[Client, Batch]] = []

    def take(self, client: Client, batch: Batch) -> None:
        """Write the records of a batch, and answer it when that is done."""
        if self.by_node and batch.texts and self._writes():
            self._append_by_node(client, batch)
            return
        if client.stream is not None:
            self._append(client, batch)
            return
        if not self._gathered:
            self._loop.call_soon(self.hand_over)
        self._gathered.append((client, batch))

    def hand_over(self) -> None:
        """Give to the log what was gathered."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        if not self._writes():
            for client, batch in gathered:
                client.send(batch.written())
            return
        texts: list[bytes] = []
        for _, batch in gathered:
            texts += batch.texts
        lines = b"\n".join(texts) + b"\n" if texts else b""
        self._log_file.append(lines, len(texts), lambda written: self._answer(gathered, written))
        if self._log_file.full:
            self._on_full()

    def greet(self, client: Client, others: Iterable[Client], batch: Batch) -> None:
        """Tell a client which of its records is the last one in the log."""
        if batch.hello is None or not self._writes():
            self.take(client, batch)
            return
        name, following = batch.hello
        former = [one for one in others if one is not client and one.stream_name == name]
        if any(one.identity != client.identity for one in former):
            self.take(client, batch)  # somebody else's name
            return
        for other in former:
            other.replace("it connected again")  # what it still sends would come twice
        client.stream_name = name
        self.hand_over()

        def agree(found: asyncio.Future[tuple[Stream, Position] | None]) -> None:
            at = found.result() if client.stream_name == name else None
            client.stream = at[0] if at else None
            client.send(batch.greeting(answer(at[1])) if at else batch.written())

        self._log_file.position(name, following).add_done_callback(agree)

    def _append(self, client: Client, batch: Batch) -> None:
        texts = batch.texts
        origin = _origin(client, texts[-1]) if texts else None
        lines = b"\n".join(texts) + b"\n" if texts else b""
        self._log_file.append(
            lines, len(texts), lambda written: self._answer([(client, batch)], written), origin
        )
        if self._log_file.full:
            self._on_full()

    def _append_by_node(self, client: Client, batch: Batch) -> None:
        """Write each run of records of one node to its log; records without go by the address."""
        self.hand_over()  # answers go out in order
        runs = [(node, list(texts)) for node, texts in groupby(batch.texts, node_of)]
        done: list[bool] = []
        total = 0

        def count(size: int, written: int) -> None:
            nonlocal total
            total += written if all(done) else 0
            done.append(written == size)
            if len(done) == len(runs):
                self._answer([(client, batch)], total)

        for node, texts in runs:
            origin = _origin(client, texts[-1])
            self._log_file.append(
                b"\n".join(texts) + b"\n",
                len(texts),
                partial(count, len(texts)),
                origin,
                _folder(node or client.address.encode()),
            )
        if self._log_file.full:
            self._on_full()

    def _answer(self, gathered: list[tuple[Client, Batch]], written: int) -> None:
        """Answer batches of which the first `written` records are in the log."""
        low = Condition.SPACE_LEFT in self._log_file.space.crossed
        for client, batch in gathered:
            amount = len(batch.texts)
            if written >= amount:
                client.send(batch.written(disk_low=low))
            else:
                client.counters.unwritten += amount - written
                client.send(batch.replies(written, self._refusal(), disk_low=low))
            written = max(0, written - amount)

    def _refusal(self) -> Refusal:
        if self._log_file.suspended:
            return SUSPENDED
        if Condition.DISK_FULL in self._log_file.space.crossed:
            return DISK_FULL
        return DISK_ERROR


def _origin(client: Client, last: bytes) -> Origin | None:
    """Return whose records end with the text `last`, if their numbers are agreed on."""
    if client.stream is None:
        return None
    return Origin(client.stream, record_sum(last.removesuffix(client.suffix)))


_folder = lru_cache(1024)(folder_name)
