"""Manual pages and completions: one for each command, and they know its options."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from auditd_py.cli import migrate, multitool

ROOT = Path(__file__).parent.parent.parent
MAN = ROOT / "docs" / "man"
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with the completions of each shell."""
    folder = tmp_path_factory.mktemp("completions")
    subprocess.run(["python3", "tools/gen_completions.py", folder], cwd=ROOT, check=True)
    return folder


def test_each_command_has_a_page():
    missing = {command for command in COMMANDS if not list(MAN.glob(f"{command}.[18].md"))}
    assert missing <= {"ausearch"}  # still to be written


def test_the_page_of_migrate_has_its_options():
    page = (MAN / "auditd-py-migrate.8.md").read_text().replace("\\", "")
    options = page.partition("\n# OPTIONS\n")[2].partition("\n# ")[0]
    heads = [line for line in options.splitlines() if line.startswith("**-")]
    assert {word for line in heads for word in re.findall(r"\*\*(-[\w-]+)\*\*", line)} == {
        word for action in migrate._parser()._actions for word in action.option_strings
    }


def test_the_page_of_the_multitool_has_its_tools():
    page = (MAN / "auditd-py.8.md").read_text().replace("\\", "")
    tools = page.partition("\n# TOOLS\n")[2].partition("\n# ")[0]
    heads = [line for line in tools.splitlines() if line.startswith("**")]
    assert {word for line in heads for word in re.findall(r"\*\*([\w-]+)\*\*", line)} == (
        set(multitool.TOOLS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(MAN.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_is_shown_by_man(page: Path, tmp_path: Path):
    roff = tmp_path / "page"
    subprocess.run(["pandoc", "-s", "-f", "markdown", "-t", "man", "-o", roff, page], check=True)
    text = roff.read_text()
    title, section = page.stem.split(".")[-2:] if page.stem.count(".") > 1 else page.stem.split(".")
    assert re.search(
        rf'^\.TH "?\S*{re.escape(title)}"? "?{section}', text, re.MULTILINE | re.IGNORECASE
    )
    assert ".SH NAME" in text.replace('"', "")


@pytest.mark.slow
def test_bash_completes_an_option(completions: Path):
    script = (
        f". {completions}/bash/augenrules; COMP_WORDS=(augenrules --l) COMP_CWORD=1; "
        f"_augenrules; echo ${{COMPREPLY[@]}}; "
        f". {completions}/bash/auditd-py; COMP_WORDS=(auditd-py mi) COMP_CWORD=1; "
        f"_auditd_py; echo ${{COMPREPLY[@]}}; COMP_WORDS=(auditd-py migrate --b) COMP_CWORD=2; "
        f"_auditd_py; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.split("\n") == ["--load", "migrate", "--back", ""]


@pytest.mark.slow
def test_fish_completes_an_option(completions: Path):
    for words, expected in (
        ("augenrules --lo", ["--load"]),
        ("auditd-py migr", ["migrate"]),
        ("auditd-py migrate --ba", ["--back"]),
    ):
        name = words.split()[0]
        done = subprocess.run(
            ["fish", "--no-config", "-c",
             f"source {completions}/fish/{name}.fish; complete -C '{words}'"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == expected


@pytest.mark.slow
def test_zsh_takes_each_file(completions: Path):
    files = sorted((completions / "zsh").iterdir())
    pages = {page.name.split(".")[0] for page in MAN.glob("*.8.md")}
    tools = {page for page in pages if page.startswith("auditd-py-")}  # arguments of auditd-py
    assert {file.name[1:] for file in files} == pages - tools
    for file in files:
        subprocess.run(["zsh", "-n", file], check=True, timeout=20)
    script = f"fpath=({completions}/zsh $fpath); autoload -U compinit; compinit -u -D; echo $_comps[auditctl]"
    done = subprocess.run(
        ["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "_auditctl\n"
