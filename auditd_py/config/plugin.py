"""plugins.d/*.conf: from the files to the plugins to run, or to everything that is wrong."""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass, field
from typing import Final

from auditd_py.config.nv import Entry, read_lines, read_settings, shown
from auditd_py.errors import ConfigError, Problem

KEYWORDS: Final = ("active", "direction", "path", "type", "args", "format")

_MIN_DIRECTORY: Final = 4  # characters, as in the reference
_BUILTIN: Final = {
    # the names of plugins that were part of the C daemon once
    "builtin_af_unix": "audisp-af_unix",
    "builtin_syslog": "audisp-syslog",
}
_TOLERATED: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """One plugin: its `name` is that of its file without .conf.

    `identity` is device, inode and change time of the program: a new program is a new plugin.
    """

    name: str
    path: str
    args: tuple[str, ...] = ()
    binary: bool = False
    identity: tuple[int, int, int] = (0, 0, 0)


@dataclass(slots=True)
class Loaded:
    """The active plugins of a directory, by name, and what is wrong with its files."""

    plugins: dict[str, PluginSettings] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def load_plugins(directory: str) -> Loaded:
    """Return the plugins that the files of `directory` make active.

    A file with problems makes none; whether the others may run is for the caller to say. A
    directory that is missing has no plugins. Asks the disk: not for the event loop.
    """
    loaded = Loaded()
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return loaded
    except OSError as error:
        loaded.problems.append(Problem(directory, 0, "", f"cannot be read: {error.strerror}"))
        return loaded
    for name in names:
        if name.startswith(".") or not name.endswith(".conf") or name.count(".") > 1:
            continue
        path = os.path.join(directory, name)
        try:
            data = read_settings(path, allow_links=True, refused_mode=_TOLERATED)
        except ConfigError as error:
            loaded.problems += error.problems
            continue
        if data is not None:
            _read_plugin(loaded, path, name.removesuffix(".conf"), data)
    return loaded


def _read_plugin(loaded: Loaded, path: str, name: str, data: bytes) -> None:
    entries, problems = read_lines(data, path)
    values: dict[str, Entry] = {}
    for entry in entries:
        flaw = _flaw(entry)
        if flaw:
            problems.append(Problem(path, entry.line, shown(entry.keyword), flaw))
        elif entry.keyword in values:
            text = f"set again: line {values[entry.keyword].line} does not count"
            loaded.warnings.append(Problem(path, entry.line, entry.keyword, text))
        values[entry.keyword] = entry
    active = "active" in values and values["active"].value.lower() == "yes"
    program, identity = "", (0, 0, 0)
    if active and not problems:
        program, identity = _program(path, values.get("path"), problems)
    loaded.problems += sorted(problems, key=lambda problem: problem.line)
    if not active or problems:
        return
    args = values.get("args")
    loaded.plugins[name] = PluginSettings(
        name,
        program,
        (args.value, *args.options) if args else (),
        binary="format" in values and values["format"].value.lower() == "binary",
        identity=identity,
    )


def _flaw(entry: Entry) -> str:
    if entry.keyword not in KEYWORDS:
        near = difflib.get_close_matches(entry.keyword, KEYWORDS, n=1)
        return f"unknown keyword{f', did you mean {near[0]}?' if near else ''}"
    if entry.options and entry.keyword != "args":
        return f"{shown(' '.join(entry.options))}: nothing may follow the value"
    words = {
        "active": ("yes", "no"),
        "format": ("string", "binary"),
        "type": ("always", "builtin"),
    }.get(entry.keyword)
    if words and entry.value.lower() not in words:
        return f"{shown(entry.value)}: {' or '.join(words)} is allowed"
    if entry.keyword == "path" and entry.value not in _BUILTIN:
        directory, base = os.path.split(entry.value)
        if not entry.value.startswith("/") or not base:
            return f"{shown(entry.value)}: the absolute path of a program is allowed"
        if len(directory) < _MIN_DIRECTORY:
            return f"{shown(entry.value)}: the directory part needs {_MIN_DIRECTORY} characters"
    return ""


def _program(
    path: str, entry: Entry | None, problems: list[Problem]
) -> tuple[str, tuple[int, int, int]]:
    if entry is None:
        problems.append(Problem(path, 0, "path", "an active plugin needs one"))
        return "", (0, 0, 0)
    program = entry.value
    if program in _BUILTIN:
        text = f"{program} is a program of its own now: name the path of {_BUILTIN[program]}"
        problems.append(Problem(path, entry.line, "path", text))
        return "", (0, 0, 0)
    try:
        status = os.stat(program)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(Problem(path, entry.line, "path", f"{program} cannot be run: {reason}"))
        return "", (0, 0, 0)
    flaws = []
    if not stat.S_ISREG(status.st_mode):
        flaws.append("is not a regular file")
    else:
        if status.st_uid != 0:
            flaws.append(f"is owned by uid {status.st_uid}: chown root {program}")
        if status.st_mode & _TOLERATED:
            flaws.append(f"can be changed by others than root: chmod go-w {program}")
        if status.st_mode & 0o500 != 0o500:
            flaws.append(f"is not for root to read and run: chmod u+rx {program}")
    problems += [Problem(path, entry.line, "path", f"{program} {flaw}") for flaw in flaws]
    return program, (status.st_dev, status.st_ino, status.st_mtime_ns)
