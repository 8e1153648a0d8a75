"""The fleet on one laptop: the demonstration ends with every record in an archive, and pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, unavailable
from tests.nats import Cluster

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


def demonstrate(folder: Path) -> subprocess.CompletedProcess[str]:
    if not Cluster.available():
        unavailable("needs nats-server: sh tools/bootstrap.sh")
    return subprocess.run(
        [sys.executable, "tools/fleet_demo.py", str(folder)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_the_demonstration_loses_no_record_and_draws(log_dir):
    done = demonstrate(log_dir / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "240,000 records were sent, in the logs are 240,000" in done.stdout
    for node in ("web1", "web2", "db1"):
        assert f"20000  {node}  SYSCALL\n" in done.stdout
    assert "27386  /usr/bin/nginx\n" in done.stdout
    for name, shown in (("programs.svg", "/usr/bin/nginx"), ("files.svg", "/etc/shadow")):
        assert shown in (log_dir / "demo" / name).read_text()
    again = log_dir / "demo" / "log1"
    assert "would be removed" in demonstrate(again).stderr
    assert (again / "audit.log").exists()


def test_where_no_log_may_be_it_says_so_at_once(root, tmp_path):
    done = demonstrate(tmp_path / "demo")
    assert done.returncode == 1
    assert "only root may be able to write in it" in done.stderr
