import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.plugin_process import Plugin
from tests.plugins.records import event
from tests.programs import wait_for

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


def example() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture
def run(tmp_path):
    running = []

    def begin(code: str) -> Plugin:
        path = tmp_path / "plugin.py"
        path.write_text(code)
        plugin = Plugin.__new__(Plugin)
        plugin.run([sys.executable, str(path)], stdout=subprocess.PIPE)
        running.append(plugin)
        return plugin

    yield begin
    for plugin in running:
        plugin.end()


def test_the_example_has_ten_lines():
    assert len([line for line in example().splitlines() if line.strip()]) <= 10


def test_the_example_of_the_documentation_works(run, tmp_path):
    out = tmp_path / "out"
    plugin = run(example().replace("/run/audit/root-commands", str(out)))
    lines = [line.replace(b"auid=1000 uid=0 ", b"auid=54321 euid=0 ") for line in event(1)]
    execve = b'type=EXECVE msg=audit(1795332010.694:1): argc=2 a0="ls" a1=2F746D7020'
    plugin.send(lines[0], execve, *lines[1:], *event(2))
    assert plugin.finish() == (0, "")
    assert out.read_text() == "2026-11-22T07:20:10.694Z 54321 ls /tmp \n"


def test_events_come_when_they_are_whole_and_end_with_term(run):
    plugin = run(
        "from auditd_py.plugins import events\n"
        "for event in events():\n    print(event['serial'], flush=True)\n"
        "print('end')\n"
    )
    for number in (1, 2):
        plugin.send(*event(number, end=b"EOE"))
        assert plugin.process.stdout.readline() == b"%d\n" % number
    plugin.signal(signal.SIGTERM)
    assert plugin.process.stdout.read() == b"end\n"


def test_assembled_gives_records_and_hangup_is_told(run):
    plugin = run(
        "from auditd_py.plugins import assembled\n"
        "for event in assembled(lambda: print('again', flush=True)):\n"
        "    print(len(event.records), flush=True)\n"
    )
    plugin.send(*event(1))
    assert plugin.process.stdout.readline() == b"3\n"
    plugin.hang_up()
    assert plugin.process.stdout.readline() == b"again\n"
    assert plugin.finish() == (0, "")


def test_a_plugin_starts_without_what_it_does_not_need():
    code = (
        "import sys, auditd_py.plugins.json, auditd_py.plugins.event_stream, auditd_py.plugins.filter,"
        " auditd_py.plugins.syslog, auditd_py.plugins.af_unix;"
        "print([m for m in ('asyncio', 'pydantic', 'structlog', 'uvloop', 'pyroute2')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_nothing_of_an_event_is_lost_at_the_end(run):
    plugin = run(
        "from auditd_py.plugins import events\n"
        "for event in events():\n    print(event['types'], flush=True)\n"
    )
    plugin.send(event(1)[0])
    plugin.input.close()
    assert plugin.process.stdout.read() == b"['SYSCALL']\n"
    wait_for(lambda: plugin.process.poll() is not None, "it ends")
