"""The kernel's audit slot: the rules of a holder that was killed go, those of others stay."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from auditd_py.netlink.control import Control
from tests import slot
from tests.conftest import ROOT
from tests.programs import GETPGID, syscall_rule

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

RULE = syscall_rule(GETPGID, (0, 1))
HOLDER = f"""
import os, signal
from tests import slot
with slot.taken() as control:
    control.add_rule({RULE!r})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_holder_left_is_removed(root: None):
    done = subprocess.run([sys.executable, "-c", HOLDER], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with Control() as control:
        assert len(control.rules()) == 1
    with slot.taken() as control:
        assert control.rules() == []


def test_rules_of_others_are_left_alone(root: None):
    with Control() as control:
        control.add_rule(RULE)
        try:
            with pytest.raises(slot.RefusedError, match="rules are loaded"), slot.taken():
                pass
            assert len(control.rules()) == 1
        finally:
            control.delete_rule(RULE)
