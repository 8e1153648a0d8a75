"""auditd_py.config.fleet"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditd_py.config.fleet import KEYWORDS, TABLE, FleetConfig
from auditd_py.config.host import Host
from auditd_py.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "etc" / "auditd_py" / "audisp-nats.conf"


def host(mode: int = 0o100400, *, modules: bool = True) -> Host:
    found = os.stat_result((mode, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    return Host(stat=lambda _: found, lstat=lambda _: found, module=lambda _: modules)


def problems(text: str, machine: Host | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        TABLE.parse(text.encode(), "f", machine or host())
    return [str(problem) for problem in caught.value.problems]


def test_the_shipped_file_has_every_keyword_and_the_defaults():
    text = SHIPPED.read_text()
    lines = [line.removeprefix("##") for line in text.splitlines() if not line.startswith("# ")]
    lines = [line for line in lines if " = " in line]
    assert [line.partition(" = ")[0] for line in lines] == list(KEYWORDS)
    switched_on = text.replace("##servers", "servers")
    loaded = TABLE.parse(switched_on.encode(), "f", host())
    assert loaded.warnings == []
    assert loaded.config == FleetConfig(servers=loaded.config.servers)


def test_nothing_can_be_sent_without_servers():
    assert problems("") == ["f: servers: needed: the servers to send to"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("servers = http://a", "up to 16 servers like tls://"),
        ("servers = nats://a tls://b", "up to 16 servers like tls://"),
        ("servers = nats://user:password@a", "up to 16 servers like tls://"),
        ("servers = nats://a\nsite = a.b", "letters, digits, - and _"),
        ("servers = nats://a\nuser = x", "only used together"),
        ("servers = nats://a\ntls_ca_file = /x", "is for servers at tls://"),
        ("servers = tls://a\ntls_cert_file = /x", "only used together"),
        (
            "servers = tls://a\ncredentials_file = /x\nuser = a\npassword_file = /y",
            "contradicts credentials_file",
        ),
        ("servers = tls://a\nnetwork_failure_action = exec x", "needs an absolute path"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str):
    assert any(said in problem for problem in problems(text))


def test_a_secret_that_others_can_read_is_refused():
    text = "servers = tls://a\ncredentials_file = /x"
    assert problems(text, host(0o100440)) == [
        "f:2: credentials_file: /x can be read by others: chown root /x; chmod 0400 /x"
    ]


def test_what_is_not_installed_is_named():
    assert any("auditd-py[fleet]" in p for p in problems("servers = tls://a", host(modules=False)))
