"""auditd_py.rules.host."""

from __future__ import annotations

import pytest

from auditd_py.rules.host import Host
from auditd_py.rules.parse import parse_words
from auditd_py.rules.show import rule_text
from auditd_py.tables.machines import ARCHES


@pytest.mark.parametrize(
    ("machine", "wide", "narrow"),
    [
        ("x86_64", "x86_64", "i386"),
        ("aarch64", "aarch64", "arm"),
        ("s390x", "s390x", "s390"),
        ("ppc64", "ppc64", "ppc"),
        ("riscv64", "riscv64", "riscv32"),
        ("ppc64le", "ppc64le", None),
        ("i686", None, "i386"),
    ],
)
def test_bits_stand_for_the_machines_that_run(machine, wide, narrow):
    host = Host(machine)
    found = host.arch_of_bits("b64"), host.arch_of_bits("b32")
    assert found == tuple(None if name is None else ARCHES[name] for name in (wide, narrow))


def test_a_foreign_machine_is_called_by_its_name():
    assert Host().arch_word(ARCHES["aarch64"]) == "aarch64"
    assert Host().arch_word(0x1234) == "0x1234"


@pytest.mark.parametrize("machine", ["aarch64", "s390x", "ppc64le", "riscv64"])
def test_each_machine_has_its_own_numbers(machine):
    host = Host(machine)
    line = "-a always,exit -F arch=b64 -S openat,close -F key=k"
    rule = parse_words(line, host).added()
    assert rule is not None
    assert rule.arch == ARCHES[machine]
    assert rule_text(rule, host).replace("close,openat", "openat,close") == line
