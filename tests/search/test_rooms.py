"""auditd_py.search.rooms."""

from __future__ import annotations

import os

import pytest

from auditd_py.search.rooms import Rooms

LINES = [
    b"one\n",
    b"two, which is longer\n",
    b"\n",
    b"x" * 70 + b"\n",
    b"four\n",
    b"y" * 200 + b"\n",
]


@pytest.mark.parametrize("size", [8, 33, 64, 200, 4096])
@pytest.mark.parametrize("last", [b"", b"no end", b"z" * 64])
def test_all_lines_are_given_whole_and_memory_is_used_again(tmp_path, size, last):
    path = tmp_path / "log"
    path.write_bytes(b"".join(LINES) * 9 + last)
    rooms = Rooms(2, size)
    found = b""
    places = set()
    with path.open("rb") as file:
        for start, end in rooms.blocks(file.fileno()):
            places.add(start)
            assert rooms.memory[start - 1] == rooms.memory[end - 1] == 10
            found += rooms.memory[start:end]
            rooms.leave(start)
    whole = path.read_bytes() + (b"\n" if last else b"")
    if size > 201:
        assert found == whole
    else:  # lines that are longer than a block are cut
        assert found.replace(b"\n", b"") == whole.replace(b"\n", b"")
    assert len(places) == 1


def test_a_block_that_is_kept_stays_as_it_is(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%07d\n" % n for n in range(100)))
    rooms = Rooms(4, 80)
    kept: list[tuple[int, int]] = []
    with path.open("rb") as file:
        for number, (start, end) in enumerate(rooms.blocks(file.fileno())):
            kept.append((start, end))
            if len(kept) == 4:
                first = int(rooms.memory[slice(*kept[0])][:7])
                assert first == (number - 3) * 10
                rooms.leave(kept.pop(0)[0])


def test_a_file_that_became_shorter_ends(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"line\n" * 100)
    rooms = Rooms(2, 50)
    with path.open("rb") as file:
        blocks = rooms.blocks(file.fileno())
        rooms.leave(next(blocks)[0])
        os.truncate(path, 20)
        assert list(blocks) == []
