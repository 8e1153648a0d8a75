"""aulast: who was logged in, and when the system ran, from the audit log."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.cli.log_input import chunks, opened, use_locale
from auditd_py.errors import AuditError
from auditd_py.record.escape import Escape, escaped
from auditd_py.record.local_names import local_names
from auditd_py.report.blocks import blocks
from auditd_py.report.sessions import Session, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USAGE: Final = (
    "usage: aulast [--bad] [--debug] [--stdin] [--proof] [--extract] [-f file]\n"
    "              [--user name] [--tty tty]\n"
)
DONE: Final = 0
FAILED: Final = 1
EXTRACT: Final = "aulast.log"
_FLAGS: Final = ("--bad", "--debug", "--extract", "--proof", "--stdin")
_DAY_S: Final = 86400


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run aulast with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return DONE
    use_locale()
    try:
        flags, values = parse(words)
        _show(flags, values)
        sys.stdout.flush()
        return DONE
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return FAILED
    except AuditError as error:
        sys.stderr.write(f"aulast: {error}\n")
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def parse(words: list[str]) -> tuple[set[str], dict[str, str]]:
    """Return the flags and the options with a value; raises UsageError."""
    flags: set[str] = set()
    values: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _FLAGS:
            flags.add(word)
        elif word in ("-f", "--tty", "--user"):
            if not rest:
                raise UsageError(f"{word} needs a value")
            values[word] = rest.pop(0)
        else:
            raise UsageError(f"{word} is no option")
    return flags, values


def _show(flags: set[str], values: dict[str, str]) -> None:
    sessions = Sessions(local_names())
    path = values.get("-f", "/dev/stdin" if "--stdin" in flags else "")
    write = sys.stdout.buffer.write
    extracted: list[bytes] = []
    now = int(time.time())
    for session in _all(sessions, path):
        if _wanted(session, flags, values):
            write(escaped(line(session), Escape.TTY) + b"\n")
            if "--proof" in flags:
                write(proof(session, now))
            extracted += session.lines
    if "--extract" in flags:
        _extract(extracted)


def _all(sessions: Sessions, path: str) -> Iterator[Session]:
    for block in blocks(chunks(opened(path, logs_even_if_piped=True))):
        yield from sessions.feed(block)
    yield from sessions.end()


def _wanted(session: Session, flags: set[str], values: dict[str, str]) -> bool:
    if (session.end == "failed") != ("--bad" in flags):
        return False
    if session.user == b"reboot" and session.uid is None and session.end != "failed":
        return True
    user, terminal = values.get("--user"), values.get("--tty")
    if user is not None and user not in (os.fsdecode(session.user), str(session.uid)):
        return False
    return terminal is None or terminal.removeprefix("/dev/") == os.fsdecode(session.terminal)


def line(session: Session) -> bytes:
    """Return a session's line, without its newline."""
    started = time.strftime("%a %b %e %H:%M", time.localtime(session.started)).encode()
    head = b"%-8.8b %-12.12b %-16.16b %-16.16b " % (
        session.user, session.terminal, session.host, started,
    )  # fmt: skip
    if session.end == "crash":
        return head + b"- crash"
    if session.end == "gone":
        return head + b"  gone - no logout"
    if session.ended is None:
        return head if session.user == b"reboot" else head + b"  still logged in"
    if session.end == "down" and session.user != b"reboot":
        ended = b"down "
    else:
        ended = time.strftime("%H:%M", time.localtime(session.ended)).encode()
    return head + b"- %b  (%b)" % (ended, _duration(session.ended - session.started))


def _duration(seconds: int) -> bytes:
    days, rest = divmod(max(seconds, 0), _DAY_S)
    clock = b"%02d:%02d" % (rest // 3600, rest % 3600 // 60)
    return b"%d+%b" % (days, clock) if days else clock


def proof(session: Session, now: int) -> bytes:
    """Return which events say so, and how to find the session's."""
    start, end = (
        time.strftime("%x %X", time.localtime(seconds))
        for seconds in (session.started, session.ended or now)
    )
    serials = ", ".join(map(str, session.serials))
    search = f"ausearch --start {start} --end {end}"
    if session.session is not None and session.uid is not None:
        search += f" --session {session.session}"
    return (
        f"    audit event proof serial numbers: {serials}\n"
        f"    Session data can be found with this search:\n    {search}\n\n"
    ).encode()


def _extract(lines: list[bytes]) -> None:
    """Write the records that tell of the sessions; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(EXTRACT, flags, 0o600)
    except OSError as error:
        raise UsageError(f"{EXTRACT} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(one + b"\n" for one in lines)


if __name__ == "__main__":
    sys.exit(main())
