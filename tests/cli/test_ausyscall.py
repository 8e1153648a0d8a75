from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import ausyscall
from auditd_py.tables.machines import ARCHES, MACHINES
from auditd_py.tables.syscalls import names
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.programs import Peers

GOLDEN = ROOT / "tests" / "data"

# machines that Debian's lacks (its answer is the table of the machine it runs on), or of which it
# gives another table: armv8l is what uname says of a 32-bit kernel
OTHERWISE = {"armv5tejb", "armv8l", "riscv32", "riscv64"}
KNOWN = sorted(set(ARCHES) - OTHERWISE)

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="compares on x86_64")


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = ausyscall.main(words)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def debians(peers: Peers, *words: str) -> tuple[int, str, str]:
    done = peers.run("ausyscall", *words)
    return done.returncode, done.stdout, done.stderr


def rows(dump: str) -> dict[int, str]:
    """Return the table of a dump."""
    pairs = [line.split("\t") for line in dump.splitlines()[1:]]
    return {int(number): name for number, name in pairs}


def test_the_table_of_x86_64_is_the_golden_one(capsys):
    golden = gzip.decompress((GOLDEN / "ausyscall-x86_64.out.gz").read_bytes()).decode()
    status, out, _ = ask(capsys, "x86_64", "--dump")
    # the kernel has two calls for its own use since then
    ours = [line for line in out.splitlines() if line not in ("335\turetprobe", "336\tuprobe")]
    golden_lines = [
        line for line in golden.splitlines() if line not in ("335\turetprobe", "336\tuprobe")
    ]
    assert (status, ours) == (0, golden_lines)


@pytest.mark.peer
@pytest.mark.parametrize("machine", KNOWN)
def test_debians_table_is_in_ours(machine, capsys, peers):
    _, theirs, _ = debians(peers, machine, "--dump")
    _, ours, _ = ask(capsys, machine, "--dump")
    mine = rows(ours)
    assert len(rows(theirs)) > 300
    assert {n: name for n, name in rows(theirs).items() if mine.get(n) != name} == {}


@pytest.mark.peer
@pytest.mark.parametrize("machine", KNOWN)
def test_every_number_and_name_is_answered_as_debians_does(machine, capsys, peers):
    _, theirs, _ = debians(peers, machine, "--dump")
    table = rows(theirs)
    for number in sorted(table)[::40]:
        assert ask(capsys, machine, str(number)) == debians(peers, machine, str(number))
        name = ("--exact", machine, table[number])
        assert ask(capsys, *name) == debians(peers, *name)


@pytest.mark.peer
@pytest.mark.parametrize("words", [
    "", "open", "OPEN", "--exact open", "open --exact", "x86_64 open --exact", "i386 open",
    "open i386", "I386 open", "b32 5", "b64 5", "5", "5 i386", "aarch64 execve", "ppc clone",
    "s390x open", "sched", "--exact OPEN", "9999", "-5", "+5", "zzz", "--exact zzz", "--exact",
    "x86_64", "x86_64 i386", "open openat", "5 6", "x86_64 foo bar", "--dump foo bar",
    "--dump i386 b32", "--EXACT open", "-d", "b32 zzz", "i386 --exact 5", "mips", "é",
])  # fmt: skip
def test_the_same_words_get_debians_answer(words, capsys, peers):
    status, out, err = ask(capsys, *words.split())
    theirs = debians(peers, *words.split())
    if out.count("\n") > 1:
        # a newer kernel has more calls with such names
        assert status == theirs[0]
        assert [line for line in theirs[1].splitlines() if line not in out.splitlines()] == []
    else:
        assert (status, out, err) == theirs


@pytest.mark.peer
def test_dump_wins_over_a_name_as_with_debians(capsys, peers):
    _, theirs, _ = debians(peers, "open", "--dump")
    status, out, _ = ask(capsys, "open", "--dump")
    assert (status, out.splitlines()[:50]) == (0, theirs.splitlines()[:50])


@pytest.mark.parametrize("machine", sorted(ARCHES))
def test_every_machine_can_be_dumped(machine, capsys):
    name, table = MACHINES[ARCHES[machine]]
    status, out, _ = ask(capsys, machine, "--dump")
    assert (status, out.splitlines()[0]) == (0, f"Using {name} syscall table:")
    assert rows(out) == names(table)


def test_a_name_and_a_number_are_too_much(capsys):
    status, _, err = ask(capsys, "open", "5")
    assert (status, err.splitlines()[0]) == (1, ausyscall._TOO_MANY[1])


def test_a_number_can_be_hexadecimal(capsys):
    assert ask(capsys, "x86_64", "0x101") == (0, "openat\n", "")


def test_a_number_with_the_bit_of_x32_is_a_call_of_x32(capsys):
    assert ask(capsys, "x86_64", "0x40000000") == (0, "read\n", "")


@pytest.mark.parametrize("word", ["5x", "0x", "0xg", "٣", "1" * 40, "", "0x5 5"])
def test_what_is_no_number_and_no_name_is_unknown(word, capsys):
    status, out, err = ask(capsys, "x86_64", word)
    assert (status, out, err) == (1, "", f"Unknown syscall {word} using x86_64 lookup table\n")


@pytest.mark.parametrize("words", [("--exact", "pread64"), ("pread64",)])
def test_second_names_are_understood(words, capsys):
    status, out, _ = ask(capsys, "x86_64", *words)
    assert (status, out.split()[-1]) == (0, "17")


def test_operations_of_io_uring_have_a_table_too(capsys):
    assert ask(capsys, "uring", "--exact", "openat") == (0, "18\n", "")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_no_error(word, capsys):
    assert ask(capsys, word) == (0, ausyscall.USAGE, "")


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m auditd_py.cli.ausyscall x86_64 --dump | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("Using x86_64 syscall table:\n", "")


def test_nothing_heavy_is_imported():
    program = "import sys; old = set(sys.modules); import auditd_py.cli.ausyscall as a\n"
    program += "a.main(['x86_64', 'open']); print(*(set(sys.modules) - old))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    loaded = done.stdout.splitlines()[-1].split()
    heavy = {"asyncio", "dataclasses", "inspect", "pydantic", "pyroute2", "uvloop"}
    assert heavy & set(loaded) == set()


def test_the_manual_page_has_every_machine():
    page = (ROOT / "docs" / "man" / "ausyscall.8.md").read_text()
    machines = [machine for machine in ARCHES if machine not in ("i486", "i586")]
    assert [machine for machine in machines if not re.search(rf"\b{machine}\b", page)] == []
