"""What `auditd --test-actions` does: each configured action in its harmless form."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.actions.base import Given, NoServices, find_action
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident
from auditd_py.log.space import FULL_BLOCKS, Limit

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.values import Action as Setting
    from auditd_py.config.values import Space

_MIB: Final = 1 << 20
_HEADS: Final = ("keyword", "action", "result", "what was done")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How the harmless form of one action went."""

    keyword: str
    action: str
    ok: bool
    text: str


def rehearse(config: DaemonConfig, name: str, host: str) -> tuple[str, int]:
    """Rehearse the actions set in `config`; return a table to show, and an exit status.

    `name` is a keyword or an action's word and picks those out, all if it is empty. The status is
    0 if every action could do its part, otherwise 1.
    """
    chosen = [
        (condition, setting)
        for condition, setting in settings(config)
        if name.lower() in ("", condition.value, setting.word.lower())
    ]
    if not chosen:
        known = ", ".join(f"{condition} = {setting}" for condition, setting in settings(config))
        return f"{name}: no such keyword or action is set; there are {known}\n", 1
    rows = [_rehearse_one(condition, setting, config, host) for condition, setting in chosen]
    return table(rows), 0 if all(row.ok for row in rows) else 1


def settings(config: DaemonConfig) -> list[tuple[Condition, Setting]]:
    """Return what is set for each condition."""
    return [(condition, getattr(config, condition.value)) for condition in Condition]


def table(rows: list[Rehearsal]) -> str:
    """Return `rows` as text in columns."""
    cells = [_HEADS]
    cells += [(row.keyword, row.action, "ok" if row.ok else "FAILED", row.text) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = []
    for line in cells:
        columns = [text.ljust(width) for text, width in zip(line, widths, strict=False)]
        lines.append("  ".join([*columns, line[3]]) + "\n")
    return "".join(lines)


def example(condition: Condition, config: DaemonConfig) -> Incident:
    """Return an incident as it could happen on this host's disk. May block."""
    path = config.log_file
    size = max(config.max_log_file, 1) * _MIB
    try:
        disk = os.statvfs(os.path.dirname(path))
        total, block = disk.f_blocks * disk.f_frsize, disk.f_frsize
    except OSError:
        total, block = 0, 4096
    match condition:
        case Condition.LOG_SIZE:
            return Incident(condition, path, size, limit=size)
        case Condition.DISK_ERROR:
            return Incident(condition, path, size, function="write", reason=os.strerror(5))
        case Condition.QUEUE_FULL:
            return Incident(condition, path)
        case Condition.DISK_FULL:
            return Incident(condition, path, size, free=0, limit=FULL_BLOCKS * block)
        case Condition.SPACE_LEFT:
            limit = _bytes(config.space_left, total)
        case Condition.ADMIN_SPACE_LEFT:
            limit = _bytes(config.admin_space_left, total)
    return Incident(condition, path, size, free=max(0, limit - _MIB), limit=limit)


def _bytes(space: Space, total: int) -> int:
    return Limit(space.amount, space.percent).bytes_of(total)


def _rehearse_one(
    condition: Condition, setting: Setting, config: DaemonConfig, host: str
) -> Rehearsal:
    outcome: list[str | Exception] = []
    incident = example(condition, config)
    limit_s = 60.0
    try:
        action = find_action(setting.word)(Given(setting.path, config, host, NoServices()))
        limit_s = action.limit_s
    except Exception as error:  # noqa: BLE001  around one action
        return Rehearsal(condition.value, str(setting), ok=False, text=_said(error))

    def work() -> None:
        try:
            outcome.append(action.rehearse(incident))
        except BaseException as error:  # noqa: BLE001  around one action, also if it exits
            outcome.append(ActionError(_said(error)))

    thread = threading.Thread(target=work, name=condition.value, daemon=True)
    thread.start()
    thread.join(limit_s)
    found = outcome[0] if outcome else ActionError(f"took longer than {limit_s:.0f} s")
    ok = not isinstance(found, Exception)
    return Rehearsal(condition.value, str(setting), ok=ok, text=str(found))


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, ActionError) else repr(error)
