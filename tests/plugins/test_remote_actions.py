"""Each thing that can happen to the forwarder, and each action for it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from auditd_py.config.remote import ACTIONS, KEYWORDS, RemoteConfig
from auditd_py.config.table import Step
from auditd_py.plugins.remote_actions import Actions, Verdict
from auditd_py.remote.frame import FATAL, REPLY, WARN, Kind, encode
from auditd_py.remote.receiver import ending
from auditd_py.remote.sender import Trouble
from tests.plugins.test_remote import Server, forward, line, said, serve, state
from tests.programs import free_port, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("root")
__all__ = ["forward", "serve"]  # fixtures

ANSWERS = {
    "disk_low_action": Kind.DISKLOW,
    "disk_full_action": Kind.DISKFULL,
    "disk_error_action": Kind.DISKERROR,
    "generic_error_action": REPLY | FATAL | 77,
    "generic_warning_action": REPLY | WARN | 77,
}
OF_THE_SERVER = ["network_failure_action", "remote_ending_action", *ANSWERS]
ALLOWED = [  # what runs commands is below, and in test_remote
    (name, Step(word))
    for name in ACTIONS
    for word in KEYWORDS[name].form.words
    if word not in (Step.EXEC, Step.SINGLE, Step.HALT)
]
VERDICTS = {
    Step.RECONNECT: Verdict.RECONNECT,
    Step.SUSPEND: Verdict.SUSPEND,
    Step.STOP: Verdict.STOP,
}
TOLD_OF_THREE = {
    Step.IGNORE: 0,
    Step.SYSLOG: 1,  # in a minute
    Step.RECONNECT: 1,
    Step.WARN_ONCE: 1,
    Step.WARN_ONCE_CONTINUE: 1,
    Step.SUSPEND: 3,
    Step.STOP: 3,
}


@pytest.mark.parametrize(("keyword", "step"), ALLOWED)
def test_an_action_tells_as_often_as_it_says_and_how_to_go_on(keyword, step):
    told: list[str] = []
    config = RemoteConfig.model_validate({"remote_server": "a", keyword: str(step)})
    actions = Actions(config, told.append)
    found = {actions.take(Trouble(keyword), "why", 10.0 + n) for n in range(3)}
    assert found == {VERDICTS.get(step, Verdict.GO_ON)}
    assert len(told) == TOLD_OF_THREE[step]
    assert all(": why" in text for text in told)


def make(server: Server, keyword: str) -> None:
    """Have this happen once the first record is sent."""
    done: list[int] = []

    def answer(batch):
        if done:
            return batch.written()
        done.append(1)
        if keyword == "network_failure_action":
            return None  # says nothing
        if keyword == "remote_ending_action":
            return batch.written() + ending()
        kind = ANSWERS[keyword]
        replies = b"".join(encode(kind, n, b"why") for n in batch._sequences)
        if not kind & FATAL:
            return replies
        server.say(replies)
        return None

    server.answer = answer


@pytest.mark.slow
@pytest.mark.parametrize("keyword", OF_THE_SERVER)
def test_sending_is_suspended_until_it_is_told_to_go_on(serve, forward, tmp_path, keyword):
    server = serve()
    make(server, keyword)
    plugin = forward(
        server, max_tries_per_record=1, max_time_per_record=1, **{keyword: "suspend"}
    )  # fmt: skip
    plugin.send(line(0))
    said(plugin, "sending is suspended until SIGUSR2")
    plugin.send(line(1))
    wait_for(lambda: state(plugin, tmp_path)["records taken"] == "2", "it is read")
    assert state(plugin, tmp_path)["suspended"] == "yes"
    assert line(1) not in server.texts
    plugin.signal(signal.SIGUSR2)
    server.has(2)
    assert plugin.finish()[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("keyword", OF_THE_SERVER)
def test_the_program_ends(serve, forward, keyword):
    server = serve()
    make(server, keyword)
    plugin = forward(
        server, max_tries_per_record=1, max_time_per_record=1, **{keyword: "stop"}
    )  # fmt: skip
    plugin.send(line(0))
    status, told = plugin.wait()
    assert status == 1
    assert "; ending\n" in told


@pytest.mark.slow
@pytest.mark.parametrize("keyword", OF_THE_SERVER)
def test_a_program_of_the_administrator_is_run(serve, forward, log_dir: Path, keyword):
    server = serve()
    make(server, keyword)
    program = log_dir / "program"
    program.write_text(f"#!/bin/sh\necho ran > {log_dir}/ran\n")
    program.chmod(0o750)
    plugin = forward(
        server, max_tries_per_record=1, max_time_per_record=1, **{keyword: f"exec {program}"}
    )  # fmt: skip
    plugin.send(line(0))
    wait_for((log_dir / "ran").exists, "the program ran")
    if keyword not in ANSWERS:
        server.has(1)
    assert plugin.finish()[0] == 0


@pytest.mark.slow
def test_a_program_that_hangs_is_ended(serve, forward, log_dir: Path):
    server = serve()
    make(server, "disk_full_action")
    program = log_dir / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o750)
    plugin = forward(server, disk_full_action=f"exec {program}", exec_timeout=1)
    plugin.send(line(0))
    said(plugin, f"{program} took longer than exec_timeout (1 s) and was ended")
    assert plugin.finish()[0] == 0


def test_too_many_records_suspend_it(forward, tmp_path):
    plugin = forward(
        remote_server="127.0.0.1", port=free_port(), queue_depth=10, max_tries_per_record=1,
        overflow_action="suspend",
    )  # fmt: skip
    plugin.send(*[line(n) for n in range(50)])
    said(plugin, "too many records wait, the newest are dropped: 40 records since the start")
    found = state(plugin, tmp_path)
    assert (found["suspended"], found["records dropped"]) == ("yes", "40")
    assert plugin.terminate()[0] == 1


@pytest.mark.slow
def test_a_queue_that_fails_suspends_it_and_then_it_goes_on_in_memory(
    fault_fs, serve, forward, tmp_path
):
    server = serve()
    plugin = forward(
        server, mode="forward", queue_file=fault_fs.place / "q", queue_error_action="suspend"
    )
    plugin.send(line(0))
    server.has(1)
    fault_fs.fail("EIO")
    plugin.send(line(1))
    said(plugin, "records wait in memory; sending is suspended until SIGUSR2")
    fault_fs.fail("ok")
    plugin.signal(signal.SIGUSR2)
    server.has(2)
    assert plugin.finish()[0] == 0
