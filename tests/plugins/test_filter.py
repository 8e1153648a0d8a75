import os
import signal
import sys

import pytest

from auditd_py.plugins.filter import check, parse
from auditd_py.plugins.filter_file import MOST, parse_filter
from auditd_py.plugins.wire import HEADER
from tests.plugins.plugin_process import catches
from tests.plugins.records import event
from tests.programs import wait_for

CHILD = """
import os, signal, sys
def hup(*_):
    os.write(out, b"HUP\\n")
signal.signal(signal.SIGHUP, hup)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(out, b"")
while data := os.read(0, 65536):
    os.write(out, data)
"""


@pytest.fixture
def conf(tmp_path):
    return tmp_path / "filter.conf"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(start, conf, out):
    def begin(mode, expressions, code=CHILD):
        conf.write_text(expressions)
        return start("filter", mode, str(conf), sys.executable, "-c", code, str(out))

    return begin


def joined(*events) -> bytes:
    return b"".join(line + b"\n" for lines in events for line in lines)


@pytest.mark.parametrize(("mode", "gone_on"), [("allowlist", [2]), ("blocklist", [1, 3])])
def test_events_are_passed_on_or_dropped_whole(mode, gone_on, run, out):
    plugin = run(mode, '# comment\n\nkey r= "\\"drop\\""\n  comm i= cat\n')
    events = {1: event(1, key="drop"), 2: event(2), 3: event(3, comm="cat")}
    plugin.send(*[line for lines in events.values() for line in lines])
    assert plugin.finish() == (0, "")
    assert out.read_bytes() == joined(*[events[n] for n in gone_on])


def test_records_of_events_that_come_mixed_are_put_in_order(run, out):
    plugin = run("allowlist", "key i= drop")
    a, b, c = event(1), event(2, key="drop"), event(3)
    plugin.send(a[0], b[0], c[0], a[1], b[1], c[1], c[2], b[2], a[2])
    assert plugin.finish() == (0, "")
    assert out.read_bytes() == joined(a, c)


def test_the_end_of_an_event_goes_with_it(run, out):
    plugin = run("allowlist", "key i= drop")
    kept, dropped = event(1, end=b"EOE"), event(2, key="drop", end=b"EOE")
    plugin.send(*kept, *dropped)
    assert plugin.finish() == (0, "")
    assert out.read_bytes() == joined(kept)


def test_what_is_no_record_is_passed_on(run, out):
    plugin = run("blocklist", "key i= none")
    plugin.send(b"no record")
    assert plugin.finish() == (0, "")
    assert out.read_bytes() == b"no record\n"


def test_without_expressions_an_allowlist_drops_nothing(run, out):
    plugin = run("allowlist", "# none\n")
    plugin.send(*event(1))
    plugin.finish()
    assert out.read_bytes() == joined(event(1))


@pytest.mark.slow
def test_an_event_without_an_end_is_waited_for_a_little(run, out):
    plugin = run("allowlist", "")
    plugin.send(event(1)[0])
    wait_for(lambda: out.exists() and out.read_bytes(), "the event is passed on")
    assert out.read_bytes() == event(1)[0] + b"\n"


def test_messages_stay_messages(run, out):
    plugin = run("allowlist", "key i= drop")
    plugin.send_binary(*event(1), *event(2, key="drop"), version=0)
    assert plugin.finish() == (0, "")
    data = out.read_bytes()
    assert HEADER.unpack_from(data)[:3] == (0, 16, 1300)
    assert (data.count(b"audit("), data.count(b"type=")) == (3, 0)


def test_hangup_reads_the_file_again_and_is_passed_on(run, conf, out):
    plugin = run("allowlist", "key i= drop")
    wait_for(out.exists, "the program runs")
    catches(plugin, signal.SIGHUP)
    conf.write_text("comm i= ls")
    plugin.hang_up()
    wait_for(lambda: out.read_bytes() == b"HUP\n", "the program got SIGHUP")
    plugin.send(*event(1), *event(2, comm="cat", key="drop"))
    assert plugin.finish() == (0, "")
    assert out.read_bytes() == b"HUP\n" + joined(event(2, comm="cat", key="drop"))


def test_a_bad_file_at_hangup_changes_nothing(run, conf, out):
    plugin = run("allowlist", "key i= drop")
    wait_for(out.exists, "the program runs")
    catches(plugin, signal.SIGHUP)
    conf.write_text("key i= drop\nkey =")
    plugin.hang_up()
    assert b"filter.conf:2:" in plugin.process.stderr.readline()
    plugin.send(*event(1, key="drop"), *event(2))
    plugin.finish()
    assert out.read_bytes().endswith(joined(event(2)))
    assert b'"drop"' not in out.read_bytes()


def test_a_program_that_ends_ends_the_filter(run):
    status, told = run("allowlist", "", "import sys; sys.exit(0)").wait()
    assert (status, "has ended by itself" in told) == (1, True)


@pytest.mark.slow
def test_a_program_that_does_not_read_does_not_keep_the_filter_from_ending(run, out):
    hang = "import signal; open(__import__('sys').argv[1], 'w'); signal.pause()"
    plugin = run("allowlist", "", hang)
    wait_for(out.exists, "the program runs")
    plugin.input.settimeout(0.5)
    with pytest.raises(TimeoutError):
        plugin.input.sendall(joined(*[event(n) for n in range(10_000)]))
    status, told = plugin.terminate()
    assert (status, "not passed on at the end" in told) == (1, True)


def test_a_program_that_cannot_be_run_is_told_of(start, conf):
    conf.write_text("")
    status, told = start("filter", "allowlist", str(conf), "/no/such/program").wait()
    assert (status, "/no/such/program: No such file" in told) == (1, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [([], "usage"), (["allowlist", "f"], "usage"), (["some", "f", "/b"], "allowlist or blocklist"),
     (["allowlist", "f", "b"], "absolute")],
)  # fmt: skip
def test_other_arguments_are_refused_with_a_reason(words, reason):
    with pytest.raises(ValueError, match=reason):
        parse(words)


def test_check_counts_the_expressions_of_a_good_file(conf, capsys):
    conf.write_text("uid r= 0\n\n# none\nuid r= 1\n")
    assert check(str(conf)) == 0
    assert capsys.readouterr().out == f"{conf}: 2 expressions\n"


def test_check_shows_everything_that_is_wrong(conf, capsys):
    conf.write_text("uid r= 0\nuid = 0\nuid r=\n" + "x" * (MOST + 1))
    assert check(str(conf)) == 1
    told = capsys.readouterr().err
    assert [f"{conf}:{n}: " in told for n in (1, 2, 3, 4)] == [False, True, True, True]
    assert "uid = 0\n      ^" in told


@pytest.mark.parametrize("how", ["missing", "folder", "world writable"])
def test_check_refuses_files_that_are_not_safe(how, tmp_path, capsys):
    path = tmp_path / "f"
    if how == "folder":
        path.mkdir()
    elif how == "world writable":
        path.touch()
        os.chmod(path, 0o666)
    assert check(str(path)) == 1
    assert str(path) in capsys.readouterr().err


def test_a_line_of_the_longest_length_is_read():
    assert len(parse_filter(b'uid r= "' + b"0" * (MOST - 9) + b'"', "f")) == 1
