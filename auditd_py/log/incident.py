"""What can happen to the log, or to a plugin's queue, that an administrator chose an action for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Condition(StrEnum):
    """What happened; the value is the keyword of auditd.conf that names the action."""

    LOG_SIZE = "max_log_file_action"
    SPACE_LEFT = "space_left_action"
    ADMIN_SPACE_LEFT = "admin_space_left_action"
    DISK_FULL = "disk_full_action"
    DISK_ERROR = "disk_error_action"
    QUEUE_FULL = "overflow_action"  # of a plugin: the log itself is well


class Response(Enum):
    """What the log's writer does at once, before the action itself runs.

    GO_ON also means: after a failed write, try again by itself until the disk recovers.
    """

    GO_ON = auto()
    ROTATE = auto()
    KEEP_LOGS = auto()
    SUSPEND = auto()


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that happened to the log at `path`.

    `size` of the log, `free` space and the `limit` that was crossed are in bytes; `free` is None
    where it was not asked. `function` and `reason` say which call failed and why; of a
    threshold they are empty.
    """

    condition: Condition
    path: str
    size: int = 0
    free: int | None = None
    limit: int = 0
    function: str = ""
    reason: str = ""
