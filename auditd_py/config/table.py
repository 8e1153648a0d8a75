"""Settings of programs that send records on: a table of keywords, and the file it is read from.

A table is a pydantic model; what is to be known of a keyword stands at its field.
"""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from auditd_py.config.forms import Form
from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.nv import Entry, read_lines, read_settings, shown
from auditd_py.config.values import Action, written
from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_EXEC_MODE: Final = 0o750

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S")


class Mode(StrEnum):
    """Where records wait: in memory, or in a file that outlives the program."""

    IMMEDIATE = "immediate"
    FORWARD = "forward"


class Step(StrEnum):
    """What to do when something happens to the connection, the server or the queue."""

    IGNORE = "ignore"
    SYSLOG = "syslog"
    EXEC = "exec"
    WARN_ONCE = "warn_once"
    WARN_ONCE_CONTINUE = "warn_once_continue"
    RECONNECT = "reconnect"
    SUSPEND = "suspend"
    SINGLE = "single"
    HALT = "halt"
    STOP = "stop"


WARN: Final = (Step.IGNORE, Step.SYSLOG, Step.EXEC, Step.WARN_ONCE, Step.WARN_ONCE_CONTINUE)
ANY: Final = (*WARN, Step.SUSPEND, Step.SINGLE, Step.HALT, Step.STOP)


class Steps(Form):
    """Some of the steps; exec takes the path of a program, whose status is checked elsewhere."""

    def __init__(self, *steps: Step) -> None:
        self.words = steps
        self.takes_option = Step.EXEC in steps

    @property
    def allowed(self) -> str:
        names = ["exec /PATH" if step is Step.EXEC else str(step) for step in self.words]
        return f"{', '.join(names[:-1])} or {names[-1]}"

    def read(self, text: str, _host: Host, /) -> Action:
        name, _, path = text.partition(" ")
        if name.lower() not in self.words:
            raise self.refusal(name)
        word = Step(name.lower())
        if word is not Step.EXEC:
            if path:
                raise ValueError(f"{shown(path)}: nothing may follow {word}")
        elif not path:
            raise ValueError("exec needs the program to run: write exec /PATH")
        elif " " in path:
            raise ValueError(f"{shown(path)}: one path only, the program gets no arguments")
        elif not path.startswith("/"):
            raise ValueError(f"{shown(path)}: exec needs an absolute path")
        return Action(word, path)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the table says of a keyword beside its type, form and default.

    `ours`: the reference does not know it.
    """

    about: str
    ours: bool = False


def ours(about: str) -> Setting:
    """Return what the table says of a keyword that the reference does not know."""
    return Setting(about, ours=True)


@dataclass(frozen=True, slots=True)
class Keyword:
    """All there is to know of one keyword. `default` is as written, empty if there is none."""

    name: str
    form: Form
    default: str
    about: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """The settings of a file and what its administrator should know, in line order."""

    config: S
    warnings: list[Problem]


class Table(Generic[M]):
    """The keywords of a file, which has the settings of a model.

    `findings` yields keywords and what is wrong with settings that are each right by themselves.
    `unusual` are defaults as the file has them; `implied`: a keyword that, if true, sets another.
    """

    def __init__(
        self,
        model: type[M],
        findings: Callable[[M, Host], Iterator[tuple[str, str]]],
        unusual: Mapping[str, str],
        implied: Mapping[str, tuple[str, object]] | None = None,
    ) -> None:
        self.model = model
        self.implied = implied or {}
        self._findings = findings
        found = {}
        for name, info in model.model_fields.items():
            form = next(item for item in info.metadata if isinstance(item, Form))
            setting = next(item for item in info.metadata if isinstance(item, Setting))
            default = unusual.get(name, written(info.default))
            found[name] = Keyword(name, form, default, setting.about, setting.ours)
        self.keywords: Mapping[str, Keyword] = MappingProxyType(found)
        self.actions = tuple(name for name in found if name.endswith("_action"))

    def load(self, path: str, host: Host = THIS_HOST) -> Loaded[M]:
        """Return the settings of the file at `path`. Asks the disk.

        Raises ConfigError with everything wrong with the file; keep the settings there were.
        """
        return self.parse(read_settings(path, allow_links=False) or b"", path, host)

    def parse(self, data: bytes, path: str, host: Host = THIS_HOST) -> Loaded[M]:
        """Return the settings written in `data`; `path` is only repeated in problems.

        Raises ConfigError with everything wrong, in line order.
        """
        entries, problems = read_lines(data, path)
        reading = _Reading(self, path, problems)
        for entry in entries:
            reading.take(entry)
        config = self.model.model_validate(reading.values)
        for keyword, text in (*self._findings(config, host), *self._programs(config, host)):
            line = reading.lines.get(keyword, 0)
            # of a keyword that could not be read the default was looked at
            if not any(problem.keyword == keyword for problem in problems):
                problems.append(Problem(path, line, keyword, text))
        if problems:
            raise ConfigError(sorted(problems, key=lambda problem: problem.line))
        return Loaded(config, sorted(reading.warnings, key=lambda problem: problem.line))

    def _programs(self, config: M, host: Host) -> Iterator[tuple[str, str]]:
        for keyword in self.actions:
            action: Action = getattr(config, keyword)
            if action.word == Step.EXEC:
                yield from program_findings(keyword, action.path, host)


@dataclass(slots=True)
class _Reading(Generic[M]):
    table: Table[M]
    path: str
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        keywords = self.table.keywords
        keyword = keywords.get(entry.keyword)
        if keyword is None:
            near = difflib.get_close_matches(entry.keyword, keywords, n=1)
            self._refuse(entry, f"unknown keyword{f', did you mean {near[0]}?' if near else ''}")
        elif entry.options and not keyword.form.takes_option:
            self._refuse(entry, f"{shown(' '.join(entry.options))}: nothing may follow the value")
        else:
            try:
                text = " ".join((entry.value, *entry.options))
                alone = self.table.model.model_validate({entry.keyword: text})
            except ValidationError as error:
                cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
                self._refuse(entry, str(cause or error))
                return
            self._set(entry, getattr(alone, entry.keyword))

    def _set(self, entry: Entry, value: object) -> None:
        if entry.keyword in self.lines:
            text = f"set again: this line counts, line {self.lines[entry.keyword]} does not"
            self.warnings.append(Problem(self.path, entry.line, entry.keyword, text))
        self.values[entry.keyword] = value
        self.lines[entry.keyword] = entry.line
        if value and (other := self.table.implied.get(entry.keyword)):
            self.values[other[0]] = other[1]
            self.lines[other[0]] = entry.line

    def _refuse(self, entry: Entry, text: str) -> None:
        self.problems.append(Problem(self.path, entry.line, shown(entry.keyword), text))


def secret_findings(keyword: str, path: str, host: Host) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a file that nobody but root may read."""
    try:
        status = host.lstat(path)
    except (OSError, ValueError) as error:
        yield keyword, f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        return
    if not stat.S_ISREG(status.st_mode):
        yield keyword, f"{path} is not a regular file"
    elif status.st_uid != 0 or status.st_mode & 0o077:
        yield keyword, f"{path} can be read by others: chown root {path}; chmod 0400 {path}"


def program_findings(keyword: str, path: str, host: Host) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the program of an exec action."""
    try:
        status = host.stat(path)
    except (OSError, ValueError) as error:
        yield keyword, f"{path} cannot be run: {getattr(error, 'strerror', None) or error}"
        return
    if not stat.S_ISREG(status.st_mode):
        yield keyword, f"{path} is not a regular file"
        return
    if status.st_uid != 0:
        yield keyword, f"{path} is owned by uid {status.st_uid}: chown root {path}"
    if stat.S_IMODE(status.st_mode) != _EXEC_MODE:
        mode = stat.S_IMODE(status.st_mode)
        yield keyword, f"{path} has mode {mode:04o}, 0750 is allowed: chmod 0750 {path}"
