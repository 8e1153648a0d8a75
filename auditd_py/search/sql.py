"""Events as a table that SQL can ask, with DuckDB (`pip install auditd-py[report]`)."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

from auditd_py.errors import AuditError
from auditd_py.search.normalize import Normalizer
from auditd_py.search.scan import records_of
from auditd_py.search.subject import UNSET, Subject
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.syscalls import syscall_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Names

COLUMNS: Final = {
    "time": "TIMESTAMP", "serial": "UBIGINT", "node": "VARCHAR", "type": "VARCHAR",
    "types": "VARCHAR[]", "kind": "VARCHAR", "action": "VARCHAR", "object": "VARCHAR",
    "result": "VARCHAR", "success": "BOOLEAN", "auid": "UINTEGER", "login_user": "VARCHAR",
    "uid": "UINTEGER", "user": "VARCHAR", "euid": "UINTEGER", "gid": "UINTEGER", "ses": "UINTEGER",
    "pid": "BIGINT", "ppid": "BIGINT", "arch": "VARCHAR", "syscall": "VARCHAR", "exit": "BIGINT",
    "exe": "VARCHAR", "comm": "VARCHAR", "terminal": "VARCHAR", "host": "VARCHAR",
    "acct": "VARCHAR", "key": "VARCHAR", "keys": "VARCHAR[]", "file": "VARCHAR",
    "files": "VARCHAR[]", "cwd": "VARCHAR",
}  # fmt: skip


class SqlError(AuditError):
    """A question cannot be answered; the text says why."""


def ask(
    question: str, events: Iterable[Event], names: Names
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return the columns and rows that SQL finds in the table `events`; raises SqlError.

    Times are in UTC. Ids that are unset are NULL.
    """
    try:
        import duckdb
    except ImportError:
        raise SqlError("--sql needs DuckDB: pip install auditd-py[report]") from None
    connection = duckdb.connect(":memory:")
    try:
        with tempfile.TemporaryDirectory(prefix="ausearch-") as folder:
            path = os.path.join(folder, "events.json")
            _write(path, events, names)
            columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
            connection.execute(
                f"CREATE TABLE events AS SELECT * FROM read_json('{path}',"  # noqa: S608  our own words
                f" format = 'newline_delimited', columns = {{{columns}}})"
            )
        connection.execute("SET enable_external_access = false")
        found = connection.execute(question)
    except duckdb.Error as error:
        raise SqlError(str(error)) from None
    head = [column[0] for column in found.description or []]
    return head, iter(found.fetchone, None)


def _write(path: str, events: Iterable[Event], names: Names) -> None:
    normalizer = Normalizer(names)
    encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
    with open(path, "w", encoding="ascii") as file:
        file.writelines(encode(_row(records_of(event), normalizer)) + "\n" for event in events)


def _row(event: Event, normalizer: Normalizer) -> dict[str, Any]:
    subject, act = Subject(event), normalizer.act(event)
    machine = MACHINES.get(subject.arch or -1)
    call = None
    if subject.arch is not None and subject.syscall is not None:
        call = syscall_name(subject.arch, subject.syscall) or str(subject.syscall)
    names = [_text(file.name) for file in subject.files]
    own = [_text(file.name) for file in subject.files if file.nametype != b"PARENT"]
    keys = [_text(key) for key in subject.keys]
    types = [_text(record.type_name) for record in event.records]
    return {
        "time": f"{_stamp(event.seconds)}.{event.milliseconds:03d}", "serial": event.serial,
        "node": _text(event.node), "type": types[0], "types": types, "kind": act.kind,
        "action": act.action, "object": _text(act.object) or None, "result": act.result or None,
        "success": subject.success,
        "auid": _id(subject.auid), "login_user": _name(act.subject),
        "uid": _id(subject.uid), "user": _name(act.acting_as), "euid": _id(subject.euid),
        "gid": _id(subject.gid), "ses": _id(subject.ses), "pid": subject.pid, "ppid": subject.ppid,
        "arch": machine[0] if machine else None, "syscall": call, "exit": subject.exit,
        "exe": _text(subject.exe), "comm": _text(subject.comm), "terminal": _text(subject.terminal),
        "host": _text(subject.host), "acct": _text(subject.acct), "key": keys[0] if keys else None,
        "keys": keys, "file": (own or names or [None])[0], "files": names, "cwd": _text(subject.cwd),
    }  # fmt: skip


def _stamp(seconds: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _id(value: int | None) -> int | None:
    return None if value == UNSET else value


def _name(value: bytes) -> str | None:
    return None if value in (b"", b"unset") or value.startswith(b"unknown(") else _text(value)
