"""auditd_py.record.daemon_record."""

from __future__ import annotations

from auditd_py.record.daemon_record import (
    Sender,
    abort_text,
    reconfigured_text,
    signalled_text,
    stamped,
    start_text,
)

SENDER = Sender(1000, 0, 3, 4711)
LABELLED = Sender(1000, 0, 3, 4711, "unconfined")


def test_a_time_stamp_has_milliseconds():
    assert stamped(1700000000.0071, 12, "op=x") == b"audit(1700000000.007:12): op=x"


def test_a_start_names_version_format_and_kernel():
    assert start_text("1.2", "raw", "6.1", SENDER) == (
        "op=start ver=1.2 format=raw kernel=6.1 auid=1000 pid=4711 uid=0 ses=3 res=success"
    )


def test_a_label_stands_before_the_result():
    assert start_text("1.2", "raw", "6.1", LABELLED).endswith("ses=3 subj=unconfined res=success")


def test_an_end_names_who_asked_for_it():
    assert signalled_text("terminate", SENDER) == (
        "op=terminate auid=1000 uid=0 ses=3 pid=4711 res=success"
    )


def test_an_end_nobody_is_known_for():
    assert signalled_text("terminate", None) == (
        "op=terminate auid=-1 uid=-1 ses=-1 pid=-1 subj=? res=success"
    )


def test_a_failed_reload_nobody_is_known_for():
    assert signalled_text("reconfigure state=no-change", None, "failed") == (
        "op=reconfigure state=no-change auid=-1 pid=-1 subj=? res=failed"
    )


def test_a_reload_names_who_asked_for_it():
    assert reconfigured_text(SENDER) == (
        "op=reconfigure state=changed auid=1000 pid=4711 subj=? res=success"
    )


def test_an_abort_names_the_daemon_itself():
    assert abort_text("set-pid", SENDER) == ("op=set-pid auid=1000 pid=4711 uid=0 ses=3 res=failed")
