"""The units as systemd reads them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNITS = sorted((ROOT / "systemd").glob("*.service"))


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Give the units with a program that is there, as systemd wants to see one."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(
            unit.read_text().replace("/usr/bin/auditd-py", "/usr/bin/env")
        )
    return sorted(tmp_path.iterdir())


def test_systemd_finds_nothing_wrong(units: list[Path]):
    assert len(units) == 2
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_exposure_is_what_the_documentation_says(units: list[Path]):
    page = (ROOT / "docs" / "install.md").read_text()
    for unit in units:
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", unit],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        found = re.search(r"exposure level for (\S+): ([\d.]+)", done.stdout)
        assert found, done.stderr
        assert f"| `{found[1]}` | {found[2]} |" in page


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_directive_of_the_service_has_a_reason_before_it(unit: Path):
    service = unit.read_text().partition("[Service]")[2].partition("[Install]")[0]
    blocks = [block for block in service.strip().split("\n\n") if "=" in block]
    assert [block for block in blocks if "#" not in block] == []
