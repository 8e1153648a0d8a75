"""auditd --clients: the hosts that send records to the running daemon."""

from __future__ import annotations

import re
import signal
import sys
from typing import Final

from auditd_py.cli.running import NoAnswerError, ask

_LIMIT_S: Final = 5.0
_ROW: Final = re.compile(r"client (\S+) port (\d+) = (.*)")
_HEAD: Final = (
    "ADDRESS", "PORT", "TRANSPORT", "IDENTITY", "RECORDS", "BYTES", "UNWRITTEN", "SILENT", "TIMER",
)  # fmt: skip


def show_clients(run_dir: str) -> int:
    """Print a table of the clients of the daemon whose files are in `run_dir`; return the status.

    The daemon is asked for a state report, as SIGCONT does, and given 5 seconds.
    """
    try:
        report = ask(run_dir, signal.SIGCONT, "auditd.state", _LIMIT_S)
    except NoAnswerError as error:
        print(f"auditd: {error}", file=sys.stderr)
        return 1
    rows = [_HEAD, *map(_cells, _ROW.findall(report))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _cells(found: tuple[str, str, str]) -> tuple[str, ...]:
    address, port, values = found
    fields, _, timer = values.partition(", timer ")
    names = dict(re.findall(r"(\w+)(?: for)? ([^,]*)", fields))
    wanted = ("transport", "identity", "records", "bytes", "unwritten", "silent")
    return (address, port, *(names.get(name, "?") for name in wanted), timer)
