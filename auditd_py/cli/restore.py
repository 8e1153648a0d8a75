"""auditd-py restore: the logs that an archive was made of."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from auditd_py.cli.archive import MISSING
from auditd_py.cli.log_input import say
from auditd_py.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE: Final = 0
FAILED: Final = 1


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="auditd-py restore",
        description="Write the logs of an archive back, byte for byte.",
        allow_abbrev=False,
    )
    found.add_argument("archive", metavar="ARCHIVE", help="folder, or s3://BUCKET/PREFIX")
    found.add_argument("folder", metavar="FOLDER", help="where the logs are to be; may be new")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run restore with `arguments`, the process's own by default; return the exit status.

    It is FAILED, too, if a log is not as it was; what there is of it is written all the same.
    """
    options = parser().parse_args(arguments)
    try:
        from auditd_py.archive.place import place
        from auditd_py.archive.restore import restore
    except ImportError:
        say(f"auditd-py restore {MISSING}")
        return FAILED
    status = DONE
    try:
        for log in restore(place(options.archive), options.folder):
            print(f"{log.path}: {log.size} bytes")
            if not log.same:
                say(f"{log.path}: is not as it was")
                status = FAILED
    except AuditError as error:
        say(f"auditd-py restore: {error}")
        return FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
