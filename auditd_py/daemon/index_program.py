"""The program that makes the indexes of a log's archives, at idle priority.

index_program.py LOG: those that are there and right stay.
"""

from __future__ import annotations

import os
import sys

from auditd_py.daemon.compress_program import be_idle
from auditd_py.record.event import EOE_TIMEOUT_S
from auditd_py.record.memory import collecting_rarely
from auditd_py.report import index, index_maker
from auditd_py.report.source import deserves_index
from auditd_py.search import reader


def make_all(log: str) -> None:
    """Give each archive of a log its index, the newest first. Raises LogError and OSError."""
    for file in reversed(reader.open_log(log)):
        if deserves_index(file) and index.find(file, EOE_TIMEOUT_S) is None:
            index_maker.make(file, reader.bytes_of(file, print), EOE_TIMEOUT_S)
        file.close()
    index_maker.forget(os.path.dirname(log))


if __name__ == "__main__":
    be_idle()
    with collecting_rarely():
        make_all(sys.argv[1])
