"""ausearch: finds events in audit logs and shows them."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Final

from auditd_py import __version__
from auditd_py.cli.ausearch_words import Options, UsageError, parse_words
from auditd_py.cli.log_input import use_locale
from auditd_py.errors import AuditError, TimeError
from auditd_py.search.reader import blocks, from_time, open_file, open_log
from auditd_py.search.scan import Scan

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from auditd_py.cli.terminal import Progress
    from auditd_py.record.event import Event
    from auditd_py.search.output import Writer
    from auditd_py.search.reader import LogFile
    from auditd_py.search.resume import Resume
    from auditd_py.search.settings import ReaderSettings

FOUND: Final = 0
NOT_FOUND: Final = 1
ERROR: Final = 1

_BUFFER: Final = 1 << 16  # bytes of output that wait for more
_LOOK_S: Final = 0.1  # how often a followed log is looked at
_NO_TABS: Final = {9: " ", 10: " ", 13: " "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ausearch with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    use_locale()
    try:
        return _run(words)
    except AuditError as error:
        kind = "" if isinstance(error, UsageError | TimeError) else "Error - "
        sys.stderr.write(f"{kind}{error}\n")
        if more := getattr(error, "more", ""):
            sys.stderr.write(f"{more}\n")
        return getattr(error, "status", ERROR)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ERROR
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    options = parse_words(words)
    if not words or options.help:
        from auditd_py.cli.ausearch_help import USAGE

        sys.stdout.write(USAGE)
        return FOUND if words else ERROR
    if options.version:
        sys.stdout.write(f"ausearch version {__version__}\n")
        return FOUND
    _set_times(options)
    return Search(options).run()


def _set_times(options: Options) -> None:
    from auditd_py.search import times

    now = time.time()
    booted = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    if options.start:
        options.query.start = times.start_time(options.start, now, booted)
    if options.end:
        options.query.end = times.end_time(options.end, now, booted)


class Output:
    """Standard output: what is written waits for more, and has colours on a terminal."""

    def __init__(self, options: Options) -> None:
        self._each = options.line_buffered
        self._waiting: list[bytes | memoryview] = []
        self._held = 0
        self._descriptor = 1
        self._pager: subprocess.Popen[bytes] | None = None
        self._color: Callable[[bytes], bytes] | None = None
        shown = options.format in ("", "default", "interpret")
        if shown and (options.color == "always" or (options.color == "auto" and os.isatty(1))):
            from auditd_py.cli import terminal

            self._color = terminal.colored if terminal.wants_color(options.color) else None
        if options.pager and not options.follow and os.isatty(1):
            from auditd_py.cli.terminal import start_pager

            self._pager = start_pager()
            if self._pager is not None and self._pager.stdin is not None:
                self._descriptor = self._pager.stdin.fileno()

    def put(self, text: bytes | memoryview) -> None:
        """Write, now or with what follows."""
        self._waiting.append(text)
        self._held += len(text)
        if self._held > _BUFFER or self._each:
            self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        text = b"".join(self._waiting)
        data = memoryview(text if self._color is None else self._color(text))
        self._waiting.clear()
        self._held = 0
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Write all that waits, and wait until the pager is left."""
        try:
            self.flush()
        finally:
            if self._pager is not None and self._pager.stdin is not None:
                self._pager.stdin.close()
                self._pager.wait()


class Search:
    """One run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.settings = None if options.input or options.archive else _settings()
        self.found = 0
        self.junk = 0
        self.output = Output(options)
        self.progress: Progress | None = None
        self._needles = options.query.needles()
        self._selective = options.query.selective

    def run(self) -> int:
        """Search and show; return the exit status."""
        options = self.options
        for note in options.notes:
            self.say(note)
        if options.archive:
            self.ask_archive()
            return self.status()
        files = self.files()
        timeout_s = options.timeout_s or (self.settings.timeout_s if self.settings else 2)
        whole = options.checkpoint or options.follow or options.stats or options.debug
        passes = (
            options.format == "raw" and options.query.everything
            and not (whole or options.just_one or options.sql)
        )  # fmt: skip
        scan = Scan(
            options.query, timeout_s, on_junk=self.take_junk,
            sparsely=_is_long(files) and not whole, promptly=options.follow,
        )  # fmt: skip
        resume = self.resume(files)
        if resume is not None:
            events = resume.events(scan, self.say)
        else:
            events = self.followed(files, scan) if options.follow else self.events(files, scan)
        try:
            if passes:
                for lines in self.pass_on(files, scan):
                    self.found = 1
                    self.output.put(lines)
            else:
                self.show(events)
        finally:
            if self.progress is not None:
                self.progress.clear()
            self.output.close()
        if resume is not None:
            resume.save()
        return self.status()

    def status(self) -> int:
        """Say what was not found; return the exit status."""
        if self.junk and not self.options.stats:
            self.say(f"{self.junk} lines are no records")
        if not self.found and self.options.format != "raw":
            self.say("<no matches>")
        return FOUND if self.found else NOT_FOUND

    def ask_archive(self) -> None:
        """Search an archive, and show what was found."""
        from auditd_py.archive.candidates import candidates
        from auditd_py.cli.archive_input import open_archive

        options, query = self.options, self.options.query
        with open_archive(
            options.archive, options.engine, query.nodes, (query.start, query.end),
            skip_bad=options.skip_bad,
        ) as engine:  # fmt: skip
            try:
                self.show(Scan(query).matching(candidates(engine, query)))
            finally:
                self.output.close()

    def show(self, events: Iterator[Event]) -> None:
        """Write what was found."""
        options = self.options
        if options.sql:
            self.show_rows(events)
            return
        if options.stats:
            from auditd_py.search.output import DATE_TIME, ISO, formatted_time
            from auditd_py.search.stats import Stats

            stats = Stats()
            for event in events:
                stats.add(event)
                self.found += 1
            stats.junk = self.junk
            when = formatted_time(ISO + "%z" if options.iso_time else DATE_TIME)
            if self.found or self.junk:
                self.output.put(stats.report(when, gaps=not self._selective))
            return
        write, put = _writer(options), self.output.put
        for event in events:
            self.found += 1
            put(write(event))
            if options.just_one:
                break

    def show_rows(self, events: Iterator[Event]) -> None:
        """Write what SQL finds: columns with tabs between, or objects."""
        from auditd_py.record.local_names import local_names
        from auditd_py.search.sql import ask

        columns, rows = ask(self.options.sql, events, local_names())
        if self.options.format == "json":
            import json

            for row in rows:
                values = dict(zip(columns, row, strict=True))
                self.output.put(json.dumps(values, default=str).encode() + b"\n")
                self.found += 1
            return
        self.output.put("\t".join(columns).encode() + b"\n")
        for row in rows:
            shown = ["" if value is None else str(value) for value in row]
            plain = [text.translate(_NO_TABS) for text in shown]
            self.output.put("\t".join(plain).encode("utf-8", "replace") + b"\n")
            self.found += 1

    def resume(self, files: list[LogFile]) -> Resume | None:
        """Return what goes on from a checkpoint, None if there is to be none."""
        path = self.options.checkpoint
        if not path:
            return None
        if stat.S_ISFIFO(os.fstat(files[0].descriptor).st_mode):
            self.say("Warning - a pipe has no checkpoint")
            return None
        from auditd_py.search.resume import Resume

        return Resume(path, files, by_time=self.options.from_checkpoint)

    def files(self) -> list[LogFile]:
        """Open what is to be read."""
        options = self.options
        if options.input:
            if os.path.isdir(options.input):
                path = os.path.join(options.input, "audit.log")
                self.say(f"NOTE - using logs in {options.input}")
                return self.since(open_log(path))
            return [open_file(options.input)]
        if not options.input_logs and stat.S_ISFIFO(os.fstat(0).st_mode):
            return [open_file("/dev/stdin")]
        assert self.settings is not None
        for problem in self.settings.problems:
            self.say(problem)
        return self.since(open_log(self.settings.log_file))

    def since(self, files: list[LogFile]) -> list[LogFile]:
        """Return the files that can have what is wanted."""
        return files if self.options.checkpoint else from_time(files, self.options.query.start)

    def events(self, files: list[LogFile], scan: Scan) -> Iterator[Event]:
        """Give the events of all files that match."""
        self.start_progress(files)
        for file in files:
            if scan.sparse and file.is_plain:
                for block in scan.read(file.descriptor):
                    yield from scan.feed_block(block)
                    self.advance(file, block.size)
                continue
            for data, end in blocks(file, self.say):
                if end:
                    yield from scan.feed(data, end)
                else:  # a pipe is silent
                    yield from scan.end()
                    self.output.flush()
                self.advance(file, end)
        yield from scan.end()

    def pass_on(self, files: list[LogFile], scan: Scan) -> Iterator[bytes | memoryview]:
        """Give the lines of all events."""
        from auditd_py.search.straight import RawLines

        self.start_progress(files)
        raw = RawLines(scan)
        for file in files:
            for data, end in blocks(file, self.say):
                if end:
                    yield from raw.feed(data, end)
                else:
                    yield from raw.end()
                    self.output.flush()
                self.advance(file, end)
        yield from raw.end()

    def start_progress(self, files: list[LogFile]) -> None:
        """Show how much is done, if somebody looks."""
        if os.isatty(2):
            from auditd_py.cli.terminal import Progress

            self.progress = Progress(sum(file.size for file in files if not file.compression))

    def advance(self, file: LogFile, size: int) -> None:
        """Note that so many bytes of a file are done."""
        if self.progress is not None and not file.compression:
            self.progress.add(size)

    def followed(self, files: list[LogFile], scan: Scan) -> Iterator[Event]:
        """Give the events that match, and then those that are written, without an end."""
        from auditd_py.search.follow import follow_blocks

        path = self.options.input or (self.settings.log_file if self.settings else "")
        if os.path.isdir(path):
            path = os.path.join(path, "audit.log")
        quiet_s = 0.0
        for data, end in follow_blocks(path, files, self.say):
            if end:
                yield from scan.feed(data, end)
                quiet_s = 0.0
                continue
            if quiet_s >= scan.timeout_s:
                yield from scan.end()
            self.output.flush()
            time.sleep(_LOOK_S)
            quiet_s += _LOOK_S

    def take_junk(self, line: bytes) -> None:
        """Count a line that is no record; show it where it could be what is looked for."""
        self.junk += 1
        if self._selective and not any(needle in line for needle in self._needles):
            if self.options.debug:
                self.say(f"passed over: {line.decode('utf-8', 'backslashreplace')}")
            return
        if self.options.stats or self.options.sql:
            return
        if self.options.format in ("csv", "json", "text"):
            self.say(f"no record: {line.decode('utf-8', 'backslashreplace')}")
        else:
            self.output.put(line + b"\n")

    def say(self, text: str) -> None:
        """Tell the user something that is no result."""
        self.output.flush()
        if self.progress is not None:
            self.progress.clear()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _settings() -> ReaderSettings:
    from auditd_py.search.settings import reader_settings

    return reader_settings()


def _is_long(files: list[LogFile]) -> bool:
    return sum(file.size for file in files) > 8 << 20


def _writer(options: Options) -> Writer:
    from auditd_py.search import output

    if options.format == "raw":
        return output.raw_writer()
    if options.format in ("", "default"):
        return output.default_writer(options.escape, iso=options.iso_time)
    from auditd_py.record.local_names import local_names

    names = local_names()
    if options.format == "text":
        return output.text_writer(names)
    if options.format == "csv":
        return output.csv_writer(names, options.extra, iso=options.iso_time)
    if options.format == "json":
        return output.json_writer(names)
    return output.interpret_writer(names, options.escape, iso=options.iso_time)


if __name__ == "__main__":
    sys.exit(main())
