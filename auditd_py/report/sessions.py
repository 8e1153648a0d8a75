"""Who was logged in, from when to when, and when the system ran (aulast, aulastlog)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.record.event import Event
from auditd_py.record.fields import enriched_names
from auditd_py.record.record import Record, parse_record
from auditd_py.search.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditd_py.record.interpret import Names

_lines = re.compile(
    rb"\n((?:node=[^ \n]+ )?type=(?:LOGIN|USER_LOGIN|USER_END|SYSTEM_BOOT|SYSTEM_SHUTDOWN"
    rb"|DAEMON_START) [^\n]*)"
).findall
_kernel = re.compile(rb" kernel=([^ ]+)").search
_NOWHERE: Final = frozenset({None, b"?", b""})


@dataclass(slots=True)
class Session:
    """One login, or one run of the system (`user` is `reboot`).

    `end` is why it is over: empty while it is not, `logout`, `down`, `crash`, `gone` (another
    login has its terminal) or `failed`. `serials` are of the events that say that it began, that
    it was a login, and that it ended; 0 for none. `ended` is in seconds, like `started`.
    """

    user: bytes
    uid: int | None
    node: bytes | None
    started: int
    terminal: bytes = b"?"
    host: bytes = b"?"
    session: int | None = None
    ended: int | None = None
    end: str = ""
    serials: list[int] = field(default_factory=lambda: [0, 0, 0])
    lines: list[bytes] = field(default_factory=list)

    @property
    def logged_in(self) -> bool:
        """Whether it is a user's, and the login was told."""
        return self.serials[1] != 0


class Sessions:
    """Follows logins through a log. What is over is given at once, in the order of ends."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._open: list[Session] = []
        self._kernels: dict[bytes | None, bytes] = {}
        self._handlers: dict[bytes, Callable[[Subject, Record], Iterable[Session]]] = {
            b"LOGIN": self._begin,
            b"USER_LOGIN": self._login,
            b"USER_END": self._logout,
            b"SYSTEM_BOOT": self._boot,
            b"SYSTEM_SHUTDOWN": self._shutdown,
            b"DAEMON_START": self._daemon,
        }

    def feed(self, block: bytes) -> Iterator[Session]:
        """Take a block of a log (see blocks.py); give the sessions that it ends."""
        for line in _lines(block):
            try:
                record = parse_record(line)
            except WireError:
                continue
            yield from self._handlers[record.type_name](Subject(Event([record])), record)

    def end(self) -> list[Session]:
        """Return what is not over: runs of the system, and users that are logged in."""
        return [one for one in self._open if one.logged_in or one.user == b"reboot"]

    def _begin(self, said: Subject, record: Record) -> Iterable[Session]:
        if said.success is not False:
            user = self._user(said.auid, record)
            self._open.append(_session(user, said.auid, record, said.ses))
        return ()

    def _login(self, said: Subject, record: Record) -> Iterable[Session]:
        if said.success is False:
            user = said.acct if said.acct is not None else self._user(said.account_id, record)
            failed = _session(user, None, record, said.ses)
            _place(failed, said)
            failed.ended, failed.end = record.seconds, "failed"
            failed.serials = [0, record.serial, 0]
            return [failed]
        session = self._found(said, record)
        if session is None:
            return ()
        _place(session, said)
        session.serials[1] = record.serial
        session.lines.append(record.line)
        return self._over(
            [one for one in self._open if _has_terminal(one, session)], record, "gone"
        )

    def _logout(self, said: Subject, record: Record) -> Iterable[Session]:
        session = self._found(said, record)
        if session is None:
            return ()
        if not session.logged_in:  # cron, su and the like: no login of a user
            self._open.remove(session)
            return ()
        return self._over([session], record, "logout")

    def _boot(self, _said: Subject, record: Record) -> Iterable[Session]:
        crashed = self._over(self._of_node(record), record, "crash")
        run = _session(b"reboot", None, record, None)
        run.terminal, run.host = b"system boot", self._kernels.get(record.node, b"?")
        self._open.append(run)
        return crashed

    def _shutdown(self, _said: Subject, record: Record) -> Iterable[Session]:
        return self._over(self._of_node(record), record, "down")

    def _daemon(self, _said: Subject, record: Record) -> Iterable[Session]:
        if found := _kernel(record.text):
            self._kernels[record.node] = found[1]
        return ()

    def _of_node(self, record: Record) -> list[Session]:
        return [one for one in self._open if one.node == record.node]

    def _found(self, said: Subject, record: Record) -> Session | None:
        for one in reversed(self._open):
            if (one.node, one.uid, one.session) == (record.node, said.auid, said.ses):
                return one
        return None

    def _over(self, sessions: list[Session], record: Record, why: str) -> list[Session]:
        for one in sessions:
            one.ended, one.end = record.seconds, why
            one.serials[2] = record.serial
            one.lines.append(record.line)
            self._open.remove(one)
        return [one for one in sessions if one.logged_in or one.user == b"reboot"]

    def _user(self, uid: int | None, record: Record) -> bytes:
        names = enriched_names(record)
        name = names.get(b"auid") or names.get(b"id")
        return name or (b"?" if uid is None else self._names.user_name(uid))


def _session(user: bytes, uid: int | None, record: Record, number: int | None) -> Session:
    session = Session(user, uid, record.node, record.seconds, session=number)
    session.serials[0] = record.serial
    session.lines.append(record.line)
    return session


def _place(session: Session, said: Subject) -> None:
    session.terminal = (said.terminal or b"?").removeprefix(b"/dev/")
    session.host = (said.addr if said.hostname in _NOWHERE else said.hostname) or b"?"


def _has_terminal(one: Session, other: Session) -> bool:
    """Say whether a session had the terminal that another has now."""
    shared = one.terminal == other.terminal and one.terminal not in (b"?", b"ssh", b"sshd")
    return shared and one is not other and one.node == other.node and one.logged_in
