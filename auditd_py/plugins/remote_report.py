"""The forwarder's state report, which SIGUSR1 asks for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditd_py.config.remote import RemoteConfig
    from auditd_py.config.table import Mode
    from auditd_py.plugins.remote_link import Link
    from auditd_py.remote.queue import MemoryQueue


@dataclass(slots=True)
class Counts:
    """Records since the start: every one that was `taken` is sent, lost, dropped or waits."""

    taken: int = 0
    sent: int = 0  # and acknowledged
    lost: int = 0  # refused by the server, and given up as its action says
    dropped: int = 0  # there was no room in the queue
    connections: int = 0
    failures: int = 0
    answered_at: float = 0.0  # monotonic; 0: never


class QueueConfig(Protocol):
    """The setting this needs."""

    @property
    def mode(self) -> Mode: ...


def report(
    config: RemoteConfig,
    counts: Counts,
    queue: MemoryQueue,
    link: Link,
    suspended: bool,  # noqa: FBT001
) -> str:
    """Return the report, a `key = value` a line."""
    target = {
        "server": link.server or config.remote_server[0],
        "port": config.port,
        "transport": config.transport,
        "connection": link.state.name.lower().replace("_", " "),
    }
    return report_text(target, config, counts, queue, suspended)


def report_text(
    target: Mapping[str, object],
    config: QueueConfig,
    counts: Counts,
    queue: MemoryQueue,
    suspended: bool,  # noqa: FBT001
) -> str:
    """Return a report that begins with what is known of the `target`."""
    answered = f"{time.monotonic() - counts.answered_at:.0f}" if counts.answered_at else "never"
    values = {
        **target,
        "suspended": "yes" if suspended else "no",
        "connections": counts.connections,
        "failures": counts.failures,
        "seconds since the last acknowledgement": answered,
        "records taken": counts.taken,
        "records acknowledged": counts.sent,
        "records lost": counts.lost,
        "records dropped": counts.dropped,
        "current queue depth": queue.waiting,
        "max queue depth used": queue.most,
        "queue size": queue.depth,
        "mode": config.mode,
    }
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def write_report(path: str, text: str) -> None:
    """Put the report in the place of the last one. Raises OSError."""
    new = f"{path}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
    os.rename(new, path)
