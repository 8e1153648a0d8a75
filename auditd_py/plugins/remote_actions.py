"""What the forwarder does when something happens, by the action words of audisp-remote.conf."""

from __future__ import annotations

import os
import socket
import threading
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from auditd_py.actions import power
from auditd_py.actions.base import Given, NoServices
from auditd_py.actions.exec import Exec
from auditd_py.config.keywords import DaemonConfig
from auditd_py.config.table import Step
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident
from auditd_py.remote.sender import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.config.remote import RemoteConfig
    from auditd_py.config.values import Action

TELL_EVERY_S: Final = 60.0  # syslog of a trouble that goes on

_SYSTEMD: Final = "/run/systemd/system"  # sd_booted(3)
_GIVING_UP: Final = frozenset({Step.IGNORE, Step.SYSLOG, Step.EXEC, Step.WARN_ONCE_CONTINUE})
_WORDS: Final = {
    Trouble.NETWORK_FAILURE: "the server cannot be reached",
    Trouble.STARTUP_FAILURE: "the server cannot be reached",
    Trouble.DISK_LOW: "the server's disk is nearly full",
    Trouble.DISK_FULL: "the server's disk is full",
    Trouble.DISK_ERROR: "the server cannot write to its disk",
    Trouble.REMOTE_ENDING: "the server ends",
    Trouble.GENERIC_ERROR: "the server reports an error",
    Trouble.GENERIC_WARNING: "the server reports a warning",
    Trouble.QUEUE_ERROR: "the queue cannot be used",
    Trouble.OVERFLOW: "too many records wait, the newest are dropped",
}


class ActionConfig(Protocol):
    """The settings this needs, beside an action for each trouble that may be taken."""

    @property
    def exec_timeout(self) -> int: ...
    @property
    def queue_file(self) -> str: ...


class Verdict(Enum):
    """How to go on after an action."""

    GO_ON = auto()
    RECONNECT = auto()
    SUSPEND = auto()
    STOP = auto()


_VERDICTS: Final = {
    Step.RECONNECT: Verdict.RECONNECT,
    Step.SUSPEND: Verdict.SUSPEND,
    Step.SINGLE: Verdict.SUSPEND,
    Step.HALT: Verdict.SUSPEND,
    Step.STOP: Verdict.STOP,
}


def given_up(config: RemoteConfig) -> frozenset[Trouble]:
    """Return the troubles after which a record the server refused is not sent again."""
    return frozenset(
        trouble for trouble in Trouble if getattr(config, trouble.value).word in _GIVING_UP
    )


class Actions:
    """Does what the settings say; `tell` is how the administrator is told."""

    def __init__(self, config: ActionConfig, tell: Callable[[str], None]) -> None:
        self.config = config
        self.counts = dict.fromkeys(Trouble, 0)
        self._tell = tell
        self._warned: set[Trouble] = set()
        self._told_at: dict[Trouble, float] = {}
        self._program: threading.Thread | None = None

    def take(self, trouble: Trouble, text: str, now: float) -> Verdict:
        """Do what is to be done about a trouble; `text` is what is known about it."""
        self.counts[trouble] += 1
        action: Action = getattr(self.config, trouble.value)
        line = f"{_WORDS[trouble]}: {text}" if text else _WORDS[trouble]
        step = Step(action.word)
        match step:
            case Step.SYSLOG | Step.RECONNECT:
                self._tell_at_times(trouble, line, now)
            case Step.WARN_ONCE | Step.WARN_ONCE_CONTINUE:
                if trouble not in self._warned:
                    self._tell(line)
                self._warned.add(trouble)
            case Step.EXEC:
                self._execute(action.path, line)
            case Step.SUSPEND:
                self._tell(f"{line}; sending is suspended until SIGUSR2")
            case Step.STOP:
                self._tell(f"{line}; ending")
            case Step.SINGLE | Step.HALT:
                self._change_host(step, line)
            case Step.IGNORE:
                pass
        return _VERDICTS.get(step, Verdict.GO_ON)

    def over(self, *troubles: Trouble) -> None:
        """Take note that these are over: the next of them is worth a warning again."""
        self._warned.difference_update(troubles)

    def wait(self, limit_s: float) -> None:
        """Return when the program of an exec action has ended, or after so long."""
        if self._program is not None:
            self._program.join(limit_s)

    def _tell_at_times(self, trouble: Trouble, line: str, now: float) -> None:
        if now - self._told_at.get(trouble, float("-inf")) >= TELL_EVERY_S:
            self._told_at[trouble] = now
            self._tell(line)

    def _execute(self, path: str, line: str) -> None:
        if self._program is not None and self._program.is_alive():
            return  # one at a time, as with the daemon's actions
        self._tell(f"{line}; running {path}")
        config = DaemonConfig(exec_timeout=self.config.exec_timeout)
        program = Exec(Given(path, config, socket.gethostname(), NoServices()))

        def run() -> None:
            try:
                program.run(Incident(Condition.QUEUE_FULL, self.config.queue_file))
            except ActionError as error:
                self._tell(str(error))

        self._program = threading.Thread(target=run, daemon=True)
        self._program.start()

    def _change_host(self, step: Step, line: str) -> None:
        what = power.Single if step is Step.SINGLE else power.Halt
        done = "going to single user mode" if step is Step.SINGLE else "powering off"
        self._tell(f"{line}; {done}")
        try:
            power.tell_terminals(f"Audit records cannot be sent: {line}. This host is {done}.")
        except ActionError as error:
            self._tell(f"terminals were not told: {error}")
        try:
            power.run_command(what.with_systemd if os.path.isdir(_SYSTEMD) else what.without)
        except ActionError as error:
            self._tell(str(error))
