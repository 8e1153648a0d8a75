"""How each kind of value is written in auditd.conf: text in, value or ValueError out.

A form stands in the annotation of a setting, `Annotated[int, Number(0, 999)]`: pydantic reads
text through it, messages and documentation take their wording from it.
"""

from __future__ import annotations

import ipaddress
import os.path
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import core_schema

from auditd_py.config.host import THIS_HOST, Host
from auditd_py.config.nv import shown
from auditd_py.config.values import Action, Endpoint, Group, PortRange, Space
from auditd_py.config.words import ActionWord

if TYPE_CHECKING:
    from enum import StrEnum

    from pydantic import GetCoreSchemaHandler

INT_MAX = 2**31 - 1
PORT_MAX = 65535
GID_MAX = 2**32 - 2  # the number after it means "no group"
PERCENT_MAX = 99
MIN_LOG_DIRECTORY = 4  # characters, as in the reference: never a log in / by a slip of the pen

_MAX_ADDRESSES = 16
_SOCKET_PATH_MAX = 103  # sun_path less its end, and less what a new socket is called at first

_ACTION_WORDS = frozenset(ActionWord)
_SERVER = re.compile(r"(nats|tls)://(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "M": 30 * 86400}
_INTERVAL = re.compile(r"([0-9]+)([smhdM]?)")
ROTATION_MAX_MIN = 7 * 24 * 60
INTERVAL_MAX_S = 40 * 86400  # as in the reference


class Form:
    """One way to write a value; subclasses say what is allowed and read it."""

    takes_option = False
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be written; " is allowed" follows in messages."""
        raise NotImplementedError

    def read(self, text: str, _host: Host, /) -> object:
        """Return the value of `text`; ValueError has the sentence for the administrator."""
        raise NotImplementedError

    def check(self, value: object) -> object:
        """Return a value as it is, or raise ValueError like `read` if it is not allowed."""
        return value

    def refusal(self, value: object) -> ValueError:
        """Return the error for a value that is not allowed."""
        return ValueError(f"{shown(str(value))}: {self.allowed} is allowed")

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(value: object, info: core_schema.ValidationInfo) -> object:
            return self.read(value, info.context or THIS_HOST) if isinstance(value, str) else value

        checked = core_schema.no_info_after_validator_function(self.check, handler(source))
        return core_schema.with_info_before_validator_function(read, checked)


@dataclass(frozen=True, slots=True)
class Number(Form):
    """A whole number from `low` to `high`."""

    low: int
    high: int = INT_MAX
    unit: str = ""

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high} {self.unit}".rstrip()

    def read(self, text: str, _host: Host, /) -> int:
        value = _number(text)
        if value is None or not self.low <= value <= self.high:
            raise self.refusal(text)
        return value

    def check(self, value: object) -> object:
        if isinstance(value, int) and not self.low <= value <= self.high:
            raise self.refusal(value)
        return value


class YesNo(Form):
    """Yes or no."""

    words = ("yes", "no")
    allowed = "yes or no"

    def read(self, text: str, _host: Host, /) -> bool:
        if text.lower() not in self.words:
            raise self.refusal(text)
        return text.lower() == "yes"


class Words(Form):
    """One word of a vocabulary."""

    def __init__(self, vocabulary: type[StrEnum]) -> None:
        self._vocabulary = vocabulary
        self.words = tuple(vocabulary)

    @property
    def allowed(self) -> str:
        return _alternatives(self.words)

    def read(self, text: str, _host: Host, /) -> StrEnum:
        if text.lower() not in self.words:
            raise self.refusal(text)
        return self._vocabulary(text.lower())


class Actions(Form):
    """Some of the actions; exec takes the path of a program, whose status is checked elsewhere."""

    def __init__(self, *actions: ActionWord) -> None:
        self.words = actions
        self.takes_option = True

    @property
    def allowed(self) -> str:
        shape = {ActionWord.EXEC: "exec /PATH"}
        return _alternatives([shape.get(ActionWord(word), word) for word in self.words])

    def read(self, text: str, host: Host, /) -> Action:
        name, _, path = text.partition(" ")
        if name.lower() not in self.words:
            if name.lower() in _ACTION_WORDS or name not in host.site_actions():
                raise self.refusal(name)
            if " " in path:
                raise ValueError(f"{shown(path)}: one word may follow {name}")
            return Action(name, path)
        word = ActionWord(name.lower())
        if word is not ActionWord.EXEC:
            if path:
                raise ValueError(f"{shown(path)}: nothing may follow {word}")
        elif not path:
            raise ValueError("exec needs the program to run: write exec /PATH")
        elif " " in path:
            raise ValueError(f"{shown(path)}: one path only, the program gets no arguments")
        elif not path.startswith("/"):
            raise ValueError(f"{shown(path)}: exec needs an absolute path")
        return Action(word, path)

    def check(self, value: object) -> object:
        # a site's own word was looked up when it was read
        if isinstance(value, Action) and value.word in _ACTION_WORDS.difference(self.words):
            raise self.refusal(value.word)
        return value


class Text(Form):
    """Any one word."""

    allowed = "one word"

    def __init__(self, allowed: str = "") -> None:
        if allowed:
            self.allowed = allowed

    def read(self, text: str, _host: Host, /) -> str:
        return text


class Addresses(Form):
    """Addresses of this host, as numbers."""

    takes_option = True
    allowed = f"up to {_MAX_ADDRESSES} addresses like 192.0.2.1, 2001:db8::1 or fe80::1%eth0"

    def read(self, text: str, _host: Host, /) -> tuple[str, ...]:
        words = tuple(text.split())
        try:
            for word in words:
                ipaddress.ip_address(word)
        except ValueError:
            raise self.refusal(text) from None
        if len(words) > _MAX_ADDRESSES:
            raise self.refusal(text)
        return words


class NatsServers(Form):
    """Servers of a NATS cluster, all reached in one way; a password has no place here."""

    takes_option = True
    allowed = f"up to {_MAX_ADDRESSES} servers like tls://nats1.example.com:4222, or all of nats://"

    def read(self, text: str, _host: Host, /) -> tuple[str, ...]:
        words = tuple(text.replace(",", " ").split())
        found = [_SERVER.fullmatch(word) for word in words]
        kinds = {match[1] for match in found if match is not None}
        if not words or None in found or len(kinds) != 1 or len(words) > _MAX_ADDRESSES:
            raise self.refusal(text)
        ports = [int(match[2] or 1) for match in found if match is not None]
        if not all(1 <= port <= PORT_MAX for port in ports):
            raise self.refusal(text)
        return words


class Token(Form):
    """A name of letters, digits, - and _: a part of a NATS subject."""

    allowed = "up to 64 letters, digits, - and _"

    def read(self, text: str, _host: Host, /) -> str:
        if not _TOKEN.fullmatch(text):
            raise self.refusal(text)
        return text


class AbsolutePath(Form):
    """A path from the root."""

    allowed = "an absolute path"

    def read(self, text: str, _host: Host, /) -> str:
        if not text.startswith("/"):
            raise self.refusal(text)
        return text


class Listen(Form):
    """Where to listen: an address and a port, or a socket's path. A port alone is of this host."""

    allowed = f"a port, 127.0.0.1:9117, [::1]:9117 (up to {PORT_MAX}) or an absolute path"

    def read(self, text: str, _host: Host, /) -> Endpoint:
        if text.startswith("/"):
            if len(os.fsencode(text)) > _SOCKET_PATH_MAX:
                raise ValueError(
                    f"{shown(text)}: a socket's path has {_SOCKET_PATH_MAX} bytes at most"
                )
            return Endpoint(path=text)
        address, colon, digits = text.rpartition(":")
        port = _number(digits)
        if port is None or not 1 <= port <= PORT_MAX or (colon and not address):
            raise self.refusal(text)
        if not address:
            return Endpoint("127.0.0.1", port)
        bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
        try:
            found = ipaddress.ip_address(bare)
        except ValueError:
            raise self.refusal(text) from None
        if (found.version == 6) != (bare != address):
            raise self.refusal(text)
        return Endpoint(bare, port)


class LogPath(AbsolutePath):
    """The log file: its path has no detours and its directory is not near the root by mistake."""

    def read(self, text: str, host: Host, /) -> str:
        path = super().read(text, host)
        directory, name = os.path.split(path)
        if not name:
            raise ValueError(f"{shown(path)}: name a file, not a directory")
        if len(directory) < MIN_LOG_DIRECTORY:
            raise ValueError(
                f"{shown(path)}: the directory part needs {MIN_LOG_DIRECTORY} characters or more"
            )
        if not {".", ".."}.isdisjoint(path.split("/")):
            raise ValueError(f'{shown(path)}: "." and ".." are not allowed in it')
        return path


class SpaceLimit(Form):
    """MiB or percent of free space."""

    allowed = f"a number of MiB, or a percentage from 0% to {PERCENT_MAX}%"

    def read(self, text: str, _host: Host, /) -> Space:
        percent = text.endswith("%")
        amount = _number(text.removesuffix("%"))
        if amount is None or amount > (PERCENT_MAX if percent else INT_MAX):
            raise self.refusal(text)
        return Space(amount, percent)


class Ports(Form):
    """A port, or the first and the last of a range."""

    allowed = f"a port or a range like 1024-{PORT_MAX}, none above {PORT_MAX},"

    def read(self, text: str, _host: Host, /) -> PortRange:
        head, dash, tail = text.partition("-")
        first = _number(head)
        last = _number(tail) if dash else first
        if first is None or last is None or max(first, last) > PORT_MAX:
            raise self.refusal(text)
        if first > last:
            raise ValueError(f"{shown(text)}: the range is reversed: write {last}-{first}")
        return PortRange(first, last)


class Interval(Form):
    """A time in seconds, written with an optional unit."""

    allowed = "a number of seconds, or one with m, h, d or M (30 days) after it, up to 40 days,"

    def read(self, text: str, _host: Host, /) -> int:
        match = _INTERVAL.fullmatch(text)
        amount = _number(match[1]) if match else None
        if match is None or amount is None:
            raise self.refusal(text)
        seconds = amount * _SECONDS[match[2]]
        if seconds > INTERVAL_MAX_S:
            raise self.refusal(text)
        return seconds

    def check(self, value: object) -> object:
        if isinstance(value, int) and not 0 <= value <= INTERVAL_MAX_S:
            raise self.refusal(value)
        return value


class Rotation(Form):
    """When to rotate whatever the size: a word, or a number of minutes."""

    words = ("never", "hourly", "daily", "weekly")
    allowed = f"{', '.join(words)}, or minutes from 1m to {ROTATION_MAX_MIN}m"

    def read(self, text: str, _host: Host, /) -> str:
        if text.lower() in self.words:
            return text.lower()
        minutes = _number(text.removesuffix("m")) if text.endswith("m") else None
        if minutes is None or not 1 <= minutes <= ROTATION_MAX_MIN:
            raise self.refusal(text)
        return f"{minutes}m"


class GroupName(Form):
    """A group by name, or by number if the first character is a digit."""

    allowed = "the name or the number of a group"

    def read(self, text: str, host: Host, /) -> Group:
        if not text or text[0] in "0123456789":
            gid = _number(text)
            if gid is None or gid > GID_MAX:
                raise self.refusal(text)
            return Group(gid, text)
        try:
            return Group(host.group_id(text), text)
        except (KeyError, ValueError, OSError):  # ValueError: a name the locale cannot encode
            raise ValueError(f"{shown(text)}: no such group: groupadd {shown(text)}") from None


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    # int() refuses thousands of digits; twelve are beyond every limit here already
    return int(text.lstrip("0")[:12] or "0")


def _alternatives(words: tuple[str, ...] | list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
