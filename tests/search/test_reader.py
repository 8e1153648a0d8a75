"""auditd_py.search.reader."""

from __future__ import annotations

import gzip
import os
import threading

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import LogError
from auditd_py.search.query import Query
from auditd_py.search.reader import (
    BLOCK,
    blocks,
    first_second,
    from_time,
    lines_of,
    open_file,
    open_log,
    pipe_blocks,
)
from auditd_py.search.scan import Scan

LINE = b"type=USER msg=audit(%d.000:%d): pid=1 uid=0 auid=0 ses=0 msg='%b res=1'\n"


def whole(path, on_problem=pytest.fail) -> bytes:
    file = open_file(str(path))
    try:
        return b"".join(data[:end] for data, end in blocks(file, on_problem))
    finally:
        file.close()


def serials(path) -> list[int]:
    scan = Scan(Query())
    file = open_file(str(path))
    found = [e for data, end in blocks(file, pytest.fail) for e in scan.feed(data, end)]
    file.close()
    return [event.serial for event in [*found, *scan.end()]]


LOG = b"".join(LINE % (100 + n // 10, n, b"x" * (n % 700)) for n in range(6000))


def test_a_file_is_given_in_whole_lines(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(LOG)
    file = open_file(str(path))
    found = [data[:end] for data, end in blocks(file, pytest.fail)]
    file.close()
    assert len(found) > 1
    assert all(part.endswith(b"\n") for part in found)
    assert b"".join(found) == LOG


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_file_is_unpacked(pack, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(pack(LOG))
    assert whole(path) == LOG
    file = open_file(str(path))
    assert first_second(file) == 100
    file.close()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_file_of_several_compressed_parts_is_read_to_its_end(pack, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(pack(LOG[:1000]) + pack(LOG[1000:]))
    assert whole(path) == LOG


def test_a_compressed_file_that_is_cut_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(LOG)[:20000])
    said: list[str] = []
    found = whole(path, said.append)
    assert LOG.startswith(found[:-1])
    assert len(found) > 1000
    assert "is damaged, what follows is missing" in said[0]


def test_a_last_line_without_a_newline_is_a_line(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(LOG[:-1])
    assert whole(path) == LOG
    file = open_file(str(path))
    assert sum(end for _, end in blocks(file, pytest.fail, whole=True)) < len(LOG)
    file.close()


def test_lines_of_100000_bytes_and_nuls_are_read(tmp_path):
    long = LINE % (100, 1, b"\0" * 100_000) + LINE % (100, 2, b"y" * 100_000)
    (tmp_path / "log").write_bytes(long + b"\0" * 5000 + b"\n" + LINE % (100, 3, b"z"))
    assert serials(tmp_path / "log") == [1, 2, 3]


def test_a_line_longer_than_a_block_is_cut(tmp_path):
    (tmp_path / "log").write_bytes(b"a" * (2 * BLOCK + 5) + b"\n" + LINE % (100, 3, b"z"))
    assert whole(tmp_path / "log").replace(b"\n", b"").startswith(b"a" * (2 * BLOCK + 5) + b"type=")
    assert serials(tmp_path / "log") == [3]


@given(st.lists(st.binary(max_size=40)))
def test_a_stream_gives_the_same_lines_in_whatever_pieces(pieces):
    pieces = [piece for piece in pieces if piece]
    data = b"".join(pieces)
    found = b"".join(block[:end] for block, end in lines_of(iter(pieces)))
    assert found == (data if data.endswith(b"\n") or not data else data + b"\n")


def test_a_log_is_its_archives_and_itself_the_oldest_first(tmp_path):
    for ending in ("", ".1", ".2.gz", ".3.zst", ".5", ".x"):
        (tmp_path / f"audit.log{ending}").write_bytes(LOG[:500])
    (tmp_path / "audit.log.1.gz").write_bytes(b"half")  # being compressed
    files = open_log(str(tmp_path / "audit.log"))
    assert [file.path.removeprefix(str(tmp_path)) for file in files] == [
        "/audit.log.3.zst", "/audit.log.2.gz", "/audit.log.1", "/audit.log",
    ]  # fmt: skip
    for file in files:
        file.close()


def test_archives_without_a_log_are_a_log(tmp_path):
    (tmp_path / "audit.log.1").write_bytes(LOG[:500])
    (file,) = open_log(str(tmp_path / "audit.log"))
    file.close()
    with pytest.raises(LogError, match="No such file"):
        open_log(str(tmp_path / "other.log"))


def test_a_rotation_while_files_are_opened_hides_none(tmp_path):
    log = tmp_path / "audit.log"
    log.write_bytes(LINE % (100, 0, b"x"))
    over = threading.Event()

    def rotate() -> None:
        for number in range(1, 30):
            for n in range(number - 1, 0, -1):
                os.rename(f"{log}.{n}", f"{log}.{n + 1}")
            os.rename(log, f"{log}.1")
            log.write_bytes(LINE % (100 + number, number, b"x"))
        over.set()

    thread = threading.Thread(target=rotate)
    thread.start()
    looks = 0
    while not over.is_set():
        try:
            files = open_log(str(log))
        except LogError:
            continue
        numbers = [first_second(file) for file in files]
        for file in files:
            file.close()
        known = [n for n in numbers if n is not None]  # one may not be written yet
        assert known == list(range(100, 100 + len(known)))
        looks += 1
    thread.join()
    assert looks


def test_files_that_are_older_as_a_whole_are_left_out(tmp_path):
    for number, first in ((3, 100), (2, 200), (1, 300)):
        (tmp_path / f"audit.log.{number}").write_bytes(LINE % (first, 1, b"x"))
    (tmp_path / "audit.log").write_bytes(b"")
    for start, wanted in ((None, 4), (50, 4), (200, 4), (201, 3), (1000, 2)):
        files = from_time(open_log(str(tmp_path / "audit.log")), start)
        assert (start, len(files)) == (start, wanted)
        for file in files:
            file.close()


def test_a_pipe_that_pauses_says_so():
    reading, writing = os.pipe()
    try:
        os.write(writing, LOG[:300])
        found = pipe_blocks(reading, inactivity_s=0.01)
        data, end = next(found)
        assert data[:end] + b"" == LOG[:end]
        assert next(found) == (b"", 0)
        os.write(writing, LOG[300:400])
        os.close(writing)
        writing = -1
        assert b"".join(d[:e] for d, e in found) == LOG[end:400] + b"\n"
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_what_is_no_file_is_told(make, tmp_path):
    make(tmp_path / "log")
    with pytest.raises(LogError, match=r"cannot be opened|is a folder"):
        open_file(str(tmp_path / "log"))
