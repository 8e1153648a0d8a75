"""auditd_py.cli.halves: two processes count what one does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from auditd_py.cli import aureport
from auditd_py.cli import halves as module
from auditd_py.cli.halves import Half, halves
from auditd_py.report.definitions import REPORTS
from auditd_py.search.reader import open_file, open_log
from tests.report.logs import recorded

SUMMARIES = [report.options[0] for report in REPORTS if report.summary is not None]


@pytest.fixture
def small(monkeypatch):
    """Halves of logs of any length."""
    monkeypatch.setattr(module, "_LEAST", 0)
    monkeypatch.setattr(module, "BLOCK", 64 << 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(recorded("alpha-enriched"))
    return path


def report(capsysbinary, *words: str) -> bytes:
    aureport.main([*words])
    found = capsysbinary.readouterr()
    return bytes(found.out + found.err)


@pytest.mark.parametrize("words", [[], *([option, "--summary"] for option in SUMMARIES)], ids=str)
def test_the_same_is_counted(words, log, small, capsysbinary, monkeypatch):
    assert halves([open_file(str(log))]) is not None
    by_two = report(capsysbinary, "-if", str(log), *words)
    monkeypatch.setattr(aureport, "halves", lambda _files: None)
    assert by_two == report(capsysbinary, "-if", str(log), *words) != b""


def test_the_parts_of_several_files_are_the_whole(tmp_path, small):
    whole = recorded("alpha-raw")
    place = whole.index(b"\n", len(whole) // 3) + 1
    Path(tmp_path, "audit.log.1").write_bytes(whole[:place])
    Path(tmp_path, "audit.log").write_bytes(whole[place:])
    for number in range(2):  # the middle is in one file, then in the other
        parts = halves(open_log(str(tmp_path / "audit.log"))[number:])
        assert parts is not None
        sizes = [sum((file.stop or file.size) - file.start for file in part) for part in parts]
        assert sum(sizes) == (len(whole) if number == 0 else len(whole) - place)
        assert min(sizes) > sum(sizes) / 3


def test_what_cannot_be_halved_is_left_whole(tmp_path, log, small, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR)
    try:
        assert halves([open_file(str(pipe))]) is None
    finally:
        os.close(holder)
    log.write_bytes(b"x" * 300_000)
    assert halves([open_file(str(log))]) is None
    log.write_bytes(recorded("alpha-raw"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert halves([open_file(str(log))]) is None


def test_a_process_that_ends_early_is_replaced():
    parent = os.getpid()

    def count() -> str:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return "counted here"

    assert Half(count).result() == "counted here"
    assert Half(lambda: os.getpid() != parent).result() is True
