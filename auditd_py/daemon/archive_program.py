"""The program that writes a log's rotated files into an archive, at idle priority.

archive_program.py LOG DEST: what the archive has already stays.
"""

from __future__ import annotations

import sys

from auditd_py.archive import counts
from auditd_py.archive.place import place
from auditd_py.archive.writer import archive
from auditd_py.daemon.compress_program import be_idle
from auditd_py.record.event import EOE_TIMEOUT_S
from auditd_py.search import reader


def archive_all(log: str, destination: str) -> None:
    """Archive all files of a log but the one that is written. Raises AuditError."""
    *rotated, current = reader.open_log(log)
    current.close()
    problems: list[str] = []
    there = place(destination)
    archive(there, rotated, EOE_TIMEOUT_S, problems.append)
    counts.update(there)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    be_idle()
    archive_all(*sys.argv[1:])
