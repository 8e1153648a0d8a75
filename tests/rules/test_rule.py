"""auditd_py.rules.rule."""

from __future__ import annotations

from auditd_py.rules.parse import parse_words
from auditd_py.rules.rule import ALL_CALLS, CLASS_BITS, EXIT, Rule


def added(text: str) -> Rule:
    """Return the rule of a command line."""
    rule = parse_words(text).added()
    assert rule is not None
    return rule


def test_the_kernel_clears_the_class_bits_and_forgets_the_place():
    rule = Rule(EXIT, 2, ALL_CALLS, (), prepend=True).canonical()
    assert (rule.prepend, rule.calls & CLASS_BITS, rule.calls_all) == (False, 0, True)


def test_the_last_machine_counts():
    rule = added("-a always,exit -F arch=b32 -F arch=b64 -S open")
    assert rule.arch == 0xC000003E


def test_a_rule_without_a_machine_or_key_has_none():
    rule = added("-a always,exit -F uid=0")
    assert (rule.arch, rule.key) == (None, b"")


def test_keys_stand_in_one_field():
    assert added("-w /etc/x -k one -k two").key == b"one\x01two"


def test_calls_come_in_order():
    assert added("-a always,exit -F arch=b64 -S openat,read,close").call_numbers() == (0, 3, 257)
