"""The gate: style, types and structure, as tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATHS = ["auditd_py", "tests", "tools", "benchmarks"]


def passes(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing():
    passes(sys.executable, "-m", "ruff", "check", ".")


def test_the_code_is_formatted():
    passes(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.timeout(300)
def test_mypy_strict_finds_nothing():
    passes(sys.executable, "-m", "mypy")


def test_imports_point_down():
    passes("lint-imports")


@pytest.mark.parametrize("script", sorted(ROOT.glob("tools/*.sh")), ids=lambda p: p.name)
def test_a_shell_script_parses(script: Path):
    passes("sh", "-n", str(script))
