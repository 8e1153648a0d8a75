"""What answers questions about an archive: DuckDB in this process, or Spark on a cluster."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditd_py.archive.question import COUNTS, EVENTS, REST, quoted, read_parquet
from auditd_py.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow.fs import FileSystem

    Rows = Iterator[list[tuple[Any, ...]]]

DUCKDB: Final = "duckdb"
MEMORY_MIB: Final = 1024  # what DuckDB may take; what does not fit goes to a temporary folder
BATCH: Final = 10_000  # rows that are in memory at once

_ROOMY: Final = "/var/tmp"  # noqa: S108  a folder of a name that nobody can guess is made there
_spark = re.compile(r"(?:spark|k8s)://\S+|local-cluster\[\d+,\d+,\d+\]|local\[\d+\]|yarn").fullmatch


class EngineError(AuditError):
    """An archive cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files of an archive: all that have events, the counts of some, and those without counts.

    They are of `filesystem`, the local one if there is none.
    """

    events: list[str]
    counts: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    filesystem: FileSystem | None = None

    def tables(self) -> dict[str, list[str]]:
        """Return what each table of question.py is in; one that is empty has the form of another."""
        return {EVENTS: self.events} | (
            {COUNTS: self.counts, REST: self.rest} if self.counts else {}
        )


class Engine(Protocol):
    """Answers questions of question.py about some files of an archive.

    `counts` says whether some have counts.
    """

    counts: bool

    def rows(self, question: str) -> Rows:
        """Give the rows of an answer, some at a time. Raises EngineError."""

    def in_order(self, question: str) -> Rows:
        """Give the rows of an answer that is ordered by `order`, however many they are."""

    def at_edge(self, question: str, edge: int) -> Rows:
        """Give the rows of an answer about the first events (edge 0) or the last (-1)."""

    def close(self) -> None:
        """Let go of all that it holds."""


def is_engine(name: str) -> bool:
    """Say whether an engine has a name."""
    return name == DUCKDB or _spark(name) is not None


def engine(name: str, files: Files) -> Engine:
    """Return the engine of a name, for the events in some files. Raises EngineError."""
    if not files.events:
        return Nothing()
    if name == DUCKDB:
        return DuckDB(files)
    from auditd_py.archive.spark import Spark

    return Spark(name, files)


class Nothing:
    """An archive without files."""

    counts = False

    def rows(self, question: str) -> Rows:
        """Give nothing."""
        del question
        return iter(())

    in_order = rows

    def at_edge(self, question: str, edge: int) -> Rows:
        """Give nothing."""
        del question, edge
        return iter(())

    def close(self) -> None:
        """Do nothing."""


class DuckDB:
    """DuckDB in this process, in bounded memory."""

    def __init__(self, files: Files) -> None:
        try:
            import duckdb
        except ImportError:
            raise EngineError('--archive needs DuckDB: pip install "auditd-py[archive]"') from None
        self._error = duckdb.Error
        self._folder = tempfile.TemporaryDirectory(prefix="auditd_py-", dir=_roomy())
        self._connection = duckdb.connect(
            config={"memory_limit": f"{MEMORY_MIB}MiB", "temp_directory": self._folder.name}
        )
        self.counts = bool(files.counts)
        self._files, self._filesystem = files.events, files.filesystem
        for table, names in files.tables().items():
            self._view(table, names)

    def _view(self, table: str, names: list[str]) -> None:
        if self._filesystem is not None:
            from pyarrow import dataset

            self._connection.register(table, dataset.dataset(names, filesystem=self._filesystem))
            return
        of_files = read_parquet(names or self._files[:1])
        self._asked(
            f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM {of_files}"  # noqa: S608  quoted
            f"{'' if names else ' LIMIT 0'}"
        )

    def rows(self, question: str) -> Rows:
        """Give the rows of an answer."""
        found = self._asked(question)
        while True:
            try:
                rows = found.fetchmany(BATCH)
            except self._error as error:
                raise EngineError(str(error)) from error
            if not rows:
                return
            yield rows

    def in_order(self, question: str) -> Rows:
        """Give the rows of an answer, of files one after the other where they do not overlap.

        So no more than those that do are sorted at once.
        """
        for names in self._spans():
            yield from self._of_files(names, question)

    def at_edge(self, question: str, edge: int) -> Rows:
        """Give the rows of an answer, of the first files or the last."""
        return self._of_files(self._spans()[edge], question)

    def _of_files(self, names: list[str], question: str) -> Rows:
        self._view(EVENTS, names)
        try:
            yield from self.rows(question)
        finally:
            self._view(EVENTS, self._files)

    def _spans(self) -> list[list[str]]:
        """Return files that overlap in `order` together, in that order."""
        if self._filesystem is not None:
            return [self._files]
        listed = ", ".join(map(quoted, self._files))
        ranges = self._asked(
            "SELECT file_name, min(stats_min_value::BIGINT), max(stats_max_value::BIGINT) "  # noqa: S608
            f"FROM parquet_metadata([{listed}]) WHERE path_in_schema = 'order' "
            "GROUP BY file_name ORDER BY 2, 1"
        ).fetchall()
        if any(first is None or last is None for _, first, last in ranges):
            return [self._files]
        spans: list[list[str]] = []
        until = -1
        for name, first, last in ranges:
            if first > until:
                spans.append([])
            spans[-1].append(name)
            until = max(until, last)
        return spans

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._connection.close()
        self._folder.cleanup()

    def _asked(self, question: str) -> Any:  # noqa: ANN401  duckdb is imported late
        try:
            return self._connection.execute(question)
        except self._error as error:
            raise EngineError(str(error)) from error


def _roomy() -> str | None:
    """Return where there is room, if TMPDIR does not say it: /tmp may be memory."""
    return _ROOMY if "TMPDIR" not in os.environ and os.path.isdir(_ROOMY) else None
