"""mkbar: a picture of counts that come through a pipe (aureport --summary | mkbar NAME)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from auditd_py.cli.picture_file import FORMATS, draw
from auditd_py.errors import AuditError
from auditd_py.report.chart import chart_of
from auditd_py.report.piped import Piped, read_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = "usage: {0} [NAME [png|svg|html]]\n       {0} FILE.png|.svg|.html\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mkbar with `arguments`, the process's own by default; return the exit status."""
    return run(
        "mkbar", "audit", ("name",), read_counts, sys.argv[1:] if arguments is None else arguments
    )


def run(
    tool: str,
    default: str,
    names: tuple[str, ...],
    read: Callable[[Iterable[bytes]], Piped],
    arguments: Sequence[str],
) -> int:
    """Draw what `read` finds on standard input: bars of one name, or relations of two."""
    words = list(arguments)
    usage = USAGE.format(tool)
    if words[:1] in (["-h"], ["--help"]):
        sys.stdout.write(usage)
        return DONE
    path = _path(words or [default])
    if path is None or sys.stdin.isatty():
        sys.stderr.write(usage if path is None else f"{tool}: counts come by a pipe\n{usage}")
        return FAILED
    found = read(sys.stdin.buffer)
    wanted = "count and name" if len(names) == 1 else "two words"
    if found.skipped:
        sys.stderr.write(f"{tool}: {found.skipped} lines are no {wanted}\n")
    kind = "bars" if len(names) == 1 else "relations"
    title = found.title or os.path.basename(words[0] if words else default)
    chart = chart_of(kind, title, names, found.counts.items())
    try:
        draw(chart, path)
    except AuditError as error:
        sys.stderr.write(f"{tool}: {error}\n")
        return FAILED
    sys.stdout.write(f"{path}\n")
    return DONE if found.counts or not found.skipped else FAILED


def _path(words: list[str]) -> str | None:
    """Return the file that the command line names; None if it makes no sense."""
    if not words[0] or words[0].startswith("-") or len(words) > 2:
        return None
    if len(words) == 2:
        form = words[1].lstrip(".").lower()
        return f"{words[0]}.{form}" if form in FORMATS else None
    return (
        words[0]
        if words[0].lower().endswith(tuple(f".{f}" for f in FORMATS))
        else f"{words[0]}.png"
    )


if __name__ == "__main__":
    sys.exit(main())
