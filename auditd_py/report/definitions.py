"""The reports of aureport: which events each takes, what it shows of them, what it counts.

A definition is all that a report is. Lists, summaries, JSON, CSV, periods and pictures are made
from it and from the columns of events (columns.py); nothing else knows one report from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.report.columns import Columns, Value

    Rows = Callable[[Columns], Iterator[tuple[int, Value]]]
    Having = str | frozenset[int]

CONFIGURATION: Final = frozenset({1111, 1203, 1305, 1325, 1328, 2312, *range(1403, 1420)})
ACCOUNTS: Final = frozenset(
    {1102, 1108, 1114, 1115, 1116, 1117, 1132, 1133, 1135, 1136, 2301, 2302}
)
LOGINS: Final = frozenset({1112})
AUTHENTICATIONS: Final = frozenset({1100})
FAILED_AUTHENTICATIONS: Final = frozenset({1102})  # count only if they failed
MAC: Final = frozenset({*range(1403, 1420), *range(2300, 2314)})
ANOMALIES: Final = frozenset({1326, *range(1700, 1800), *range(2100, 2200)})
RESPONSES: Final = frozenset(range(2200, 2300))
CRYPTO: Final = frozenset(range(2400, 2500))
INTEGRITY: Final = frozenset(range(1800, 1900))
VIRTUALIZATION: Final = frozenset(range(2500, 2600))
# what a program decided, at no terminal of its own: the C tool leaves them out where it looks for
# terminals
DECISIONS: Final = frozenset({1107})


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a report: the columns of events it is made from, and how it is shown.

    `kind` is one of the kinds of report/show.py. `absent` stands for nothing.
    """

    kind: str
    columns: tuple[str, ...]
    absent: bytes = b"?"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a report counts.

    `counted` gives a value for each thing, with the place of its event; `needs` are the columns
    that it looks at, `kind` is of the values, and `total` what stands above them.
    """

    title: str
    total: str
    rule: int  # width of the lines below the title and the headings
    counted: Rows
    needs: frozenset[str]
    kind: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report.

    `rows` gives the rows of a list: the place of the event, and which of its values the row is
    about where it has many; `needs` are the columns that it looks at. `having` is what an event
    must have to be in the report: something in a column, or a record of one of some types.
    """

    name: str
    options: tuple[str, ...]
    title: str
    headings: tuple[str, ...]
    about: str
    rows: Rows
    needs: frozenset[str]
    having: Having
    summary: Summary | None = None
    nulls: frozenset[str] = frozenset()  # headings that show `(null)` where there is nothing
    rules: tuple[int, int] | None = None  # widths above and below the headings, if not their own
    own: tuple[tuple[str, str, int], ...] = ()  # heading, kind, part (-1: all) of a row's value
    without: frozenset[int] = frozenset()  # events with records of these types are left out

    @property
    def head(self) -> str:
        """The line of headings."""
        return "# " + " ".join(("date", "time", *self.headings))

    @property
    def list_columns(self) -> frozenset[str]:
        """The columns of events that the list is made from."""
        shown = (FIELDS[heading].columns for heading in self.headings)
        return self.needs | frozenset(chain.from_iterable(shown))


FIELDS: Final = {
    "acct": Field("text", ("acct",)),
    "addr": Field("text", ("host",)),
    "auid": Field("user", ("auid", "auid_name")),
    "class": Field("text", (), b"(null)"),
    "comm": Field("text", ("comm",)),
    "data": Field("typed", ("data",)),
    "event": Field("serial", ("stamp",)),
    "exe": Field("text", ("exe",)),
    "file": Field("text", ()),
    "host": Field("text", ("host",)),
    "key": Field("text", ()),
    "obj": Field("text", (), b"(null)"),
    "permission": Field("text", (), b"(null)"),
    "pid": Field("number", ("pid",)),
    "result": Field("text", (), b"unset"),
    "sess": Field("session", ("session",)),
    "subj": Field("text", (), b"(null)"),
    "success": Field("success", ("success",)),
    "syscall": Field("syscall", ("syscall", "arch")),
    "term": Field("text", ("terminal",)),
    "type": Field("type", ()),
}


def _having(column: str) -> Rows:
    """Give the events that have something in a column."""

    def found(columns: Columns) -> Iterator[tuple[int, Value]]:
        return (
            (place, value)
            for place, value in enumerate(columns.column(column))
            if value is not None
        )

    return found


def _each(column: str) -> Rows:
    """Give each of the values that a column has many of."""

    def found(columns: Columns) -> Iterator[tuple[int, Value]]:
        return ((p, value) for p, values in enumerate(columns.column(column)) for value in values)

    return found


def _first_of(types: frozenset[int]) -> Rows:
    """Give the events with a record of one of the types, and the first such type."""

    def found(columns: Columns) -> Iterator[tuple[int, Value]]:
        for place, ofevent in enumerate(columns.types):
            if not types.isdisjoint(ofevent):
                yield place, next(number for number in ofevent if number in types)

    return found


def _each_of(types: frozenset[int]) -> Rows:
    """Give each record of one of the types."""

    def found(columns: Columns) -> Iterator[tuple[int, Value]]:
        return (
            (place, number)
            for place, ofevent in enumerate(columns.types)
            for number in ofevent
            if number in types
        )

    return found


def first_file(files: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Return the file that an event is about: not the folder it is in, if that is told too."""
    return next((name for name, nametype in files if nametype != b"PARENT"), files[0][0])


def _first_key(columns: Columns) -> Iterator[tuple[int, Value]]:
    return ((place, keys[0]) for place, keys in enumerate(columns.keys) if keys)


def _files(columns: Columns) -> Iterator[tuple[int, Value]]:
    return ((place, first_file(files)) for place, files in enumerate(columns.files) if files)


def _each_file(columns: Columns) -> Iterator[tuple[int, Value]]:
    return ((place, name) for place, files in enumerate(columns.files) for name, _ in files)


def _authentications(columns: Columns) -> Iterator[tuple[int, Value]]:
    for place, types in enumerate(columns.types):
        if not AUTHENTICATIONS.isdisjoint(types) or (
            columns.success[place] is False and not FAILED_AUTHENTICATIONS.isdisjoint(types)
        ):
            yield place, _account(columns, place)


def _account(columns: Columns, place: int) -> Value:
    return columns.acct[place] if columns.acct[place] is not None else columns.uid[place]


def _logins(columns: Columns) -> Iterator[tuple[int, Value]]:
    """Give logins and whose they are: the account's name where nobody was logged in."""
    for place, types in enumerate(columns.types):
        if not LOGINS.isdisjoint(types):
            name = columns.acct[place] if columns.success[place] is False else None
            yield place, (columns.auid[place], columns.auid_name[place]) if name is None else name


def _objects(columns: Columns) -> Iterator[tuple[int, Value]]:
    return ((place, access[3]) for place, access in _each("accesses")(columns))


def _calls(columns: Columns) -> Iterator[tuple[int, Value]]:
    numbers = zip(columns.syscall, columns.arch, strict=True)
    return ((place, both) for place, both in enumerate(numbers) if both[0] is not None)


def _users(columns: Columns) -> Iterator[tuple[int, Value]]:
    numbers = zip(columns.auid, columns.auid_name, strict=True)
    return ((place, both) for place, both in enumerate(numbers) if both[0] is not None)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _of_types(
    types: frozenset[int], title: str, summary_title: str, summary_rule: int
) -> dict[str, Any]:
    """Return what reports of events with a record of one of some types have in common."""
    needs = _words("types")
    summary = Summary(summary_title, "type", summary_rule, _each_of(types), needs, "type")
    return {
        "title": title,
        "rows": _first_of(types),
        "needs": needs,
        "having": types,
        "summary": summary,
        "own": (("type", "type_name", -1),),
    }


def _of(
    needs: str, rows: Rows, counted: Rows, summary: tuple[str, str, int], kind: str = "text"
) -> dict[str, Any]:
    """Return what a report lists and counts, both of which look at the same columns.

    Its events have something in the first of them.
    """
    title, total, rule = summary
    made = Summary(title, total, rule, counted, _words(needs), kind)
    having = needs.split(maxsplit=1)[0]
    return {"rows": rows, "needs": _words(needs), "summary": made, "having": having}


def _of_column(column: str, summary: tuple[str, str, int], kind: str = "text") -> dict[str, Any]:
    """Return the same of a report of the events that have something in a column."""
    return _of(column, _having(column), _having(column), summary, kind)


REPORTS: Final = (
    Report(
        name="avc",
        options=("-a", "--avc"),
        about="decisions of SELinux",
        title="AVC Report",
        headings=("comm", "subj", "syscall", "class", "permission", "obj", "result", "event"),
        own=(
            ("subj", "text", 0),
            ("class", "text", 1),
            ("permission", "text", 2),
            ("obj", "text", 3),
            ("result", "text", 4),
        ),
        **_of("accesses", _each("accesses"), _objects, ("Avc Object", "obj", 33)),
    ),
    Report(
        name="config",
        options=("-c", "--config"),
        about="changes of the audit configuration",
        headings=("type", "auid", "success", "event"),
        **_of_types(CONFIGURATION, "Config Change Report", "Config Change", 28),
    ),
    Report(
        name="auth",
        options=("-au", "--auth"),
        about="authentications",
        title="Authentication Report",
        headings=("acct", "host", "term", "exe", "success", "event"),
        nulls=_words("host term"),
        own=(("acct", "account", -1),),
        **_of(
            "types success acct uid", _authentications, _authentications,
            ("Authentication", "acct", 29), "account",
        ) | {"having": AUTHENTICATIONS | FAILED_AUTHENTICATIONS},
    ),
    Report(
        name="login",
        options=("-l", "--login"),
        about="logins",
        title="Login Report",
        headings=("auid", "host", "term", "exe", "success", "event"),
        nulls=_words("host term"),
        own=(("auid", "login", -1),),
        **_of(
            "types success acct auid auid_name", _logins, _logins, ("Login", "auid", 28), "login"
        ) | {"having": LOGINS},
    ),
    Report(
        name="mods",
        options=("-m", "--mods"),
        about="changes of accounts and groups",
        headings=("auid", "addr", "term", "exe", "acct", "success", "event"),
        **_of_types(ACCOUNTS, "Account Modifications Report", "Acct Modification", 32),
    ),
    Report(
        name="event",
        options=("-e", "--event"),
        about="all events",
        title="Event Report",
        headings=("event", "type", "auid", "success"),
        own=(("type", "type_name", -1),),
        **_of_column("type", ("Event", "type", 22), "type"),
    ),
    Report(
        name="file",
        options=("-f", "--file"),
        about="files",
        title="File Report",
        headings=("file", "syscall", "success", "exe", "auid", "event"),
        own=(("file", "text", -1),),
        **_of("files", _files, _each_file, ("File", "file", 27)),
    ),
    Report(
        name="host",
        options=("-h", "--host"),
        about="other hosts",
        title="Host Report",
        headings=("host", "syscall", "auid", "event"),
        nulls=_words("host"),
        **_of_column("host", ("Host", "host", 27)),
    ),
    Report(
        name="pid",
        options=("-p", "--pid"),
        about="processes",
        title="Process ID Report",
        headings=("pid", "exe", "syscall", "auid", "event"),
        **_of_column("pid", ("Pid", "pid", 26), "number"),
    ),
    Report(
        name="syscall",
        options=("-s", "--syscall"),
        about="system calls",
        title="Syscall Report",
        headings=("syscall", "pid", "comm", "auid", "event"),
        **_of("syscall arch", _calls, _calls, ("Syscall", "syscall", 26), "syscall"),
    ),
    Report(
        name="terminal",
        options=("-tm", "--terminal"),
        about="terminals",
        title="Terminal Report",
        headings=("term", "host", "exe", "auid", "event"),
        nulls=_words("term host"),
        without=DECISIONS,
        **_of_column("terminal", ("Terminal", "terminal", 31)),
    ),
    Report(
        name="user",
        options=("-u", "--user"),
        about="users, by the one who logged in",
        title="User ID Report",
        headings=("auid", "term", "host", "exe", "event"),
        without=DECISIONS,
        **_of("auid auid_name", _users, _users, ("User", "auid", 27), "user"),
    ),
    Report(
        name="executable",
        options=("-x", "--executable"),
        about="programs",
        title="Executable Report",
        headings=("exe", "term", "host", "auid", "event"),
        without=DECISIONS,
        **_of_column("exe", ("Executable", "file", 33)),
    ),
    Report(
        name="comm",
        options=("--comm",),
        about="commands",
        title="Command Report",
        headings=("comm", "term", "host", "auid", "event"),
        rules=(36, 37),
        **_of_column("comm", ("Command", "command", 33)),
    ),
    Report(
        name="anomaly",
        options=("-n", "--anomaly"),
        about="anomalies",
        headings=("type", "exe", "term", "host", "auid", "event"),
        **_of_types(ANOMALIES, "Anomaly Report", "Anomaly", 22),
    ),
    Report(
        name="response",
        options=("-r", "--response"),
        about="responses to anomalies",
        headings=("type", "success", "event"),
        **_of_types(RESPONSES, "Response to Anomaly Report", "Anomaly Response", 31),
    ),
    Report(
        name="mac",
        options=("-ma", "--mac"),
        about="mandatory access control: policy, status, roles and labels",
        headings=("auid", "type", "success", "event"),
        **_of_types(MAC, "MAC Report", "MAC", 18),
    ),
    Report(
        name="integrity",
        options=("--integrity",),
        about="integrity of files",
        headings=("type", "success", "event"),
        **_of_types(INTEGRITY, "Integrity Report", "Integrity", 24),
    ),
    Report(
        name="virt",
        options=("--virt",),
        about="virtual machines",
        headings=("type", "success", "event"),
        **_of_types(VIRTUALIZATION, "Virtualization Report", "Virtualization", 29),
    ),
    Report(
        name="crypto",
        options=("-cr", "--crypto"),
        about="cryptographic events",
        headings=("auid", "type", "success", "event"),
        **_of_types(CRYPTO, "Crypto Report", "Crypto", 21),
    ),
    Report(
        name="key",
        options=("-k", "--key"),
        about="keys of rules",
        title="Key Report",
        headings=("key", "success", "exe", "auid", "event"),
        rules=(47, 47),
        own=(("key", "text", -1),),
        **_of("keys", _first_key, _each("keys"), ("Key", "key", 27)),
    ),
    Report(
        name="tty",
        options=("--tty",),
        about="what was typed at terminals",
        title="TTY Report",
        headings=("event", "auid", "term", "sess", "comm", "data"),
        rules=(47, 47),
        rows=_having("data"),
        needs=_words("data"),
        having="data",
    ),
)  # fmt: skip

# the lines of the report of totals: what is counted, how; and of which column where it is a
# number of different values
TOTALS: Final = (
    ("changes in configuration", "config", "records"),
    ("changes to accounts, groups, or roles", "mods", "events"),
    ("logins", "login", "successful"),
    ("failed logins", "login", "failed"),
    ("authentications", "auth", "successful"),
    ("failed authentications", "auth", "failed"),
    ("users", "user", "different"),
    ("terminals", "terminal", "different"),
    ("host names", "host", "different"),
    ("executables", "executable", "different"),
    ("commands", "comm", "different"),
    ("files", "file", "different"),
    ("AVC's", "avc", "events"),
    ("MAC events", "mac", "events"),
    ("failed syscalls", "syscall", "failed"),
    ("anomaly events", "anomaly", "events"),
    ("responses to anomaly events", "response", "events"),
    ("crypto events", "crypto", "events"),
    ("integrity events", "integrity", "events"),
    ("virt events", "virt", "events"),
    ("keys", "key", "different"),
    ("process IDs", "pid", "different"),
    ("events", "event", "events"),
)
TOTALS_WITHOUT: Final = DECISIONS
BY_NAME: Final = {report.name: report for report in REPORTS}
