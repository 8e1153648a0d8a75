"""Logs read from Python, and the examples of docs/library.md."""

from __future__ import annotations

import doctest
import gzip
import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditd_py import events, interpret, records
from auditd_py.errors import LogError
from auditd_py.record.interpret import Names

ROOT = Path(__file__).parent.parent.parent
PACKED = ROOT / "tests" / "data" / "alpha-enriched.log.gz"
LOG = gzip.decompress(PACKED.read_bytes())


def test_the_examples_of_the_page_are_true(tmp_path, monkeypatch):
    raw = gzip.decompress((ROOT / "tests" / "data" / "alpha-raw.log.gz").read_bytes())
    (tmp_path / "audit.log").write_bytes(raw)
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_every_kind_of_source_gives_the_same(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(LOG)
    reading, writing = os.pipe()
    wanted = [event.key for event in events(LOG, key="identity")]
    assert len(wanted) > 10
    with path.open("rb") as file:
        assert [e.key for e in events(file, key="identity")] == wanted
    with open(writing, "wb") as pipe:
        pipe.write(b"".join(line for line in LOG.splitlines(keepends=True) if wanted)[:50000])
    few = [e.key for e in events(reading, key="identity")]
    assert few == wanted[: len(few)]
    os.close(reading)
    for source in (path, str(path), tmp_path, PACKED, io.BytesIO(LOG)):
        assert [e.key for e in events(source, key="identity")] == wanted


def test_a_folder_is_read_with_its_archives(tmp_path):
    lines = LOG.splitlines(keepends=True)
    (tmp_path / "audit.log").write_bytes(b"".join(lines[4000:]))
    (tmp_path / "audit.log.1").write_bytes(b"".join(lines[2000:4000]))
    (tmp_path / "audit.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:2000])))
    assert list(events(tmp_path)) == list(events(LOG))


@pytest.mark.parametrize(
    ("criteria", "other"),
    [({"uid": "root"}, {"uid": 0}), ({"types": "USER_AUTH"}, {"types": [1100]}),
     ({"gid": "root"}, {"gid": 0}), ({"key": b"exec"}, {"key": "exec"}),
     ({"syscall": "execve"}, {"syscall": 59})],
)  # fmt: skip
def test_a_criterion_has_more_than_one_form(criteria, other):
    found = [event.key for event in events(LOG, **criteria)]
    assert found
    assert found == [event.key for event in events(LOG, **other)]


def test_times_are_dates_or_seconds():
    at = 1795332025
    found = [e.key for e in events(LOG, start=at, end=datetime.fromtimestamp(at, UTC))]
    assert found == [e.key for e in events(LOG) if e.seconds == at]


def test_a_name_that_only_the_records_know_is_found():
    line = b'type=USER_CMD msg=audit(1.000:%d): pid=1 uid=70001 auid=70001 ses=1 res=1\x1dUID="%b" AUID="%b"\n'
    log = line % (1, b"nobody-here", b"x") + line % (2, b"else", b"y")
    assert [event.serial for event in events(log, uid="nobody-here")] == [1]


@pytest.mark.parametrize("criteria", [{"colour": 1}, {"_tests": 1}])
def test_an_unknown_criterion_is_refused(criteria):
    with pytest.raises(TypeError, match="is no criterion: any_gid, any_uid"):
        next(events(LOG, **criteria))


def test_an_unknown_record_type_is_refused():
    with pytest.raises(ValueError, match="no such record type"):
        next(events(LOG, types="SYSCAL"))


def test_a_log_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LogError, match="cannot be opened"):
        next(events(tmp_path / "nothing"))


def test_keys_of_one_record_are_joined():
    record = next(records(b"type=SYSCALL msg=audit(1.000:1): uid=5 key=6101620A\n"))
    assert interpret(record, Names(user=lambda _: b"five")) == {
        "type": "SYSCALL", "uid": "five", "key": "a,b\n",
    }  # fmt: skip


def test_nothing_but_the_standard_library_is_loaded():
    program = (
        "import sys; from auditd_py import events, interpret\n"
        "[interpret(e) for e in events(b'type=USER msg=audit(1.000:1): uid=0 key=\"a\"\\n')]\n"
        "names = {m.partition('.')[0] for m in sys.modules}\n"
        "print(sorted(names - set(sys.stdlib_module_names) - {'auditd_py', '__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
