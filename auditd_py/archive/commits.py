"""What an archive has: a row of commits, each a file of its own that is there whole or not at all.

A commit names the files that came and those that went with it. So several files come or go at one
moment, and what a killed program left behind is never read. Names are given after the commit: a file
that is named there may still be under its hidden name. What is not needed any more is removed when
nobody reads.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from auditd_py.archive.place import HIDDEN, ArchiveError
from auditd_py.archive.schema import VERSION

if TYPE_CHECKING:
    from auditd_py.archive.place import Place

FOLDER: Final = "_commits"
REST: Final = "_rest"
ENDING: Final = ".parquet"

is_own = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}-\d{4,}\.parquet").fullmatch


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of events: the seconds of the first and the last, how many, and whose runs'."""

    name: str
    first: int
    last: int
    events: int
    runs: list[str]


@dataclass(frozen=True, slots=True)
class Log:
    """What came from one log in one run: lines `first` to `first + lines` of the run.

    They are the bytes from `start` on, `size` of them; `digest` is the SHA-256 of the log from its
    beginning to there, and `head` that of its first `head_size` bytes, by which it is known again.
    """

    name: str
    first: int
    lines: int
    start: int
    size: int
    digest: str
    head: str
    head_size: int
    ended: bool = True  # with a newline

    @property
    def end(self) -> int:
        """How much of the log is archived, in bytes."""
        return self.start + self.size


@dataclass(slots=True)
class State:
    """All that is committed, in that order: `number` of the last commit, files, logs by run."""

    number: int = 0
    files: dict[str, DataFile] = field(default_factory=dict)
    rests: dict[str, str] = field(default_factory=dict)  # files of other lines, by run
    runs: dict[str, list[Log]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Commit:
    """What changes at one moment."""

    add: list[DataFile] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    rests: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[Log]] = field(default_factory=dict)


def load(place: Place) -> State:
    """Return what an archive has. Raises ArchiveError, which names the commit that is damaged."""
    state = State()
    for name in place.names(FOLDER):
        base = os.path.basename(name)
        if base.startswith(HIDDEN) or not base.endswith(".json"):
            continue
        try:
            _apply(state, json.loads(place.read(name)))
            state.number = int(base.removesuffix(".json"))
        except (ValueError, TypeError, KeyError) as error:
            raise ArchiveError(f"{place.root}/{name}: is damaged: {error}") from error
        except OSError as error:
            raise ArchiveError(f"{place.root}/{name}: {error.strerror or error}") from error
    return state


def commit(place: Place, state: State, change: Commit) -> None:
    """Make a change, and bring names up to date. Raises ArchiveError if another was faster."""
    data: dict[str, Any] = {"version": VERSION, **asdict(change)}
    number = state.number + 1
    if not place.create(f"{FOLDER}/{number:012}.json", json.dumps(data).encode()):
        raise ArchiveError(f"{place.root}: another program has written to it")
    _apply(state, data)
    state.number = number
    made = [*(file.name for file in change.add), *change.rests.values()]
    for name in made:
        place.publish(name)
    with place.unread() as alone:
        if not alone:  # the next run does it
            return
        for name in made:
            place.settle(name)
        for gone in change.remove:
            place.remove(gone)


def recover(place: Place, state: State) -> None:
    """Finish what a killed program has committed, and remove what it had not. For writers."""
    with place.unread() as alone:
        _recover(place, state, alone=alone)


def _recover(place: Place, state: State, *, alone: bool) -> None:
    committed = state.files.keys() | set(state.rests.values())
    for name in place.names():
        folder, base = os.path.split(name)
        if name.startswith(f"{FOLDER}/"):
            if base.startswith(HIDDEN):
                place.remove(os.path.join(folder, base.removeprefix(HIDDEN)))
            continue
        if not base.endswith(ENDING):
            continue
        shown = os.path.join(folder, base.removeprefix(HIDDEN))
        if base.startswith(HIDDEN) and shown in committed:
            place.publish(shown)
            if alone:
                place.settle(shown)
        elif shown in state.gone:
            if alone:
                place.remove(shown)
        elif base.startswith(HIDDEN) or (is_own(base) and shown not in committed):
            place.remove(shown)


def new_run() -> str:
    """Return a name that no run had before."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.urandom(4).hex()}"


def file_name(folder: str, run: str, number: int) -> str:
    """Return the name of a file that a run makes."""
    return f"{folder}/{run}-{number:04}{ENDING}"


def _apply(state: State, data: dict[str, Any]) -> None:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']} of archives; this is version {VERSION}")
    for gone in data["remove"]:
        state.files.pop(gone, None)
        state.gone.add(gone)
    for file in data["add"]:
        state.files[file["name"]] = DataFile(**file)
    state.rests |= data["rests"]
    for run, logs in data["runs"].items():
        state.runs[run] = [Log(**log) for log in logs]
