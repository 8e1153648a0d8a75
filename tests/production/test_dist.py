"""What `make dist` builds, installed where there is no source."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from auditd_py import __version__
from tests.production.debian import ROOT, make

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis")
PARTS = ("tests/log", "tests/remote", "tests/cli/test_migrate.py", "tests/config/test_migrate.py")


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_wheel_passes_tests_where_there_is_no_source(tmp_path: Path):
    make("dist")
    wheel = ROOT / "dist" / f"auditd_py-{__version__}-py3-none-any.whl"
    with tarfile.open(ROOT / "dist" / f"auditd_py-{__version__}.tar.gz") as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"pyproject.toml", "LICENSE", "docs/man/auditd.8.md", "tools/install_tree.py"} <= names

    subprocess.run(["/usr/bin/python3", "-m", "venv", tmp_path / "venv"], check=True, timeout=60)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel, *NEEDED], check=True, timeout=120)
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    where = "import auditd_py; print(auditd_py.__file__)"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [python, "-c", where], cwd=tmp_path, capture_output=True, text=True, env=clean
    )
    assert found.stdout.startswith(str(tmp_path / "venv"))
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-m", "not slow and not kernel and not peer", *PARTS],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env=clean,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    for command in ("auditctl", "ausearch", "auditd-py"):
        assert (tmp_path / "venv" / "bin" / command).exists()
