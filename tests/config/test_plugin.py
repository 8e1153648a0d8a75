"""auditd_py.config.plugin: files of plugins.d, real ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditd_py.config.plugin import load_plugins

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def folder(log_dir: Path) -> Path:
    (log_dir / "program").write_text("#!/bin/sh\n")
    (log_dir / "program").chmod(0o750)
    place = log_dir / "plugins.d"
    place.mkdir()
    return place


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text.replace("PROGRAM", str(folder.parent / "program")))
    path.chmod(0o640)


def problems(folder: Path) -> list[str]:
    return [
        str(problem).removeprefix(f"{folder}/") for problem in load_plugins(str(folder)).problems
    ]


def test_an_active_plugin_has_its_program_arguments_and_format(folder):
    put(
        folder,
        "one.conf",
        "Active = YES\npath = PROGRAM\nargs = a  b\tc\nformat = Binary\ntype = always\n",
    )
    (plugin,) = load_plugins(str(folder)).plugins.values()
    assert (plugin.name, plugin.args, plugin.binary) == ("one", ("a", "b", "c"), True)
    assert plugin.path == str(folder.parent / "program")


def test_a_plugin_is_inactive_unless_it_says_otherwise(folder):
    put(folder, "one.conf", "path = /nowhere/at/all\n")
    put(folder, "two.conf", "active = no\npath = /nowhere/at/all\n")
    loaded = load_plugins(str(folder))
    assert (loaded.plugins, loaded.problems) == ({}, [])


@pytest.mark.parametrize(
    "name", [".hidden.conf", "a.b.conf", "one.conf.dpkg-old", "README", "one.con"]
)
def test_other_files_are_not_read(folder, name):
    put(folder, name, "nonsense\n")
    assert problems(folder) == []


def test_a_directory_that_is_missing_has_no_plugins(folder):
    loaded = load_plugins(f"{folder}/none")
    assert (loaded.plugins, loaded.problems) == ({}, [])


def test_the_files_of_the_c_daemons_package_are_understood(folder, peers):
    for path in (peers.place / "etc/audit/plugins.d").iterdir():
        put(folder, path.name, path.read_text().replace("active = yes", "active = no"))
    loaded = load_plugins(str(folder))
    assert (loaded.plugins, loaded.problems) == ({}, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("actve = yes\n", "one.conf:1: actve: unknown keyword, did you mean active?"),
        ("active = maybe\n", "one.conf:1: active: maybe: yes or no is allowed"),
        ("format = xml\n", "one.conf:1: format: xml: string or binary is allowed"),
        ("type = never\n", "one.conf:1: type: never: always or builtin is allowed"),
        ("path = prog\n", "one.conf:1: path: prog: the absolute path of a program is allowed"),
        ("path = /p/x\n", "one.conf:1: path: /p/x: the directory part needs 4 characters"),
        ("active = yes no\n", "one.conf:1: active: no: nothing may follow the value"),
        ("active = yes\n", "one.conf: path: an active plugin needs one"),
        (
            "active = yes\npath = builtin_syslog\n",
            "one.conf:2: path: builtin_syslog is a program of its own now: name the path of audisp-syslog",
        ),
        (
            "active = yes\npath = /nowhere/at/all\n",
            "one.conf:2: path: /nowhere/at/all cannot be run: No such file or directory",
        ),
        ("active = yes\npath = /proc/self\n", "one.conf:2: path: /proc/self is not a regular file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(folder, text, problem):
    put(folder, "one.conf", text)
    assert problems(folder) == [problem]


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (lambda p: p.chmod(0o770), "can be changed by others than root: chmod go-w"),
        (lambda p: p.chmod(0o640), "is not for root to read and run: chmod u+rx"),
        (lambda p: os.chown(p, 7, 0), "is owned by uid 7: chown root"),
    ],
)
def test_a_program_others_could_have_put_there_is_refused(folder, change, flaw):
    put(folder, "one.conf", "active = yes\npath = PROGRAM\n")
    change(folder.parent / "program")
    (problem,) = problems(folder)
    assert flaw in problem


@pytest.mark.parametrize("mode", [0o660, 0o642])
def test_settings_others_may_write_are_refused(folder, mode):
    put(folder, "one.conf", "active = yes\npath = PROGRAM\n")
    (folder / "one.conf").chmod(mode)
    (problem,) = problems(folder)
    assert "writable by" in problem


def test_all_problems_of_all_files_are_told_and_good_plugins_stay(folder):
    put(folder, "a.conf", "x = 1\ny = 2\n")
    put(folder, "b.conf", "active = yes\npath = PROGRAM\n")
    put(folder, "c.conf", "active\n")
    loaded = load_plugins(str(folder))
    assert [problem.line for problem in loaded.problems] == [1, 2, 1]
    assert list(loaded.plugins) == ["b"]


def test_a_new_program_is_a_new_plugin(folder):
    put(folder, "one.conf", "active = yes\npath = PROGRAM\n")
    before = load_plugins(str(folder)).plugins["one"]
    assert load_plugins(str(folder)).plugins["one"] == before
    program = folder.parent / "program"
    program.rename(program.with_suffix(".old"))
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o750)
    assert load_plugins(str(folder)).plugins["one"] != before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.binary(max_size=200))
def test_random_files_give_problems_and_nothing_else(folder, data):
    (folder / "one.conf").write_bytes(data)
    load_plugins(str(folder))
