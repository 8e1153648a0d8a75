"""What the commands that ask archives share: --archive, --engine and --skip-bad."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from auditd_py.archive import counts
from auditd_py.archive.engine import DUCKDB, EngineError, Files, engine, is_engine
from auditd_py.cli.log_input import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditd_py.archive.engine import Engine
    from auditd_py.archive.place import Place


@contextlib.contextmanager
def open_archive(
    destination: str,
    name: str,
    nodes: frozenset[bytes],
    seconds: tuple[int | None, int | None],
    *,
    skip_bad: bool,
    whole: bool = False,
) -> Iterator[Engine]:
    """Give what answers questions about an archive, as far as nodes and a time go.

    With `whole` about other nodes and times too. What is archived or compacted meanwhile is not
    seen. Raises EngineError and ArchiveError.
    """
    name = name or DUCKDB
    if not is_engine(name):
        raise EngineError(
            f"--engine {name}: duckdb, spark://HOST:PORT, local-cluster[N,CORES,MIB], local[N], "
            "yarn and k8s://... are allowed"
        )
    try:
        from auditd_py.archive.files import readable_files
        from auditd_py.archive.place import HIDDEN, place
    except ImportError:
        raise EngineError('--archive needs more: pip install "auditd-py[archive]"') from None
    there = place(destination)
    skip = _left_out if skip_bad else None
    start, end = (None, None) if whole else seconds
    with there.reading():
        paths = readable_files(there, () if whole else nodes, start, end, skip)
        if name != DUCKDB and any(os.path.basename(path).startswith(HIDDEN) for path in paths):
            raise EngineError(
                f"{destination}: is not finished: run auditd-py archive on it once more"
            )
        with contextlib.closing(engine(name, _files(there, paths, seconds))) as opened:
            yield opened


def _left_out(flaw: str) -> None:
    say(f"left out: {flaw}")


def _files(place: Place, paths: list[str], seconds: tuple[int | None, int | None]) -> Files:
    """Return files of an archive, and the counts of those that have some and are needed whole."""
    if place.root.startswith("s3://"):
        return Files(paths, filesystem=place.filesystem)
    from auditd_py.archive.commits import load

    start, end = seconds
    counted = {
        place.readable(name): counts.find(place.root, name)
        for name, file in load(place).files.items()
        if (start is None or file.first >= start) and (end is None or file.last <= end)
    }
    return Files(
        paths,
        [found for path in paths if (found := counted.get(path))],
        [path for path in paths if not counted.get(path)],
    )
