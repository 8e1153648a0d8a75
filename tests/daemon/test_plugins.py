"""Plugins under the daemon: good ones, slow ones, those that crash, and what the log has meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.programs import Actor, Auditd, parse_log, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditd_py.netlink.control import Control

    StartAuditd = Callable[..., Auditd]

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

GETPGID, TEST = 121, 1120
COPY = """
while data := os.read(0, 65536):
    out.write(data)
    out.flush()
"""


@pytest.fixture
def plugin(log_dir: Path) -> Callable[..., Path]:
    """Make a plugin of Python code; it has `out`, the file that is returned.

    plugin(name, code, **keywords of its .conf)
    """
    folder = log_dir / "plugins.d"
    folder.mkdir(exist_ok=True)

    def make(name: str, code: str = COPY, **keywords: str) -> Path:
        program, out = log_dir / f"{name}.py", log_dir / f"{name}.out"
        program.write_text(
            f"#!{sys.executable} -S\nimport os, signal, sys, time\nout = open({str(out)!r}, 'ab')\n{code}"
        )
        program.chmod(0o750)
        conf = {"active": "yes", "path": str(program), "type": "always", **keywords}
        text = "".join(f"{key} = {value}\n" for key, value in conf.items())
        new = folder / f".{name}.new"
        new.write_text(text)
        new.chmod(0o640)
        new.rename(folder / f"{name}.conf")
        return out

    return make


@pytest.fixture
def daemon(
    audit: Control, log_dir: Path, plugin: object, auditd: StartAuditd
) -> Callable[..., Auditd]:
    """Start the daemon with the plugins made so far."""

    def start(**settings: object) -> Auditd:
        return auditd(plugin_dir=log_dir / "plugins.d", **settings)

    return start


def act(audit: Control, events: int) -> None:
    """Make so many events, with the key `plug`."""
    actor = Actor(f"for _ in range({events}): os.getpgid(0)")
    rule = syscall_rule(GETPGID, (0, actor.pid), key=b"plug")
    audit.add_rule(rule)
    try:
        actor.run()
    finally:
        audit.delete_rule(rule)


def messages(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        version, length, kind, size = (
            int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, 16, 4)
        )
        found.append((version, kind, data[length : length + size]))
        data = data[length + size :]
    return found


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def without_ends(data: bytes) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if b"type=EOE" not in line)


@pytest.mark.parametrize("log_format", ["RAW", "ENRICHED"])
def test_a_plugin_gets_what_the_log_gets_and_the_ends_of_events(audit, plugin, daemon, log_format):
    out = plugin("copy")
    it = daemon(log_format=log_format)
    act(audit, 50)
    assert it.stop() == 0
    data = out.read_bytes()
    assert without_ends(data) == it.log.read_bytes()
    ends = [line for line in data.splitlines() if line.startswith(b"type=EOE msg=audit(")]
    assert len(ends) >= 50
    assert all(line.endswith(b"):") for line in ends)


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({"log_format": "RAW"}, 0),
        ({"log_format": "ENRICHED"}, 1),
        ({"log_format": "RAW", "name_format": "USER", "name": "here"}, 1),
    ],
)
def test_a_binary_plugin_gets_messages_with_a_header(audit, plugin, daemon, settings, version):
    out = plugin("copy", format="binary")
    it = daemon(**settings)
    act(audit, 20)
    assert it.stop() == 0
    found = messages(out.read_bytes())
    assert {one[0] for one in found} == {version}
    assert {1200, 1201, 1300, 1320, 1327} <= {one[1] for one in found}
    logged = it.log.read_bytes().splitlines()
    payloads = [payload for _, kind, payload in found if kind != 1320]
    if version == 0:
        logged = [line.partition(b" msg=")[2] for line in logged]
    assert payloads == logged


def test_a_plugin_has_its_arguments_and_nothing_it_did_not_ask_for(audit, plugin, daemon):
    code = """
import json
status = open("/proc/self/status").read()
json.dump({
    "argv": sys.argv, "env": dict(os.environ),
    "ignored": [line.split()[1] for line in status.splitlines() if line.startswith(("SigIgn", "SigBlk"))],
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
}, open(out.name, "w"))
""" + COPY.replace("out.write(data)", "pass")
    out = plugin("look", code, args="first  second\tthird")
    it = daemon()
    wait_for(lambda: out.exists() and out.stat().st_size, "it wrote")
    found = json.loads(out.read_text())
    assert found["argv"][1:] == ["first", "second", "third"]
    assert set(found["env"]) - {"LC_CTYPE"} == {"PATH"}
    # Python ignores SIGPIPE (13) and SIGXFSZ (25) itself; 32 and 33 are the C library's own
    spared = 1 << 12 | 1 << 24 | 1 << 31 | 1 << 32
    assert [int(mask, 16) & ~spared for mask in found["ignored"]] == [0, 0]
    assert len(found["fds"]) <= 5  # the three, its own file, the folder it looks at
    assert it.stop() == 0


@pytest.mark.slow
def test_a_plugin_that_sleeps_loses_only_its_own_records(audit, plugin, daemon):
    plugin("asleep", "time.sleep(600)")
    out = plugin("copy")
    it = daemon(q_depth=600)
    act(audit, 20_000)
    wait_for(lambda: int(it.state()["records not given to plugins"]) > 0, "it overflows")
    state = it.state()
    assert state["plugin queue overflow detected"] == "yes"
    assert state["current plugin queue depth"] == "600"
    assert "dropped 0," in state["plugin copy"]
    wait_for(lambda: "queue to plugin asleep is full - dropped" in it.told(), "it is told")
    assert it.stop() == 0
    assert without_ends(out.read_bytes()) == it.log.read_bytes()
    assert sum('key="plug"' in line.text for line in it.lines() if line.type == "SYSCALL") >= 20_000


@pytest.mark.slow
def test_a_plugin_that_crashes_misses_nothing(audit, plugin, daemon):
    code = """
count = 0
line = b""
while byte := os.read(0, 1):
    line += byte
    if byte == b"\\n":
        out.write(line)
        out.flush()
        line, count = b"", count + 1
        if count == 10:
            os._exit(3)
"""
    out = plugin("crash", code)
    it = daemon(max_restarts=4)
    act(audit, 5)  # with what is around them fewer than 50 records
    wait_for(lambda: without_ends(content(out)) == it.log.read_bytes(), "it has all", limit_s=30)
    assert int(it.state()["plugin crash"].rsplit(" ", 1)[1]) > 1
    assert it.stop() == 0
    assert without_ends(content(out)) == it.log.read_bytes()
    assert 'plugin crash terminated unexpectedly how="exit status 3"' in it.told()


@pytest.mark.slow
def test_a_plugin_that_always_crashes_is_left_alone(audit, plugin, daemon):
    plugin("broken", "os._exit(1)")
    it = daemon(max_restarts=2)
    wait_for(lambda: "plugin broken has exceeded max_restarts" in it.told(), "it is given up")
    assert it.state()["Number of active plugins"] == "0"
    act(audit, 10)
    assert it.stop() == 0
    assert it.lines()[-1].type == "DAEMON_END"


@pytest.mark.slow
def test_a_plugin_that_closes_its_input_is_started_again(audit, plugin, daemon):
    out = plugin("closer", "out.write(b'x'); out.flush(); os.close(0); time.sleep(600)")
    it = daemon(max_restarts=1)
    act(audit, 10)
    wait_for(lambda: "plugin closer closed its input" in it.told(), "it is noticed")
    wait_for(lambda: len(out.read_bytes()) == 2, "it runs again")
    assert it.stop() == 0


@pytest.mark.slow
def test_a_plugin_that_does_not_end_is_ended(audit, plugin, daemon):
    plugin("stubborn", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(600)")
    it = daemon()
    act(audit, 10)
    pid = int(it.state()["plugin stubborn"].split()[1].rstrip(","))
    assert it.stop() == 0
    assert "does not end, sending SIGKILL" in it.told()
    assert not os.path.exists(f"/proc/{pid}")
    assert it.lines()[-1].type == "DAEMON_END"


def test_a_plugin_that_prints_disturbs_nobody(audit, plugin, daemon):
    out = plugin(
        "loud", COPY.replace("out.flush()", "out.flush(); print('x' * 100_000, flush=True)")
    )
    it = daemon()
    act(audit, 1000)
    assert it.stop() == 0
    assert without_ends(out.read_bytes()) == it.log.read_bytes()


@pytest.mark.slow
def test_a_plugin_may_finish_reading_when_the_daemon_ends(audit, plugin, daemon):
    out = plugin("slow", COPY.replace("65536", "4096").replace("out.flush()", "time.sleep(0.001)"))
    it = daemon()
    act(audit, 5000)
    assert it.stop() == 0
    assert without_ends(out.read_bytes()) == it.log.read_bytes()


@pytest.mark.slow
def test_suspending_plugins_is_ended_by_usr2(audit, plugin, daemon):
    plugin("asleep", "time.sleep(600)")
    it = daemon(q_depth=100, overflow_action="SUSPEND")
    act(audit, 20_000)
    wait_for(lambda: it.state()["plugin queueing suspended"] == "yes", "it is suspended")
    before = len(it.lines())
    audit.user_message(b"op=here", TEST)
    wait_for(lambda: len(it.lines()) > before, "the log goes on")
    it.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: it.state()["plugin queueing suspended"] == "no", "it goes on")
    assert "plugins get records again" in it.told()


@pytest.mark.slow
@pytest.mark.parametrize("word", ["SINGLE", "HALT"])
def test_an_overflow_can_end_the_host(audit, plugin, daemon, log_dir, word):
    plugin("asleep", "time.sleep(600)")
    commands = log_dir / "commands"
    it = daemon(q_depth=100, overflow_action=word, commands=commands)
    act(audit, 20_000)
    assert it.process.wait(40) == 0
    assert commands.read_text().splitlines()[0] == "wall"
    assert len(commands.read_text().splitlines()) == 2


def test_a_reload_starts_what_changed_and_leaves_the_rest(audit, plugin, daemon, log_dir):
    for name in ("same", "changed", "gone"):
        plugin(name)
    it = daemon()
    before = it.state()
    plugin("changed", args="now-with-one")
    plugin("new")
    (log_dir / "plugins.d" / "gone.conf").unlink()
    it.process.send_signal(signal.SIGHUP)
    it.wait_state("RELOADING=1")
    it.wait_state("READY=1")
    after = it.state()
    assert after["plugin same"] == before["plugin same"]
    assert after["plugin changed"] != before["plugin changed"]
    assert "plugin new" in after
    assert "plugin gone" not in after
    assert it.stop() == 0


def test_a_reload_with_a_bad_file_changes_nothing(audit, plugin, daemon, log_dir):
    plugin("good")
    it = daemon()
    before = it.state()["plugin good"]
    (log_dir / "plugins.d" / "good.conf").write_text("active = maybe\n")
    it.process.send_signal(signal.SIGHUP)
    it.wait_state("RELOADING=1")
    it.wait_state("READY=1")
    assert "good.conf:1: active: maybe: yes or no is allowed" in it.told()
    assert it.state()["plugin good"] == before
    assert [line.field("res") for line in it.lines() if line.type == "DAEMON_CONFIG"] == ["failed"]
    assert it.stop() == 0


def test_a_reload_with_a_bad_plugin_changes_no_setting_either(audit, plugin, daemon, log_dir):
    plugin("good")
    it = daemon()
    (log_dir / "plugins.d" / "good.conf").write_text("active = maybe\n")
    other = log_dir / "other.log"
    it.configure(plugin_dir=log_dir / "plugins.d", log_file=other)
    it.process.send_signal(signal.SIGHUP)
    it.wait_state("RELOADING=1")
    it.wait_state("READY=1")
    assert not other.exists()
    assert it.stop() == 0


def test_at_start_a_bad_file_is_told_and_the_others_run(audit, plugin, daemon, log_dir):
    plugin("good")
    (log_dir / "plugins.d" / "bad.conf").write_text("actve = yes\n")
    it = daemon()
    assert "bad.conf:1: actve: unknown keyword, did you mean active?" in it.told()
    assert it.state()["Number of active plugins"] == "1"
    assert it.stop() == 0


def test_while_the_log_is_suspended_plugins_get_everything(audit, plugin, daemon, fault_fs):
    out = plugin("copy")
    it = daemon(log_file=fault_fs.place / "audit.log")
    fault_fs.fail("EIO")
    audit.user_message(b"op=unlogged", TEST)
    wait_for(lambda: b"op=unlogged" in content(out), "the plugin gets it")
    fault_fs.fail("ok")
    assert it.stop() == 0
    assert b"op=unlogged" not in it.log.read_bytes()
    assert parse_log(without_ends(content(out)))[-1].type == "DAEMON_END"
