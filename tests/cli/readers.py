"""Runs the commands that report on logs, in this process: a start takes longer than they do."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.report.logs import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGS = ("alpha-raw.log", "alpha-enriched.log")
GIVEN = "given.log"


def recorded_logs(folder: Path) -> Path:
    """Put the recorded logs into a folder; return it."""
    for name in LOGS:
        (folder / name).write_bytes(recorded(name.removesuffix(".log")))
    return folder


def run(
    *words: str, cwd: Path, log: bytes | None = None, tool: str = "aureport"
) -> tuple[int, str, str]:
    """Return status, output and errors. `log` is on standard input, for aureport a file."""
    module = importlib.import_module(f"auditd_py.cli.{tool}")
    output, errors = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    if log is not None:
        (cwd / GIVEN).write_bytes(log)
    if log is not None and tool == "aureport":
        words = (*words, "-if", GIVEN)
    with (
        contextlib.chdir(cwd), _standard_input(os.devnull if log is None else GIVEN), _utc(),
        contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors),
    ):  # fmt: skip
        status: int = module.main(list(words))
        output.flush()
    text = output.buffer.getvalue()
    return status, text.decode("utf-8", "surrogateescape"), errors.getvalue()


@contextlib.contextmanager
def _standard_input(path: str) -> Iterator[None]:
    before = os.dup(0)
    given = os.open(path, os.O_RDONLY)
    os.dup2(given, 0)
    os.close(given)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@contextlib.contextmanager
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.setenv("LC_ALL", "C")
        time.tzset()
        yield
    time.tzset()
