import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.config.daemon import (
    KEYWORDS,
    DaemonConfig,
    Host,
    load,
    parse,
)
from auditd_py.config.values import Action, Endpoint, Group, PortRange, Space, written
from auditd_py.config.words import (
    ActionWord,
    Flush,
    LogFormat,
    NameFormat,
    Transport,
)
from auditd_py.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "etc" / "auditd_py" / "auditd.conf"
ENDPOINT = "a port, 127.0.0.1:9117, [::1]:9117 (up to 65535) or an absolute path"

# the settings of Debian's package auditd 3.0.9-1, without its comments
DEBIAN = b"""
local_events = yes
write_logs = yes
log_file = /var/log/audit/audit.log
log_group = adm
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
num_logs = 5
priority_boost = 4
name_format = NONE
##name = mydomain
max_log_file_action = ROTATE
space_left = 75
space_left_action = SYSLOG
verify_email = yes
action_mail_acct = root
admin_space_left = 50
admin_space_left_action = SUSPEND
disk_full_action = SUSPEND
disk_error_action = SUSPEND
use_libwrap = yes
##tcp_listen_port = 60
tcp_listen_queue = 5
tcp_max_per_addr = 1
##tcp_client_ports = 1024-65535
tcp_client_max_idle = 0
transport = TCP
krb5_principal = auditd
##krb5_key_file = /etc/audit/audit.key
distribute_network = no
q_depth = 2000
overflow_action = SYSLOG
max_restarts = 10
plugin_dir = /etc/audit/plugins.d
end_of_event_timeout = 2
"""


def host() -> Host:
    """A host with the groups root and adm, every directory, and no file."""

    def missing(path: str) -> os.stat_result:
        raise FileNotFoundError(2, "No such file or directory")

    return Host({"root": 0, "adm": 4}.__getitem__, missing, missing, lambda path: None)


HOST = host()


def config_of(text: str) -> DaemonConfig:
    return parse(text.encode(), "auditd.conf", HOST).config


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in parse(text.encode(), "auditd.conf", HOST).warnings]


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "auditd.conf", HOST)
    return [str(problem).removeprefix("auditd.conf:") for problem in caught.value.problems]


# the file as a whole


def test_an_empty_file_gives_the_defaults_without_a_warning() -> None:
    loaded = parse(b"", "auditd.conf", HOST)
    assert (loaded.config, loaded.warnings) == (DaemonConfig(), [])


def test_the_shipped_file_gives_the_defaults() -> None:
    assert parse(SHIPPED.read_bytes(), "auditd.conf", HOST).config == DaemonConfig()


def test_debians_file_loads() -> None:
    loaded = parse(DEBIAN, "auditd.conf", HOST)
    assert loaded.config == DaemonConfig(
        log_group=Group(4, "adm"), plugin_dir="/etc/audit/plugins.d"
    )
    assert loaded.warnings == []


def test_all_problems_are_reported_in_line_order() -> None:
    text = "num_logs = x\nname\nfreq = 0\nnosuch = 1\nlog_group = nosuch\n"
    assert [line.split(":")[0] for line in problems_of(text)] == ["1", "2", "3", "4", "5"]


def test_a_problem_names_file_line_keyword_value_and_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"\nnum_logs = 1000\n", "auditd.conf", HOST)
    assert str(caught.value) == "auditd.conf:2: num_logs: 1000: 0 to 999 is allowed"


def test_an_unknown_keyword_suggests_the_nearest() -> None:
    assert problems_of("numlogs = 5\n") == ["1: numlogs: unknown keyword, did you mean num_logs?"]


def test_an_unknown_keyword_like_no_other_suggests_nothing() -> None:
    assert problems_of("xyzzy = 5\n") == ["1: xyzzy: unknown keyword"]


def test_of_a_repeated_keyword_the_last_counts_and_a_warning_names_both_lines() -> None:
    text = "freq = 1\n\nfreq = 2\n"
    assert config_of(text).freq == 2
    assert warnings_of(text) == [
        "auditd.conf:3: freq: set again: this line counts, line 1 does not"
    ]


def test_a_wrong_line_is_reported_though_a_later_one_is_right() -> None:
    assert problems_of("num_logs = x\nnum_logs = 5\n") == ["1: num_logs: x: 0 to 999 is allowed"]


def test_an_option_is_refused_where_none_is_allowed() -> None:
    assert problems_of("num_logs = 5 6\n") == ["1: num_logs: 6: nothing may follow the value"]


def test_a_comment_behind_a_value_is_refused_with_the_remedy() -> None:
    assert problems_of("num_logs = 5 # five\n") == [
        "1: num_logs: # five: nothing may follow the value, a comment needs its own line"
    ]


def test_a_missing_file_gives_the_defaults_and_a_warning(tmp_path: Path) -> None:
    loaded = load(str(tmp_path / "auditd.conf"), host=HOST)
    assert loaded.config == DaemonConfig()
    assert [warning.text for warning in loaded.warnings] == [
        "does not exist: every setting has its default"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="settings files belong to root")
def test_a_file_is_loaded_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "auditd.conf"
    path.write_text("freq = 7\n")
    assert load(str(path), host=HOST).config.freq == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="settings files belong to root")
def test_links_are_followed_only_if_allowed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("freq = 7\n")
    (tmp_path / "link").symlink_to("real")
    assert load(str(tmp_path / "link"), allow_links=True, host=HOST).config.freq == 7
    with pytest.raises(ConfigError):
        load(str(tmp_path / "link"), host=HOST)


# values


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("local_events = NO", False),
        ("num_logs = 007", 7),
        ("log_format = Raw", LogFormat.RAW),
        ("flush = SYNC", Flush.SYNC),
        ("name_format = HostName", NameFormat.HOSTNAME),
        ("log_group = adm", Group(4)),
        ("log_group = 12", Group(12)),
        ("space_left = 80", Space(80)),
        ("space_left = 20%", Space(20, percent=True)),
        ("space_left_action = EMAIL", Action(ActionWord.EMAIL)),
        ("overflow_action = halt", Action(ActionWord.HALT)),
        ("tcp_listen_port = 60", 60),
        ("tcp_client_ports = 1000", PortRange(1000, 1000)),
        ("tcp_client_ports = 1024-65535", PortRange(1024, 65535)),
        ("report_interval = 90", 90),
        ("report_interval = 90s", 90),
        ("report_interval = 5m", 300),
        ("report_interval = 2h", 7200),
        ("report_interval = 3d", 259200),
        ("report_interval = 1M", 2592000),
        ("transport = KRB5", Transport.KRB5),
        ("run_dir = /run/other", "/run/other"),
        ("receive_buffer = 1024", 1024),
        ("write_queue = 1", 1),
        ("rotate_interval = Daily", "daily"),
        ("rotate_interval = 030m", "30m"),
        ("keep_days = 30", 30),
        ("smtp_port = 587", 587),
        ("audit_pid_retry = 0", 0),
        ("status_interval = 1", 1),
        ("metrics_listen = 9117", Endpoint("127.0.0.1", 9117)),
        ("metrics_listen = 192.0.2.1:1", Endpoint("192.0.2.1", 1)),
        ("metrics_listen = [::1]:65535", Endpoint("::1", 65535)),
        ("metrics_listen = /run/m.sock", Endpoint(path="/run/m.sock")),
    ],
)
def test_a_value_is_read(line: str, value: object) -> None:
    assert getattr(config_of(line), line.split(maxsplit=1)[0]) == value


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("local_events = 1", "1: yes or no is allowed"),
        ("num_logs = -1", "-1: 0 to 999 is allowed"),
        ("num_logs = \u0665", "\u0665: 0 to 999 is allowed"),
        ("num_logs = " + "9" * 5000, "9" * 57 + "...: 0 to 999 is allowed"),
        ("freq = 2147483648", "2147483648: 0 to 2147483647 records is allowed"),
        ("log_format = nothing", "nothing: raw or enriched is allowed"),
        ("log_group = 4x", "4x: the name or the number of a group is allowed"),
        ("log_group = 4294967295", "4294967295: the name or the number of a group is allowed"),
        ("log_group = nosuch", "nosuch: no such group: groupadd nosuch"),
        ("log_file = audit.log", "audit.log: an absolute path is allowed"),
        ("log_file = /a/b.log", "/a/b.log: the directory part needs 4 characters or more"),
        ("log_file = /var/log/", "/var/log/: name a file, not a directory"),
        ("log_file = /var/../a", '/var/../a: "." and ".." are not allowed in it'),
        ("space_left = 100%", "100%: a number of MiB, or a percentage from 0% to 99% is allowed"),
        ("space_left = %", "%: a number of MiB, or a percentage from 0% to 99% is allowed"),
        ("space_left_action = halt", "halt: ignore, syslog, rotate, email, exec /PATH, suspend or single is allowed"),
        ("disk_full_action = email", "email: ignore, syslog, rotate, exec /PATH, suspend, single or halt is allowed"),
        ("disk_error_action = rotate", "rotate: ignore, syslog, exec /PATH, suspend, single or halt is allowed"),
        ("disk_error_action = email", "email: ignore, syslog, exec /PATH, suspend, single or halt is allowed"),
        ("overflow_action = exec", "exec: ignore, syslog, suspend, single or halt is allowed"),
        ("tcp_listen_port = 0", "0: 1 to 65535 is allowed"),
        ("tcp_max_per_addr = 1025", "1025: 1 to 1024 is allowed"),
        ("tcp_client_ports = 9-3", "9-3: the range is reversed: write 3-9"),
        ("tcp_client_ports = 1-65536", "1-65536: a port or a range like 1024-65535, none above 65535, is allowed"),
        ("tcp_client_ports = -", "-: a port or a range like 1024-65535, none above 65535, is allowed"),
        ("report_interval = 41d", "41d: a number of seconds, or one with m, h, d or M (30 days) after it, up to 40 days, is allowed"),
        ("report_interval = 5w", "5w: a number of seconds, or one with m, h, d or M (30 days) after it, up to 40 days, is allowed"),
        ("plugin_dir = plugins.d", "plugins.d: an absolute path is allowed"),
        ("run_dir = audit", "audit: an absolute path is allowed"),
        ("receive_buffer = 0", "0: 1 to 1024 MiB is allowed"),
        ("rotate_interval = 0m", "0m: never, hourly, daily, weekly, or minutes from 1m to 10080m is allowed"),
        ("rotate_interval = 5", "5: never, hourly, daily, weekly, or minutes from 1m to 10080m is allowed"),
        ("compress_logs = xz", "xz: none, gzip or zstd is allowed"),
        ("write_queue = 1025", "1025: 1 to 1024 MiB is allowed"),
        ("audit_pid_retry = 3601", "3601: 0 to 3600 seconds is allowed"),
        *(
            (f"metrics_listen = {value}", f"{value}: {ENDPOINT} is allowed")
            for value in ("x", ":1", "0", "127.0.0.1", "::1:9117", "[127.0.0.1]:1", "localhost:1", "1:65536")
        ),
        ("metrics_listen = /" + "m" * 103, "/" + "m" * 56 + "...: a socket's path has 103 bytes at most"),
        ("status_interval = 0", "0: 1 to 3600 seconds is allowed"),
        ("q_depth = 100000", "100000: 1 to 99999 records is allowed"),
        ("tls_psk_file = key", "key: an absolute path is allowed"),
        ("tls_auth = cert", "cert: psk is allowed"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_what_is_allowed(line: str, problem: str) -> None:
    assert problems_of(line) == [f"1: {line.split(maxsplit=1)[0]}: {problem}"]


@pytest.mark.parametrize("keyword", [name for name, keyword in KEYWORDS.items() if keyword.default])
def test_the_default_is_a_value_that_may_be_written(keyword: str) -> None:
    text = f"{keyword} = {KEYWORDS[keyword].default}\n"
    assert getattr(config_of(text), keyword) == getattr(DaemonConfig(), keyword)


@pytest.mark.parametrize("keyword", ["disp_qos", "dispatcher"])
def test_a_deprecated_keyword_is_ignored_with_a_warning(keyword: str) -> None:
    text = f"{keyword} = whatever\n"
    assert config_of(text) == DaemonConfig()
    assert warnings_of(text)[0].startswith(f"auditd.conf:1: {keyword}: deprecated and ignored")


def test_log_format_nolog_means_no_log_and_warns() -> None:
    text = "log_format = NOLOG\n"
    assert config_of(text) == DaemonConfig(write_logs=False)
    assert warnings_of(text) == [
        "auditd.conf:1: log_format: nolog is deprecated: write write_logs = no"
    ]


def test_enable_krb5_is_a_spelling_of_transport() -> None:
    assert config_of("enable_krb5 = yes\n").transport is Transport.KRB5
    assert config_of("enable_krb5 = no\n").transport is Transport.TCP


def test_of_enable_krb5_and_transport_the_later_line_counts() -> None:
    assert config_of("enable_krb5 = yes\ntransport = tcp\n").transport is Transport.TCP
    assert warnings_of("transport = tcp\nenable_krb5 = yes\n") == [
        "auditd.conf:2: enable_krb5: sets transport again: this line counts, line 1 does not"
    ]


# anything at all


def parse_or_refuse(data: bytes) -> None:
    problems = []
    try:
        parse(data, "auditd.conf", HOST)
    except ConfigError as error:
        problems = error.problems
    assert problems == sorted(problems, key=lambda problem: problem.line)


@given(st.binary())
def test_random_bytes_raise_only_config_errors(data: bytes) -> None:
    parse_or_refuse(data)


some_values = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n")),
    st.integers().map(str),
    st.sampled_from([word for keyword in KEYWORDS.values() for word in keyword.words]),
    st.sampled_from([keyword.default for keyword in KEYWORDS.values()]),
    st.from_regex(r"[0-9]*[-%smhdM]?[0-9]*", fullmatch=True),
    st.sampled_from(["exec /bin/x", "nolog", "exec", "/var/log/x", "root"]),
)


@given(st.lists(st.tuples(st.sampled_from(list(KEYWORDS)), some_values)))
def test_random_settings_raise_only_config_errors(lines: list[tuple[str, str]]) -> None:
    parse_or_refuse("".join(f"{keyword} = {value}\n" for keyword, value in lines).encode())


@given(st.builds(DaemonConfig, freq=st.integers(1, 2**31 - 1), num_logs=st.integers(0, 999),
                 space_left=st.builds(Space, st.integers(51, 2**31 - 1)),
                 tcp_client_ports=st.integers(0, 65535).flatmap(
                     lambda first: st.builds(PortRange, st.just(first), st.integers(first, 65535))),
                 flush=st.sampled_from(list(Flush)), write_logs=st.booleans()))  # fmt: skip
def test_what_a_config_writes_it_reads_back(config: DaemonConfig) -> None:
    values = {name: written(getattr(config, name)) for name in KEYWORDS}
    text = "".join(f"{name} = {value}\n" for name, value in values.items() if value)
    assert config_of(text) == config
