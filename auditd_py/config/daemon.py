"""auditd.conf: from the file to the daemon's settings, or to everything that is wrong with it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from auditd_py.config.checks import findings
from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.keywords import (
    KEYWORDS,
    DaemonConfig,
    Keyword,
    Reload,
    changed,
    restart_needed,
)
from auditd_py.config.nv import Entry, read_lines, read_settings, shown
from auditd_py.config.words import CryptoProfile
from auditd_py.errors import ConfigError, Problem

__all__ = [
    "KEYWORDS",
    "DaemonConfig",
    "Host",
    "Keyword",
    "Loaded",
    "Reload",
    "changed",
    "load",
    "parse",
    "restart_needed",
]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a file and what its administrator should know, in line order."""

    config: DaemonConfig
    warnings: list[Problem]


def load(path: str, *, allow_links: bool = False, host: Host = THIS_HOST) -> Loaded:
    """Return the settings of the file at `path`; of a missing file the defaults, with a warning.

    Asks the disk and the group database and so may block: not for the event loop's thread.

    Raises ConfigError with everything wrong with the file; keep the settings there were.
    """
    data = read_settings(path, allow_links=allow_links)
    loaded = parse(data or b"", path, host)
    if data is None:
        missing = Problem(path, 0, "", "does not exist: every setting has its default")
        return Loaded(loaded.config, [missing, *loaded.warnings])
    return loaded


def parse(data: bytes, path: str, host: Host = THIS_HOST) -> Loaded:
    """Return the settings written in `data`; `path` is only repeated in problems.

    Raises ConfigError with everything wrong, in line order.
    """
    entries, problems = read_lines(data, path)
    reading = _Reading(path, host, problems)
    for entry in entries:
        reading.take(entry)
    config = reading.config()
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=_line))
    return Loaded(config, sorted(reading.warnings, key=_line))


@dataclass(slots=True)
class _Reading:
    """The settings of a file while its lines are taken one by one."""

    path: str
    host: Host
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)  # of the setting, not of its spelling

    def take(self, entry: Entry) -> None:
        keyword = KEYWORDS.get(entry.keyword)
        if keyword is None:
            self._refuse(entry, _unknown(entry.keyword))
        elif entry.options and not keyword.form.takes_option:
            self._refuse(entry, _surplus(entry))
        elif keyword.deprecated:
            self._warn(entry, f"deprecated and ignored: {keyword.deprecated}")
        else:
            self._set(entry)

    def config(self) -> DaemonConfig:
        """Return the settings so far, with the findings of all checks noted."""
        if self.values.get("tls_require_pqc"):
            self.values.setdefault("tls_crypto_profile", CryptoProfile.PQC)
        config = DaemonConfig.model_validate(self.values, context=self.host)
        bad = frozenset(problem.keyword for problem in self.problems)
        for finding in findings(config, bad, self.host):
            line = self.lines.get(finding.keyword, 0)
            problem = Problem(self.path, line, finding.keyword, finding.text)
            (self.problems if finding.fatal else self.warnings).append(problem)
        return config

    def _set(self, entry: Entry) -> None:
        try:
            meant = self._respelled(entry)
            value = self._value(meant)
        except ValueError as error:
            self._refuse(entry, str(error))
            return
        if meant.keyword in self.lines:
            what = "set again" if meant is entry else f"sets {meant.keyword} again"
            first = self.lines[meant.keyword]
            self._warn(entry, f"{what}: this line counts, line {first} does not")
        self.values[meant.keyword] = value
        self.lines[meant.keyword] = entry.line

    def _respelled(self, entry: Entry) -> Entry:
        """Return the entry, or what takes the place of an older spelling."""
        match entry.keyword, entry.value.lower():
            case "log_format", "nolog":
                self._warn(entry, "nolog is deprecated: write write_logs = no")
                return Entry(entry.line, "write_logs", "no")
            case "enable_krb5", "yes":
                return Entry(entry.line, "transport", "krb5")
        return entry

    def _value(self, entry: Entry) -> object:
        text = " ".join((entry.value, *entry.options))
        try:
            alone = DaemonConfig.model_validate({entry.keyword: text}, context=self.host)
        except ValidationError as error:
            raise _cause(error) from None
        return getattr(alone, entry.keyword)

    def _refuse(self, entry: Entry, text: str) -> None:
        self.problems.append(Problem(self.path, entry.line, shown(entry.keyword), text))

    def _warn(self, entry: Entry, text: str) -> None:
        self.warnings.append(Problem(self.path, entry.line, entry.keyword, text))


def _line(problem: Problem) -> int:
    return problem.line


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, KEYWORDS, n=1)
    return f"unknown keyword{f', did you mean {near[0]}?' if near else ''}"


def _surplus(entry: Entry) -> str:
    text = f"{shown(' '.join(entry.options))}: nothing may follow the value"
    return f"{text}, a comment needs its own line" if entry.options[0].startswith("#") else text


def _cause(error: ValidationError) -> ValueError:
    """Return the error a form raised, out of pydantic's wrapping."""
    details = error.errors(include_url=False)[0]
    cause = details.get("ctx", {}).get("error")
    return cause if isinstance(cause, ValueError) else ValueError(details["msg"])
