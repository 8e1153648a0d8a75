"""The report of a period as a page (aureport --html): all that an administrator looks at first."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from auditd_py.record.fields import from_hex
from auditd_py.report import pictures
from auditd_py.report.chart import Figures, Page, Table, shown_label
from auditd_py.report.columns import Columns
from auditd_py.report.completeness import Serials, Told, told
from auditd_py.report.definitions import BY_NAME, TOTALS_WITHOUT
from auditd_py.report.facts import Facts, local_time
from auditd_py.report.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.report.chart import Chart
    from auditd_py.report.definitions import Report
    from auditd_py.report.filters import Filter
    from auditd_py.report.pictures import Picture
    from auditd_py.report.show import Show

MOST_ROWS: Final = 500  # of a list on the page: the last ones
_SWITCHING: Final = frozenset({b"sudo", b"su", b"pkexec", b"doas", b"runuser", b"sudoedit"})
_SESSION_BEGINS: Final = 1105
_AUTHENTICATION: Final = 1100
_command = re.compile(rb'\bcmd=(?:"([^"]*)"|([0-9A-Fa-f]+))').search
_auid = re.compile(rb"\bauid=(\d+)").search
_auid_name = re.compile(rb'\bAUID="([^"]*)"').search
_result = re.compile(rb"\bres=(\w+)").search


class Listing:
    """The last rows of a list, with their facets."""

    def __init__(self, facts: Facts, title: str, headings: tuple[str, ...], option: str) -> None:
        self._title, self._headings, self._option = title, headings, option
        self._rows: deque[tuple[int, list[str]]] = deque(maxlen=MOST_ROWS)
        self._count = 0
        facts.gathers.append(self)

    def append(self, facet: int, cells: list[str]) -> None:
        """Add one row."""
        self._count += 1
        self._rows.append((facet, cells))

    def move(self, places: list[int]) -> None:
        """Take over facets that have other places now."""
        self._rows = deque(((places[facet], row) for facet, row in self._rows), maxlen=MOST_ROWS)

    def settle(self) -> None:
        """Do nothing: it never holds more than it may."""

    def table(self) -> Table:
        """Return the table, the last row first."""
        notes = []
        if self._count > len(self._rows):
            notes = [f"the last {len(self._rows):,} of {self._count:,}; all: {self._option}"]
        return Table(self._title, self._headings, list(self._rows)[::-1], notes)


class Overview:
    """Everything the page shows, made block by block."""

    def __init__(self, show: Show, chosen: Filter) -> None:
        self._show, self._chosen = show, chosen
        self._facts = facts = Facts(show)
        self._totals, self._serials = Totals(), Serials()
        self._daemon: Counter[str] = Counter()
        self._lost = self._events = 0
        self._whole = chosen.success is None and not chosen.without  # or all others were gaps
        login, mods, anomaly, config = (
            BY_NAME[name] for name in ("login", "mods", "anomaly", "config")
        )
        self._pictures = {
            "timeline": pictures.series(facts, show, BY_NAME["event"], "Events over time"),
            "logins": pictures.series(facts, show, login, "Logins over time"),
            "hosts": pictures.relations(
                facts, show, login, ("host", "login"), "Which host logged in as whom"
            ),
            "failed-logins": _only(
                _bars(facts, show, "login", "Failed logins, by account"), _failed
            ),
            "sudo": _only(
                pictures.relations(
                    facts, show, None, ("user", "acct"), "sudo and su: who became whom"
                ),
                _switched, "exe types success",
            ),
            "accounts": _bars(facts, show, "mods", "Account changes"),
            "files": pictures.relations(facts, show, None, ("key", "file"), "Files by key"),
            "executables": _bars(facts, show, "executable", "Executables"),
            "who-ran-what": pictures.relations(facts, show, None, ("user", "exe"), "Who ran what"),
            "denied": _only(
                pictures.relations(
                    facts, show, BY_NAME["file"], ("user", "file"),
                    "Failed accesses to files: who, and what",
                ),
                _failed,
            ),
            "denied-programs": _only(
                _bars(facts, show, "executable", "Failed system calls, by program"), _failed_call,
                "success syscall",
            ),
            "avc": _bars(facts, show, "avc", "Decisions of SELinux, by object"),
            "anomalies": _bars(facts, show, "anomaly", "Anomalies"),
            "config": _bars(facts, show, "config", "Changes of the audit configuration"),
        }  # fmt: skip
        self._lists = [
            (report, Listing(facts, title, ("time", *report.headings), f"aureport -i {option}"))
            for report, title, option in (
                (login, "The last logins", "-l"),
                (mods, "The last account changes", "-m"),
                (anomaly, "The last anomalies", "-n"),
                (config, "The last configuration changes", "-c"),
            )
        ]
        self._commands = Listing(
            facts, "Commands with sudo", ("time", "node", "user", "command", "result"),
            "ausearch -i -m USER_CMD",
        )  # fmt: skip
        self._said = Listing(
            facts, "What the audit daemon said of itself", ("time", "node", "type", "text"),
            "ausearch -i -m DAEMON_START,DAEMON_END,DAEMON_ABORT,DAEMON_RESUME",
        )  # fmt: skip
        self.needs = Totals.NEEDS | {"types", "success", "auid_name"}
        self.needs |= frozenset().union(*(one.needs for one in self._pictures.values()))
        self.needs |= frozenset().union(*(report.list_columns for report, _ in self._lists))

    def lines(self, lines: bytes) -> None:
        """Take what is told in words; `lines` is a block of whole lines."""
        for one in told(lines):
            second = int(one.stamp.partition(b".")[0])
            start, end, nodes = self._chosen.start, self._chosen.end, self._chosen.nodes
            if (
                (start is not None and second < start)
                or (end is not None and second > end)
                or (nodes and one.node not in nodes)
            ):
                continue
            self._tell(one)

    def _tell(self, one: Told) -> None:
        auid, name = _auid(one.text), _auid_name(one.text)
        user = (int(auid[1]) if auid else None, name[1] if name else None)
        columns = Columns(
            node=[one.node], stamp=[one.stamp], type=[one.kind], auid=[user[0]],
            auid_name=[user[1]], keys=[()],
        )  # fmt: skip
        facet = self._facts.places(columns)[0]
        head = [self._time(one.stamp), shown_label(one.node) if one.node else ""]
        if one.kind == b"USER_CMD":
            command, result = _command(one.text), _result(one.text)
            typed = (command[1] or from_hex(command[2] or b"") or command[2]) if command else b"?"
            who = shown_label(self._show.label("user", user))
            outcome = shown_label(result[1]) if result else ""
            self._commands.append(facet, [*head, who, shown_label(typed), outcome])
        else:
            kind = shown_label(one.kind)
            self._daemon[kind] += 1
            self._lost += one.lost
            self._said.append(facet, [*head, kind, shown_label(one.text.replace(b"\x1d", b" "))])

    def add(self, columns: Columns) -> None:
        """Count what events have."""
        places = self._facts.places(columns)
        for picture in self._pictures.values():
            picture.add(columns, places)
        for report, listing in self._lists:
            self._list(report, listing, columns, places)
        self._events += len(columns)
        if self._whole:
            self._serials.add(columns)
        self._facts.settle()
        shown = [p for p, types in enumerate(columns.types) if TOTALS_WITHOUT.isdisjoint(types)]
        self._totals.add(columns if len(shown) == len(columns) else columns.picked(shown))

    def _list(self, report: Report, listing: Listing, columns: Columns, places: list[int]) -> None:
        rows = list(report.rows(columns))
        if not rows:
            return
        cells = self._show.cells(report, columns, rows)
        for (place, _), *shown in zip(rows, *cells, strict=True):
            when = self._time(columns.stamp[place])
            listing.append(places[place], [when, *map(shown_label, shown)])

    def _time(self, stamp: bytes) -> str:
        return local_time(int(stamp.partition(b".")[0]))

    def page(self, title: str, source: str) -> tuple[Page, dict[str, list[list[Any]]]]:
        """Return the page, and the rows of each file beside it by name."""
        self._serials.finish()
        charts: dict[str, Chart] = {}
        beside: dict[str, list[list[Any]]] = {}
        for name, picture in self._pictures.items():
            chart = charts[name] = picture.chart(source)
            if chart.cells and chart.kind != "series":
                chart.file = f"{name}.csv"
                beside[chart.file] = [
                    ["count", *chart.names],
                    *([count, *labels] for labels, count in picture.rows()),
                ]
        logins, mods, anomalies, config = (listing.table() for _, listing in self._lists)
        totals = [(what, f"{count:,}") for what, count in self._totals.rows()]
        items = [
            Figures("Totals", totals[-1:] + totals[:-1], self._left_out()),
            charts["timeline"],
            charts["logins"], charts["hosts"], charts["failed-logins"], logins,
            charts["sudo"], self._commands.table(),
            charts["accounts"], mods,
            charts["files"],
            charts["executables"], charts["who-ran-what"],
            charts["denied"], charts["denied-programs"], charts["avc"],
            charts["anomalies"], anomalies,
            charts["config"], config,
            *self._completeness(),
        ]  # fmt: skip
        return (
            Page(
                title, source, self._facts.period(), self._facts.facets, items, self._facts.notes()
            ),
            beside,
        )

    def _left_out(self) -> list[str]:
        """Say how many events aureport's totals leave out."""
        left = self._events - dict(self._totals.rows())["events"]
        return [f"without {left:,} events of USER_AVC, as aureport counts"] if left else []

    def _completeness(self) -> list[Figures | Table]:
        serials, daemon = self._serials, self._daemon
        figures = Figures(
            "How complete the log is",
            [
                (
                    "serials that are not in the log",
                    f"{serials.missing:,}" if self._whole else "not looked for",
                ),
                ("gaps of serials", f"{serials.count:,}"),
                ("restarts of the serials", f"{serials.restarts:,}"),
                ("lost records that the daemon told", f"{self._lost:,}"),
                ("starts of the daemon", f"{daemon['DAEMON_START']:,}"),
                ("orderly ends of the daemon", f"{daemon['DAEMON_END']:,}"),
                ("aborted starts", f"{daemon['DAEMON_ABORT']:,}"),
                ("suspended, then resumed", f"{daemon['DAEMON_RESUME']:,}"),
            ],
            [
                (
                    "the kernel numbers events without a hole: a serial that is missing was "
                    "lost, or is not in the logs that were read"
                )
            ],
        )
        gaps = Table(
            "Gaps of serials",
            ("noticed", "node", "from", "to", "events"),
            [
                (-1, [self._time(b"%d." % gap.second), gap.node, str(gap.first), str(gap.last),
                      f"{gap.last - gap.first + 1:,}"])
                for gap in serials.gaps
            ],
        )  # fmt: skip
        if serials.count > len(serials.gaps):
            gaps.notes.append(f"the first {len(serials.gaps)} of {serials.count:,}")
        return [figures, gaps, self._said.table()]


def _bars(facts: Facts, show: Show, name: str, title: str) -> Picture:
    summary = BY_NAME[name].summary
    assert summary is not None
    return pictures.bars(facts, show, summary, title)


def _only(
    picture: Picture, wanted: Callable[[Columns, int], bool], needs: str = "success"
) -> Picture:
    """Let a picture see those events only for whose place `wanted` is true."""
    picture.needs |= frozenset(needs.split())
    every = picture.found

    def found(columns: Columns, places: list[int]) -> list[tuple[tuple[Any, ...], int]]:
        kept = [place for place in range(len(columns)) if wanted(columns, place)]
        return every(columns.picked(kept), [places[place] for place in kept]) if kept else []

    picture.found = found
    return picture


def _failed(columns: Columns, place: int) -> bool:
    return columns.success[place] is False


def _failed_call(columns: Columns, place: int) -> bool:
    return columns.success[place] is False and columns.syscall[place] is not None


def _switched(columns: Columns, place: int) -> bool:
    """Say whether somebody became somebody else, or was not let."""
    types, exe = columns.types[place], columns.exe[place]
    if exe is None or exe.rpartition(b"/")[2] not in _SWITCHING:
        return False
    return _SESSION_BEGINS in types or (
        _AUTHENTICATION in types and columns.success[place] is False
    )
