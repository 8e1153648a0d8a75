"""auditd --reexec: the running daemon becomes its new version."""

from __future__ import annotations

import sys
from typing import Final

from auditd_py.cli.running import NoAnswerError, ask
from auditd_py.daemon.reexec import ANSWER, SIGNAL

_LIMIT_S: Final = 150.0  # longer than the daemon gives its check and what it waits for


def reexec(run_dir: str) -> int:
    """Ask the daemon whose files are in `run_dir`, and say what it answers; return the status."""
    try:
        said = ask(run_dir, SIGNAL, ANSWER, _LIMIT_S).strip()
    except NoAnswerError as error:
        print(f"auditd: {error}", file=sys.stderr)
        return 1
    failed = said.startswith("failed")
    print(said, file=sys.stderr if failed else sys.stdout)
    return int(failed)
