"""What one auditctl command line asks for, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from auditd_py.netlink.uapi import StatusMask

if TYPE_CHECKING:
    from auditd_py.rules.rule import Rule


class Verb(Enum):
    """One thing to do; what its argument is stands beside it."""

    HELP = "help"
    VERSION = "version"
    STATUS = "status"
    LIST = "list"
    DELETE_ALL = "delete all"  # those whose key contains Command.key
    SET = "set"  # a Setting
    ADD = "add"  # a Rule
    DELETE = "delete"  # a Rule
    TRIM = "trim"
    EQUIVALENT = "equivalent"  # two paths
    MESSAGE = "message"  # its text
    SIGNAL = "signal"  # its name
    RESET_LOST = "reset lost"
    RESET_WAIT = "reset wait"
    LOGINUID_IMMUTABLE = "loginuid immutable"
    READ_FILE = "read file"  # its path


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of audit_status and its value."""

    mask: StatusMask
    name: str
    value: int

    @property
    def option(self) -> str:
        """How a rule file writes it."""
        return f"{SETTING_OPTIONS[self.mask]} {self.value}"


SETTING_OPTIONS = {
    StatusMask.ENABLED: "-e",
    StatusMask.FAILURE: "-f",
    StatusMask.RATE_LIMIT: "-r",
    StatusMask.BACKLOG_LIMIT: "-b",
    StatusMask.BACKLOG_WAIT_TIME: "--backlog_wait_time",
}


@dataclass(slots=True)
class Command:
    """One command line.

    `steps` are done in this order. `key` selects what -l and -D are about, `interpret` is -i.
    `watch` tells that the rule came from -w. `locked` tells that the kernel takes no change of
    rules. `continue_on_error` and `ignore_errors` are about the lines of a file that follow.
    `warnings` are for standard error.
    """

    steps: list[tuple[Verb, object]] = field(default_factory=list)
    key: str = ""
    interpret: bool = False
    continue_on_error: bool = False
    ignore_errors: bool = False
    watch: bool = False
    locked: bool = False
    warnings: list[str] = field(default_factory=list)

    def added(self) -> Rule | None:
        """Return the rule that is added, None if none is."""
        return self._rule(Verb.ADD)

    def deleted(self) -> Rule | None:
        """Return the rule that is deleted, None if none is."""
        return self._rule(Verb.DELETE)

    def does(self, verb: Verb) -> bool:
        """Return whether `verb` is among the steps."""
        return any(step[0] is verb for step in self.steps)

    def _rule(self, wanted: Verb) -> Rule | None:
        for verb, rule in self.steps:
            if verb is wanted:
                return rule  # type: ignore[return-value]
        return None
