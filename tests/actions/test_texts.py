"""auditd_py.actions.texts: what scripts look for, and what an administrator is told."""

from __future__ import annotations

import pytest

from auditd_py.actions import texts
from auditd_py.config.keywords import DaemonConfig
from auditd_py.config.values import Action, Space
from auditd_py.config.words import ActionWord
from auditd_py.log.incident import Condition, Incident

C = Condition
LOW = "Audit daemon is low on disk space for logging."
FULL = "If the disk becomes full, audit will halt."
PATH = "/var/log/audit/audit.log"
CONFIG = DaemonConfig(
    space_left=Space(75),
    admin_space_left=Space(5, percent=True),
    admin_space_left_action=Action("single"),
    disk_full_action=Action("halt"),
)


def incident(condition: Condition, free: int | None = 70 << 20) -> Incident:
    return Incident(condition, PATH, 0, free, 75 << 20, "fsync", "Input/output error")


@pytest.mark.parametrize(
    ("condition", "level", "text"),
    [
        (C.LOG_SIZE, "error", "Audit daemon log file is larger than max size"),
        (
            C.SPACE_LEFT, "alert",
            f"{LOW} If the admin space left threshold is reached, audit will single. {FULL}",
        ),
        (
            C.ADMIN_SPACE_LEFT, "alert",
            f"{LOW} {FULL}",
        ),
        (C.DISK_FULL, "alert", "Audit daemon has no space left on logging partition"),
        (
            C.DISK_ERROR, "alert",
            "fsync: Audit daemon detected an error writing an event to disk (Input/output error)",
        ),
    ],
)  # fmt: skip
def test_each_condition_has_its_line(condition, level, text):
    assert texts.warning(incident(condition), CONFIG) == (level, text)


@pytest.mark.parametrize(
    ("condition", "suspending", "halting"),
    [
        (C.LOG_SIZE, "logfile size.", "logfile size"),
        (C.SPACE_LEFT, "low disk space.", "low disk space"),
        (C.ADMIN_SPACE_LEFT, "low disk space.", "low disk space"),
        (
            C.DISK_FULL,
            "no space left on logging partition.", "no space left on logging partition",
        ),
        (C.DISK_ERROR, "previously mentioned write error", "previously mentioned write error"),
    ],
)  # fmt: skip
def test_lines_of_suspend_single_and_halt_say_why(condition, suspending, halting):
    assert texts.suspending(condition) == f"Audit daemon is suspending logging due to {suspending}"
    assert texts.power(condition, ActionWord.HALT) == (
        f"The audit daemon is now halting the system and exiting due to {halting}"
    )
    assert texts.power(condition, ActionWord.SINGLE) == (
        "The audit daemon is now changing the system to single user mode and exiting due to "
        + halting
    )


@pytest.mark.parametrize(
    ("condition", "word", "text"),
    [
        (
            C.ADMIN_SPACE_LEFT, ActionWord.HALT,
            "is low on disk space and is now halting the system",
        ),
        (
            C.DISK_ERROR, ActionWord.SINGLE,
            "cannot write to its disk and is now changing the system to single user mode",
        ),
    ],
)  # fmt: skip
def test_terminals_are_told_the_true_reason(condition, word, text):
    told = f"The audit system {text} for admin corrective action."
    assert texts.wall(condition, word) == told


@pytest.mark.parametrize("word", list(ActionWord))
def test_a_full_disk_is_always_announced_once(word):
    assert texts.announced(C.DISK_FULL, word) == (word != "syslog")


@pytest.mark.parametrize("word", list(ActionWord))
def test_an_error_is_announced_once_unless_it_is_ignored(word):
    assert texts.announced(C.DISK_ERROR, word) == (word not in ("syslog", "ignore"))


@pytest.mark.parametrize("condition", [C.LOG_SIZE, C.SPACE_LEFT, C.ADMIN_SPACE_LEFT])
def test_thresholds_are_left_to_their_action(condition):
    assert not any(texts.announced(condition, word) for word in ActionWord)


def test_a_mail_says_host_path_space_threshold_and_what_comes():
    mail = texts.mail(incident(C.SPACE_LEFT), CONFIG, "web1")
    assert mail.subject == "Audit Disk Space Alert"
    for line in (
        "Host:        web1",
        f"Log:         {PATH}",
        "Free space:  70.0 MiB",
        "Threshold:   75.0 MiB (space_left = 75)",
        "- Below 5% of the disk: this host goes to single user mode",
        "  (admin_space_left_action = single).",
        "- When the disk is full: this host is powered off",
        "  (disk_full_action = halt).",
    ):
        assert line in mail.body.splitlines()


def test_the_last_warning_says_what_a_full_disk_brings():
    mail = texts.mail(incident(C.ADMIN_SPACE_LEFT, free=None), CONFIG, "web1")
    assert mail.subject == "Audit Admin Space Alert"
    assert "(admin_space_left = 5%)" in mail.body
    assert "Free space:  unknown" in mail.body
    assert "- Below" not in mail.body
    assert "- When the disk is full: this host is powered off" in mail.body


@pytest.mark.parametrize("word", [*ActionWord, "paging"])
def test_a_mail_can_say_what_each_action_does(word):
    config = DaemonConfig(disk_full_action=Action("halt")).model_copy(
        update={"disk_full_action": Action(word, "/opt/x")}
    )
    mail = texts.mail(incident(C.ADMIN_SPACE_LEFT), config, "web1")
    assert f"(disk_full_action = {word} /opt/x)" in mail.body
    assert "{" not in mail.body
