"""auditd_py.report.chart, facts and piped: what a picture shows, in bounded memory."""

from __future__ import annotations

from itertools import pairwise

import pytest

from auditd_py.report import facts as facts_module
from auditd_py.report.chart import LONGEST, OTHER, chart_of, shortened, shown_label
from auditd_py.report.columns import Columns
from auditd_py.report.completeness import Serials, told
from auditd_py.report.definitions import BY_NAME
from auditd_py.report.facts import Facts
from auditd_py.report.pictures import Picture, bars, relations, series
from auditd_py.report.piped import read_counts, read_pairs
from auditd_py.report.show import Show


def events(count: int, *, exes: int = 3, step_s: int = 1, first: int = 0) -> Columns:
    """Return events of two users, some failed, with a key each."""
    places = range(first, first + count)
    return Columns(
        node=[b"alpha"] * count,
        stamp=[b"%d.000:%d" % (1_700_000_000 + step_s * n, n + 1) for n in places],
        type=[b"SYSCALL"] * count,
        types=[(1300,)] * count,
        success=[n % 4 != 0 for n in places],
        auid=[1000 + n % 2 for n in places],
        auid_name=[(b"ada", b"grace")[n % 2] for n in places],
        exe=[b"/bin/p%d" % (n % exes) for n in places],
        keys=[(b"k", b"l") if n % 2 else () for n in places],
    )


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/bin/sh", "/bin/sh"),
        (b"a\x1b[31mb\n", "a\\x1b[31mb\\x0a"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("a\u202eb\u2028c", "a\\u202eb\\u2028c"),
        ("\U0001f600 é 日", "\U0001f600 é 日"),
        (b"", "(none)"),
        (b"<b>&amp;\"'", "<b>&amp;\"'"),  # escaped where it is written, not here
    ],
)
def test_a_label_can_be_shown_anywhere(raw, shown):
    assert shown_label(raw) == shown


def test_a_long_label_keeps_both_ends():
    label = shown_label(b"a" * 3000 + b"end")
    assert len(label) == LONGEST
    assert label.endswith("aend")
    assert shortened("/usr/lib/systemd/systemd-logind", 15) == "/usr…emd-logind"


def chart_from(picture, facts: Facts, *blocks: Columns):
    for block in blocks:
        picture.add(block, facts.places(block))
        facts.settle()
    return picture.chart("here")


def test_bars_count_what_the_summary_counts():
    facts = Facts(Show())
    summary = BY_NAME["executable"].summary
    assert summary is not None
    chart = chart_from(bars(facts, Show(), summary, "t"), facts, events(10), events(2, first=10))
    assert chart.totals() == [(("/bin/p0",), 4), (("/bin/p1",), 4), (("/bin/p2",), 4)]


def test_steps_of_time_grow_and_nothing_is_lost():
    facts = Facts(Show())
    picture = series(facts, Show(), BY_NAME["event"], "t")
    blocks = [events(1000, step_s=60, first=1000 * n) for n in range(5)]
    drawn = chart_from(picture, facts, *blocks).series(8)
    assert drawn.step_s == 3600
    assert sum(map(sum, drawn.rows)) == 5000
    assert max(map(max, drawn.rows)) == 60
    assert len(drawn.rows[0]) <= facts_module.MOST_STEPS


def test_asked_steps_stay():
    facts = Facts(Show(), 3600)
    drawn = chart_from(
        series(facts, Show(), BY_NAME["event"], "t"), facts, events(50, step_s=90000)
    )
    assert drawn.series(8).step_s == 3600


def test_a_relation_has_every_key_of_an_event():
    facts = Facts(Show())
    chart = chart_from(relations(facts, Show(), None, ("user", "key"), "t"), facts, events(4))
    assert chart.totals() == [(("1001", "k"), 2), (("1001", "l"), 2)]


@pytest.mark.parametrize("cells", [300, 1200])
def test_rare_labels_are_counted_together_and_all_is_told(monkeypatch, cells):
    monkeypatch.setattr(facts_module, "DRAWN_CELLS", cells)
    monkeypatch.setattr(facts_module, "MOST_CELLS", 2000)
    picture, facts = executables()
    many = events(6000, exes=5000)
    many.exe[3000:4500] = [b"/bin/often"] * 1500  # when there is no room any more
    chart = chart_from(
        picture, facts, *(many.picked(range(n, n + 500)) for n in range(0, 6000, 500))
    )
    totals = dict(chart.totals())
    assert totals[("/bin/often",)] == 1500
    assert sum(totals.values()) == 6000
    assert totals[(OTHER,)] > 0
    assert f"{totals[(OTHER,)]:,} in all" in chart.notes[0]
    assert len(chart.cells) <= cells + len(facts.facets.rows)
    rows = dict(picture.rows())  # the file beside a page has them all
    assert len(rows) == len(set(many.exe))
    assert sum(rows.values()) == 6000
    assert rows[("/bin/often",)] == 1500


def test_more_labels_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(facts_module, "MOST_LABELS", 1000)
    picture, facts = executables()
    many = events(9000, exes=9000)
    many.exe[::3] = [b"/bin/often"] * 3000
    chart = chart_from(
        picture, facts, *(many.picked(range(n, n + 300)) for n in range(0, 9000, 300))
    )
    rows = dict(picture.rows())
    assert len(rows) <= 1001
    assert sum(rows.values()) == 9000
    assert rows[("/bin/often",)] == 3000
    assert dict(chart.totals())[("/bin/often",)] == 3000
    assert sum(count for _, count in chart.totals()) == 9000
    assert chart.notes[0].startswith("many rarer ones")


def executables() -> tuple[Picture, Facts]:
    """Return a picture of programs, and the facets it is made with."""
    facts = Facts(Show())
    summary = BY_NAME["executable"].summary
    assert summary is not None
    return bars(facts, Show(), summary, "t"), facts


def test_facets_are_bounded(monkeypatch):
    monkeypatch.setattr(facts_module, "MOST_FACETS", 500)
    facts = Facts(Show())
    block = events(3000)
    block.keys = [(b"key%d" % (n % 390),) for n in range(3000)]
    chart = chart_from(series(facts, Show(), BY_NAME["event"], "t"), facts, block)
    assert len(facts.facets.rows) <= 500
    assert "keys" in facts.notes()[0]
    assert sum(cell[-1] for cell in chart.cells) == 3000


def test_serials_that_are_not_there_are_found():
    serials = Serials()
    block = events(5000)
    serials.add(block.picked([n for n in range(5000) if n not in {7, 8, 4000}]))
    serials.finish()
    assert [(gap.first, gap.last) for gap in serials.gaps] == [(8, 9), (4001, 4001)]
    assert serials.missing == 3


def test_serials_out_of_order_and_after_a_reboot_are_no_gap():
    serials = Serials()
    order = [place for a, b in pairwise(range(0, 401, 40)) for place in reversed(range(a, b))]
    serials.add(events(400).picked(order))
    again = events(300)
    again.stamp = [b"%d.000:%d" % (1_700_009_000 + n, n + 1) for n in range(300)]
    serials.add(again)
    serials.finish()
    assert (serials.missing, serials.restarts) == (0, 1)


def test_what_the_daemon_could_not_write_is_read():
    lines = (
        b"type=SYSCALL msg=audit(1.000:1): arch=c000003e\n"
        b"node=a type=DAEMON_RESUME msg=audit(2.000:9): op=resume-logging res=success unwritten=12\n"
    )
    (one,) = told(lines)
    assert (one.node, one.kind, one.lost) == (b"a", b"DAEMON_RESUME", 12)


def test_the_pipe_of_a_summary_is_read():
    text = (
        b"\nExecutable Summary Report\n=====\ntotal  file\n=====\n"
        b"12  /bin/a b\n3  /bin/c\n3 /bin/c\nnonsense\n"
    )
    found = read_counts(text.splitlines(keepends=True))
    assert found.title == "Executable Summary Report"
    assert found.counts == {(b"/bin/a b",): 12, (b"/bin/c",): 6}
    assert found.skipped == 1


def test_the_pipe_of_pairs_is_read():
    found = read_pairs([b"root /bin/a\n", b"      7 root /bin/a\n", b"\n", b"one\n", b"a b c d\n"])
    assert found.counts == {(b"root", b"/bin/a"): 8}
    assert found.skipped == 2


def test_a_chart_of_nothing_has_no_series():
    chart = chart_of("series", "t", ("name",), [])
    assert chart.totals() == []
    assert chart.series(8).rows == []
