"""Settings of the C daemon as ours, and ours as the C daemon's: files in, files and notes out.

Comments and the order of lines stay. A line the other side would refuse is switched off with `##`
and told, because one such line keeps a daemon from starting.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from auditd_py.config import daemon, remote
from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.nv import Entry, read_lines
from auditd_py.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

C_FOLDER: Final = "/etc/audit"
OUR_FOLDER: Final = "/etc/auditd_py"

_PLUGINS: Final = (
    "audisp-af_unix",
    "audisp-filter",
    "audisp-json",
    "audisp-remote",
    "audisp-syslog",
)
_BUILTIN: Final = {"builtin_af_unix": "audisp-af_unix", "builtin_syslog": "audisp-syslog"}
_C_SBIN: Final = "/sbin"
_RULES: Final = "rules.d/"
_CAPABLE: Final = ("audisp-remote", "audisp-syslog", "audisp-af_unix", "audisp-filter")


@dataclass(slots=True)
class Migrated:
    """The files by their path below the folder, what was changed in them, and what was lost.

    `notes` are changes that keep what was meant; `losses` need an administrator.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def migrate(
    files: Mapping[str, bytes], sbin: str, *, back: bool = False, builtin: bool = False,
    exists: Callable[[str], bool] = os.path.exists, host: Host = THIS_HOST,
) -> Migrated:  # fmt: skip
    """Return what the files of one side are for the other.

    `files` are those of /etc/audit, or with `back` of /etc/auditd_py, by their relative path;
    `sbin` is where our plugins are. `builtin`: the C daemon is one that has af_unix built in, as
    audit 3 does. `exists` says whether a program is there.
    """
    made = Migrated()
    folders = (OUR_FOLDER, C_FOLDER) if back else (C_FOLDER, OUR_FOLDER)
    host = replace(host, open_directory=lambda _: None)  # a folder for the log can be made later
    move = _Move(made, folders, files, sbin, back, builtin, exists, host)
    for name in sorted(files):
        move.take(name, files[name])
    if not any(name.startswith(_RULES) for name in made.files) and "audit.rules" in files:
        made.files[f"{_RULES}audit.rules"] = files["audit.rules"]
        made.notes.append("audit.rules: also rules.d/audit.rules, from which augenrules makes it")
    return made


@dataclass(frozen=True, slots=True)
class _Form:
    """A settings file: its reader, keywords that are ours alone, and those nobody needs, with why."""

    parse: Callable[[bytes, str, Host], object]
    ours: frozenset[str]
    deprecated: Mapping[str, str] = field(default_factory=dict)


_DAEMON: Final = _Form(
    daemon.parse,
    frozenset(name for name, keyword in daemon.KEYWORDS.items() if keyword.ours),
    {name: keyword.deprecated for name, keyword in daemon.KEYWORDS.items() if keyword.deprecated},
)
_REMOTE: Final = _Form(
    remote.parse, frozenset(name for name, keyword in remote.KEYWORDS.items() if keyword.ours)
)


@dataclass(slots=True)
class _Move:
    made: Migrated
    folders: tuple[str, str]
    files: Mapping[str, bytes]
    sbin: str
    back: bool
    builtin: bool
    exists: Callable[[str], bool]
    host: Host

    def take(self, name: str, data: bytes) -> None:
        if name == "auditd.conf":
            data = self._settings(name, data, _DAEMON)
        elif name == "audisp-remote.conf":
            data = self._settings(name, data, _REMOTE)
        elif name.startswith("plugins.d/"):
            data = self._plugin(name, data)
        elif name.startswith(_RULES) and self.folders[0].encode() in _rules(data):
            self.made.notes.append(
                f"{name}: rules name {self.folders[0]}; for changes of the settings in use name "
                f"{self.folders[1]} too"
            )
        self.made.files[name] = data

    def _settings(self, name: str, data: bytes, form: _Form) -> bytes:
        entries, _ = read_lines(data, name)
        lines = data.split(b"\n")
        for entry in entries:
            if self.back and entry.keyword in form.ours:
                self._off(lines, name, entry.line, "the C program does not know it")
            elif why := form.deprecated.get(entry.keyword):
                self._off(lines, name, entry.line, why, harmless=True)
            elif not self.back and (entry.keyword, entry.value.lower()) == ("log_format", "nolog"):
                self._put(lines, name, entry, "write_logs = no", "NOLOG has this name now")
            else:
                self._moved(lines, name, entry)
        if name == "auditd.conf" and not self.back:
            self._key_file(lines, entries)
        if not self.back:
            self._refused(lines, name, form)
        return b"\n".join(lines)

    def _moved(self, lines: list[bytes], name: str, entry: Entry) -> None:
        """Let values that are files of the folder lead to their copies; leave secrets in place."""
        here, there = self.folders
        moved = entry.value.removeprefix(f"{here}/")
        taken = moved in self.files or entry.keyword == "plugin_dir"
        if moved != entry.value and taken:
            self._put(lines, name, entry, f"{entry.keyword} = {there}/{moved}", "moved with it")
        elif moved != entry.value:
            self.made.notes.append(f"{name}:{entry.line}: {entry.value} is used where it is")

    def _key_file(self, lines: list[bytes], entries: list[Entry]) -> None:
        named = {entry.keyword: entry.value.lower() for entry in entries}
        kerberos = named.get("transport") == "krb5" or named.get("enable_krb5") == "yes"
        if kerberos and "krb5_key_file" not in named:
            lines.append(b"krb5_key_file = /etc/audit/audit.key\n")
            self.made.notes.append(
                "auditd.conf: krb5_key_file = /etc/audit/audit.key, its default there"
            )

    def _refused(self, lines: list[bytes], name: str, form: _Form) -> None:
        """Switch off, one after the other, the lines that our own reader refuses."""
        while True:
            try:
                form.parse(b"\n".join(lines), name, self.host)
                return
            except ConfigError as error:
                bad = {problem.line: problem.text for problem in error.problems if problem.line}
                if not bad:
                    told = self.made.losses if self._used(name) else self.made.notes
                    told += [str(problem) for problem in error.problems]
                    return
                for number, text in bad.items():
                    empty = lines[number - 1].rstrip().endswith(b"=")
                    self._off(lines, name, number, text, harmless=empty)

    def _used(self, name: str) -> bool:
        """Return whether the settings are in use: a forwarder that is off may lack a server."""
        plugin = read_lines(self.files.get("plugins.d/au-remote.conf", b""), name)[0]
        active = any((line.keyword, line.value.lower()) == ("active", "yes") for line in plugin)
        return active or name == "auditd.conf"

    def _plugin(self, name: str, data: bytes) -> bytes:
        entries, problems = read_lines(data, name)
        lines = data.split(b"\n")
        for problem in problems:
            self._off(lines, name, problem.line, problem.text)
        values = {entry.keyword: entry for entry in entries}
        path = values.get("path")
        if path is not None:
            self._program(lines, name, path, values)
        args = values.get("args")
        if args is not None and (line := lines[args.line - 1]):
            here, there = self.folders
            changed = re.sub(
                rb"(?<=\s)" + f"{here}/".encode() + rb"(\S+)",
                lambda found: self._copied(found, there), line,
            )  # fmt: skip
            if changed != line:
                lines[args.line - 1] = changed
                self.made.notes.append(
                    f"{name}:{args.line}: {changed.decode(errors='replace').strip()}"
                )
        return b"\n".join(lines)

    def _copied(self, found: re.Match[bytes], there: str) -> bytes:
        return f"{there}/".encode() + found[1] if found[1].decode() in self.files else found[0]

    def _program(
        self, lines: list[bytes], name: str, path: Entry, values: Mapping[str, Entry]
    ) -> None:
        program = _BUILTIN.get(path.value, os.path.basename(path.value))
        active = values.get("active")
        runs = active is not None and active.value.lower() == "yes"
        if program in _PLUGINS and (not self.back or program in _CAPABLE):
            kind, new = values.get("type"), f"{_C_SBIN if self.back else self.sbin}/{program}"
            builtin = self.back and self.builtin and program == "audisp-af_unix"
            new, word = ("builtin_af_unix", "builtin") if builtin else (new, "always")
            if path.value != new:
                self._put(lines, name, path, f"path = {new}", "its place here")
            if kind is not None and kind.value.lower() != word:
                self._put(lines, name, kind, f"type = {word}", "as that program is started")
        elif runs and active is not None and (program in _PLUGINS or not self.exists(path.value)):
            self._put(lines, name, active, "active = no", "", quiet=True)
            self.made.losses.append(
                f"{name}:{active.line}: switched off: {path.value} is not there"
            )

    def _put(
        self,
        lines: list[bytes],
        name: str,
        entry: Entry,
        new: str,
        why: str,
        *,
        quiet: bool = False,
    ) -> None:
        old = lines[entry.line - 1]
        lines[entry.line - 1] = new.encode() + (b"\r" if old.endswith(b"\r") else b"")
        if not quiet:
            self.made.notes.append(f"{name}:{entry.line}: {new} ({why}; it was {entry.value})")

    def _off(
        self, lines: list[bytes], name: str, number: int, why: str, *, harmless: bool = False
    ) -> None:
        line = lines[number - 1]
        lines[number - 1] = b"##" + line
        shown = ascii(line.decode(errors="replace").strip())[1:-1]
        told = self.made.notes if harmless else self.made.losses
        told.append(f"{name}:{number}: switched off: {shown}: {why}")


def _rules(data: bytes) -> bytes:
    """Return the lines of a rule file that are no comments."""
    return b"\n".join(line for line in data.split(b"\n") if not line.lstrip().startswith(b"#"))
