"""auditd_py.cli.ausearch, run as a program."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from auditd_py.cli.ausearch_help import USAGE
from auditd_py.cli.ausearch_words import OPTIONS

DATA = Path(__file__).parent.parent / "data"
CASES = json.loads((DATA / "ausearch.json").read_text())


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    for name in ("alpha-raw.log", "alpha-enriched.log"):
        (folder / name).write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    return folder


def ausearch(
    *arguments: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "auditd_py.cli.ausearch", *arguments], cwd=folder,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C", "PYTHONPATH": str(DATA.parent.parent), **environment},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if n in range(42, 50) else [pytest.mark.slow])
        for n, case in enumerate(CASES)
    ],
    ids=[f"{case['log'][6:9]} {case['options']}" for case in CASES],
)
def test_it_prints_what_the_c_tool_prints(case, logs):
    done = ausearch(*shlex.split(case["options"]), "-if", case["log"], folder=logs)
    assert (done.returncode, done.stderr.decode()) == (case["rc"], case["stderr"])
    assert len(done.stdout) == case["bytes"]
    assert hashlib.sha256(done.stdout).hexdigest() == case["sha256"]


def test_the_usage_has_every_option():
    shown = set(re.sub("[,()]", " ", USAGE).split())
    assert set(OPTIONS) - shown == set()
