"""The `keyword = value [option]` lines of settings files, and how such a file is opened.

All settings files share this form: auditd.conf, plugins.d/*.conf, audisp-remote.conf. What a
keyword means is for the modules beside this one.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from dataclasses import dataclass

from auditd_py.errors import ConfigError, Problem

MAX_FILE = 1 << 20  # 1 MiB: beyond it someone gave us a log or a disk, not settings
_SHOWN = 60  # characters of a value repeated in a message

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that sets something; `line` is 1-based, `keyword` is in lower case."""

    line: int
    keyword: str
    value: str
    options: tuple[str, ...] = ()


def read_lines(data: bytes, path: str) -> tuple[list[Entry], list[Problem]]:
    """Return the settings of a file and everything wrong with its form, both in line order.

    Spaces and tabs separate; the `=` stands alone; a line whose first word starts with `#` is a
    comment, and nothing else is. CRLF and a last line without newline are read like any other.
    `path` is only repeated in the problems.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix(b"\r")
        if not line.strip(b" \t") or line.lstrip(b" \t").startswith(b"#"):
            continue
        if flaw := _flaw(line):
            problems.append(Problem(path, number, "", flaw))
            continue
        found = _entry(number, line.decode(), path)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            problems.append(found)
    return entries, problems


def read_settings(
    path: str, *, allow_links: bool, refused_mode: int = stat.S_IWOTH
) -> bytes | None:
    """Return the bytes of a settings file root can trust, None if there is no such file.

    The file must be regular, owned by uid 0 and have none of the permission bits `refused_mode`;
    all is asked of the open descriptor, so the file cannot be exchanged in between. A symbolic
    link as last component is followed only if `allow_links`.

    Raises ConfigError, with all that is wrong, if the file cannot be used.
    """
    # O_NONBLOCK: a FIFO must not hold up the start of the daemon
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if allow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            [Problem(path, 0, "", _open_failure(path, error, allow_links))]
        ) from error
    try:
        status = os.fstat(descriptor)
        flaws = file_flaws(path, status.st_mode, status.st_uid, refused_mode)
        if flaws:
            raise ConfigError([Problem(path, 0, "", flaw) for flaw in flaws])
        data = _read_whole(descriptor, path)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE:
        text = f"longer than {MAX_FILE} bytes: this is not a settings file"
        raise ConfigError([Problem(path, 0, "", text)])
    return data


def file_flaws(path: str, mode: int, uid: int, refused_mode: int = stat.S_IWOTH) -> list[str]:
    """Return why a file with this mode and owner cannot be trusted, with the remedy."""
    if not stat.S_ISREG(mode):
        return ["not a regular file: put the settings in a plain file"]
    flaws = []
    if uid != 0:
        flaws.append(f"owned by uid {uid}, it must be owned by root: chown root {path}")
    for bit, who, letter in ((stat.S_IWGRP, "its group", "g"), (stat.S_IWOTH, "everybody", "o")):
        if mode & refused_mode & bit:
            flaws.append(f"writable by {who}: chmod {letter}-w {path}")
    return flaws


def shown(text: str) -> str:
    """Return text fit for a message: printable and not too long."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return short if short.isprintable() else ascii(short)


def _flaw(line: bytes) -> str:
    if control := _CONTROL.search(line):
        return f"has the control byte 0x{control[0][0]:02x}: remove it"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"has the byte 0x{line[error.start]:02x}, which is not UTF-8: write it in UTF-8"
    return ""


def _entry(number: int, line: str, path: str) -> Entry | Problem:
    words = line.replace("\t", " ").split(" ")
    words = [word for word in words if word]
    keyword = words[0].lower()
    if words[0] == "=":
        return Problem(path, number, "", "no keyword before the equal sign")
    if len(words) < 2 or words[1] != "=":
        left, _, right = line.replace("\t", " ").partition("=" if "=" in line else " ")
        fix = f"{left.strip()} = {right.strip() or 'VALUE'}"
        text = f"no equal sign with spaces around it: write {shown(fix)}"
        return Problem(path, number, shown(keyword) if "=" not in keyword else "", text)
    if len(words) == 2:
        text = "no value after the equal sign: give one, or put # before the line"
        return Problem(path, number, shown(keyword), text)
    return Entry(number, keyword, words[2], tuple(words[3:]))


def _open_failure(path: str, error: OSError, allow_links: bool) -> str:  # noqa: FBT001
    if error.errno == errno.ELOOP and not allow_links:
        return "a symbolic link, which is not followed here: name the file itself, or allow links"
    if error.errno == errno.ENXIO:  # a socket
        return file_flaws(path, stat.S_IFSOCK, 0)[0]
    return f"cannot be opened: {error.strerror}"


def _read_whole(descriptor: int, path: str) -> bytes:
    """Return the file, or as much as shows that it is longer than MAX_FILE."""
    data = b""
    try:
        while len(data) <= MAX_FILE and (part := os.read(descriptor, MAX_FILE + 1 - len(data))):
            data += part
    except OSError as error:
        text = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(path, 0, "", text)]) from error
    return data
