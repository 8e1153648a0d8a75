"""Where pictures go: the format that a name asks for, and a file that is there whole or not."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Final

from auditd_py.errors import AuditError
from auditd_py.report.chart import page_of

if TYPE_CHECKING:
    from auditd_py.report.chart import Chart

FORMATS: Final = ("html", "png", "svg")


class PictureError(AuditError):
    """A picture cannot be made or written; the text says why."""


def form_of(path: str) -> str:
    """Return which of FORMATS a file's name asks for; raises PictureError."""
    form = os.path.splitext(path)[1][1:].lower()
    if form not in FORMATS:
        raise PictureError(f"{path}: a name ending in .png, .svg or .html is needed")
    return form


def draw(chart: Chart, path: str) -> None:
    """Draw a chart into a file; raises PictureError or PlotError."""
    form = form_of(path)
    if form == "html":
        from auditd_py.report.page import page_html

        content = page_html(page_of(chart))
    else:
        from auditd_py.report.plot import picture

        content = picture(chart, form)
    write(path, content)


def write(path: str, content: bytes) -> None:
    """Put a file in its place, readable by its owner only: it tells what the log tells.

    What was there is replaced at once or stays; a link is replaced, not followed. Raises
    PictureError.
    """
    folder = os.path.dirname(path) or "."
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".new")
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror}") from error
