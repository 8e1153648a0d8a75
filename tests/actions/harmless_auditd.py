"""auditd that cannot change the host: python -m tests.actions.harmless_auditd NOTES ARGUMENTS…

The commands of single and halt, and wall, are not run: each is a line of the file NOTES.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from auditd_py.actions import power

if TYPE_CHECKING:
    from collections.abc import Sequence


def replace(notes: str) -> None:
    """Make power.run_command write what it would run to the file `notes`."""

    def note(argv: Sequence[str], text: str = "", limit_s: float = 0.0) -> None:
        fd = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{shlex.join(argv)}\n".encode())
        finally:
            os.close(fd)

    power.run_command = note


if __name__ == "__main__":
    replace(os.path.abspath(sys.argv[1]))
    from auditd_py.cli.auditd import main

    sys.exit(main(sys.argv[2:]))
