"""auditd-py archive: logs become Parquet files."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from auditd_py.cli.log_input import say
from auditd_py.errors import AuditError
from auditd_py.record.event import EOE_TIMEOUT_S
from auditd_py.search import reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.search.reader import LogFile

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
MISSING: Final = 'needs more packages: pip install "auditd-py[archive]"'


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="auditd-py archive",
        description="Write logs into an archive of Parquet files; what it has already stays.",
        allow_abbrev=False,
    )
    found.add_argument(
        "logs", metavar="LOG|DIR", nargs="*", help="a log, or a folder with audit.log"
    )
    found.add_argument("archive", metavar="DEST", help="folder, or s3://BUCKET/PREFIX")
    found.add_argument("--compact", action="store_true", help="then join small files")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run archive with `arguments`, the process's own by default; return the exit status."""
    options = parser().parse_args(arguments)
    if not options.logs and not options.compact:
        parser().print_usage(sys.stderr)
        return USAGE
    try:
        from auditd_py.archive import counts
        from auditd_py.archive.compaction import compact
        from auditd_py.archive.place import place
        from auditd_py.archive.writer import archive
    except ImportError:
        say(f"auditd-py archive {MISSING}")
        return FAILED
    try:
        destination = place(options.archive)
        if options.logs:
            files = [file for log in options.logs for file in opened(log)]
            done = archive(destination, files, EOE_TIMEOUT_S, say)
            times = f", {done.read / done.stored:.1f} times as small" if done.stored else ""
            print(
                f"{done.events} events of {done.read / 1e6:.1f} MB written{times}"
                + (f"; {done.known} were there" if done.known else "")
            )
        if options.compact:
            before, after = compact(destination)
            print(f"{before} files became {after}")
        counts.update(destination)
    except AuditError as error:
        say(f"auditd-py archive: {error}")
        return FAILED
    return DONE


def opened(log: str) -> list[LogFile]:
    """Open a log, or those of a folder, the oldest first. Raises LogError."""
    if os.path.isdir(log):
        return reader.open_log(os.path.join(log, "audit.log"))
    return [reader.open_file(log)]


if __name__ == "__main__":
    sys.exit(main())
