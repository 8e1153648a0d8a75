"""auditd_py.config.remote"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.config.host import Host
from auditd_py.config.remote import (
    KEYWORDS,
    RemoteConfig,
    RemoteFormat,
    load,
    parse,
)
from auditd_py.config.table import Mode, Step
from auditd_py.config.values import Action
from auditd_py.config.words import Transport
from auditd_py.errors import ConfigError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "etc" / "auditd_py" / "audisp-remote.conf"
DEBIAN = """
remote_server = log.example.com
port = 60
##local_port =
transport = tcp
queue_file = /var/spool/audit/remote.log
mode = immediate
queue_depth = 10240
format = managed
network_retry_time = 1
max_tries_per_record = 3
max_time_per_record = 5
heartbeat_timeout = 0

network_failure_action = stop
disk_low_action = ignore
disk_full_action = warn_once
disk_error_action = warn_once
remote_ending_action = reconnect
generic_error_action = syslog
generic_warning_action = syslog
queue_error_action = stop
overflow_action = syslog
startup_failure_action = warn_once_continue

##krb5_principal =
##krb5_client_name = auditd
##krb5_key_file = /etc/audisp/audisp-remote.key
"""


def stat(mode: int = 0o100750, uid: int = 0) -> Host:
    found = os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))
    return Host(stat=lambda _: found, lstat=lambda _: found)


def settings(text: str, host: Host | None = None) -> RemoteConfig:
    text = f"remote_server = log\n{text}"
    return parse(text.encode(), "f", host or stat()).config


def problems(text: str, host: Host | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(text, host)
    return [str(problem) for problem in caught.value.problems]


def test_debians_file_means_the_defaults_and_a_deeper_queue():
    loaded = parse(DEBIAN.encode(), "f", stat())
    assert loaded.warnings == []
    assert loaded.config == RemoteConfig(remote_server=("log.example.com",), queue_depth=10240)


def test_a_server_is_needed():
    with pytest.raises(ConfigError, match="remote_server: needed"):
        parse(b"", "f", stat())


def test_several_servers_stand_in_one_line():
    config = parse(b"remote_server = a b ::1\n", "f", stat()).config
    assert config.remote_server == ("a", "b", "::1")


def test_every_kind_of_value_is_read():
    config = settings(
        "LOCAL_PORT = any\nport = 7000\nmode = FORWARD\ntransport = tcp\nwindow = 1\n"
        "network_failure_action = exec /bin/true\nremote_ending_action = Reconnect\n"
    )
    assert (config.local_port, config.port, config.window) == (0, 7000, 1)
    assert (config.mode, config.format) == (Mode.FORWARD, RemoteFormat.MANAGED)
    assert config.network_failure_action == Action(Step.EXEC, "/bin/true")
    assert config.remote_ending_action == Action(Step.RECONNECT)


def test_all_errors_of_a_file_are_told_with_their_lines():
    assert problems("port = 70000\nprot = 1\nformat = x\nmode = forward now\ndepth\n") == [
        "f:2: port: 70000: 1 to 65535 is allowed",
        "f:3: prot: unknown keyword, did you mean port?",
        "f:4: format: x: managed or ascii is allowed",
        "f:5: mode: now: nothing may follow the value",
        "f:6: depth: no equal sign with spaces around it: write depth = VALUE",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("network_failure_action = reconnect", "reconnect: ignore, syslog, exec /PATH, warn_once"),
        ("startup_failure_action = stop", "stop: ignore, syslog"),
        ("overflow_action = exec /bin/true", "nothing may follow"),
        ("overflow_action = stop", "stop: ignore, syslog, suspend, single or halt is allowed"),
        ("disk_low_action = exec", "exec needs the program"),
        ("disk_low_action = exec true", "absolute path"),
        ("disk_low_action = exec /a b", "one path only"),
        ("disk_low_action = halt now", "nothing may follow halt"),
        ("local_port = some", "any, or 1 to 65535 is allowed"),
        ("local_port = 0", "any, or 1 to 65535 is allowed"),
        ("queue_file = remote.log", "an absolute path is allowed"),
        ("remote_server = a # comment", "names or addresses of up to 16 hosts"),
        ("format = ascii\nmode = forward", "forward needs format = managed"),
        ("format = ascii\nheartbeat_timeout = 5", "needs format = managed"),
        ("format = ascii\ntransport = tls\ntls_ca_file = /ca", "tls needs format = managed"),
        ("format = ascii\ntransport = krb5", "krb5 needs format = managed"),
        ("transport = tls", "tls needs tls_ca_file, or"),
        ("transport = tls\ntls_psk_file = /key", "needs tls_psk_file and tls_psk_identity"),
        ("transport = tls\ntls_ca_file = /c\ntls_key_file = /k", "only used together"),
        ("transport = tls\ntls_ca_file = /c\ntls_require_pqc = yes", "cannot insist on a key"),
        ("transport = tls\ntls_ca_file = /c\ntls_crypto_profile = pqc", "cannot insist on a key"),
        ("transport = tls\ntls_ca_file = /c\ntls_cipher_suites = X", "set Ciphersuites and Groups"),
        ("transport = tls\ntls_ca_file = /c\ntls_key_exchange = X", "set Ciphersuites and Groups"),
        ("transport = tls\ntls_ca_file = /c\ntls_psk_file = /k", "contradicts the certificates"),
    ],
)
def test_what_is_not_allowed_is_refused(text, problem):
    assert problem in problems(text, stat(0o100400))[0]


@pytest.mark.parametrize(
    ("mode", "uid", "text"),
    [
        (0o100755, 0, "has mode 0755, 0750 is allowed: chmod 0750 /p"),
        (0o100750, 5, "owned by uid 5"),
        (0o040750, 0, "not a regular file"),
    ],
)
def test_a_program_to_run_must_be_roots_and_have_its_one_mode(mode, uid, text):
    assert text in problems("disk_low_action = exec /p", stat(mode, uid))[0]


def test_a_program_that_is_missing_is_told(tmp_path):
    text = f"disk_low_action = exec {tmp_path}/none"
    assert "No such file" in problems(text, Host())[0]


def test_a_key_that_others_can_read_is_refused():
    text = "transport = tls\ntls_ca_file = /c\ntls_cert_file = /c\ntls_key_file = /k\n"
    assert "chmod 0400 /k" in problems(text, stat(0o100440))[0]
    assert settings(text, stat(0o100400)).transport is Transport.TLS


def test_a_key_table_that_others_can_read_is_refused():
    text = "enable_krb5 = yes\nkrb5_key_file = /k\n"
    assert "chmod 0400 /k" in problems(text, stat(0o100440))[0]
    assert settings(text, stat(0o100400)).transport is Transport.KRB5


def test_kerberos_needs_its_package():
    host = Host(lstat=stat(0o100400).lstat, module=lambda _name: False)
    assert 'pip install "auditd-py[kerberos]"' in problems("transport = krb5", host)[0]


def test_shared_keys_need_a_python_that_has_them():
    text = "transport = tls\ntls_psk_file = /k\ntls_psk_identity = me\n"
    if sys.version_info >= (3, 13):
        assert settings(text, stat(0o100400)).tls_psk_identity == "me"
    else:
        assert "needs Python 3.13" in problems(text, stat(0o100400))[0]


def test_a_keyword_set_again_is_told():
    loaded = parse(b"remote_server = a\nport = 1\nport = 2\n", "f", stat())
    assert loaded.config.port == 2
    assert [str(warning) for warning in loaded.warnings] == [
        "f:3: port: set again: this line counts, line 2 does not",
    ]


def test_a_missing_file_lacks_a_server(tmp_path):
    with pytest.raises(ConfigError, match="remote_server: needed"):
        load(str(tmp_path / "none"))


def test_the_shipped_file_has_every_keyword_in_order_with_its_default():
    lines = [
        line.removeprefix("##").split(" = ", 1)
        for line in SHIPPED.read_text().splitlines()
        if " = " in line and not line.startswith("# ")
    ]
    assert [name for name, _ in lines] == list(KEYWORDS)
    shown = {name: value for name, value in lines if KEYWORDS[name].default}
    # of what the reference ships with another value than its code has
    assert shown.pop("queue_depth") == "10240"
    assert shown == {name: KEYWORDS[name].default for name in shown}


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_problems(data):
    with contextlib.suppress(ConfigError):
        parse(data, "f", stat())
