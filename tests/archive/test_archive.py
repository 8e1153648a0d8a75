"""Logs in an archive: each event once, and back as they were, whatever happens meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem

from auditd_py.archive import place as archive_place
from auditd_py.archive.commits import load
from auditd_py.archive.compaction import compact
from auditd_py.archive.files import readable_files
from auditd_py.archive.place import ArchiveError, Folder, Place, place
from auditd_py.archive.restore import restore
from auditd_py.archive.schema import METADATA, SCHEMA
from auditd_py.archive.writer import Written, archive
from auditd_py.cli import ausearch, multitool
from auditd_py.search.reader import open_file
from tests.report.logs import call, path, recorded

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AUDITD_PY_KILLS", "20"))


def put(destination: Place, *logs: Path) -> Written:
    problems: list[str] = []
    done = archive(destination, [open_file(str(log)) for log in logs], 2, problems.append)
    assert problems == []
    return done


def back(destination: Place, folder: Path) -> dict[str, bytes]:
    """Return the logs of an archive by their names."""
    found = {}
    for log in restore(destination, str(folder)):
        assert log.same
        found[Path(log.path).name] = Path(log.path).read_bytes()
    return found


def stamps(destination: Place) -> list[tuple[Any, ...]]:
    """Return node and stamp of all events that a reader finds, and their lines."""
    keys = ["node", "second", "milli", "serial", "lines"]
    return [
        row
        for name in readable_files(destination)
        for row in zip(
            *pq.read_table(name, columns=keys, filesystem=destination.filesystem)
            .to_pydict()
            .values(),
            strict=True,
        )
    ]


def events(first: int, count: int, second: int = 1_700_000_000, node: bytes = b"") -> bytes:
    """Return a log of calls with a file each."""
    return b"".join(
        call(n, second=second + n // 10, milli=n % 10, node=node)
        + path(n, b'"f%d"' % n, second=second + n // 10, milli=n % 10, node=node)
        for n in range(first, first + count)
    )


LOGS = {
    "raw": recorded("alpha-raw"),
    "enriched": recorded("alpha-enriched"),
    "no end": events(1, 30)[:-1],
    "empty lines": b"\n\n" + events(1, 3) + b"\n\r\n\0\0\n",
    "no record": b"\xff" * 3_000_000 + b"\nword\n",
    "nodes": b"".join(events(n, 1, node=b"web%d" % (n % 3)) for n in range(60)),
    "between": b"".join(sorted(events(1, 200).splitlines(keepends=True))),
    "days": b"".join(events(n, 1, second=1_700_000_000 + n * 9000) for n in range(40)),
    "one letter": b"x",
}


@pytest.mark.parametrize("name", LOGS)
def test_a_log_comes_back_as_it_was(name, tmp_path):
    log = tmp_path / "audit.log"
    log.write_bytes(LOGS[name])
    destination = place(str(tmp_path / "archive"))
    put(destination, log)
    assert back(destination, tmp_path / "back") == {"audit.log": LOGS[name]}


def test_all_files_of_a_log_come_back_and_events_go_on_in_the_next(tmp_path):
    whole = LOGS["between"]
    cuts = [0, 7001, len(whole) // 2 + 3, len(whole)]
    ends = [whole.index(b"\n", cut) + 1 if cut < len(whole) else cut for cut in cuts[1:]]
    logs = {}
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        name = f"audit.log.{2 - number}" if number < 2 else "audit.log"
        logs[name] = whole[start:end]
        (tmp_path / name).write_bytes(logs[name])
    (tmp_path / "audit.log.2.gz").write_bytes(gzip.compress(logs["audit.log.2"]))
    destination = place(str(tmp_path / "archive"))
    names = ["audit.log.2.gz", "audit.log.1", "audit.log"]
    done = put(destination, *(tmp_path / name for name in names))
    assert (done.events, done.known, done.read) == (200, 0, len(whole))
    assert len(stamps(destination)) == 200
    assert back(destination, tmp_path / "back") == {
        "audit.log.2.gz": logs["audit.log.2"], "audit.log.1": logs["audit.log.1"],
        "audit.log": logs["audit.log"],
    }  # fmt: skip


def test_nothing_is_written_twice(tmp_path):
    log = tmp_path / "audit.log"
    destination = place(str(tmp_path / "archive"))
    whole = events(1, 400)
    half = whole.index(b"\n", len(whole) // 2) + 1
    for text, count in ((whole[:half], None), (whole, None), (whole, 0)):
        log.write_bytes(text)
        done = put(destination, log)
        assert count is None or (done.events, done.read) == (count, 0)
    log.rename(tmp_path / "audit.log.1")  # a rotation
    assert put(destination, tmp_path / "audit.log.1").events == 0
    found = stamps(destination)
    assert len({row[:4] for row in found}) == 400
    assert b"".join(sorted(row[4] + b"\n" for row in found)) == b"".join(
        sorted(row[4] + b"\n" for row in set(found))
    )
    assert back(destination, tmp_path / "back") == {"audit.log": whole}


def test_logs_that_overlap_are_counted_once_and_come_back_whole(tmp_path):
    destination = place(str(tmp_path / "archive"))
    (tmp_path / "one").write_bytes(events(1, 100))
    (tmp_path / "two").write_bytes(events(50, 100))
    assert put(destination, tmp_path / "one").events == 100
    done = put(destination, tmp_path / "two")
    assert (done.events, done.known) == (49, 51)
    assert len(stamps(destination)) == 149
    logs = {"one": events(1, 100), "two": events(50, 100)}
    assert back(destination, tmp_path / "back") == logs


def test_a_name_that_was_used_twice_gives_two_logs(tmp_path):
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "audit.log.1"
    for first in (1, 1001):
        log.write_bytes(events(first, 10))
        put(destination, log)
    found = back(destination, tmp_path / "back")
    assert found.pop("audit.log.1") == events(1001, 10)
    assert list(found.values()) == [events(1, 10)]


def test_small_files_become_one(tmp_path):
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "audit.log"
    for count in range(1, 6):
        log.write_bytes(events(1, count * 20))
        put(destination, log)
    before = sorted(stamps(destination))
    assert compact(destination) == (5, 1)
    assert sorted(stamps(destination)) == before
    assert len(readable_files(destination)) == 1
    assert compact(destination) == (0, 0)
    assert back(destination, tmp_path / "back") == {"audit.log": events(1, 100)}
    assert [name for name in destination.names() if name.endswith(".parquet")] == [
        file.name for file in load(destination).files.values()
    ]


def test_a_compaction_leaves_what_is_read_to_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_place, "_PATIENCE_S", 0.0)
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "audit.log"
    for count in (20, 40):
        log.write_bytes(events(1, count))
        put(destination, log)
    with destination.reading():
        read = readable_files(destination)
        assert compact(destination) == (2, 1)
        assert all(Path(name).exists() for name in read)
        assert len(stamps(destination)) == 40
    put(destination, log)
    assert not any(Path(name).exists() for name in read)
    assert [Path(name).exists() for name in readable_files(destination)] == [True]


def test_who_reads_while_others_write_and_compact_sees_whole_runs(
    tmp_path, capfdbinary, monkeypatch
):
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "audit.log"
    log.write_bytes(events(1, 100))
    put(destination, log)
    runs = 6
    monkeypatch.setattr(archive_place, "_PATIENCE_S", 0.1)

    def write() -> None:
        for run in range(2, runs + 1):
            log.write_bytes(events(1, run * 100))
            put(destination, log)
            compact(destination)

    whole = events(1, runs * 100)
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        while True:
            last = writer.done()
            assert ausearch.main(["--raw", "--archive", destination.root]) == 0
            found = capfdbinary.readouterr().out
            assert whole.startswith(found)
            seen.add(found.count(b"SYSCALL"))
            if last:
                break
        writer.result()
    assert seen <= {run * 100 for run in range(1, runs + 1)}
    assert max(seen) == runs * 100
    assert len(seen) > 2


def test_only_files_of_the_nodes_and_the_time_are_read(tmp_path):
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "log"
    log.write_bytes(b"".join(
        events(n, 1, second=1_700_000_000 + day * 86400, node=node)
        for n, (day, node) in enumerate([(0, b"a"), (0, b"b/c"), (3, b"a")])
    ))  # fmt: skip
    put(destination, log)
    assert len(readable_files(destination)) == 3
    assert len(readable_files(destination, nodes=[b"a"])) == 2
    (name,) = readable_files(destination, nodes=[b"b/c"])
    assert "/node=b%2Fc/day=2023-11-14/" in name
    assert len(readable_files(destination, start=1_700_000_000 + 86400)) == 1
    assert len(readable_files(destination, [b"a"], end=1_700_000_000 + 86400)) == 1


def spoil(destination: Folder, how: str) -> str:
    """Damage an archive; return the name of the file."""
    name = next(iter(load(destination).files))
    file = Path(destination.full(name))
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif how == "gone":
        file.unlink()
    elif how == "foreign":
        pq.write_table(pa.table({"a": [1]}), file.with_name("theirs.parquet"))
        return str(file.with_name("theirs.parquet"))
    elif how == "replaced":
        pq.write_table(pa.table({"a": [1]}), file)
    else:
        table = pq.read_table(file)
        table = table.replace_schema_metadata({METADATA: json.dumps({"version": 0}).encode()})
        pq.write_table(table, file)
    return str(file)


@pytest.mark.parametrize(("how", "words"), [
    ("cut", "is damaged: "), ("gone", "is missing"), ("foreign", "does not belong to this archive"),
    ("replaced", "does not belong to this archive"), ("older", "is of version 0 of the schema"),
])  # fmt: skip
def test_a_file_that_is_wrong_is_named_and_the_rest_can_be_read(tmp_path, how, words):
    destination = Folder(str(tmp_path / "archive"))
    for number in range(2):
        (tmp_path / "log").write_bytes(events(number * 100, 10))
        put(destination, tmp_path / "log")
    name = spoil(destination, how)
    with pytest.raises(ArchiveError) as raised:
        readable_files(destination)
    assert str(raised.value).startswith(f"{name}: ")
    assert words in str(raised.value)
    told: list[str] = []
    assert len(readable_files(destination, skip=told.append)) == (2 if how == "foreign" else 1)
    assert told == [str(raised.value)]


def test_a_commit_that_is_damaged_or_newer_is_named(tmp_path):
    destination = place(str(tmp_path / "archive"))
    (tmp_path / "log").write_bytes(events(1, 2))
    put(destination, tmp_path / "log")
    commit = tmp_path / "archive" / "_commits" / "000000000001.json"
    text = commit.read_text()
    for spoiled in ("{", text.replace('"version": 1', '"version": 99'), "[]"):
        commit.write_text(spoiled)
        with pytest.raises(ArchiveError, match=r"_commits/000000000001\.json: is damaged: "):
            readable_files(destination)


def test_two_programs_do_not_write_at_once(tmp_path):
    destination = place(str(tmp_path / "archive"))
    (tmp_path / "log").write_bytes(events(1, 2))
    with destination.lock(), pytest.raises(ArchiveError, match="another program writes to it"):
        put(destination, tmp_path / "log")


WRITER = """
import sys
from auditd_py.archive.compaction import compact
from auditd_py.archive.place import place
from auditd_py.archive.writer import archive
from auditd_py.search.reader import open_file
destination = place(sys.argv[1])
print("begun", flush=True)
archive(destination, [open_file(sys.argv[2])], 2, print)
compact(destination)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_everything_readable_once(tmp_path):
    chance = random.Random(os.environ.get("AUDITD_PY_SEED", "3"))
    destination = place(str(tmp_path / "archive"))
    log = tmp_path / "audit.log"
    killed = size = 0
    deadline = time.monotonic() + 30 * KILLS
    while killed < KILLS:
        assert time.monotonic() < deadline
        size += 300
        log.write_bytes(events(1, size))
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, destination.root, str(log)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            process.wait(timeout=chance.uniform(0, 0.35))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        process.stdout.close()
        if load(destination).number:
            found = [row[:4] for row in stamps(destination)]
            assert len(set(found)) == len(found)
    put(destination, log)
    compact(destination)
    assert len(stamps(destination)) == size
    assert back(destination, tmp_path / "back") == {"audit.log": events(1, size)}
    left = [name for name in destination.names() if name.endswith(".parquet")]
    assert sorted(left) == sorted(load(destination).files)


@pytest.fixture
def bucket(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    maker = S3FileSystem(
        endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True
    )
    maker.create_dir("logs")
    yield "s3://logs/audit"
    server.stop()


@pytest.mark.slow
def test_an_archive_on_s3(bucket, tmp_path):
    destination = place(bucket)
    log = tmp_path / "audit.log"
    for count in (100, 250):
        log.write_bytes(events(1, count))
        put(destination, log)
    assert put(destination, log).events == 0
    assert len(stamps(destination)) == 250
    assert compact(destination) == (2, 1)
    assert len(stamps(destination)) == 250
    assert back(destination, tmp_path / "back") == {"audit.log": events(1, 250)}
    with destination.filesystem.open_output_stream("logs/audit/node=a/theirs.parquet") as file:
        file.write(b"x")
    with pytest.raises(ArchiveError, match=r"s3://logs/audit/node=a/theirs\.parquet: does not"):
        readable_files(destination)


def run(*words: str) -> int:
    sys.argv = ["auditd-py", *words]
    return multitool.main()


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "audit.log.1").write_bytes(LOGS["raw"])
    (folder / "audit.log").write_bytes(events(1, 5))
    destination = str(tmp_path / "archive")
    assert run("archive", str(folder), destination, "--compact") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split(" of ")[0].endswith(" events")
    assert "times as small" in said
    assert run("restore", destination, str(tmp_path / "back")) == 0
    assert (tmp_path / "back" / "audit.log.1").read_bytes() == LOGS["raw"]
    assert run("restore", destination, str(tmp_path / "back")) == 1
    assert "File exists" in capsys.readouterr().err
    assert run("restore", str(tmp_path), str(tmp_path / "b")) == 1
    assert "there is no archive" in capsys.readouterr().err
    assert run("archive", destination) == 2


def test_a_log_that_is_not_as_it_was_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    (tmp_path / "log").write_bytes(events(1, 5))
    destination = place(str(tmp_path / "archive"))
    put(destination, tmp_path / "log")
    name = next(iter(load(destination).files))
    file = tmp_path / "archive" / name
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    assert run("restore", str(tmp_path / "archive"), str(tmp_path / "back")) == 1
    assert capsys.readouterr().err == f"{tmp_path}/back/log: is not as it was\n"
    assert SCHEMA.names == table.schema.names
