"""mkgraph: a picture of relations that come through a pipe, two words a line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from auditd_py.cli.mkbar import run
from auditd_py.report.piped import read_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mkgraph with `arguments`, the process's own by default; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run("mkgraph", "gr", ("from", "to"), read_pairs, words)


if __name__ == "__main__":
    sys.exit(main())
