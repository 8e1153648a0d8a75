"""auditd_py.cli.aureport, run as a program."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditd_py.cli.aureport import MODIFIERS, usage
from auditd_py.report.definitions import REPORTS
from tests.cli.readers import LOGS, recorded_logs, run
from tests.programs import wait_for
from tests.report.logs import call, login, path, recorded

ROOT = Path(__file__).parent.parent.parent
CASES = json.loads(lzma.decompress((ROOT / "tests" / "data" / "aureport.json.xz").read_bytes()))
QUICK = {"", "-f --summary", "-x --failed", "-k --summary", "-l -i", "-a", "-e --summary -i", "-t"}
LISTED = "<no events of interest were found>"
# what is better than the C tool's: docs/differences.md
FILES = re.compile(r"^(\d+\. \S+ \S+) \S+ (.*)$", re.MULTILINE)
OTHERS = [option for report in REPORTS for option in report.options[:1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return recorded_logs(tmp_path_factory.mktemp("logs"))


def program(*words: str, cwd: Path, log: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process, `log` on a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "auditd_py.cli.aureport", *words], cwd=cwd, timeout=60,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C", "PYTHONPATH": str(ROOT)},
        capture_output=True, input=log,
    )  # fmt: skip


def known_gains(case: dict[str, str], ours: str, golden: str) -> tuple[str, str]:
    """Return both outputs without what is better in ours."""
    options = case["options"].split()
    if "-i" in options and case["log"] == "alpha-enriched.log":
        ours = ours.replace("alice", "unknown(1001)")
        golden = golden.replace("alice", "unknown(1001)")
    if "-f" in options and "--summary" not in options:
        ours, golden = FILES.sub(r"\1 \2", ours), FILES.sub(r"\1 \2", golden)
    return ours, golden


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            marks=[] if case["options"] in QUICK and "raw" in case["log"] else [pytest.mark.slow],
        )
        for case in CASES["aureport"]
    ],
    ids=[f"{case['log'][6:9]} {case['options']}" for case in CASES["aureport"]],
)
def test_it_prints_what_the_c_tool_prints(case, folder):
    status, ours, _ = run(*shlex.split(case["options"]), "-if", case["log"], cwd=folder)
    ours, golden = known_gains(case, ours, case["stdout"])
    assert ours == golden
    assert status == case["rc"]


@pytest.mark.slow
def test_most_of_what_it_prints_is_the_same_without_exceptions(folder):
    same = [
        run(*shlex.split(case["options"]), "-if", case["log"], cwd=folder)[:2]
        == (case["rc"], case["stdout"])
        for case in CASES["aureport"]
    ]
    assert (sum(same), len(same)) == (273, 288)


def test_a_file_is_shown_and_not_the_folder_around_it(folder):
    log = call(1) + path(1, b'"/etc/"', nametype=b"PARENT") + path(1, b'"/etc/passwd"')
    assert "/etc/passwd openat yes" in run("-f", "-i", cwd=folder, log=log)[1]


def test_the_name_in_the_record_goes_before_that_of_this_system(folder):
    log = call(1, auid=0, enriched=b'\x1dARCH=x86_64 SYSCALL=openat AUID="admin" UID="root"')
    assert "1  admin" in run("-u", "--summary", "-i", cwd=folder, log=log)[1]


def test_what_is_left_out_is_told(folder):
    decision = b"type=USER_AVC msg=audit(1700000000.000:1): pid=1 msg='avc:  denied  { status }'\n"
    assert "1 USER_AVC events are not" in run("-x", cwd=folder, log=decision + call(2))[2]


@pytest.mark.parametrize("option", OTHERS)
def test_every_report_is_there_as_json(option, folder):
    text = run(option, "-i", "-if", LOGS[1], cwd=folder)[1]
    status, lines, _ = run(option, "-i", "--json", "-if", LOGS[1], cwd=folder)
    found = [json.loads(line) for line in lines.splitlines()]
    assert len(found) == len(re.findall(r"^\d+\. ", text, re.MULTILINE))
    assert status == (0 if found else 1)


def test_json_has_numbers_names_and_null(folder):
    log = call(7, exe=b"(null)", auid=4294967295, node=b"web") + login(8)
    row, other = run("-p", "--json", cwd=folder, log=log)[1].splitlines()
    assert json.loads(row) == {
        "time": "2023-11-14T22:13:20.000Z", "node": "web", "pid": 100, "exe": "(null)",
        "syscall": 257, "auid": -1, "event": 7,
    }  # fmt: skip
    assert json.loads(other)["syscall"] is None


@pytest.mark.parametrize("option", ["-x", "-f", "-e", "-l"])
def test_csv_has_the_rows_of_the_summary(option, folder):
    text = run(option, "--summary", "-if", LOGS[0], cwd=folder)[1].splitlines()[5:]
    found = list(
        csv.reader(io.StringIO(run(option, "--summary", "--csv", "-if", LOGS[0], cwd=folder)[1]))
    )
    assert found[0][0] == "count"
    assert [" ".join(row) for row in found[1:]] == [" ".join(line.split("  ")) for line in text]


@pytest.mark.parametrize("name", [b"a,b", b'q"q', b"n\nn", b"\xff\xfe", b"\x1b[2J", b"<b>x</b>"])
def test_names_cannot_break_out_of_a_format(name, folder):
    log = call(1, exe=name.hex().upper().encode()) + call(2)
    text = run("-x", "--summary", cwd=folder, log=log)[1]
    assert len(text.splitlines()) == 7
    assert "\x1b" not in text
    rows = list(csv.reader(io.StringIO(run("-x", "--summary", "--csv", cwd=folder, log=log)[1])))
    shown = name.decode("utf-8", "backslashreplace")
    assert rows[1] == ["1", shown]
    first = run("-x", "--summary", "--json", cwd=folder, log=log)[1].splitlines()[0]
    assert json.loads(first) == {"count": 1, "file": shown}


HOURS = b"".join(
    call(n, second=1_700_000_000 + 3600 * (n % 3), exe=b'"/bin/%d"' % (n % 2), node=b"n%d" % (n % 2))
    for n in range(60)
)  # fmt: skip


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("hour", [f"10  2023-11-{d}T{h}:00  /bin/{x}" for d, h in (("14", "22"), ("14", "23"), ("15", "00")) for x in (0, 1)]),
        ("day", ["20  2023-11-14  /bin/0", "20  2023-11-14  /bin/1", "10  2023-11-15  /bin/0", "10  2023-11-15  /bin/1"]),
        ("node", ["30  n0  /bin/0", "30  n1  /bin/1"]),
    ],
)  # fmt: skip
def test_a_summary_can_be_by_time_or_node(by, rows, folder):
    lines = sorted(HOURS.splitlines(keepends=True), key=lambda line: line.partition(b"audit(")[2])
    status, text, _ = run("-x", "--by", by, cwd=folder, log=b"".join(lines))
    assert (status, sorted(text.splitlines()[5:])) == (0, sorted(rows))


def test_top_gives_the_most_frequent(folder):
    whole = run("-x", "--summary", "-if", LOGS[0], cwd=folder)[1].splitlines()
    assert run("-x", "--top", "3", "-if", LOGS[0], cwd=folder)[1].splitlines() == whole[:8]


def test_time_and_node_and_types_choose(folder):
    def serials(*options: str, log: bytes) -> list[str]:
        return [
            line.split()[-1]
            for line in run("-s", *options, cwd=folder, log=log)[1].splitlines()[5:]
        ]

    log = b"".join(call(n, second=1_700_000_000 + n) for n in range(5))
    assert serials("-ts", "2023-11-14T22:13:21Z", "-te", "2023-11-14T22:13:23Z", log=log) == [
        "1",
        "2",
        "3",
    ]
    assert serials("-ts", "11/14/23", "22:13:22", log=log) == ["2", "3", "4"]
    nodes = call(1, node=b"a") + call(2, node=b"b") + call(3)
    assert serials("--node", "a", log=nodes) == ["1"]
    assert serials("--node", "a", "--node", "b", log=nodes) == ["1", "2"]
    config = b'type=CONFIG_CHANGE msg=audit(1700000000.000:1): op=add_rule key="k" list=4 res=1\n'
    assert serials("-nc", log=config + call(1) + call(2)) == ["2"]


@pytest.mark.parametrize(
    "words",
    [
        "-f", "-f --start 02/18/10 17:42:00", "-f --start 02/18/10 17:42:00 --end 02/18/10 17:10:00",
        "-f -ts this-week", "-f -ts today", "-f -i", "-f --failed", "-au", "-l", "-m",
    ],
)  # fmt: skip
def test_command_lines_that_people_use_are_understood(words, folder):
    status, text, errors = run(*words.split(), "-if", LOGS[0], cwd=folder)
    assert (errors, status) == ("", 1 if LISTED in text else 0)
    assert text.splitlines()[1].endswith(" Report")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-a -au", "Error - only one report can be specified"),
        ("-t -e", "Error - only one report can be specified"),
        ("--bogus", "--bogus is an unsupported option"),
        ("-ts", "-ts requires either date and/or time"),
        ("-if", "Argument is required for -if"),
        ("-ts 99/99/99", "99/99/99 is not a date"),
        ("-x --top none", "--top none: a number from 1 is needed"),
        ("-x --by week", "--by week: allowed are hour, day, node"),
        ("--top 3", "--by and --top need a report"),
        ("-e --escape all", "--escape all: allowed are raw, tty, shell, shell_quote"),
        ("-e --json --csv", "--json and --csv exclude each other"),
    ],
)
def test_a_wrong_command_line_is_explained(words, message, folder):
    status, output, errors = run(*words.split(), cwd=folder)
    assert (status, output) == (1, usage())
    assert message in errors


def test_a_log_that_is_not_there_is_an_error(folder):
    status, output, errors = run("-e", "-if", "nosuch.log", cwd=folder)
    assert (status, output) == (1, "")
    assert "nosuch.log: cannot be opened: No such file" in errors


def test_an_empty_log_has_nothing(folder):
    (folder / "empty.log").write_bytes(b"")
    assert LISTED in run("-e", "-if", "empty.log", cwd=folder)[1]
    assert run("-t", "-if", "empty.log", cwd=folder)[1].endswith("\nempty.log: no records\n")
    assert "01/01/70 00:00:00.000" in run("-if", "empty.log", cwd=folder)[1]


def test_a_folder_is_read_with_its_archives_oldest_first(folder, tmp_path):
    log = recorded("alpha-raw")
    lines = log.splitlines(keepends=True)
    (tmp_path / "audit.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:2001])))
    (tmp_path / "audit.log.1").write_bytes(b"".join(lines[2001:4003]))
    (tmp_path / "audit.log").write_bytes(b"".join(lines[4003:]))
    for options in (["-e"], ["-f", "--summary"], []):
        whole = run(*options, "-if", LOGS[0], cwd=folder)
        assert run(*options, "-if", str(tmp_path), cwd=folder)[:2] == whole[:2]


def test_a_log_that_is_written_meanwhile_is_read_to_some_whole_record(tmp_path):
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(call(n) for n in range(2000)))
    code = (
        "import sys\n"
        "from tests.report.logs import call\n"
        "file = open(sys.argv[1], 'ab', buffering=0)\n"
        "for n in range(2000, 60_000):\n"
        "    line = call(n)\n"
        "    file.write(line[:100]); file.write(line[100:])\n"
    )
    counts = [0]

    def counted() -> int:
        status, text, errors = run("-x", "--summary", "-if", str(log), cwd=tmp_path)
        count, exe = text.splitlines()[5].split()
        assert (status, errors, exe) == (0, "", "/bin/true")
        assert counts[-1] <= int(count) <= log.read_bytes().count(b"\n") + 1
        counts.append(int(count))
        return counts[-1]

    with subprocess.Popen([sys.executable, "-c", code, str(log)], cwd=ROOT) as writer:
        try:
            wait_for(lambda: counted() > 2000, "the report has what was written meanwhile")
        finally:
            writer.kill()
    assert counts[1] >= 2000


def test_a_pipe_is_read_to_its_end(folder):
    done = program("-f", "--summary", cwd=folder, log=recorded("alpha-raw"))
    assert done.stdout.decode() == run("-f", "--summary", "-if", LOGS[0], cwd=folder)[1]


def test_a_reader_that_goes_away_is_no_error(folder):
    command = f"{sys.executable} -m auditd_py.cli.aureport -e -if {LOGS[0]} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("\n", "")


def test_it_starts_without_third_party_modules():
    program = (
        "import sys; old = set(sys.modules)\n"
        "import auditd_py.cli.aureport, auditd_py.cli.aulast, auditd_py.cli.aulastlog\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - old}\n"
        "print((new - sys.stdlib_module_names - {'auditd_py'})"
        " | new & {'asyncio', 'socket', 'csv', 'json', 'subprocess'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_it_ends_within_a_moment_on_a_short_log(folder):
    (folder / "ten.log").write_bytes(b"".join(call(n) for n in range(10)))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        program("-x", "--summary", "-if", "ten.log", cwd=folder)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3


def test_the_manual_page_has_every_option():
    page = (ROOT / "docs" / "man" / "aureport.8.md").read_text().replace("\\", "")
    there = set(re.findall(r"\*\*(-[\w-]+)\*\*", page.partition("# REPORTS")[2]))
    options = {option for names, _, _ in MODIFIERS for option in names}
    options |= {option for report in REPORTS for option in report.options}
    assert {option for option in there if option in options} == options
    assert there <= options
    assert all(option in usage() for option in options)
