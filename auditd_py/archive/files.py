"""Which files of an archive a reader has to read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

import pyarrow as pa
import pyarrow.parquet as pq

from auditd_py.archive.commits import ENDING, FOLDER, is_own, load
from auditd_py.archive.place import HIDDEN, ArchiveError
from auditd_py.archive.schema import METADATA, SCHEMA, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from auditd_py.archive.commits import State
    from auditd_py.archive.place import Place

_OLD: Final = "is of version {} of the schema; this program reads version {}"


def readable_files(
    place: Place,
    nodes: Collection[bytes] = (),
    start: int | None = None,
    end: int | None = None,
    skip: Callable[[str], None] | None = None,
) -> list[str]:
    """Return the files that can have events of some nodes (all, if none) in a range of seconds.

    They are as `place.filesystem` wants them, in the order in which they were written. A file that
    is damaged, of another version or does not belong there raises ArchiveError, or is passed over
    and told to `skip`.
    """
    try:
        state = load(place)
        flaws = [
            f"{place.root}/{name}: does not belong to this archive"
            for name in foreign(place, state)
        ]
        if not state.number and not flaws:
            raise ArchiveError(f"{place.root}: there is no archive")
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{place.root}: {error}") from error
    folders = {f"node={quote_from_bytes(node, safe='')}" for node in nodes}
    found = []
    for file in state.files.values():
        outside = (end is not None and file.first > end) or (
            start is not None and file.last < start
        )
        if outside or (folders and file.name.partition("/")[0] not in folders):
            continue
        flaw = _flaw(place, file.name)
        if flaw:
            flaws.append(f"{place.root}/{file.name}: {flaw}")
        else:
            found.append(place.readable(file.name))
    for flaw in flaws:
        if skip is None:
            raise ArchiveError(flaw)
        skip(flaw)
    return found


def foreign(place: Place, state: State) -> list[str]:
    """Return Parquet files that nobody of ours has put there."""
    known = state.files.keys() | set(state.rests.values()) | state.gone
    return [
        name
        for name in place.names()
        if name.endswith(ENDING)
        and name not in known
        and not name.startswith(f"{FOLDER}/")
        and not (base := os.path.basename(name)).startswith(HIDDEN)
        and not is_own(base)
    ]


def _flaw(place: Place, name: str) -> str:
    try:
        metadata = pq.read_metadata(place.readable(name), filesystem=place.filesystem)
        about = json.loads((metadata.metadata or {})[METADATA])
        if about["version"] != VERSION:
            return _OLD.format(about["version"], VERSION)
        missing = set(SCHEMA.names) - set(metadata.schema.to_arrow_schema().names)
    except FileNotFoundError:
        return "is missing"
    except KeyError:
        return "does not belong to this archive"
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        return f"is damaged: {error}"
    return f"has no column {min(missing)}" if missing else ""
