"""A page of charts as one HTML file that needs nothing else: no network, no library.

The counts go into a block of JSON, which a browser never runs; page.js draws them and writes
labels as text only. The policy in the page's head allows exactly that script and that style.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from auditd_py.report.chart import Chart, Figures

if TYPE_CHECKING:
    from auditd_py.report.chart import Facets, Page, Table

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="about">{about}</p>
</header>
<noscript><p class="note">The charts are drawn by a script in this file, and this browser runs none.
The same figures as text: aureport.</p></noscript>
<div id="controls"></div>
<main id="charts"></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page_html(page: Page) -> bytes:
    """Return the file."""
    script, style = (
        files("auditd_py.report").joinpath(name).read_text("utf-8")
        for name in ("page.js", "page.css")
    )
    about = " · ".join(part for part in (page.source, page.period) if part)
    text = _FRAME.format(
        title=html.escape(page.title),
        about=html.escape(about),
        script_hash=_hash(script),
        style_hash=_hash(style),
        style=style,
        script=script,
        data=_embedded(_values(page)),
    )
    return text.encode("utf-8", "backslashreplace")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _embedded(values: dict[str, Any]) -> str:
    """Return JSON in which nothing can end the block it stands in."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _values(page: Page) -> dict[str, Any]:
    return {
        "facets": _facets(page.facets),
        "items": [_item(item) for item in page.items],
        "notes": page.notes,
    }


def _facets(facets: Facets) -> dict[str, Any]:
    return {
        "rows": facets.rows,
        "values": facets.values,
        "step": facets.step_s,
        "offset": facets.offset_s,
    }


def _item(item: Chart | Table | Figures) -> dict[str, Any]:
    if isinstance(item, Chart):
        return {
            "kind": item.kind, "title": item.title, "names": item.names, "labels": item.labels,
            "cells": item.cells, "unit": item.unit, "notes": item.notes, "file": item.file,
        }  # fmt: skip
    if isinstance(item, Figures):
        return {"kind": "figures", "title": item.title, "rows": item.rows, "notes": item.notes}
    return {
        "kind": "table", "title": item.title, "names": item.headings, "rows": item.rows,
        "notes": item.notes, "file": item.file,
    }  # fmt: skip
