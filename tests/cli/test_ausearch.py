"""auditd_py.cli.ausearch, run as a program."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from auditd_py.cli.ausearch import main
from auditd_py.cli.ausearch_help import USAGE
from auditd_py.cli.ausearch_words import OPTIONS

DATA = Path(__file__).parent.parent / "data"
CASES = json.loads((DATA / "ausearch.json").read_text())


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    for name in ("alpha-raw.log", "alpha-enriched.log"):
        (folder / name).write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    return folder


def ausearch(
    *arguments: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "auditd_py.cli.ausearch", *arguments], cwd=folder,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C", "PYTHONPATH": str(DATA.parent.parent), **environment},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if n in range(42, 46) else [pytest.mark.slow])
        for n, case in enumerate(CASES)
    ],
    ids=[f"{case['log'][6:9]} {case['options']}" for case in CASES],
)
def test_it_prints_what_the_c_tool_prints(case, logs):
    done = ausearch(*shlex.split(case["options"]), "-if", case["log"], folder=logs)
    assert (done.returncode, done.stderr.decode()) == (case["rc"], case["stderr"])
    assert len(done.stdout) == case["bytes"]
    assert hashlib.sha256(done.stdout).hexdigest() == case["sha256"]


def test_the_manual_page_has_every_option():
    page = (DATA.parent.parent / "docs" / "man" / "ausearch.8.md").read_text().replace("\\", "")
    heads = [line for line in page.splitlines() if line.startswith("**-")]
    assert {option for line in heads for option in re.findall(r"\*\*(-[\w-]+)\*\*", line)} - {
        "-"
    } == (set(OPTIONS))


def test_the_usage_has_every_option():
    shown = set(re.sub("[,()]", " ", USAGE).split())
    assert set(OPTIONS) - shown == set()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("-k", 1, "Argument is required for -k"),
        ("-k -i", 1, "Argument is required for -k"),
        ("-ts checkpoint", 1, "-ts checkpoint needs --checkpoint FILE"),
        ("--frob", 1, "--frob is an unsupported option"),
        ("-p x", 1, "-p x: a number is required"),
        ("-m FROB", 1, "Unrecognized message type FROB\nValid types are: ALL USER LOGIN"),
        ("-sc frob", 1, "Syscall frob not found"),
        ("-sc openat --arch b64", 1, "--arch must be before the syscall option"),
        ("-e EFROB", 1, "-e EFROB: a number or an errno name is required"),
        ("-sv maybe", 1, "yes or no is allowed"),
        ("-i -r", 1, "Multiple output formats, only 1 can be used"),
        ("--extra-keys", 1, "Error - extra options requires format to be csv"),
        ("--format xml", 1, "--format xml: unknown output format\nraw default interpret csv"),
        ("-ts foo", 1, "foo is not a date"),
        (
            "-ui nobody-by-that-name -if alpha-raw.log",
            1,
            "looking for the name in enriched records",
        ),
        ("-if missing.log", 1, "Error - missing.log: cannot be opened: No such file"),
        ("--checkpoint bad -if alpha-raw.log", 12, "bad: output= is missing or wrong"),
        ("--checkpoint gone -if alpha-raw.log", 10, "gone: the log it names is gone"),
        ("--checkpoint no/point -if alpha-raw.log --just-one", 11, "not written"),
    ],
)
def test_what_is_wrong_is_told(arguments, status, said, *, logs, monkeypatch, capfd):
    (logs / "bad").write_bytes(b"dev=0x1\n")
    (logs / "gone").write_bytes(b"dev=0x1\ninode=1\noutput=- 1.000:1 0x514\n")
    monkeypatch.chdir(logs)
    assert main(shlex.split(arguments)) == status
    assert said in capfd.readouterr().err


def test_a_folder_is_searched_with_its_archives(logs, tmp_path):
    lines = (logs / "alpha-raw.log").read_bytes().splitlines(keepends=True)
    (tmp_path / "audit.log").write_bytes(b"".join(lines[3000:]))
    (tmp_path / "audit.log.1").write_bytes(b"".join(lines[:3000]))
    done = ausearch("-r", "-if", ".", folder=tmp_path)
    assert done.stderr == b"NOTE - using logs in .\n"
    assert done.stdout == ausearch("-r", "-if", "alpha-raw.log", folder=logs).stdout


def test_standard_input_is_read_if_it_is_a_pipe(logs):
    data = (logs / "alpha-raw.log").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "auditd_py.cli.ausearch", "-r", "-m", "USER_LOGIN"], input=data,
        env={**os.environ, "PYTHONPATH": str(DATA.parent.parent)}, capture_output=True, timeout=60,
    )  # fmt: skip
    wanted = [line for line in data.splitlines(keepends=True) if b"=USER_LOGIN " in line]
    assert done.stdout == b"".join(wanted)


def test_a_line_that_is_no_record_is_shown_and_counted(tmp_path):
    (tmp_path / "log").write_bytes(b"type=USER msg=audit(1.000:1): a=1\nrubbish here\n")
    done = ausearch("-i", "-if", "log", folder=tmp_path)
    assert b"rubbish here\n" in done.stdout
    assert done.stderr == b"1 lines are no records\n"
    done = ausearch("-k", "x", "-if", "log", folder=tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"1 lines are no records\n<no matches>\n")
    done = ausearch("-k", "x", "--debug", "-if", "log", folder=tmp_path)
    assert done.stderr.startswith(b"passed over: rubbish here\n")


def test_a_long_search_shows_on_a_terminal_how_far_it_is(logs):
    # no second is waited for here, nor between two looks
    code = (
        "import sys; from auditd_py.cli import ausearch, terminal;"
        "terminal._FIRST_S = terminal._EVERY_S = 0; sys.exit(ausearch.main(sys.argv[1:]))"
    )
    master, slave = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", code, "-k", "nothing has it", "-if", "alpha-raw.log"],
            cwd=logs, env={**os.environ, "PYTHONPATH": str(DATA.parent.parent)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave, timeout=60,
        )  # fmt: skip
        shown = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert re.match(r"\r\[[#.]{30}\] +\d+% of \d+ MB, \d+ s left \x1b\[K", shown), shown
    assert "[" + "#" * 30 + "] 100% of" in shown
    assert shown.endswith("\r\x1b[K<no matches>\r\n")


def test_times_are_iso_8601_if_wanted(logs):
    common = ("--iso-time", "-a", "1542071", "-if", "alpha-raw.log")
    assert b"time->2026-11-22T07:20:28+0000\n" in ausearch(*common, folder=logs).stdout
    assert b"audit(2026-11-22T07:20:28.362:1542071)" in ausearch(*common, "-i", folder=logs).stdout
    row = ausearch(*common, "--format", "csv", folder=logs).stdout.splitlines()[1]
    assert row.startswith(b",USER_CMD,2026-11-22,07:20:28,1542071,")


def test_an_event_is_an_object(logs):
    done = ausearch("--json", "-a", "1542071", "-if", "alpha-raw.log", folder=logs)
    found = json.loads(done.stdout)
    assert (found["serial"], found["types"]) == (1542071, ["USER_CMD"])
    assert found["records"]["user_cmd"][0]["cmd"] == "id"


def test_numbers_of_records_events_and_gaps(tmp_path):
    lines = [
        b"node=%b type=USER msg=audit(1795332025.000:%d): x=1\n" % (node, serial)
        for node, serials in ((b"a", (1, 2, 5, 9)), (b"b", (7, 8)))
        for serial in serials
    ]
    (tmp_path / "log").write_bytes(b"".join(lines) + b"junk\n")
    shown = ausearch("--stats", "-if", "log", folder=tmp_path).stdout.decode()
    assert shown == (
        "node: a\n  from:    11/22/26 07:20:25\n  to:      11/22/26 07:20:25\n  events:  4\n"
        "  records: 4\n    USER                 4\n  events missing by their serials: 5\n"
        "    3: 6 to 8\n    2: 3 to 4\n"
        "node: b\n  from:    11/22/26 07:20:25\n  to:      11/22/26 07:20:25\n  events:  2\n"
        "  records: 2\n    USER                 2\n  events missing by their serials: 0\n"
        "lines that are no records: 1\n"
    )


@pytest.mark.slow
def test_sql_asks_the_events(logs):
    question = (
        "select type, login_user, exe, count(*) n from events where keys = ['shadow_watch']"
        " and success group by all order by n desc, exe limit 2"
    )
    done = ausearch("--sql", question, "-if", "alpha-raw.log", folder=logs)
    assert done.stderr == b""
    assert done.stdout.splitlines()[0] == b"type\tlogin_user\texe\tn"
    assert len(done.stdout.splitlines()) == 3
    done = ausearch(
        "--sql", "select * from read_csv('/etc/passwd')", "-if", "alpha-raw.log", folder=logs
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"disabled" in done.stderr


def test_colours_are_for_terminals_or_those_who_ask(logs):
    common = ("-a", "1542271", "-i", "-if", "alpha-raw.log")
    plain = ausearch(*common, folder=logs).stdout
    colored = ausearch(*common, "--color", "always", folder=logs).stdout
    assert b"\x1b" not in plain
    assert re.sub(rb"\x1b\[\d*m", b"", colored) == plain
    assert b"\x1b[31mres=failed\x1b[0m" in colored


def test_a_terminal_gets_colour_a_pager_and_a_bar_is_taken_away(logs):
    main, terminal = os.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "auditd_py.cli.ausearch", "-a", "1542271", "-if", "alpha-raw.log"],
        cwd=logs, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(DATA.parent.parent), "PAGER": "sed s/type/TYPE/",
             "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(main, 65536):
            shown += data
    except OSError:
        pass  # the other end is closed
    os.close(main)
    assert done.wait(10) == 0
    assert b"\x1b[36mTYPE=USER_LOGIN\x1b[0m" in shown


def test_a_followed_log_is_read_across_rotations(tmp_path):
    log = tmp_path / "audit.log"
    line = b"type=USER msg=audit(1795332025.000:%d): pid=1 uid=0 auid=0 ses=0 msg='%b res=1'\n"
    log.write_bytes(line % (1, b"key=a") + line % (2, b"key=b"))
    follower = subprocess.Popen(
        [sys.executable, "-m", "auditd_py.cli.ausearch", "--follow", "-r", "-if", "audit.log"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(DATA.parent.parent)},
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        read = follower.stdout.readline
        assert [read(), read()] == [line % (1, b"key=a"), line % (2, b"key=b")]
        with log.open("ab") as file:
            file.write(line % (3, b"late"))
            file.flush()
            assert read() == line % (3, b"late")
            file.write(line % (4, b"last"))
        # two rotations between two looks
        log.rename(f"{log}.1")
        log.write_bytes(line % (5, b"between"))
        Path(f"{log}.1").rename(f"{log}.2")
        log.rename(f"{log}.1")
        log.write_bytes(line % (6, b"new"))
        assert [read() for _ in range(3)] == [
            line % (4, b"last"), line % (5, b"between"), line % (6, b"new"),
        ]  # fmt: skip
    finally:
        follower.kill()
        follower.communicate()


def test_nothing_but_the_standard_library_is_loaded(logs):
    program = (
        "import sys; from auditd_py.cli.ausearch import main\n"
        "main(['-i', '-k', 'exec', '-ts', 'boot', '-if', 'alpha-raw.log'])\n"
        "names = {m.partition('.')[0] for m in sys.modules}\n"
        "print(sorted(names - set(sys.stdlib_module_names) - {'auditd_py', '__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=logs, capture_output=True, timeout=30,
        env={**os.environ, "PYTHONPATH": str(DATA.parent.parent)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == [b"[]"]
