"""auditd_py.actions.rehearsal: every configured action in its harmless form, as a table."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions.rehearsal import Rehearsal, example, rehearse, table
from auditd_py.config.keywords import DaemonConfig
from auditd_py.config.values import Action, Space
from auditd_py.log.incident import Condition
from tests.actions.site import install_site_package

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path, log_dir: Path, monkeypatch) -> Callable[..., DaemonConfig]:
    """Make settings: config(disk_full_action="halt", …)."""
    install_site_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "site_actions", raising=False)

    def make(**words: str) -> DaemonConfig:
        actions = {keyword: Action(*text.split()) for keyword, text in words.items()}
        return DaemonConfig.model_validate({"log_file": str(log_dir / "audit.log"), **actions})

    return make


def test_the_table_has_a_line_for_each_keyword(config, listener, log_dir, commands):
    program = log_dir / "program"
    program.write_text(f"#!/bin/sh\necho $AUDITD_REHEARSAL >{log_dir}/out\n")
    program.chmod(0o750)
    shown, status = rehearse(
        config(
            max_log_file_action="rotate",
            space_left_action="syslog",
            admin_space_left_action=f"exec {program}",
            disk_full_action="halt",
            disk_error_action="ignore",
        ),
        "",
        "web1",
    )
    assert status == 0
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines] == [
        "keyword", "max_log_file_action", "space_left_action", "admin_space_left_action",
        "disk_full_action", "disk_error_action", "overflow_action",
    ]  # fmt: skip
    assert all("  ok  " in line for line in lines[1:])
    assert "TEST: Audit daemon is low on disk space" in lines[2]
    assert b"TEST: Audit daemon is low on disk space" in listener.recv(4096)
    assert (log_dir / "out").read_text() == "1\n"
    assert "and end the daemon" in lines[4]
    assert commands == []


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("disk_full_action", ["disk_full_action"]),
        ("SUSPEND", ["disk_full_action", "disk_error_action"]),
        ("paging", ["space_left_action"]),
    ],
)
def test_a_keyword_or_an_action_picks_lines(config, name, keywords):
    settings = config(
        space_left_action="paging x", disk_full_action="suspend", disk_error_action="suspend",
        admin_space_left_action="single",
    )  # fmt: skip
    shown, status = rehearse(settings, name, "web1")
    assert status == 0
    assert [line.split()[0] for line in shown.splitlines()[1:]] == keywords


def test_a_name_that_picks_nothing_is_told(config):
    shown, status = rehearse(config(disk_full_action="halt"), "hald", "web1")
    assert status == 1
    assert shown.startswith("hald: no such keyword or action is set; there are max_log_file_action")
    assert "disk_full_action = halt" in shown


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("raises", "ValueError('out of paper')"),
        ("blocks", "took longer than 0 s"),
        ("cannot_be_made", "needs a pager's name"),
        ("incomplete", "TypeError("),
        ("nobody", "nobody: no such action is installed"),
        ("exec /no/such", "/no/such: No such file or directory"),
    ],
)
def test_a_failure_is_a_line_and_keeps_no_other_from_its_own(config, setting, text):
    started = time.monotonic()
    settings = config(space_left_action=setting, disk_full_action="suspend")
    shown, status = rehearse(settings, "", "web1")
    assert status == 1
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert "FAILED" in lines["space_left_action"]
    assert text in lines["space_left_action"]
    assert "  ok  " in lines["disk_full_action"]
    assert time.monotonic() - started < 5


def test_columns_stand_below_each_other():
    rows = [
        Rehearsal("space_left_action", "email", ok=False, text="refused"),
        Rehearsal("disk_full_action", "exec /opt/x", ok=True, text="done"),
    ]
    assert table(rows) == (
        "keyword            action       result  what was done\n"
        "space_left_action  email        FAILED  refused\n"
        "disk_full_action   exec /opt/x  ok      done\n"
    )


@pytest.mark.parametrize("condition", list(Condition))
def test_an_example_is_as_it_could_happen(condition, config):
    settings = config().model_copy(update={"space_left": Space(20, percent=True)})
    found = example(condition, settings)
    assert found.condition is condition
    assert found.path == settings.log_file
    if condition in (Condition.SPACE_LEFT, Condition.ADMIN_SPACE_LEFT):
        assert found.free is not None
        assert 0 <= found.free < found.limit


def test_an_example_does_without_the_disk():
    config = DaemonConfig(log_file="/no/such/place/audit.log", space_left=Space(20, percent=True))
    assert example(Condition.SPACE_LEFT, config).limit == 0
