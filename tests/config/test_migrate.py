"""Settings of the C daemon as ours, and back."""

from __future__ import annotations

import pytest

from auditd_py.config.daemon import parse
from auditd_py.config.migrate import Migrated, migrate

SBIN = "/opt/sbin"


def forward(**files: str) -> Migrated:
    names = {"auditd_conf": "auditd.conf", "plugin": "plugins.d/p.conf", "rules": "audit.rules",
             "remote": "audisp-remote.conf", "au_remote": "plugins.d/au-remote.conf"}  # fmt: skip
    data = {names[name]: text.encode() for name, text in files.items()}
    return migrate(data, SBIN, exists=lambda _: False)


def test_the_folder_of_plugins_moves():
    made = forward(auditd_conf="# kept\nplugin_dir = /etc/audit/plugins.d\nnum_logs = 7\n")
    assert made.files["auditd.conf"] == (
        b"# kept\nplugin_dir = /etc/auditd_py/plugins.d\nnum_logs = 7\n"
    )
    assert made.losses == []


def test_a_refused_line_is_switched_off_and_told():
    made = forward(auditd_conf="num_logs = 7\nnum_logs = many\nnonsense = 1\n")
    assert made.files["auditd.conf"] == b"num_logs = 7\n##num_logs = many\n##nonsense = 1\n"
    assert [loss.split(": ")[0] for loss in made.losses] == ["auditd.conf:2", "auditd.conf:3"]


def test_what_is_made_is_read_without_errors():
    made = forward(auditd_conf="dispatcher = /sbin/audispd\nlog_format = NOLOG\nflush = odd\n")
    loaded = parse(made.files["auditd.conf"], "auditd.conf")
    assert (loaded.config.write_logs, loaded.warnings) == (False, [])


def test_the_default_key_of_kerberos_is_where_it_was():
    made = forward(auditd_conf="transport = KRB5\n")
    assert b"\nkrb5_key_file = /etc/audit/audit.key\n" in made.files["auditd.conf"]


@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("builtin_af_unix", "audisp-af_unix"),
        ("builtin_syslog", "audisp-syslog"),
        ("/sbin/audisp-remote", "audisp-remote"),
        ("/usr/sbin/audisp-filter", "audisp-filter"),
    ],
)
def test_a_plugin_of_the_c_daemon_is_ours(path: str, program: str):
    made = forward(plugin=f"active = yes\r\npath = {path}\r\ntype = builtin\r\n")
    assert made.files["plugins.d/p.conf"] == (
        f"active = yes\r\npath = {SBIN}/{program}\r\ntype = always\r\n".encode()
    )
    assert made.losses == []


def test_a_plugin_without_its_program_is_switched_off():
    made = forward(plugin="active = yes\npath = /sbin/gone\n")
    assert made.files["plugins.d/p.conf"] == b"active = no\npath = /sbin/gone\n"
    assert made.losses == ["plugins.d/p.conf:1: switched off: /sbin/gone is not there"]


def test_a_forwarder_that_is_off_may_lack_its_server():
    assert forward(remote="remote_server = \nport = 60\n").losses == []


def test_a_forwarder_that_runs_may_not():
    made = forward(remote="port = 60\n", au_remote="active = yes\npath = /sbin/audisp-remote\n")
    assert len(made.losses) == 1
    assert "remote_server" in made.losses[0]


def test_rules_written_by_hand_are_what_augenrules_reads():
    made = forward(rules="-D\n-w /etc/passwd\n")
    assert made.files["rules.d/audit.rules"] == b"-D\n-w /etc/passwd\n"


def test_files_that_arguments_name_go_with_them():
    made = migrate(
        {"plugins.d/z.conf": b"path = /sbin/z\nargs = 1 /etc/audit/z.conf /etc/audit/no\n",
         "z.conf": b"x"}, SBIN,
    )  # fmt: skip
    assert made.files["plugins.d/z.conf"] == (
        b"path = /sbin/z\nargs = 1 /etc/auditd_py/z.conf /etc/audit/no\n"
    )


def test_there_and_back_again_is_what_it_was():
    before = {
        "auditd.conf": b"num_logs = 7\nplugin_dir = /etc/audit/plugins.d\n",
        "plugins.d/af_unix.conf": b"active = yes\npath = builtin_af_unix\ntype = builtin\n",
        "plugins.d/syslog.conf": b"active = no\npath = /sbin/audisp-syslog\ntype = always\n",
        "rules.d/a.rules": b"-D\n",
    }
    there = migrate(before, SBIN)
    assert migrate(there.files, "", back=True, builtin=True).files == before


def test_back_switches_off_what_the_c_programs_do_not_know():
    made = migrate(
        {"auditd.conf": b"receive_buffer = 8\nfreq = 9\n",
         "plugins.d/j.conf": b"active = yes\npath = /opt/sbin/audisp-json\n"}, "", back=True,
    )  # fmt: skip
    assert made.files["auditd.conf"] == b"##receive_buffer = 8\nfreq = 9\n"
    assert made.files["plugins.d/j.conf"].startswith(b"active = no\n")
    assert len(made.losses) == 2


def test_bytes_that_are_no_text_are_kept_in_a_line_switched_off():
    made = migrate({"auditd.conf": b"name = \xff\n"}, SBIN)
    assert made.files["auditd.conf"] == b"##name = \xff\n"
