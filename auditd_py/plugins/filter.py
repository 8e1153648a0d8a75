"""audisp-filter: passes on the events that another plugin is to get, and runs that plugin."""

from __future__ import annotations

import selectors
import signal
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.plugins.child import Child
from auditd_py.plugins.filter_file import read_filter
from auditd_py.plugins.input import Input
from auditd_py.plugins.live import LiveEvents
from auditd_py.plugins.system_log import teller
from auditd_py.plugins.wire import message
from auditd_py.record.interpret import Interpreter
from auditd_py.record.local_names import local_names
from auditd_py.record.record import parse_record, type_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditd_py.record.event import Event
    from auditd_py.search.expression import Expression

PROGRAM: Final = "audisp-filter"
MODES: Final = ("allowlist", "blocklist")

_MOST_VERDICTS: Final = 4096  # events whose late records, as EOE, go the same way
_USAGE: Final = f"{PROGRAM} {'|'.join(MODES)} CONF BINARY [ARGUMENTS] or --check FILE"


@dataclass(slots=True)
class Request:
    """What the arguments ask for."""

    mode: str
    config: str
    command: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) == 2 and words[0] == "--check":
        return check(words[1])
    tell = teller(PROGRAM)
    try:
        request = parse(words)
        expressions = read_filter(request.config)
        source = Input()
        child = Child(request.command)
    except ValueError as error:
        tell(str(error))
        return 1
    except ExceptionGroup as errors:
        for flaw in errors.exceptions:
            tell(str(flaw))
        return 1
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}")
        return 1
    return Filter(source, child, request, expressions, tell).run()


def parse(words: Sequence[str]) -> Request:
    """Return the request; raises ValueError for words that are none."""
    if len(words) < 3:
        raise ValueError(f"usage: {_USAGE}")
    mode, config, *command = words
    if mode not in MODES:
        raise ValueError(f"{mode}: {' or '.join(MODES)} is allowed; usage: {_USAGE}")
    if not command[0].startswith("/"):
        raise ValueError(f"{command[0]}: the absolute path of a program is allowed")
    return Request(mode, config, command)


def check(path: str) -> int:
    """Say what is wrong with a filter file; return the exit status."""
    try:
        count = len(read_filter(path))
    except ExceptionGroup as errors:
        sys.stderr.write("".join(f"{error}\n" for error in errors.exceptions))
        return 1
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{path}: {count} expressions\n")
    return 0


class Filter:
    """Decides about events and feeds the program that gets the rest."""

    def __init__(
        self,
        source: Input,
        child: Child,
        request: Request,
        expressions: list[Expression],
        tell: Callable[[str], None],
    ) -> None:
        self._source = source
        self._child = child
        self._request = request
        self._expressions = expressions
        self._tell = tell
        self._interpreter = Interpreter(local_names())
        self._events = LiveEvents()
        self._verdicts: OrderedDict[tuple[bytes | None, int, int, int], bool] = OrderedDict()
        source.selector.register(child.input, selectors.EVENT_READ, child.look)

    def run(self) -> int:
        """Pass events on until the input or the program ends; return the exit status."""
        status = 0
        try:
            self._pass_on()
        except WireError as error:
            self._tell(f"standard input: {error}")
            status = 1
        except OSError as error:
            self._tell(f"{self._request.command[0]}: {error.strerror}")
            status = 1
        if self._child.gone:
            self._tell(f"{self._request.command[0]} has ended by itself")
            status = 1
        self._source.selector.unregister(self._child.input)
        return self._child.stop() or status

    def _pass_on(self) -> None:
        for batch in self._source.batches(self._events.limit_s):
            if self._child.gone:
                return
            if signal.SIGHUP in self._source.happened:
                self._reload()
            self._source.happened.clear()
            lines = self._chosen(batch)
            if self._source.ending:
                lines += self._judged(self._events.end())
            elif not batch:
                lines += self._judged(self._events.idle())
            if lines and not self._source.write(self._child.input.fileno(), self._framed(lines)):
                self._tell(f"{len(lines)} records not passed on at the end: too slow a program")

    def _chosen(self, batch: Iterable[bytes]) -> list[bytes]:
        """Return the lines of a batch, and of events it completes, that go on."""
        lines: list[bytes] = []
        for line in batch:
            try:
                record = parse_record(line)
            except WireError:
                lines.append(line)  # of no event: nothing that could be filtered
                continue
            known = self._verdicts.get(record.key)
            if known is None:
                lines += self._judged(self._events.feed_record(record))
            elif known:
                lines.append(line)
        return lines

    def _judged(self, events: Iterable[Event]) -> list[bytes]:
        lines: list[bytes] = []
        wanted = self._request.mode == "blocklist"
        for event in events:
            matched = any(e.matches(event.records, self._interpreter) for e in self._expressions)
            goes = self._verdicts[event.key] = matched == wanted
            if goes:
                lines += [record.line for record in event.records]
            if len(self._verdicts) > _MOST_VERDICTS:
                self._verdicts.popitem(last=False)
        return lines

    def _framed(self, lines: list[bytes]) -> bytes:
        """Return lines in the format in which the daemon sends them."""
        stream = self._source.stream
        if not stream.binary:
            return b"\n".join(lines) + b"\n"
        return b"".join(message(line, _type(line), stream.version) for line in lines)

    def _reload(self) -> None:
        try:
            self._expressions = read_filter(self._request.config)
        except ExceptionGroup as errors:
            for error in errors.exceptions:
                self._tell(f"{error}; the filter stays as it was")
        except OSError as error:
            self._tell(f"{error.filename}: {error.strerror}; the filter stays as it was")
        # accounts may have changed as well
        self._interpreter = Interpreter(local_names())
        self._child.signal(signal.SIGHUP)


def _type(line: bytes) -> int:
    return type_number(line.partition(b"type=")[2].partition(b" ")[0])


if __name__ == "__main__":
    sys.exit(main())
