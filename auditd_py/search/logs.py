"""For other programs: audit logs as events and records, and what their values are called.

Nothing is loaded but the standard library. docs/library.md has examples.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Final, overload

from auditd_py.errors import LogError
from auditd_py.record.event import EOE_TIMEOUT_S, Event
from auditd_py.record.interpret import Interpreter, Names
from auditd_py.record.local_names import local_names
from auditd_py.search.query import Query
from auditd_py.search.reader import blocks, from_time, lines_of, open_file, open_log
from auditd_py.search.scan import Scan, records_of
from auditd_py.tables.record_types import type_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import BinaryIO

    from auditd_py.record.record import Record
    from auditd_py.search.reader import Blocks

    Source = str | os.PathLike[str] | bytes | int | BinaryIO

_TIMES: Final = ("start", "end")


def events(
    source: Source | None = None,
    *,
    timeout_s: int = EOE_TIMEOUT_S,
    on_junk: Callable[[bytes], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
    **criteria: Any,  # noqa: ANN401  a value for each criterion
) -> Iterator[Event]:
    """Give the events of a log that meet all criteria, in the order of their time.

    `source` is the path of a file or of a folder with `audit.log` and its archives, a pipe's
    descriptor, an open binary file, or the bytes of a log; without it the log that auditd.conf
    names, with its archives. What is compressed with gzip or zstd is unpacked.

    Criteria are those of auditd_py.search.query.Query: `key`, `file`, `exe`, `comm`, `host`,
    `terminal`, `vm`, `vm_uuid`, `subject`, `object`, `context` (texts, part of the event's, or
    all of it with `exact=True`); `types` and `nodes` (one name, or several); `auid`, `uid`,
    `euid`, `any_uid`, `gid`, `egid`, `any_gid` (an id, or a name of this system or of the
    enriched records); `pid`, `ppid`, `session`, `serial`, `exit`, `arch`, `syscall` (number or
    name), `success`, and `start` and `end` (datetime, or seconds since 1970).

    `on_junk` gets each line that is no record, `on_problem` is told what cannot be read further.
    Raises LogError if the log cannot be opened, TypeError and ValueError for unknown criteria.
    """
    scan = Scan(_query(criteria), timeout_s, on_junk=on_junk)
    for data, end in _blocks(source, scan, on_problem or _ignore):
        yield from map(records_of, scan.feed(data, end) if end else scan.end())
    yield from map(records_of, scan.end())


def records(source: Source | None = None, **criteria: Any) -> Iterator[Record]:  # noqa: ANN401
    """Give the records of the events that `events` gives, each event's together."""
    for event in events(source, **criteria):
        yield from event.records


@overload
def interpret(found: Record, names: Names | None = None) -> dict[str, str]: ...
@overload
def interpret(found: Event, names: Names | None = None) -> list[dict[str, str]]: ...
def interpret(
    found: Record | Event, names: Names | None = None
) -> dict[str, str] | list[dict[str, str]]:
    r"""Return what the values of a record's fields are called; of an event a list, by record.

    `type` is the record's type. Of a field that is there twice, as keys may be, the values are
    joined with a comma. Names that the daemon added go before those of this system; `names` says
    who else knows them. Bytes that are no UTF-8 are shown as `\\udc80` and up (surrogateescape).
    """
    interpreter = Interpreter(names or local_names())
    if isinstance(found, Event):
        return [_named(record, interpreter) for record in found.records]
    return _named(found, interpreter)


def _named(record: Record, interpreter: Interpreter) -> dict[str, str]:
    values = {"type": record.type_name.decode("utf-8", "surrogateescape")}
    for name, _, value in interpreter.fields(record):
        key, text = os.fsdecode(name), value.decode("utf-8", "surrogateescape")
        text = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
        values[key] = f"{values[key]},{text}" if key in values else text
    return values


def _ignore(_text: str) -> None:
    pass


def _blocks(source: Source | None, scan: Scan, on_problem: Callable[[str], None]) -> Blocks:
    if isinstance(source, bytes):
        whole = source if source.endswith(b"\n") or not source else source + b"\n"
        yield whole, len(whole)
        return
    if source is not None and not isinstance(source, str | int | os.PathLike):
        yield from lines_of(iter(lambda: source.read(1 << 20), b""))
        return
    files = _files(source)
    try:
        for file in from_time(files, scan.query.start):
            yield from blocks(file, on_problem)
    finally:
        for file in files:
            try:
                file.close()
            except OSError:
                pass  # it was too old, and closed before


def _files(source: str | os.PathLike[str] | int | None) -> list[Any]:
    if source is None:
        from auditd_py.search.settings import reader_settings

        return open_log(reader_settings().log_file)
    if isinstance(source, int):
        return [open_file(f"/dev/fd/{source}")]
    path = os.fspath(source)
    try:
        folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise LogError(path, f"cannot be opened: {error.strerror}", error.errno or 0) from error
    return open_log(os.path.join(path, "audit.log")) if folder else [open_file(path)]


def _query(criteria: dict[str, Any]) -> Query:
    query = Query()
    for name, value in criteria.items():
        if name.startswith("_") or name not in Query.__slots__:
            known = ", ".join(n for n in Query.__slots__ if not n.startswith("_"))
            raise TypeError(f"{name} is no criterion: {known}")
        if value is not None:
            setattr(query, name, _criterion(name, value))
    return query


def _criterion(name: str, value: Any) -> Any:  # noqa: ANN401
    if name in _TIMES:
        return _seconds(value)
    if name == "types":
        return frozenset(map(_type, _several(value)))
    if name == "nodes":
        return frozenset(os.fsencode(node) for node in _several(value))
    if (
        name.endswith("id")
        and isinstance(value, str | bytes)
        and name not in ("pid", "ppid", "vm_uuid")
    ):
        return _identity(value, group="gid" in name)
    if isinstance(value, str) and name != "syscall":
        return os.fsencode(value)
    return value


def _several(value: Any) -> Iterable[Any]:  # noqa: ANN401
    return [value] if isinstance(value, str | bytes | int) else value


def _type(value: str | int) -> int:
    number = value if isinstance(value, int) else type_number(value)
    if number is None:
        raise ValueError(f"{value}: no such record type")
    return number


def _seconds(value: datetime | float) -> int:
    return int(value if isinstance(value, int | float) else value.timestamp())


def _identity(value: str | bytes, *, group: bool) -> int | bytes:
    try:
        if group:
            import grp

            return grp.getgrnam(os.fsdecode(value)).gr_gid
        import pwd

        return pwd.getpwnam(os.fsdecode(value)).pw_uid
    except KeyError:
        return os.fsencode(value)
