"""auditd_py.report.page and plot: what is in the files, read by other programs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from auditd_py.report.chart import Chart, Facets, chart_of, page_of
from auditd_py.report.page import page_html

SVG = "{http://www.w3.org/2000/svg}"
EVIL = [
    "</script><script>alert(1)</script>", "<!--<script>", "<img src=x onerror=alert(1)>",
    "a\x00\x1b[31mb", "\u2028\u202e", "x" * 200, "$\\frac{a}$ & _^%", '"\'`',
]  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page, and what is in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open = False
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open = True
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.found[-1][2].append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.found if name == tag]


def many(kind: str, count: int) -> Chart:
    names = ("name",) if kind != "relations" else ("from", "to")
    rows = [(tuple(f"{name}{n}" for name in names), count - n) for n in range(count)]
    return chart_of(kind, f"{count} <things>", names, rows, source="pipe")


def test_a_label_cannot_leave_the_data():
    chart = chart_of("bars", EVIL[0], ("name",), [((label,), 1) for label in EVIL])
    elements = Elements(page_html(page_of(chart)).decode())
    (data, data_text), (script, script_text) = elements.of("script")
    assert data == {"type": "application/json", "id": "data"}
    assert "<" not in data_text
    labels = json.loads(data_text)["items"][0]["labels"][0]
    assert labels[:3] == EVIL[:3]
    assert labels[3:5] == ["a\\x00\\x1b[31mb", "\\u2028\\u202e"]
    assert script == {}
    assert [
        attrs for _, attrs, _ in elements.found for name in attrs if name.startswith("on")
    ] == []
    policy = next(a["content"] for a, _ in elements.of("meta") if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(script_text.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'sha256-"
    )


def test_a_page_refers_to_nothing_and_runs_no_text():
    text = page_html(page_of(many("bars", 3))).decode()
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []
    assert (
        re.findall(r"\b(?:eval|innerHTML|outerHTML|insertAdjacentHTML|document\.write)\b", text)
        == []
    )
    assert re.findall(r"<(?:link|img|iframe|object|embed)\b", text) == []


@pytest.fixture(scope="module")
def picture():
    """Give the function that draws, after the second that loading it takes."""
    return pytest.importorskip("auditd_py.report.plot").picture


def svg_texts(content: bytes) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(content).iter(f"{SVG}text")]


def pixels(png: bytes) -> tuple[int, int, set[bytes]]:
    """Return width, height and how many different rows a PNG has, whatever their filter."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert (depth, colour) in {(8, 6), (8, 2)}
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    stride = len(raw) // height
    return width, height, {raw[n * stride + 1 : (n + 1) * stride] for n in range(height)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bars", "relations"])
def test_a_drawing_has_every_name_and_count(picture, kind):
    texts = svg_texts(picture(many(kind, 5), "svg"))
    assert "5 <things>" in texts
    for n in range(5):
        if kind == "bars":
            assert {f"name{n}", f"{5 - n}"} <= set(texts)
        else:
            assert {f"from{n}  {5 - n}", f"to{n}  {5 - n}"} <= set(texts)


@pytest.mark.slow
def test_bars_are_as_long_as_their_counts(picture):
    content = picture(chart_of("bars", "t", ("n",), [(("a",), 100), (("b",), 25)]), "svg")
    paths = [
        [float(x) for x in re.findall(r"[ML] ([\d.]+) ", one.get("d", ""))]
        for one in ET.fromstring(content).iter(f"{SVG}path")
        if "#0072b2" in one.get("style", "")
    ]
    widths = [max(xs) - min(xs) for xs in paths]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["svg", "png"])
@pytest.mark.parametrize(
    "chart",
    [
        many("bars", 0), many("bars", 1), many("bars", 10_000), many("relations", 1),
        many("relations", 3000), many("series", 0),
        chart_of("bars", EVIL[0], ("name",), [((label,), 5) for label in EVIL]),
        Chart("series", "one", ("n",), (["a"],), [(0, 0, 3)], Facets([(5, 0, 0, 0, 0)], step_s=60)),
    ],
    ids=["none", "one", "10,000", "one pair", "3,000 pairs", "no time", "evil", "one moment"],
)  # fmt: skip
def test_a_drawing_of_anything_is_a_drawing(picture, chart, form):
    content = picture(chart, form)
    if form == "svg":
        texts = svg_texts(content)
        assert chart.title[:80] in texts
        assert ("no events" in texts) == (not chart.cells)
        if len(chart.cells) >= 3000:
            assert any("are not shown" in text for text in texts)
    else:
        width, height, rows = pixels(content)
        assert width == 1500
        assert 200 < height < 2500
        assert len(rows) > 20


@pytest.mark.slow
def test_the_same_chart_gives_the_same_file(picture):
    assert picture(many("bars", 9), "svg") == picture(many("bars", 9), "svg")
