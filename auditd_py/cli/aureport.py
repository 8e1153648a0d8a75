"""aureport: what happened in the logs, listed or counted."""

from __future__ import annotations

import os
import stat
import sys
import textwrap
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from auditd_py import __version__
from auditd_py.cli.halves import Half, halves
from auditd_py.cli.log_input import chunks, opened, say, use_locale
from auditd_py.errors import AuditError
from auditd_py.record.escape import Escape
from auditd_py.record.event import EOE_TIMEOUT_S
from auditd_py.record.interpret import Names
from auditd_py.record.local_names import local_names
from auditd_py.record.memory import collecting_rarely
from auditd_py.report import text
from auditd_py.report.definitions import REPORTS, TOTALS_WITHOUT, Report, Summary
from auditd_py.report.filters import Filter, without_types
from auditd_py.report.show import Show
from auditd_py.report.source import Source, deserves_index, indexes_available
from auditd_py.report.tally import PERIODS, Tally
from auditd_py.report.totals import GROUPS, Range, Totals
from auditd_py.search import reader
from auditd_py.search.reader import LogFile
from auditd_py.search.times import end_time, is_time_word, start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType

    from auditd_py.archive.engine import Engine
    from auditd_py.archive.source import ArchiveSource
    from auditd_py.report.columns import Columns
    from auditd_py.report.definitions import Having
    from auditd_py.report.index import Index
    from auditd_py.report.source import Chunks

    Counting = TypeVar("Counting", Tally, Totals)

DONE: Final = 0
FAILED: Final = 1

_WIDTH: Final = 80  # of the help
_LEFT: Final = 32  # of its first column

# option: what its help says; those of reports are in definitions.py
MODIFIERS: Final = (
    (("--add",), "", "nothing that deletes (accounts, labels)"),
    (("--archive",), "DEST", "ask this archive (auditd-py archive)"),
    (("--by",), "hour|day|node", "summary for each hour, day or node"),
    (("--csv",), "", "comma-separated values"),
    (("--debug",), "", "tell how many lines were no records"),
    (("--delete",), "", "nothing that adds"),
    (("--engine",), "NAME", "duckdb (default), or spark://HOST:PORT"),
    (("--eoe-timeout",), "SECONDS", "how long records may be apart (2)"),
    (("--escape",), "HOW", "raw, tty (default), shell or shell_quote"),
    (("--failed",), "", "only what failed"),
    (("--graph",), "ONE,OTHER", "picture of what goes with what"),
    (("--help",), "", "this help"),
    (("--html",), "FOLDER", "one page about all, for a browser"),
    (("-i", "--interpret"), "", "names instead of numbers"),
    (("-if", "--input"), "FILE", "read this file, or folder with audit.log"),
    (("--index",), "", "make and use indexes of all files"),
    (("--no-index",), "", "neither make nor use an index"),
    (("--input-logs",), "", "read the logs though there is a pipe"),
    (("--json",), "", "one JSON object a line"),
    (("-nc", "--no-config"), "", "no changes of the audit configuration"),
    (("--node",), "NAME", "only events of this node; can be repeated"),
    (("--plot",), "FILE", "picture of the report: .png, .svg or .html"),
    (("--skip-bad",), "", "leave out bad files of the archive"),
    (("--success",), "", "only what succeeded"),
    (("--summary",), "", "count what the report is about"),
    (("-t", "--log"), "", "first and last time of each log file"),
    (("-te", "--end"), "[DATE] [TIME]", "until then"),
    (("--top",), "N", "summary of the N most frequent"),
    (("-ts", "--start"), "[DATE] [TIME]", "from then on"),
    (("-v", "--version"), "", "version"),
)
_BY_OPTION: Final = {option: report for report in REPORTS for option in report.options}
_LONG: Final = {option: names[-1] for names, _, _ in MODIFIERS for option in names}
_FLAGS: Final = frozenset(names[-1] for names, argument, _ in MODIFIERS if not argument)
_NOT_OF_ARCHIVES: Final = frozenset(
    {"--debug", "--eoe-timeout", "--index", "--no-index", "--input-logs", "--log"}
)


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


@dataclass(slots=True)
class Request:
    """What a command line asks for."""

    report: Report | None = None  # none: totals, or the log files
    flags: set[str] = field(default_factory=set)
    input: str = ""
    nodes: set[bytes] = field(default_factory=set)
    start: int | None = None
    end: int | None = None
    escape: Escape = Escape.TTY
    timeout_s: int = EOE_TIMEOUT_S
    archive: str = ""
    engine: str = ""
    by: str = ""
    top: int | None = None
    success: bool | None = None
    plot: str = ""
    graph: tuple[str, str] | None = None
    html: str = ""

    def asks(self, flag: str) -> bool:
        """Say whether a flag is there, by its long name."""
        return flag in self.flags

    @property
    def prefix(self) -> str:
        """What titles of summaries begin with."""
        return "" if self.success is None else "Success " if self.success else "Failed "


def main(arguments: Sequence[str] | None = None) -> int:
    """Run aureport with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    output = sys.stdout.buffer
    use_locale()
    try:
        request = parse(words)
        if request.asks("--help"):
            output.write(usage().encode())
            return DONE
        if request.asks("--version"):
            output.write(f"aureport version {__version__}\n".encode())
            return DONE
        one = Run(request, output.write)
        try:
            with collecting_rarely():
                status = one.run()
        finally:
            one.close()
        output.flush()
        return status
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        output.write(usage().encode())
        return FAILED
    except AuditError as error:
        output.flush()
        sys.stderr.write(f"aureport: {error}\n")
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def usage() -> str:
    """Return the help: all options."""
    rows = [(", ".join(report.options), report.about) for report in REPORTS]
    rows += [
        (" ".join((", ".join(names), argument)).rstrip(), about)
        for names, argument, about in MODIFIERS
    ]
    lines = "".join(_help_line(left, about) for left, about in rows)
    return f"usage: aureport [options]\n{lines}Without a report: totals of all.\n"


def _help_line(left: str, about: str) -> str:
    first, *more = textwrap.wrap(about, _WIDTH - _LEFT)
    lines = [f"{f'  {left}':<{_LEFT}}{first}", *(" " * _LEFT + line for line in more)]
    if len(left) + 3 > _LEFT:
        lines = [f"  {left}", *(" " * _LEFT + line for line in (first, *more))]
    return "".join(f"{line}\n" for line in lines)


def parse(words: list[str]) -> Request:
    """Return what a command line asks for; raises UsageError."""
    request = Request()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = _LONG.get(word)
        if word in _BY_OPTION:
            if request.report is not None or request.asks("--log"):
                raise UsageError("Error - only one report can be specified")
            request.report = _BY_OPTION[word]
        elif name in _FLAGS:
            if name == "--log" and request.report is not None:
                raise UsageError("Error - only one report can be specified")
            request.flags.add(name)
            if name in ("--failed", "--success"):
                request.success = name == "--success"
        elif name is not None:
            _take_argument(request, name, word, rest)
        else:
            raise UsageError(f"{word} is an unsupported option")
    _check(request)
    return request


def _take_argument(request: Request, name: str, word: str, rest: list[str]) -> None:
    if name in ("--start", "--end"):
        _take_time(request, name, word, rest)
        return
    if not rest or rest[0].startswith("-"):
        raise UsageError(f"Argument is required for {word}")
    value = rest.pop(0)
    if name in ("--input", "--archive", "--engine"):
        setattr(request, name[2:], value)
    elif name == "--node":
        request.nodes.add(os.fsencode(value))
    elif name in ("--plot", "--html", "--graph"):
        _take_picture(request, name, value)
    elif name == "--escape":
        request.escape = Escape(_one_of(word, value, Escape))
    elif name == "--by":
        request.by = _one_of(word, value, PERIODS)
    elif name == "--top":
        request.top = _number(word, value, 1)
    else:
        request.timeout_s = _number(word, value, 1)
        request.flags.add(name)


def _take_time(request: Request, name: str, word: str, rest: list[str]) -> None:
    when = [rest.pop(0) for _ in range(2) if rest and is_time_word(rest[0])]
    if not when:
        raise UsageError(f"{word} requires either date and/or time")
    now = time.time()
    try:
        if name == "--start":
            request.start = start_time(when, now, _booted(now))
        else:
            request.end = end_time(when, now, _booted(now))
    except AuditError as error:
        raise UsageError(f"{word}: {error}") from error


def _take_picture(request: Request, name: str, value: str) -> None:
    if name == "--plot":
        from auditd_py.cli.picture_file import form_of

        form_of(value)
        request.plot = value
    elif name == "--html":
        request.html = value
    else:
        request.graph = _pair(name, value)


def _pair(word: str, value: str) -> tuple[str, str]:
    from auditd_py.report.pictures import GRAPHED

    one, comma, other = value.partition(",")
    if not comma or one == other or one not in GRAPHED or other not in GRAPHED:
        raise UsageError(f"{word} {value}: two different of {', '.join(GRAPHED)} are needed")
    return one, other


def _one_of(word: str, value: str, allowed: Iterable[str]) -> str:
    if value not in list(allowed):
        raise UsageError(f"{word} {value}: allowed are {', '.join(allowed)}")
    return value


def _number(word: str, value: str, least: int) -> int:
    if not (value.isascii() and value.isdecimal() and least <= int(value) < 10**9):
        raise UsageError(f"{word} {value}: a number from {least} is needed")
    return int(value)


def _check(request: Request) -> None:
    if request.graph is None and (request.by or request.top):
        request.flags.add("--summary")
        if request.report is None:
            raise UsageError("--by and --top need a report, for example -x")
    if request.asks("--json") and request.asks("--csv"):
        raise UsageError("--json and --csv exclude each other")
    _check_pictures(request)
    _check_archive(request)


def _check_archive(request: Request) -> None:
    given = sorted(request.flags & _NOT_OF_ARCHIVES)
    given += ["--input"] * bool(request.input) + ["--html"] * bool(request.html)
    if request.archive and given:
        raise UsageError(f"{given[0]} is about log files: it excludes --archive")
    if not request.archive and (request.engine or request.asks("--skip-bad")):
        raise UsageError("--engine and --skip-bad need --archive")


def _check_pictures(request: Request) -> None:
    if request.graph is not None and (not request.plot or request.by):
        raise UsageError("--graph needs --plot FILE, and excludes --by")
    if not (request.plot or request.html):
        return
    if request.asks("--log") or request.asks("--json") or request.asks("--csv"):
        raise UsageError("--plot and --html exclude -t, --json and --csv")
    if request.html and (request.plot or request.report is not None):
        raise UsageError("--html is about all: it takes no report and no --plot")
    if request.plot and request.report is None and request.graph is None:
        raise UsageError("--plot needs a report, for example -x --summary, or --graph")


def _booted(now: float) -> float:
    return now - time.clock_gettime(time.CLOCK_BOOTTIME)


class Run:
    """One report, from the log to the output."""

    def __init__(self, request: Request, write: Callable[[bytes], object]) -> None:
        self._request = request
        self._write = write
        self._engine: Engine | None = None
        self._opened = ExitStack()
        interpret = request.asks("--interpret") or bool(request.html)
        self.show = Show(local_names() if interpret else Names(), interpret, request.escape)
        self.filter = Filter(
            request.start,
            request.end,
            frozenset(request.nodes),
            request.success,
            without_types(
                config=request.asks("--no-config"),
                adding=request.asks("--delete"),
                deleting=request.asks("--add"),
            ),
        )

    def run(self) -> int:
        """Print what was asked for; return the exit status. Raises LogError."""
        request, report = self._request, self._request.report
        summary = None if report is None else report.summary
        if request.asks("--summary") and (
            request.asks("--log") or (report is not None and summary is None)
        ):
            sys.stderr.write("Unimplemented option\n")
            self._write(f"\n{request.prefix}".encode())
            return FAILED
        files = self._files()
        if request.plot or request.html:
            from auditd_py.cli.aureport_pictures import overview, plot

            return (plot if request.plot else overview)(self, request, files)
        if request.asks("--log"):
            return self._logs(files)
        if report is None:
            return self._totals(files)
        if request.asks("--summary") and summary is not None:
            return self._summary(report, summary, files)
        return self._list(report, files)

    def _list(self, report: Report, files: list[LogFile]) -> int:
        if not self._for_programs:
            self._write(text.list_head(report))
        else:
            self._write_names(list(self._export.list_names(report)))
        count = 0
        source = self._source(files, report.having, indexed=False)
        for columns in source.columns(report.list_columns, report.without):
            if self._for_programs:
                rows = list(self._export.list_rows(report, columns, self.show))
                count += len(rows)
                self._write_rows(self._export.list_names(report), rows)
            else:
                lines = list(text.list_rows(report, columns, self.show, count))
                count += len(lines)
                self._write(b"".join(lines))
        self._note(source.left_out, source.malformed)
        if not self._for_programs:
            self._write(b"" if count else text.NOTHING)
        return DONE if count else FAILED

    def _summary(self, report: Report, summary: Summary, files: list[LogFile]) -> int:
        request = self._request
        if not self._for_programs:
            self._write(text.summary_head(summary, request.prefix, request.by))
        tally, _ = self._counted(
            lambda: Tally(summary, request.by), files, [summary.needs], report, by=request.by
        )
        rows = tally.rows(self.show, request.top)
        if self._for_programs:
            names = self._export.summary_names(summary, request.by)
            self._write_names(list(names))
            self._write_rows(names, self._export.summary_rows(summary, rows, self.show, request.by))
            return DONE
        self._write(b"".join(text.summary_rows(rows)) if rows else text.NOTHING)
        return DONE

    def _totals(self, files: list[LogFile]) -> int:
        totals, whole = self._counted(Totals, files, GROUPS)
        rows = totals.rows()
        if self._for_programs:
            times = [whole.first and self._export.iso_time(whole.first),
                     whole.last and self._export.iso_time(whole.last)]  # fmt: skip
            names = ("first", "last", *(what for what, _ in rows))
            self._write_names(list(names))
            self._write_rows(names, [[*times, *(count for _, count in rows)]])
            return DONE
        first = whole.first or b"0.000:0"
        last = whole.last or b"0.000:0"
        show, request = self.show, self._request
        start, end = show.when(first), show.exactly(last)
        if request.start is not None:
            start = text.shown_second(request.start)
        if request.end is not None:
            end = text.shown_second(request.end)
        logs = (show.exactly(first), show.exactly(last))
        self._write(text.totals(request.prefix, logs, (start, end), rows))
        return DONE

    def _counted(
        self,
        make: Callable[[], Counting],
        files: list[LogFile],
        groups: Iterable[frozenset[str]],
        report: Report | None = None,
        by: str = "",
    ) -> tuple[Counting, Range]:
        """Return what counts all events of a report; or of all, and the time of all there are."""
        having = None if report is None else report.having
        without = TOTALS_WITHOUT if report is None else report.without

        def count(files: list[LogFile]) -> tuple[Any, Range, int, int]:
            counter, whole, source = make(), Range(), self._source(files, having)
            times = whole if report is None else None
            for found in source.counted(groups, without, times, by=by):
                counter.add(*found)
            return counter.state(), whole, source.left_out, source.malformed

        indexed = any(map(self._wants_index, files)) and indexes_available()
        parts = None if indexed else halves(files)
        if parts is None:
            counts = [count(files)]
        else:
            second = Half(partial(count, parts[1]))
            counts = [count(parts[0]), second.result()]
        counter, whole = make(), Range()
        for state, times, _, _ in counts:
            counter.merge(state)
            if times.first and times.last:
                whole.extend(times.first, times.last)
        self._note(sum(left_out for _, _, left_out, _ in counts), sum(bad for *_, bad in counts))
        return counter, whole

    def _logs(self, files: list[LogFile]) -> int:
        names = ("file", "first", "last")
        if self._for_programs:
            self._write_names(list(names))
        else:
            self._write(text.LOG_HEAD)
        for file in files:
            whole = Range()
            for columns in self.columns([file], frozenset({"type"}), whole=whole):
                del columns
            if self._for_programs:
                times = [one and self._export.iso_time(one) for one in (whole.first, whole.last)]
                self._write_rows(names, [[file.path, *times]])
            else:
                self._write(text.log_row(file.path, whole.first, whole.last, self.show))
        return DONE

    def columns(
        self,
        files: list[LogFile],
        wanted: frozenset[str],
        without: frozenset[int] = frozenset(),
        whole: Range | None = None,
        tell: Callable[[bytes], None] | None = None,
    ) -> Iterator[Columns]:
        """Give the columns of the events that are asked for; `tell` is shown all lines."""
        read = chunks if tell is None else partial(_shown, tell=tell)
        source = self._source(files, indexed=False, read=read)
        yield from source.columns(wanted, without, whole)
        self._note(source.left_out, source.malformed)

    def _source(
        self,
        files: list[LogFile],
        having: Having | None = None,
        *,
        indexed: bool = True,
        read: Chunks = chunks,
    ) -> Source | ArchiveSource:
        """Return where events come from; of an archive those alone that have something."""
        if self._engine is not None:
            from auditd_py.archive.source import ArchiveSource

            return ArchiveSource(self._engine, self.filter, having)
        index_of = self._index_of if indexed else _no_index
        return Source(files, self.filter, self._request.timeout_s, read, index_of)

    def _index_of(self, file: LogFile) -> Index | None:
        """Return the index of a log; an archive that has none gets one if it may be written."""
        if not self._wants_index(file):
            return None
        if not indexes_available():
            if self._request.asks("--index"):
                say('--index needs more packages: pip install "auditd-py[report]"')
            return None
        from auditd_py.report import index

        return index.find(file, self._request.timeout_s) or self._new_index(file)

    def _wants_index(self, file: LogFile) -> bool:
        request = self._request
        if request.asks("--no-index") or not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
            return False
        return request.asks("--index") or deserves_index(file)

    def _new_index(self, file: LogFile) -> Index | None:
        from auditd_py.report import index, index_maker

        copy = LogFile(file.path, os.dup(file.descriptor), file.compression)
        try:
            index_maker.make(file, chunks([copy]), self._request.timeout_s)
            index_maker.forget(os.path.dirname(file.path))
        except OSError as error:
            if self._request.asks("--index"):
                say(f"no index of {file.path}: {error.strerror or error}")
            return None
        finally:
            os.lseek(file.descriptor, 0, os.SEEK_SET)
        return index.find(file, self._request.timeout_s)

    def _note(self, left_out: int, malformed: int) -> None:
        if malformed and self._request.asks("--debug"):
            sys.stderr.write(f"{malformed} lines have no record in them\n")
        if left_out:
            sys.stderr.write(
                f"NOTE - {left_out} USER_AVC events are not in this report: see aureport -a\n"
            )

    def _files(self) -> list[LogFile]:
        """Open what is to be read; raises LogError, and EngineError of an archive."""
        request = self._request
        if request.archive:
            self._open_archive()
            return []
        files = opened(request.input, logs_even_if_piped=request.asks("--input-logs"))
        whole = request.report is None  # totals tell the range of all
        return files if whole else reader.from_time(files, request.start)

    def _open_archive(self) -> None:
        from auditd_py.cli.archive_input import open_archive

        request, chosen = self._request, self.filter
        self._engine = self._opened.enter_context(open_archive(
            request.archive, request.engine, chosen.nodes, (chosen.start, chosen.end),
            skip_bad=request.asks("--skip-bad"),
            whole=request.report is None,  # totals tell the range of all
        ))  # fmt: skip

    def close(self) -> None:
        """Let go of what was opened."""
        self._opened.close()

    @property
    def _for_programs(self) -> bool:
        return self._request.asks("--json") or self._request.asks("--csv")

    @cached_property
    def _export(self) -> ModuleType:
        from auditd_py.report import export  # json and csv are not needed for texts

        return export

    def _write_names(self, names: list[str]) -> None:
        if self._request.asks("--csv"):
            self._write(b"".join(self._export.csv_lines([names])))

    def _write_rows(self, names: tuple[str, ...], rows: Iterable[list[Any]]) -> None:
        if self._request.asks("--csv"):
            lines = self._export.csv_lines(rows)
        else:
            lines = self._export.json_lines(names, rows)
        self._write(b"".join(lines))


def _no_index(_file: LogFile) -> None:
    return None


def _shown(files: Iterable[LogFile], tell: Callable[[bytes], None]) -> Iterator[bytes]:
    for lines in chunks(files):
        tell(lines)
        yield lines


if __name__ == "__main__":
    sys.exit(main())
