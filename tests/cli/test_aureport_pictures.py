"""aureport --plot, --graph, --html, mkbar and mkgraph, run as programs."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.logs import recorded
from tests.report.test_page import Elements, svg_texts

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a recorded log."""
    made = tmp_path_factory.mktemp("pictures")
    (made / "alpha.log").write_bytes(recorded("alpha-enriched"))
    return made


def program(tool: str, *words: str, cwd: Path, data: bytes | None = None):
    return subprocess.run(
        [sys.executable, "-m", f"auditd_py.cli.{tool}", *words], cwd=cwd, input=data,
        capture_output=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "TZ": "UTC"},
    )  # fmt: skip


def report(*words: str, cwd: Path):
    return program("aureport", "-if", "alpha.log", *words, cwd=cwd)


def page_data(path: Path):
    return json.loads(Elements(path.read_text()).of("script")[0][1])


def test_a_page_has_the_counts_of_the_summary(folder):
    done = report("-x", "--summary", "--plot", "x.html", cwd=folder)
    assert (done.returncode, done.stdout) == (0, b"")
    assert (folder / "x.html").stat().st_mode & 0o777 == 0o600
    (chart,) = page_data(folder / "x.html")["items"]
    counts: dict[str, int] = {}
    for label, _, count in chart["cells"]:
        name = chart["labels"][0][label]
        counts[name] = counts.get(name, 0) + count
    text = report("-x", "--summary", cwd=folder).stdout.decode()
    assert counts == {name: int(n) for n, name in re.findall(r"^(\d+)  (.*)$", text, re.MULTILINE)}


def test_the_report_of_a_period_has_all_sections(folder):
    done = report("--html", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"out/index.html\n"
    items = {item["title"]: item for item in page_data(folder / "out" / "index.html")["items"]}
    assert {
        "Totals", "Events over time", "Logins over time", "Failed logins, by account",
        "sudo and su: who became whom", "Commands with sudo", "Account changes", "Files by key",
        "Executables", "Failed accesses to files: who, and what", "Anomalies",
        "Changes of the audit configuration", "How complete the log is",
    } <= set(items)  # fmt: skip
    text = report(cwd=folder).stdout.decode()
    totals = dict(re.findall(r"^Number of (.*): (\d+)$", text, re.MULTILINE))
    assert {name: number.replace(",", "") for name, number in items["Totals"]["rows"]} == totals
    said = [row[1][2] for row in items["What the audit daemon said of itself"]["rows"]]
    assert sorted(said) == ["DAEMON_END", "DAEMON_START"]
    assert items["Commands with sudo"]["rows"]
    with (folder / "out" / "executables.csv").open() as file:
        rows = list(csv.reader(file))
    summary = report("-x", "--summary", cwd=folder).stdout.decode()
    assert rows[0] == ["count", "file"]
    most = re.search(r"^(\d+)  (.*)$", summary, re.MULTILINE)
    assert most is not None
    assert rows[1][1] == most[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--graph", "user,exe"], "--graph needs --plot"),
        (["--graph", "user,what", "--plot", "a.svg"], "two different of user, exe"),
        (["--graph", "user,user", "--plot", "a.svg"], "two different of user, exe"),
        (["-x", "--plot", "a.gif"], "a name ending in .png, .svg or .html"),
        (["--plot", "a.svg"], "--plot needs a report"),
        (["-x", "--html", "d"], "--html is about all"),
        (["-x", "--json", "--plot", "a.svg"], "exclude"),
        (["-x", "--summary", "--plot", "no/such/a.html"], "No such file or directory"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(folder, words, said):
    done = report(*words, cwd=folder)
    assert done.returncode == 1
    assert said in done.stderr.decode()
    assert not (folder / "a.svg").exists()


def test_a_link_is_replaced_and_not_followed(folder):
    (folder / "kept").write_text("kept")
    (folder / "link.html").symlink_to("kept")
    assert report("-e", "--plot", "link.html", cwd=folder).returncode == 0
    assert (folder / "kept").read_text() == "kept"
    assert not (folder / "link.html").is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["-x", "--summary", "-i"], "/usr/sbin/sshd"),
        (["-e", "-i"], "SYSCALL"),
        (["-l", "--by", "hour", "-i"], "failed"),
        (["-l", "--graph", "host,login", "-i"], "host"),
        (["-k", "--by", "node", "-i"], "node"),
    ],
    ids=" ".join,
)
def test_reports_are_drawn(folder, words, there):
    done = report(*words, "--plot", "r.svg", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert any(there in text for text in svg_texts((folder / "r.svg").read_bytes()))


@pytest.mark.slow
def test_mkbar_and_mkgraph_take_the_old_pipes(folder):
    summary = report("-x", "-i", "--summary", cwd=folder).stdout
    done = program("mkbar", "programs", cwd=folder, data=summary)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"programs.png\n", b"")
    assert (folder / "programs.png").read_bytes().startswith(b"\x89PNG")
    assert program("mkbar", "programs", "svg", cwd=folder, data=summary).returncode == 0
    texts = svg_texts((folder / "programs.svg").read_bytes())
    assert {"Executable Summary Report", "/usr/sbin/sshd"} <= set(texts)
    rows = report("-u", "-i", cwd=folder).stdout.decode()
    pairs = "".join(
        f"{words[3]} {words[6]}\n" for line in rows.splitlines() if (words := line.split())[:1]
        and words[0][0].isdigit()
    )  # fmt: skip
    done = program("mkgraph", "who.svg", cwd=folder, data=pairs.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert any("/usr/sbin/sshd" in text for text in svg_texts((folder / "who.svg").read_bytes()))


def test_mkbar_says_what_it_cannot_read(folder):
    done = program("mkbar", "none.html", cwd=folder, data=b"some words\nno count\n")
    assert done.returncode == 1
    assert done.stderr == b"mkbar: 2 lines are no count and name\n"
