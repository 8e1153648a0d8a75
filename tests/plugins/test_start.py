"""Signals that come before a plugin is ready for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.plugins.test_remote import configure, line, serve

pytestmark = pytest.mark.usefixtures("root")
__all__ = ["serve"]  # a fixture

# as the installed program does, but for a signal in the middle of its imports
CODE = """
import os, signal, sys
from auditd_py.plugins.start import {plugin}
class Early:
    def find_spec(self, name, path, target=None):
        if name == "auditd_py.plugins.{plugin}":
            os.kill(os.getpid(), {number:d})
sys.meta_path.insert(0, Early())
sys.exit({plugin}())
"""


def run(
    plugin: str, number: int, *arguments: str, sent: bytes
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", CODE.format(plugin=plugin, number=number), *arguments],
        input=sent, capture_output=True, timeout=30, env={"PYTHONPATH": os.getcwd()},
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_the_forwarder_deals_with_an_early_signal_and_sends_its_records(serve, tmp_path, number):
    server = serve()
    configure(tmp_path, server)
    done = run("remote", number, "-c", str(tmp_path / "remote.conf"), sent=line(0) + b"\n")
    told = "the settings are read again" in done.stderr.decode()
    assert (done.returncode, told) == (0, number == signal.SIGHUP)
    assert (tmp_path / "state").exists() == (number == signal.SIGUSR1)
    server.has(1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_plugin_of_standard_output_survives_it_too(tmp_path, number):
    done = run("json", number, "--output", "stdout", sent=line(0) + b"\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1700000000" in done.stdout
