"""aureport --plot, --graph and --html: from the columns of events to files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from auditd_py.cli.picture_file import PictureError, draw, write
from auditd_py.report import pictures
from auditd_py.report.export import csv_lines
from auditd_py.report.facts import Facts
from auditd_py.report.overview import Overview
from auditd_py.report.page import page_html

if TYPE_CHECKING:
    from auditd_py.cli.aureport import Request, Run
    from auditd_py.search.reader import LogFile

DONE: Final = 0
FAILED: Final = 1
_UNSEEN: Final = 5  # files named in a picture


def plot(run: Run, request: Request, files: list[LogFile]) -> int:
    """Draw one report into --plot's file; return the exit status."""
    report = request.report
    summary = None if report is None else report.summary
    facts = Facts(run.show, pictures.step_of(request.by))
    if request.graph is not None:
        what = "" if report is None else f" ({report.title})"
        title = f"{request.prefix}{request.graph[0]} and {request.graph[1]}{what}"
        picture = pictures.relations(facts, run.show, report, request.graph, title)
    elif request.by == "node" and summary is not None and report is not None:
        title = f"{request.prefix}{report.title} by node"
        picture = pictures.relations(facts, run.show, report, _by_node(report.name), title)
    elif request.asks("--summary") and not request.by and summary is not None:
        title = f"{request.prefix}{summary.title} Summary Report"
        picture = pictures.bars(facts, run.show, summary, title)
    else:
        assert report is not None
        picture = pictures.series(facts, run.show, report, f"{request.prefix}{report.title}")
    source = _source(files)
    without = frozenset() if report is None else report.without
    for columns in run.columns(files, picture.needs, without):
        picture.add(columns, facts.places(columns))
        facts.settle()
    chart = picture.chart(source, request.top)
    chart.notes += facts.notes()
    draw(chart, request.plot)
    return DONE


def _by_node(name: str) -> tuple[str, str]:
    for word, report in pictures.OF_SUMMARIES.items():
        if report == name:
            return "node", word
    raise PictureError(f"--by node with --plot: of {', '.join(pictures.OF_SUMMARIES)} only")


def overview(run: Run, request: Request, files: list[LogFile]) -> int:
    """Write the page of --html and the files beside it; return the exit status."""
    source = _source(files)
    whole = Overview(run.show, run.filter)
    for columns in run.columns(files, whole.needs, tell=whole.lines):
        whole.add(columns)
    page, beside = whole.page(f"{request.prefix}Audit report", source)
    try:
        os.makedirs(request.html, mode=0o700, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{request.html}: {error.strerror}") from error
    for name, rows in beside.items():
        write(os.path.join(request.html, name), b"".join(csv_lines(rows)))
    path = os.path.join(request.html, "index.html")
    write(path, page_html(page))
    sys.stdout.write(f"{path}\n")
    return DONE


def _source(files: list[LogFile]) -> str:
    names = [file.path for file in files]
    if len(names) > _UNSEEN:
        return f"{names[0]} to {names[-1]} ({len(names)} files)"
    return ", ".join(names)
