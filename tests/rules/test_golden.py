"""Every recorded command line: the same requests, exit status and listing."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import auditctl
from auditd_py.netlink.control import Control
from auditd_py.netlink.messages import status_payload
from auditd_py.netlink.uapi import Features, Request
from auditd_py.rules.codec import decode_rule
from auditd_py.rules.host import ALL_FEATURES, LOST_RESET, Host
from auditd_py.rules.parse import parse_words
from auditd_py.rules.show import rule_text

if TYPE_CHECKING:
    from typing import Any

CASES = json.loads(
    gzip.decompress((Path(__file__).parent.parent / "data/rules.json.gz").read_bytes())
)
STATUS = {
    "enabled": 1, "failure": 1, "pid": 4242, "backlog_limit": 8192, "backlog_wait_time": 60000,
    "feature_bitmap": ALL_FEATURES & ~LOST_RESET,
}  # fmt: skip


class StandIn(Control):
    """A kernel without rules, as the one that the recording was made with."""

    def __init__(self) -> None:
        self.requests: list[list[object]] = []

    def _ask(self, kind: int, payload: bytes = b"", *, ack: bool = True) -> list[bytes]:
        sent = payload + bytes(-len(payload) % 4)
        self.requests.append([int(kind), sent.hex()])
        if kind == Request.GET:
            return [status_payload(STATUS)]
        return [Features().pack()] if kind == Request.GET_FEATURE else []


def entry(case: dict[str, Any]) -> bool:
    """Return whether the line has the list that we take as exit."""
    return "entry," in case["line"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["line"][:60])
def test_a_command_line_does_what_it_was_recorded_to_do(case, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/audit42/sbin/auditctl"])
    kernel = StandIn()
    if case["line"] == "-v":
        assert auditctl.main(["-v"]) == 0
        assert capsys.readouterr().out.startswith("auditctl version ")
        return
    status = auditctl.run(case["line"].split(" "), kernel)
    if entry(case):
        taken = StandIn()
        assert auditctl.run(case["line"].replace("entry", "exit").split(" "), taken) == status == 0
        assert kernel.requests == taken.requests
        assert "taken as" in capsys.readouterr().err
        return
    assert (status, kernel.requests) == (case["rc"], case["requests"])
    assert capsys.readouterr().out == case["stdout"]


@pytest.mark.parametrize(
    "case", [c for c in CASES if c["listing"]], ids=lambda case: case["line"][:60]
)
def test_a_rule_is_listed_as_it_was_recorded(case):
    added = next(payload for kind, payload in case["requests"] if kind == Request.ADD_RULE)
    rule = decode_rule(bytes.fromhex(added))
    if rule.prepend:
        assert rule_text(rule) == case["listing"].replace("-a always,(null)", "-A always,exit")[:-1]
        return
    assert rule_text(rule) + "\n" == case["listing"]


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c["listing"] and "(null)" not in c["listing"]],
    ids=lambda case: case["line"][:60],
)
def test_a_listed_rule_can_be_loaded_again(case):
    added = next(payload for kind, payload in case["requests"] if kind == Request.ADD_RULE)
    rule = decode_rule(bytes.fromhex(added))
    host = Host(is_directory=lambda path: path == "/etc")
    again = parse_words(rule_text(rule), host).added()
    assert again is not None
    assert (again.list, again.action, again.calls) == (rule.list, rule.action, rule.calls)
    assert sorted(again.fields, key=repr) == sorted(rule.fields, key=repr)
