"""What actions say: lines of the system log, mail, messages to terminals.

The lines are those administrators' scripts look for; the mail is in this project's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.config.words import ActionWord
from auditd_py.log.incident import Condition

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.values import Action, Space
    from auditd_py.log.incident import Incident

ALERT: Final = "alert"
ERROR: Final = "error"

_MIB: Final = 1 << 20
_LOW: Final = "Audit daemon is low on disk space for logging."
_SUSPENDING: Final = {
    Condition.LOG_SIZE: "logfile size.",
    Condition.SPACE_LEFT: "low disk space.",
    Condition.ADMIN_SPACE_LEFT: "low disk space.",
    Condition.DISK_FULL: "no space left on logging partition.",
    Condition.DISK_ERROR: "previously mentioned write error",
    Condition.QUEUE_FULL: "overflow of a plugin's queue",
}
_POWER: Final = {
    ActionWord.SINGLE: "changing the system to single user mode",
    ActionWord.HALT: "halting the system",
}
_WALL_CAUSES: Final = {
    Condition.DISK_FULL: "has no disk space left",
    Condition.DISK_ERROR: "cannot write to its disk",
    Condition.QUEUE_FULL: "cannot hand its events on",
}
_SUBJECTS: Final = {
    Condition.SPACE_LEFT: "Audit Disk Space Alert",
    Condition.ADMIN_SPACE_LEFT: "Audit Admin Space Alert",
}
_INTRODUCTIONS: Final = {
    Condition.SPACE_LEFT: (
        "Disk space for the audit log of this host is running out.",
        "Please make room before it is gone.",
    ),
    Condition.ADMIN_SPACE_LEFT: (
        "Disk space for the audit log of this host is nearly gone.",
        "Make room now, or the record of what happens on it will have holes.",
    ),
}
_KEYWORDS: Final = {
    Condition.SPACE_LEFT: "space_left",
    Condition.ADMIN_SPACE_LEFT: "admin_space_left",
}
_CONSEQUENCES: Final = {
    ActionWord.IGNORE: "nothing is done",
    ActionWord.SYSLOG: "a line goes to the system log",
    ActionWord.EMAIL: "a mail like this one is sent",
    ActionWord.ROTATE: "the log is rotated and the oldest log file removed",
    ActionWord.KEEP_LOGS: "the log is rotated",
    ActionWord.EXEC: "events are not recorded any more, and {path} is run",
    ActionWord.SUSPEND: "events are not recorded any more",
    ActionWord.SINGLE: "this host goes to single user mode",
    ActionWord.HALT: "this host is powered off",
}


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail without its addresses."""

    subject: str
    body: str


def warning(incident: Incident, config: DaemonConfig) -> tuple[str, str]:
    """Return level and text of the line that says what happened."""
    disk_full = f"If the disk becomes full, audit will {config.disk_full_action.word}."
    match incident.condition:
        case Condition.LOG_SIZE:
            return ERROR, "Audit daemon log file is larger than max size"
        case Condition.SPACE_LEFT:
            admin = config.admin_space_left_action.word
            reached = f"If the admin space left threshold is reached, audit will {admin}."
            return ALERT, f"{_LOW} {reached} {disk_full}"
        case Condition.ADMIN_SPACE_LEFT:
            return ALERT, f"{_LOW} {disk_full}"
        case Condition.DISK_FULL:
            return ALERT, "Audit daemon has no space left on logging partition"
        case Condition.DISK_ERROR:
            fault = f"{incident.function}: Audit daemon detected an error writing an event to disk"
            return ALERT, f"{fault} ({incident.reason})"
        case Condition.QUEUE_FULL:
            return ERROR, "Audit daemon has a plugin queue that is full"


def announced(condition: Condition, word: str) -> bool:
    """Return whether the warning is logged before the action `word`, whatever that one logs."""
    if condition is Condition.DISK_FULL:
        return word != ActionWord.SYSLOG
    if condition is Condition.DISK_ERROR:
        return word not in {ActionWord.SYSLOG, ActionWord.IGNORE}
    return False


def suspending(condition: Condition) -> str:
    """Return the line of the suspend action."""
    return f"Audit daemon is suspending logging due to {_SUSPENDING[condition]}"


def power(condition: Condition, word: ActionWord) -> str:
    """Return the line of `word`, which is single or halt."""
    cause = _SUSPENDING[condition].removesuffix(".")
    return f"The audit daemon is now {_POWER[word]} and exiting due to {cause}"


def wall(condition: Condition, word: ActionWord) -> str:
    """Return what terminals are told before single or halt."""
    cause = _WALL_CAUSES.get(condition, "is low on disk space")
    return f"The audit system {cause} and is now {_POWER[word]} for admin corrective action."


def mail(incident: Incident, config: DaemonConfig, host: str) -> Mail:
    """Return the mail about `incident`, a space threshold that was crossed."""
    free = "unknown" if incident.free is None else _mib(incident.free)
    keyword = _KEYWORDS[incident.condition]
    lines = [
        *_INTRODUCTIONS[incident.condition],
        "",
        f"Host:        {host}",
        f"Log:         {incident.path}",
        f"Free space:  {free}",
        f"Threshold:   {_mib(incident.limit)} ({keyword} = {getattr(config, keyword)})",
        "",
        "What happens next:",
        *_next(incident.condition, config),
        "",
        "Old logs beside the log file can be moved elsewhere or removed.",
        "If logging was suspended, SIGUSR2 to auditd resumes it.",
    ]
    return Mail(_SUBJECTS[incident.condition], "\n".join(lines) + "\n")


def _next(condition: Condition, config: DaemonConfig) -> list[str]:
    lines = []
    if condition is Condition.SPACE_LEFT:
        below = _space(config.admin_space_left)
        lines += _step(f"Below {below}", "admin_space_left_action", config.admin_space_left_action)
    return lines + _step("When the disk is full", "disk_full_action", config.disk_full_action)


def _step(when: str, keyword: str, action: Action) -> list[str]:
    known = action.word in _CONSEQUENCES
    what = _CONSEQUENCES[ActionWord(action.word)] if known else "this site's action {word} is run"
    done = what.format(word=action.word, path=action.path)
    return [f"- {when}: {done}", f"  ({keyword} = {action})."]


def _space(space: Space) -> str:
    return f"{space} of the disk" if space.percent else f"{space} MiB"


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"
