"""audisp-syslog: every record as a line in the system log."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import WireError
from auditd_py.plugins.input import Input
from auditd_py.plugins.outlet import Outlet
from auditd_py.plugins.system_log import FACILITIES, PRIORITIES, SOCKET, connect, head, teller
from auditd_py.record.record import ENRICHED, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM: Final = "audisp-syslog"

_ALLOWED: Final = "LOG_EMERG to LOG_DEBUG, LOG_" + ", LOG_".join(FACILITIES) + ", interpret"


@dataclass(slots=True)
class Request:
    """What the arguments ask for."""

    facility: int = FACILITIES["USER"]
    priority: int = PRIORITIES["INFO"]
    interpret: bool = False


def main(arguments: Sequence[str] | None = None, path: str = SOCKET) -> int:
    """Run the plugin with `arguments` and the log daemon's socket; return the exit status."""
    tell = teller(PROGRAM, path)
    try:
        request = parse(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        tell(str(error))
        return 1
    source = Input()
    outlet = Outlet(path, lambda: connect(path), tell)
    try:
        _run(source, outlet, request)
    except WireError as error:
        tell(f"standard input: {error}")
        return 1
    finally:
        source.finish(outlet)
    return 0


def parse(words: Sequence[str]) -> Request:
    """Return the request; raises ValueError for a word that is none."""
    request = Request()
    for word in words:
        name = word.removeprefix("LOG_") if word.startswith("LOG_") else ""
        if name in PRIORITIES:
            request.priority = PRIORITIES[name]
        elif name in FACILITIES:
            request.facility = FACILITIES[name]
        elif word == "interpret":
            request.interpret = True
        else:
            raise ValueError(f"{word}: unknown argument; allowed are {_ALLOWED}")
    return request


def raw_line(line: bytes) -> bytes:
    """Return a record as the system log gets it: names follow the record after a space."""
    return line.replace(ENRICHED, b" ")


def interpreter() -> Callable[[bytes], bytes]:
    """Return the function that makes the line of `interpret`: values by name, local time."""
    # late: most run without
    from auditd_py.record.local_names import local_names
    from auditd_py.record.show import InterpretedText

    known = InterpretedText(local_names(), lambda _seconds: b"")

    def shown(line: bytes) -> bytes:
        try:
            record = parse_record(line)
            when = time.strftime("%x %T", time.localtime(record.seconds)).encode()
        except (WireError, OverflowError, OSError):
            return raw_line(line)
        node = b"" if record.node is None else b"node=" + record.node + b" "
        return b"%btype=%b msg=audit(%b) : %b" % (node, record.type_name, when, known.text(record))

    return shown


def _run(source: Input, outlet: Outlet, request: Request) -> None:
    shown = interpreter() if request.interpret else raw_line
    for batch in source.batches(outlet=outlet):
        source.happened.clear()
        start = head(request.facility, request.priority, PROGRAM, time.localtime())
        outlet.put([start + shown(line) + b"\0" for line in batch], time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
