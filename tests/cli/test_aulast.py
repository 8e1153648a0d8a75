"""auditd_py.cli.aulast and auditd_py.cli.aulastlog."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.cli.readers import LOGS, recorded_logs, run
from tests.cli.test_aureport import CASES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
BOOTED = 1_795_300_000


SERIALS = count(100)


def said(kind: str, second: int, text: str, node: str = "") -> bytes:
    head = f"node={node} " if node else ""
    stamp = f"{BOOTED + second}.000:{next(SERIALS)}"
    return f"{head}type={kind} msg=audit({stamp}): {text}\n".encode()


def program(kind: str, second: int, who: tuple[int, int], text: str, node: str = "") -> bytes:
    return said(kind, second, f"pid=5 uid=0 auid={who[0]} ses={who[1]} msg='{text}'", node)


def boot(second: int, node: str = "") -> bytes:
    return said("DAEMON_START", second, "op=start kernel=6.1.0 auid=0 pid=1 res=success", node) + (
        program("SYSTEM_BOOT", second + 1, (4294967295, 4294967295), "op=boot res=success", node)
    )


def log_in(second: int, session: int, terminal: str, auid: int = 0, node: str = "") -> bytes:
    return said(
        "LOGIN", second, f"pid=5 uid=0 old-auid=4294967295 auid={auid} ses={session} res=1", node
    ) + program(
        "USER_LOGIN", second, (auid, session),
        f"op=login id={auid} hostname=? addr=10.0.0.9 terminal={terminal} res=success", node,
    )  # fmt: skip


def log_out(second: int, session: int, auid: int = 0) -> bytes:
    return program("USER_END", second, (auid, session), "op=PAM:session_close res=success")


def shut_down(second: int) -> bytes:
    return program("SYSTEM_SHUTDOWN", second, (4294967295, 4294967295), "op=shutdown res=success")


@pytest.fixture
def folder(tmp_path):
    return recorded_logs(tmp_path)


@pytest.mark.parametrize("case", CASES["aulast"], ids=lambda c: f"{c['log'][6:9]} {c['options']}")
def test_it_prints_what_the_c_tool_prints(case, folder):
    done = run(*case["options"].split(), "-f", case["log"], cwd=folder, tool="aulast")
    assert done == (case["rc"], case["stdout"], "")


def lines(folder: Path, log: bytes, *options: str) -> list[str]:
    status, text, errors = run(*options, "--stdin", cwd=folder, log=log, tool="aulast")
    assert (status, errors) == (0, "")
    return text.splitlines()


def test_a_session_ends_with_its_logout_and_the_others_with_the_system(folder):
    log = boot(0) + log_in(60, 1, "/dev/pts/0") + log_in(120, 2, "tty1") + log_out(DAY + 3720, 1)
    shown = lines(folder, log + shut_down(DAY + 7200))
    assert [line[:21].split() for line in shown] == [
        ["root", "pts/0"], ["reboot", "system", "boot"], ["root", "tty1"],
    ]  # fmt: skip
    assert [line[56:] for line in shown] == [
        "- 23:28  (1+01:01)",
        "- 00:26  (1+01:59)",
        "- down   (1+01:58)",
    ]


def test_a_boot_without_a_shutdown_is_a_crash(folder):
    shown = lines(folder, boot(0) + log_in(60, 1, "tty1") + boot(600) + log_in(700, 1, "tty1"))
    assert [line[56:] for line in shown] == ["- crash", "- crash", "", "  still logged in"]


def test_a_terminal_has_one_session(folder):
    shown = lines(folder, log_in(60, 1, "tty1") + log_in(120, 2, "tty1"))
    assert [line[56:] for line in shown] == ["  gone - no logout", "  still logged in"]


def test_a_boot_ends_the_sessions_of_its_node_only(folder):
    log = log_in(1, 1, "tty1", node="a") + log_in(2, 1, "tty1", node="b") + boot(3, node="a")
    assert [line[56:] for line in lines(folder, log)] == ["- crash", "  still logged in", ""]


def test_a_user_and_a_terminal_can_be_chosen(folder):
    log = log_in(1, 1, "tty1", auid=0) + log_in(2, 2, "tty2", auid=1)
    assert [line[9:13] for line in lines(folder, log, "--user", "1")] == ["tty2"]
    assert [line[9:13] for line in lines(folder, log, "--user", "root")] == ["tty1"]
    assert [line[9:13] for line in lines(folder, log, "--tty", "tty2")] == ["tty2"]


def test_the_proof_leads_to_the_session(folder):
    text = "\n".join(lines(folder, log_in(1, 7, "tty1") + log_out(5, 7), "--proof"))
    assert re.search(r"serial numbers: \d+, \d+, \d+\n", text)
    assert "ausearch --start 11/21/26 22:26:41 --end 11/21/26 22:26:45 --session 7" in text


def test_the_records_can_be_extracted_but_not_through_a_link(folder):
    log = log_in(1, 1, "tty1") + said("USER", 2, "x") + log_out(3, 1)
    lines(folder, log, "--extract")
    assert (folder / "aulast.log").read_bytes() == log_in_lines(log)
    (folder / "aulast.log").unlink()
    (folder / "aulast.log").symlink_to(folder / "other")
    status, _, errors = run("--extract", "--stdin", cwd=folder, log=log, tool="aulast")
    assert (status, "aulast.log cannot be written" in errors) == (1, True)
    assert not (folder / "other").exists()


def log_in_lines(log: bytes) -> bytes:
    return b"".join(line for line in log.splitlines(keepends=True) if b"type=USER " not in line)


def test_names_cannot_command_the_terminal(folder):
    log = log_in(1, 1, "tty\x1b[2J")
    assert all("\x1b" not in line for line in lines(folder, log))


@pytest.mark.parametrize("tool", ["aulast", "aulastlog"])
def test_a_wrong_command_line_is_explained(tool, folder):
    status, _, errors = run("--nosuch", cwd=folder, tool=tool)
    assert (status, errors.splitlines()[0]) == (1, "--nosuch is no option")


@pytest.mark.parametrize("tool", ["aulast", "aulastlog"])
def test_the_manual_page_has_every_option(tool, folder):
    page = (ROOT / "docs" / "man" / f"{tool}.8.md").read_text().replace("\\", "")
    there = set(re.findall(r"\*\*(-[\w-]+)\*\*", page.partition("# OPTIONS")[2]))
    shown = set(re.findall(r"(--?[a-z]+)", run("--help", cwd=folder, tool=tool)[1]))
    assert shown <= there


def test_the_last_login_of_each_user_is_shown(folder):
    log = log_in(1, 1, "tty1") + log_in(DAY, 2, "pts/3") + log_in(5, 3, "tty9", auid=54321)
    failed = program("USER_LOGIN", 2 * DAY, (0, 4), 'op=login acct="root" terminal=x res=failed')
    status, text, _ = run("--stdin", cwd=folder, log=log + failed, tool="aulastlog")
    rows = text.splitlines()
    assert rows[0] == "Username         Port         From                       Latest"
    assert f"{'root':16} {'pts/3':12} {'10.0.0.9':26} 11/22/26 22:26:40" in rows
    assert rows[-1].split()[:3] == ["unknown(54321)", "tty9", "10.0.0.9"]
    assert f"{'daemon':16} {'':12} {'':26} **Never logged in**" in rows
    assert status == 0


@pytest.mark.parametrize("name", LOGS)
def test_the_recorded_logs_have_no_login_with_a_login_id(name, folder):
    _, text, _ = run("--stdin", cwd=folder, log=(folder / name).read_bytes(), tool="aulastlog")
    assert [row for row in text.splitlines()[1:] if "**Never" not in row] == []


def test_one_user_can_be_chosen(folder):
    log = log_in(1, 1, "tty1") + log_in(5, 3, "tty9", auid=1)
    for word in ("root", "0"):
        _, text, _ = run("-u", word, "--stdin", cwd=folder, log=log, tool="aulastlog")
        assert [row.split()[0] for row in text.splitlines()[1:]] == ["root"]
    assert run("-u", "no such", "--stdin", cwd=folder, log=log, tool="aulastlog")[0] == 1
