"""aulastlog: the last login of every user, from the audit log."""

from __future__ import annotations

import os
import pwd
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py.cli.log_input import chunks, opened, use_locale
from auditd_py.errors import AuditError
from auditd_py.record.escape import Escape, escaped
from auditd_py.record.local_names import local_names
from auditd_py.report.blocks import blocks
from auditd_py.report.last_logins import LastLogins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.report.last_logins import LastLogin

USAGE: Final = "usage: aulastlog [--stdin] [--user name]\n"
DONE: Final = 0
FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run aulastlog with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    wanted, path = None, ""
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            sys.stdout.write(USAGE)
            return DONE
        if word == "--stdin":
            path = "/dev/stdin"
        elif word in ("-u", "--user") and words:
            wanted = words.pop(0)
        else:
            sys.stderr.write(
                f"{word} {'needs a value' if word in ('-u', '--user') else 'is no option'}\n{USAGE}"
            )
            return FAILED
    use_locale()
    try:
        return _show(path, wanted)
    except AuditError as error:
        sys.stderr.write(f"aulastlog: {error}\n")
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _show(path: str, wanted: str | None) -> int:
    users = {
        one.pw_uid: os.fsencode(one.pw_name)
        for one in pwd.getpwall()
        if wanted in (None, one.pw_name, str(one.pw_uid))
    }
    logins = LastLogins(local_names())
    for block in blocks(chunks(opened(path, logs_even_if_piped=True))):
        logins.feed(block)
    # those that only the log knows, too
    for uid, last in logins.last.items():
        if uid not in users and wanted in (None, os.fsdecode(last.user), str(uid)):
            users[uid] = last.user
    if wanted is not None and not users:
        sys.stderr.write(f"aulastlog: there is no user {wanted}\n")
        return FAILED
    write = sys.stdout.buffer.write
    write(b"%-16b %-12b %-26b %b\n" % (b"Username", b"Port", b"From", b"Latest"))
    for uid, name in users.items():
        write(escaped(line(name, logins.last.get(uid)), Escape.TTY) + b"\n")
    sys.stdout.flush()
    return DONE


def line(name: bytes, last: LastLogin | None) -> bytes:
    """Return a user's line, without its newline."""
    if last is None:
        return b"%-16b %-12.12b %-26.26b %b" % (name, b"", b"", b"**Never logged in**")
    when = time.strftime("%x %X", time.localtime(last.seconds)).encode()
    return b"%-16b %-12.12b %-26.26b %b" % (name, last.terminal, last.host, when)


if __name__ == "__main__":
    sys.exit(main())
