"""The state report: everything an administrator may want to know of a running daemon."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from typing import Final

from auditd_py.daemon.secure_open import give
from auditd_py.log.incident import Condition

_ALLOCATOR: Final = (
    "glibc arena (total memory)",
    "glibc uordblks (in use memory)",
    "glibc fordblks (total free space)",
)


@dataclass(frozen=True, slots=True)
class Losses:
    """Every way a record can fail to reach the log, counted since the daemon started.

    `kernel_lost`: records the kernel dropped (its `lost`). `missing_events`: serials that never
    came. `congested`: sends that found the event socket full; the kernel tries again.
    `unwritten`: records that came while logging was suspended or failed.
    """

    kernel_lost: int = 0
    missing_events: int = 0
    congested: int = 0
    unwritten: int = 0

    def __str__(self) -> str:
        return (
            f"lost by the kernel {self.kernel_lost}, events missing {self.missing_events}, "
            f"socket full {self.congested}, unwritten {self.unwritten}"
        )


@dataclass(frozen=True, slots=True)
class LogState:
    """The log file's part of the report; sizes in bytes, `free` None if it cannot be told.

    `limits` are the thresholds by condition and `crossed` those that are below them now;
    `rotation_s` is how long the last and the longest rotation took.
    """

    size: int
    limit_mib: int
    archives: int
    free: int | None
    limits: dict[Condition, int]
    crossed: frozenset[Condition]
    forecast: str
    suspended: bool
    disk_error: bool
    rotations: int = 0
    rotation_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PluginsState:
    """The plugins' part of the report; depths in records, of the fullest queue."""

    active: int
    depth: int
    most: int
    size: int
    overflowed: bool
    suspended: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the report is made of. `log` is None where no log file is kept.

    `allocator` is `allocator_kib()` now and when the daemon started; `clients` are those connected
    now and all there were, None where nobody may connect.
    """

    version: str
    time: str
    priority: int
    writing: bool
    log: LogState | None
    plugins: PluginsState
    losses: Losses
    clients: tuple[int, int] | None = None
    allocator: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    ours: dict[str, object] = field(default_factory=dict)


def state_report(state: State) -> str:
    """Return the report, one `key = value` a line: the C daemon's lines, then ours."""
    rows: list[tuple[str, object]] = [
        ("audit version", state.version),
        ("current time", state.time),
        ("process priority", state.priority),
        ("writing to logs", _yes(state.writing)),
    ]
    if state.log is not None:
        rows += _log_rows(state.log)
    rows += [
        ("Number of active plugins", state.plugins.active),
        ("current plugin queue depth", state.plugins.depth),
        ("max plugin queue depth used", state.plugins.most),
        ("plugin queue size", state.plugins.size),
        ("plugin queue overflow detected", _yes(state.plugins.overflowed)),
        ("plugin queueing suspended", _yes(state.plugins.suspended)),
        ("listening for network connections", _yes(state.clients is not None)),
    ]
    if state.clients is not None:
        active, total = state.clients
        rows += [("active connections", active), ("total connections", total)]
    ours: list[tuple[str, object]] = [
        ("kernel records lost", state.losses.kernel_lost),
        ("events missing", state.losses.missing_events),
        ("event socket found full", state.losses.congested),
        ("records unwritten", state.losses.unwritten),
        *(_our_log_rows(state.log) if state.log is not None else ()),
        *state.ours.items(),
    ]
    lines = [f"{key} = {value}" for key, value in rows]
    for name, now, before in zip(_ALLOCATOR, *state.allocator, strict=False):
        lines.append(f"{name} is: {now} KiB, was: {before} KiB")
    lines += [f"{key} = {value}" for key, value in ours]
    return "\n".join(lines) + "\n"


def _log_rows(log: LogState) -> list[tuple[str, object]]:
    free = "unknown" if log.free is None else f"{log.free >> 20} MiB"
    full = Condition.DISK_FULL in log.crossed or log.free == 0
    space, admin = (
        f"{log.limits.get(condition, 0) >> 20} MiB"
        for condition in (Condition.SPACE_LEFT, Condition.ADMIN_SPACE_LEFT)
    )
    return [
        ("current log size", f"{log.size >> 10} KiB"),
        ("max log size", f"{log.limit_mib << 10} KiB"),
        ("logs detected last rotate/shift", log.archives),
        ("space left on partition", _yes(not full)),
        ("Logging partition free space", free),
        ("space_left setting", space),
        ("admin_space_left setting", admin),
        ("logging suspended", _yes(log.suspended)),
        ("file system space action performed", _yes(Condition.SPACE_LEFT in log.crossed)),
        ("admin space action performed", _yes(Condition.ADMIN_SPACE_LEFT in log.crossed)),
        ("disk error detected", _yes(log.disk_error)),
    ]


def _our_log_rows(log: LogState) -> list[tuple[str, object]]:
    names = {
        Condition.SPACE_LEFT: "space_left",
        Condition.ADMIN_SPACE_LEFT: "admin_space_left",
        Condition.DISK_FULL: "disk full",
    }
    crossed = [name for condition, name in names.items() if condition in log.crossed]
    last, longest = (f"{seconds * 1000:.2f} ms" for seconds in log.rotation_s)
    return [
        ("thresholds crossed", ", ".join(crossed) or "none"),
        ("space forecast", log.forecast),
        ("rotations", log.rotations),
        ("last rotation took", last),
        ("longest rotation took", longest),
    ]


def allocator_kib() -> tuple[int, ...]:
    """Return the C library's memory in KiB: all, in use, free; empty without glibc 2.33."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return ()
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return info.arena >> 10, info.uordblks >> 10, info.fordblks >> 10


def write_report(path: str, text: str, group: int) -> None:
    """Put the report at `path` (0640, root:`group`) so that readers never see half of it.

    Raises OSError.
    """
    temporary = f"{path}.new"
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    try:
        give(fd, group)
        os.fchmod(fd, 0o640)
        os.write(fd, text.encode())
    finally:
        os.close(fd)
    os.replace(temporary, path)


def resident_kib() -> int:
    """Return this process's resident memory in KiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "no"


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip
