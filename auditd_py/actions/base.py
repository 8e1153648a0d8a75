"""What an action is, and where actions are found.

A site adds its own with a package that has an entry point in the group `auditd_py.actions`: the
name is the word for auditd.conf, the object a subclass of Action.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Response

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.log.incident import Incident

LIMIT_MAX_S: Final = 7 * 86400
GROUP: Final = "auditd_py.actions"

_OURS: Final = {
    "ignore": "ignore:Ignore",
    "syslog": "syslog:Syslog",
    "email": "email:Email",
    "exec": "exec:Exec",
    "rotate": "rotate:Rotate",
    "keep_logs": "rotate:KeepLogs",
    "suspend": "suspend:Suspend",
    "single": "power:Single",
    "halt": "power:Halt",
}


class Services(Protocol):
    """What the daemon does for an action; every method may be called from any thread."""

    def tell(self, level: str, text: str) -> None:
        """Log `text`; levels are those of syslog: alert, error, warning, notice, info."""

    def resume_logging(self) -> None:
        """Open the log again after the action's response suspended it."""

    def stop(self) -> None:
        """End the daemon."""


class NoServices:
    """Services where no daemon is: for a rehearsal, and to check settings."""

    def tell(self, level: str, text: str) -> None:
        """Keep it to oneself."""

    def resume_logging(self) -> None:
        """Leave a daemon that runs alone."""

    def stop(self) -> None:
        """Leave a daemon that runs alone."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an action has to work with.

    `argument` is what followed the word in auditd.conf, empty if nothing did; `host` this
    machine's name.
    """

    argument: str
    config: DaemonConfig
    host: str
    services: Services


class Action(ABC):
    """One action: made when settings are read, once for each keyword that names it.

    `run` and `rehearse` have a thread of their own and may block, up to `limit_s` seconds; after
    that the daemon goes its way without them. Logging does not wait for either: what the log's
    writer does meanwhile is the `response`. Nothing runs twice at a time.
    """

    response: ClassVar[Response] = Response.GO_ON
    limit_s: float = 60.0

    def __init__(self, given: Given) -> None:
        self.given = given

    @abstractmethod
    def run(self, incident: Incident) -> None:
        """Do it. Raises ActionError when it could not be done."""

    @abstractmethod
    def rehearse(self, incident: Incident) -> str:
        """Do the harmless form of it and return what was done, or what would be.

        Raises ActionError when it could not be done.
        """


def make_actions(config: DaemonConfig, host: str, services: Services) -> dict[Condition, Action]:
    """Return the actions `config` names. May block: a site's package is imported.

    Raises ActionError with a line for each keyword whose action is not there or cannot be made;
    such settings must not be used.
    """
    actions: dict[Condition, Action] = {}
    problems = []
    for condition in Condition:
        setting = getattr(config, condition.value)
        try:
            given = Given(setting.path, config, host, services)
            actions[condition] = _made(find_action(setting.word)(given))
        except ActionError as error:
            problems.append(f"{condition} = {setting}: {error}")
        except Exception as error:  # noqa: BLE001  around one action
            problems.append(f"{condition} = {setting}: cannot be made: {error!r}")
    if problems:
        raise ActionError("\n".join(problems))
    return actions


def find_action(word: str) -> type[Action]:
    """Return the action that auditd.conf calls `word`. Raises ActionError if there is none."""
    if word in _OURS:
        module, _, name = _OURS[word].partition(":")
        found = getattr(importlib.import_module(f"auditd_py.actions.{module}"), name)
    else:
        found = _load_of_site(word)
    if not (isinstance(found, type) and issubclass(found, Action)):
        raise ActionError(f"{word}: {found!r} is not an Action")
    if not isinstance(found.response, Response):
        raise ActionError(f"{word}: its response {found.response!r} is not a Response")
    return found


def _made(action: Action) -> Action:
    if not 0 < action.limit_s <= LIMIT_MAX_S:
        raise ActionError(f"limit_s = {action.limit_s}: up to {LIMIT_MAX_S} is allowed")
    return action


def _load_of_site(word: str) -> object:
    for entry in entry_points(group=GROUP, name=word):
        try:
            found: object = entry.load()
        except Exception as error:
            raise ActionError(f"{word}: {entry.value} cannot be loaded: {error!r}") from error
        return found
    raise ActionError(f"{word}: no such action is installed")
