import pytest
from pydantic import ValidationError

from auditd_py.config.keywords import KEYWORDS, DaemonConfig, Reload, changed, restart_needed
from auditd_py.config.values import Group


def test_every_keyword_says_what_it_is_for() -> None:
    assert [k.name for k in KEYWORDS.values() if not (k.about or k.deprecated)] == []


def test_our_additions_are_marked() -> None:
    assert {keyword.name for keyword in KEYWORDS.values() if keyword.ours} == {
        "run_dir",
        "receive_buffer",
        "write_queue",
        "audit_pid_retry",
        "status_interval",
        "watch_rules",
        "tls_cert_file",
        "tls_key_file",
        "tls_ca_file",
        "tls_crl_file",
        "rotate_interval",
        "archive_to",
        "compress_logs",
        "index_logs",
        "keep_days",
        "keep_total",
        "exec_timeout",
        "smtp_server",
        "smtp_port",
        "smtp_security",
        "smtp_user",
        "smtp_password_file",
        "mail_from",
        "metrics_listen",
        "tcp_listen_addr",
        "tcp_plain_clients",
        "collector_log_dir",
        "node_check",
        "tcp_keepalive_time",
        "tcp_keepalive_intvl",
        "tcp_keepalive_probes",
        "jetstream_url",
        "jetstream_stream",
        "jetstream_collector",
        "jetstream_lease",
        "jetstream_credentials",
        "jetstream_user",
        "jetstream_password_file",
        "jetstream_ca_file",
        "jetstream_cert_file",
        "jetstream_key_file",
    }


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        DaemonConfig().freq = 1  # type: ignore[misc]


@pytest.mark.parametrize("values", [{"num_logs": 1000}, {"log_file": "here"}, {"freqq": 1}])
def test_a_config_made_by_a_program_is_checked_too(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DaemonConfig.model_validate(values)


def test_changed_names_the_settings_that_differ() -> None:
    assert changed(DaemonConfig(), DaemonConfig(freq=1, num_logs=5)) == {"freq"}


def test_a_group_written_by_name_or_number_is_the_same() -> None:
    old, new = DaemonConfig(), DaemonConfig(log_group=Group(0, "0"))
    assert changed(old, new) == frozenset()


def test_a_restart_is_needed_for_what_a_reload_leaves() -> None:
    new = DaemonConfig(freq=1, local_events=False)
    assert restart_needed(DaemonConfig(), new) == {"local_events"}


def test_a_listening_port_can_be_opened_by_a_reload_but_not_moved() -> None:
    closed, here, there = (DaemonConfig(tcp_listen_port=port) for port in (None, 60, 61))
    assert restart_needed(closed, here) == frozenset()
    assert restart_needed(here, there) == {"tcp_listen_port"}
    assert restart_needed(here, closed) == {"tcp_listen_port"}


def test_a_reload_lets_the_plugin_queue_grow_only() -> None:
    small, large = DaemonConfig(q_depth=1000), DaemonConfig(q_depth=3000)
    assert KEYWORDS["q_depth"].reload is Reload.UPWARDS
    assert restart_needed(small, large) == frozenset()
    assert restart_needed(large, small) == {"q_depth"}
