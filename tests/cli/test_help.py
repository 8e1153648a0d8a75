"""Help and version of every command."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from auditd_py import __version__

ROOT = Path(__file__).parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
NO_VERSION = {"aulast", "aulastlog", "ausyscall", "augenrules", "mkbar", "mkgraph", "auditd-py"}
_WIDTH = 80
_HEIGHT = 55


def run(name: str, *words: str) -> str:
    module, _, function = SCRIPTS[name].partition(":")
    code = f"import sys; from {module} import {function} as main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = {name!r}; {code}", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_help_fits_a_screen_and_the_page_has_its_options(name):
    shown = run(name, "--help")
    lines = shown.splitlines()
    assert lines[0].lower().startswith("usage: ")
    assert name in lines[0]
    assert [line for line in lines if len(line) > _WIDTH] == []
    assert len(lines) <= _HEIGHT
    section = "1" if name in ("mkbar", "mkgraph") else "8"
    page = (ROOT / "docs" / "man" / f"{name}.{section}.md").read_text().replace("\\", "")
    options = set(re.findall(r"(?<![\w|-])--?[a-zA-Z][\w-]*", shown)) - {"-h", "--help"}
    assert [option for option in options if option not in page] == []


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - NO_VERSION))
def test_the_version_is_told(name):
    word = "-v" if name == "auditctl" else "--version"
    assert run(name, word) in (f"{name} version {__version__}\n", f"{name} {__version__}\n")


def test_the_help_of_plugins_is_there_under_the_common_name_too():
    assert run("auditd-py", "audisp-filter", "--help") == run("audisp-filter", "--help")
