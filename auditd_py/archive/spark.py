"""The same questions on a Spark cluster, in Spark's own words (sqlglot says them)."""

from __future__ import annotations

import os
import re
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from auditd_py.archive.engine import BATCH, EngineError
from auditd_py.archive.question import EVENTS, REST

if TYPE_CHECKING:
    from auditd_py.archive.engine import Files, Rows


class Spark:
    """A cluster, by the address of its master.

    The files must be where the cluster's nodes see them under the same names.
    """

    def __init__(self, master: str, files: Files) -> None:
        try:
            import sqlglot
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError:
            raise EngineError(
                '--engine of Spark needs PySpark: pip install "auditd-py[spark]"'
            ) from None
        self._transpile = sqlglot.transpile
        self._error = PySparkException
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        self.counts = bool(files.counts)
        self._ours = SparkSession.getActiveSession() is None
        try:
            self._session = (
                SparkSession.builder.master(master)
                .appName("auditd_py")
                .config("spark.ui.showConsoleProgress", "false")
                .getOrCreate()
            )
            self._session.sparkContext.setLogLevel("ERROR")
            read = self._session.read.option("recursiveFileLookup", "true")
            for table, names in files.tables().items():
                if table == REST:  # of the columns of events, which are known then
                    read = read.schema(self._session.table(EVENTS).schema)
                frame = read.parquet(*map(_literal, names or files.events[:1]))
                (frame if names else frame.limit(0)).createOrReplaceTempView(table)
        except Exception as error:  # of Java, in many classes
            raise EngineError(f"{master}: {_first_line(error)}") from error

    def rows(self, question: str) -> Rows:
        """Give the rows of an answer, one part of it after the other."""
        try:
            found = self._session.sql(self.said(question)).toLocalIterator(prefetchPartitions=True)
            while rows := [_plain(row) for row in islice(found, BATCH)]:
                yield rows
        except self._error as error:
            raise EngineError(_first_line(error)) from error

    in_order = rows

    def at_edge(self, question: str, edge: int) -> Rows:
        """Give the rows of an answer."""
        del edge
        return self.rows(question)

    def said(self, question: str) -> str:
        """Return a question in Spark's words."""
        (text,) = self._transpile(question, read="duckdb", write="spark")
        return text

    def close(self) -> None:
        """End the session, if it was not there before."""
        if self._ours:
            self._session.stop()


def _plain(row: Any) -> tuple[Any, ...]:  # noqa: ANN401  pyspark is imported late
    return tuple(bytes(one) if isinstance(one, bytearray) else one for one in row)


def _literal(path: str) -> str:
    """Return a path in which Hadoop finds no pattern."""
    return re.sub(r"[\\*?\[\]{},]", r"\\\g<0>", path)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
