"""auditd_py.daemon.action_runner with our actions and those of a site's package."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions import power, system_log
from auditd_py.actions.email import Email
from auditd_py.config.keywords import DaemonConfig
from auditd_py.config.values import Action
from auditd_py.daemon.action_runner import ActionRunner, LoopServices
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident, Response
from tests.actions.site import install_site_package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ALERT = "Audit daemon has no space left on logging partition"


@dataclass(slots=True)
class Daemon:
    """What the services lead to; all of it on the event loop's thread."""

    told: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def tell(self, level: str, text: str) -> None:
        self.told.append((level, text))
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
async def runner(daemon: Daemon, tmp_path: Path, monkeypatch) -> AsyncIterator[ActionRunner]:
    install_site_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "site_actions", raising=False)
    monkeypatch.setattr(system_log, "_SOCKET", str(tmp_path / "log"))
    monkeypatch.setattr(power, "run_command", lambda *_: daemon.asked.append("command"))
    services = LoopServices(
        asyncio.get_running_loop(),
        tell=daemon.tell,
        resume_logging=lambda: daemon.asked.append("resume"),
        stop=lambda: daemon.asked.append("stop"),
    )
    found = ActionRunner(services, "web1")
    yield found
    await found.close(0.01)


@pytest.fixture
def use(runner: ActionRunner) -> Callable[..., None]:
    """Make the runner use settings: use(disk_full_action="halt", …)."""

    def set_actions(**words: str) -> None:
        actions = {keyword: Action(*text.split()) for keyword, text in words.items()}
        runner.use(runner.load(DaemonConfig.model_validate(actions)))

    return set_actions


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` is true; the runner tells its end through the event loop."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def incident(condition: Condition = Condition.DISK_FULL) -> Incident:
    return Incident(condition, "/var/log/audit/audit.log", 1, 0, 10, "write", "Input/output error")


async def test_an_action_runs_beside_the_event_loop(runner, use, daemon):
    use(disk_full_action="paging night")
    runner.run(incident())
    assert runner.running == 1
    await until(lambda: not runner.running)
    assert daemon.told == [("alert", ALERT), ("notice", "paging night: disk_full_action")]
    assert daemon.threads == {threading.current_thread().name}
    assert (runner.failed, runner.overran, runner.skipped) == (0, 0, 0)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("raises", "disk_full_action = raises: failed: ValueError('out of paper')"),
        ("exits", "disk_full_action = exits: failed: SystemExit(3)"),
        ("refuses", "disk_full_action = refuses: the pager is off"),
        ("exec /no/such", "disk_full_action = exec /no/such: /no/such: No such file or directory"),
    ],
)
async def test_a_failure_is_told_and_counted(runner, use, daemon, word, text):
    use(disk_full_action=word)
    for count in (1, 2):
        runner.run(incident())
        await until(lambda: not runner.running)
        assert runner.failed == count
    assert daemon.told == [("alert", ALERT), ("error", text)] * 2


async def test_an_action_that_blocks_for_ever_holds_up_nothing(runner, use, daemon):
    use(disk_full_action="blocks", space_left_action="paging x")
    started = time.monotonic()
    runner.run(incident())
    runner.run(incident(Condition.SPACE_LEFT))
    assert time.monotonic() - started < 1
    await until(lambda: ("notice", "paging x: space_left_action") in daemon.told)
    await until(lambda: runner.overran)
    assert ("error", "disk_full_action = blocks: took longer than 0 s") in daemon.told
    runner.run(incident())
    assert daemon.told[-1][1].endswith("not started again, the last one still runs")
    assert (runner.skipped, runner.running) == (1, 1)
    # another action set by a reload is not kept from running by the old one
    use(disk_full_action="paging y")
    runner.run(incident())
    await until(lambda: ("notice", "paging y: disk_full_action") in daemon.told)


async def test_a_dead_mail_server_costs_nothing_else(runner, daemon, monkeypatch):
    monkeypatch.setattr(Email, "delays_s", (0.1, 0.1))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    config = DaemonConfig.model_validate(
        {
            "smtp_server": "127.0.0.1",
            "smtp_port": port,
            "space_left_action": Action("email"),
            "disk_full_action": Action("paging", "x"),
        }
    )
    runner.use(runner.load(config))
    runner.run(incident(Condition.SPACE_LEFT))
    runner.run(incident())
    await until(lambda: ("notice", "paging x: disk_full_action") in daemon.told)
    assert runner.running == 1
    await until(lambda: not runner.running)
    assert runner.failed == 1
    assert daemon.told[-1][1].startswith("space_left_action = email: mail not sent: after 3 tries")


async def test_the_end_waits_a_moment_and_names_what_it_leaves(runner, use, daemon):
    use(disk_full_action="blocks", space_left_action="paging x")
    runner.run(incident(Condition.SPACE_LEFT))
    runner.run(incident())
    started = time.monotonic()
    await runner.close(0.1)
    assert 0.09 < time.monotonic() - started < 2
    assert ("warning", "disk_full_action = blocks: still runs, not waited for") in daemon.told
    await until(lambda: ("notice", "paging x: space_left_action") in daemon.told)


async def test_the_end_waits_for_nothing_when_nothing_runs(runner, use):
    use()
    started = time.monotonic()
    await runner.close(60)
    assert time.monotonic() - started < 1


FAULT = "write: Audit daemon detected an error writing an event to disk (Input/output error)"
SUSPENDING = "Audit daemon is suspending logging due to"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("disk_full_action = ignore", [("alert", ALERT)]),
        (
            "disk_full_action = suspend",
            [("alert", ALERT), ("alert", f"{SUSPENDING} no space left on logging partition.")],
        ),
        (
            "disk_error_action = suspend",
            [("alert", FAULT), ("alert", f"{SUSPENDING} previously mentioned write error")],
        ),
        ("disk_error_action = ignore", []),
        ("space_left_action = rotate", [("info", "Audit daemon rotating log files")]),
        ("space_left_action = suspend", [("alert", f"{SUSPENDING} low disk space.")]),
        ("space_left_action = ignore", []),
        ("max_log_file_action = suspend", [("alert", f"{SUSPENDING} logfile size.")]),
    ],
)
async def test_each_incident_is_told_once(runner, use, daemon, setting, told):
    keyword, word = setting.split(" = ")
    use(**{keyword: word})
    runner.run(incident(Condition(keyword)))
    await until(lambda: not runner.running)
    assert daemon.told == told


async def test_halt_runs_its_command_then_ends_the_daemon(runner, use, daemon):
    use(disk_full_action="halt")
    runner.run(incident())
    await until(lambda: "stop" in daemon.asked)
    assert daemon.asked == ["command", "command", "stop"]  # wall, then the command


async def test_logging_goes_on_after_a_program_for_the_size(runner, use, daemon):
    use(max_log_file_action="exec /no/such")
    runner.run(incident(Condition.LOG_SIZE))
    await until(lambda: not runner.running)
    assert daemon.asked == ["resume"]


async def test_responses_are_those_of_the_actions(runner):
    config = DaemonConfig.model_validate(
        {
            "max_log_file_action": Action("keep_logs"),
            "space_left_action": Action("email"),
            "admin_space_left_action": Action("paging", "x"),
            "disk_full_action": Action("rotate"),
            "disk_error_action": Action("single"),
        }
    )
    assert runner.load(config).responses == {
        Condition.LOG_SIZE: Response.KEEP_LOGS,
        Condition.SPACE_LEFT: Response.GO_ON,
        Condition.ADMIN_SPACE_LEFT: Response.GO_ON,
        Condition.DISK_FULL: Response.ROTATE,
        Condition.DISK_ERROR: Response.SUSPEND,
        Condition.QUEUE_FULL: Response.GO_ON,
    }


async def test_settings_with_actions_that_cannot_be_made_are_refused_with_all_that_is_wrong(runner):
    config = DaemonConfig.model_validate(
        {
            "max_log_file_action": Action("odd_limit"),
            "space_left_action": Action("cannot_be_made"),
            "admin_space_left_action": Action("incomplete"),
            "disk_full_action": Action("not_there"),
            "disk_error_action": Action("nobody"),
        }
    )
    with pytest.raises(ActionError) as caught:
        runner.load(config)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("max_log_file_action = odd_limit: limit_s = inf")
    assert lines[0] == "space_left_action = cannot_be_made: needs a pager's name"
    assert lines[1].startswith("admin_space_left_action = incomplete: cannot be made: TypeError")
    assert lines[2].startswith("disk_full_action = not_there: not_there: site_actions:NotThere")
    assert lines[3] == "disk_error_action = nobody: nobody: no such action is installed"


async def test_nothing_runs_before_settings_are_used(runner, daemon):
    runner.run(incident())
    assert runner.running == 0
    assert daemon.told == []
