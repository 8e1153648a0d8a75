"""Counts of a file of an archive, kept beside it: a summary adds them up in place of events.

A file of an archive does not change, and no other has its name. What summaries count of it is
counted once, when it is written, and is a Parquet file in the folder `.counts` of the archive. A
file that has none is counted each time; removing the folder at any time is safe.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from auditd_py.archive.commits import load
from auditd_py.archive.place import S3, ArchiveError
from auditd_py.archive.question import read_parquet
from auditd_py.report.definitions import REPORTS
from auditd_py.report.totals import GROUPS

if TYPE_CHECKING:
    from auditd_py.archive.place import Place

FOLDER: Final = ".counts"
ENDING: Final = ".counts"  # not that of events, which have a place of their own
VERSION: Final = 1  # of the files; another one is not looked at
ALWAYS: Final = frozenset({"node", "success", "types"})  # what filters look at


def _groups() -> dict[str, frozenset[str]]:
    """Return by which columns all summaries and totals count, those that others have left out."""
    needs = [report.summary.needs for report in REPORTS if report.summary is not None]
    asked = {one | ALWAYS for one in (*needs, *GROUPS)}
    large = ALWAYS.union(*(one for one in asked if len(one) > len(ALWAYS) + 2))
    kept = [one for one in asked if not any(one < other for other in (*asked, large))]
    named = {" ".join(sorted(one - ALWAYS)): one for one in (*kept, large)}
    return dict(sorted(named.items()))


COUNTED: Final = _groups()


def counted_in(columns: frozenset[str]) -> str:
    """Return the name of the counts that tell of some columns; empty if none do."""
    found = [name for name, one in COUNTED.items() if columns <= one]
    return min(found, key=lambda name: len(COUNTED[name])) if found else ""


def path_of(archive: str, name: str) -> str:
    """Return where the counts of a file of an archive are."""
    return os.path.join(archive, FOLDER, str(VERSION), name.removesuffix(".parquet") + ENDING)


def find(archive: str, name: str) -> str | None:
    """Return where the counts of a file are, if they are."""
    path = path_of(archive, name)
    return path if os.path.isfile(path) else None


def update(place: Place) -> None:
    """Count what is in the files of an archive, each once; none on S3. Raises ArchiveError."""
    import duckdb

    if place.root.startswith(S3):
        return
    try:
        with place.lock():
            _update(place)
    except (OSError, duckdb.Error) as error:
        raise ArchiveError(f"{place.root}: {error}") from error


def _update(place: Place) -> None:
    wanted = {path_of(place.root, name): name for name in load(place).files}
    found = [
        os.path.join(folder, file)
        for folder, _, files in os.walk(os.path.join(place.root, FOLDER))
        for file in files
    ]
    if stale := [path for path in found if path not in wanted]:
        with place.unread() as alone:
            for path in stale if alone else ():
                os.unlink(path)
    for path, name in wanted.items():
        if not os.path.exists(path):
            _make(place.readable(name), path)


def _make(file: str, target: str) -> None:
    import duckdb

    os.makedirs(os.path.dirname(target), mode=0o750, exist_ok=True)
    temporary = f"{target}.new"
    with duckdb.connect(config={"memory_limit": "512MiB"}) as connection:
        connection.execute(f"CREATE VIEW events AS SELECT * FROM {read_parquet([file])}")  # noqa: S608
        connection.sql(_question()).write_parquet(temporary, compression="zstd")
    os.rename(temporary, target)


def _question() -> str:
    parts = []
    for name, columns in COUNTED.items():
        listed = ", ".join(sorted(columns))
        parts.append(
            f"SELECT '{name}' AS what, {listed}, count(*) AS number, min(\"order\") AS first "  # noqa: S608
            f"FROM events GROUP BY {listed}"
        )
    return f"{' UNION ALL BY NAME '.join(parts)} ORDER BY what, first"
