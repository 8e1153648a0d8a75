"""The last login of each user (aulastlog)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.record.event import Event
from auditd_py.record.fields import enriched_names
from auditd_py.record.record import parse_record
from auditd_py.search.subject import UNSET, Subject

if TYPE_CHECKING:
    from auditd_py.record.interpret import Names

_lines = re.compile(rb"\n((?:node=[^ \n]+ )?type=USER_LOGIN [^\n]*)").findall
_NOWHERE: Final = frozenset({None, b"?", b""})


@dataclass(slots=True)
class LastLogin:
    """When, where and from where a user last logged in; `seconds` since 1970."""

    user: bytes
    seconds: int
    terminal: bytes
    host: bytes


class LastLogins:
    """Keeps the last successful login of each user in `last`, by number."""

    def __init__(self, names: Names) -> None:
        self.last: dict[int, LastLogin] = {}
        self._names = names

    def feed(self, block: bytes) -> None:
        """Take a block of a log (see blocks.py)."""
        for line in _lines(block):
            try:
                record = parse_record(line)
            except WireError:
                continue
            said = Subject(Event([record]))
            uid = said.auid
            if said.success is False or uid is None or uid == UNSET:
                continue
            before = self.last.get(uid)
            if before is None or before.seconds <= record.seconds:
                names = enriched_names(record)
                user = names.get(b"id") or names.get(b"auid") or self._names.user_name(uid)
                host = said.addr if said.hostname in _NOWHERE else said.hostname
                self.last[uid] = LastLogin(
                    user, record.seconds, said.terminal or b"?", host or b"?"
                )
