"""The pages in a real browser: drawn, clicked, filtered, brushed, and quiet."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from auditd_py.report.chart import Chart, Facets, Figures, Table, chart_of, page_of
from auditd_py.report.chart import Page as Charts
from auditd_py.report.page import page_html
from tests.report.logs import recorded
from tests.report.test_page import EVIL, many

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
ROOT = Path(__file__).parent.parent.parent
DESK = {"viewport": {"width": 1200, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
    "color_scheme": "dark",
}  # fmt: skip
OVERLAPS = """() => {
  const found = [];
  for (const group of document.querySelectorAll("svg, .bars, .bar, .figures")) {
    const boxes = [...group.querySelectorAll("text, .name, .count, label, dt, dd")]
      .map((one) => [one.textContent, one.getBoundingClientRect()]).filter(([, box]) => box.width);
    boxes.forEach(([text, a], at) => {
      for (const [other, b] of boxes.slice(at + 1)) {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) found.push(`${text} / ${other}`);
      }
      if (a.left < -1 || a.right > innerWidth + 1) found.push(`${text} is cut`);
    });
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    """Give Debian's Chromium without a window."""
    path = shutil.which("chromium")
    assert path is not None, "chromium is not installed: tools/bootstrap.sh test"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page in the browser, and all that it should not have done."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        self.page: Page = browser.new_context(**context).new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.requests: list[str] = []
        self.page.goto(file.as_uri())

    def quiet(self) -> bool:
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith("file:")] == []
        assert len(self.requests) == 1
        return True

    def counts(self, title: str) -> dict[str, int]:
        """Return the table under a chart, opened if need be."""
        section = self.section(title)
        if not section.locator("details[open]").count():
            section.locator("summary").click()
        section.locator("tbody tr").first.wait_for()
        rows = section.locator("tbody tr").all()
        cells = [[cell.inner_text() for cell in row.locator("td").all()] for row in rows]
        return {" ".join(row[:-1]): int(row[-1].replace(",", "")) for row in cells}

    def section(self, title: str):
        return self.page.locator("section").filter(
            has=self.page.get_by_role("heading", name=title, exact=True)
        )


def page_of_three(tmp_path: Path) -> Path:
    values = {
        "node": ["alpha", "beta"], "user": ["ada", "grace", "root"],
        "type": ["SYSCALL", "USER_LOGIN"], "key": ["", "k1", "k1\x01k2", EVIL[0]],
    }  # fmt: skip
    rows: list[tuple[int | None, int, int, int, int]] = [
        (460_000 + n, n % 2, n % 3, n % 2, n % 4) for n in range(48)
    ]
    facets = Facets(rows, values, 3600, 7200)
    every = range(len(rows))
    programs = ["/bin/a", "/bin/b", *EVIL]
    charts: list[Chart | Table | Figures] = [
        Figures("Totals", [("events", "48")]),
        Chart("series", "Logins", ("result",), (["ok", "failed"],),
              [(n % 2, n, 1) for n in every], facets),
        Chart("bars", "Programs", ("exe",), (programs,),
              [(n % len(programs), n, 1) for n in every], facets),
        Chart("relations", "Who ran what", ("user", "exe"), (values["user"], programs),
              [(n % 3, n % 2, n, 1) for n in every], facets),
        Table("Changes", ("time", "what"), [(n, [str(n), EVIL[2]]) for n in range(5)]),
    ]  # fmt: skip
    file = tmp_path / "three.html"
    file.write_bytes(page_html(Charts("All <three>", "log", "a day", facets, charts)))
    return file


def colours(png: bytes) -> Counter[bytes]:
    """Return how often each colour is in a screenshot (8 bits a channel, RGB)."""
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw, depth = zlib.decompress(data), 4 if png[25] == 6 else 3
    stride, found, before = width * depth, Counter[bytes](), bytearray(width * depth)
    for row in range(height):
        kind = raw[row * (stride + 1)]
        line = bytearray(raw[row * (stride + 1) + 1 : (row + 1) * (stride + 1)])
        for n in range(stride):
            left = line[n - depth] if n >= depth else 0
            above, corner = before[n], before[n - depth] if n >= depth else 0
            if kind == 1:
                line[n] = (line[n] + left) & 255
            elif kind == 2:
                line[n] = (line[n] + above) & 255
            elif kind == 3:
                line[n] = (line[n] + (left + above) // 2) & 255
            elif kind == 4:
                p = left + above - corner
                best = min((abs(p - left), 0, left), (abs(p - above), 1, above),
                           (abs(p - corner), 2, corner))  # fmt: skip
                line[n] = (line[n] + best[2]) & 255
        found.update(bytes(line[n : n + 3]) for n in range(0, stride, depth))
        before = line
    return found


def test_everything_is_drawn_and_nothing_overlaps(browser, tmp_path):
    file = page_of_three(tmp_path)
    for context in (DESK, PHONE):
        opened = Opened(browser, file, **context)
        assert opened.page.locator("section").count() == 5
        assert opened.page.evaluate(OVERLAPS) == []
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.page.locator("script").count() == 2  # no label became one
        assert opened.page.locator("img").count() == 0
        assert opened.quiet()


def test_what_is_chosen_holds_for_all_charts(browser, tmp_path):
    opened = Opened(browser, page_of_three(tmp_path), **DESK)
    assert sum(opened.counts("Programs").values()) == 48
    opened.page.get_by_label("user", exact=True).select_option("ada")
    assert sum(opened.counts("Programs").values()) == 16
    assert {row.split()[0] for row in opened.counts("Who ran what")} == {"ada"}
    opened.page.get_by_label("key", exact=True).select_option("k2")
    assert sum(opened.counts("Programs").values()) == 4  # one of three users, one of four keys
    opened.page.get_by_label("key", exact=True).select_option(EVIL[0])
    assert sum(opened.counts("Programs").values()) == 4
    opened.page.get_by_role("button", name="Show all", exact=True).click()
    opened.page.get_by_label("node", exact=True).select_option("beta")
    opened.page.get_by_label("type", exact=True).select_option("SYSCALL")
    assert opened.section("Programs").locator(".empty").inner_text().startswith("None with what")
    assert opened.quiet()


def test_time_is_brushed_with_the_pointer_and_with_keys(browser, tmp_path):
    opened = Opened(browser, page_of_three(tmp_path), **DESK)
    chart = opened.section("Logins").locator("svg")
    box = chart.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    assert "2022-" in opened.page.locator("#tip").inner_text()
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] - 8, box["y"] + 60, steps=4)
    opened.page.mouse.up()
    assert 20 <= sum(opened.counts("Programs").values()) <= 26
    assert opened.section("Logins").locator(".brush").count() == 1
    opened.page.get_by_role("button", name="Show all", exact=True).click()
    slider = opened.page.get_by_label("from", exact=True)
    slider.focus()
    for _ in range(8):
        opened.page.keyboard.press("ArrowRight")
    assert sum(opened.counts("Programs").values()) == 40
    assert slider.get_attribute("aria-valuetext") == "2022-06-24 00:00"
    assert opened.quiet()


def test_names_of_relations_are_chosen_with_the_keyboard(browser, tmp_path):
    opened = Opened(browser, page_of_three(tmp_path), **DESK)
    node = opened.section("Who ran what").get_by_role("button", name="user grace")
    node.focus()
    assert opened.section("Who ran what").locator("svg.lit .band.on").count() == 2
    opened.page.keyboard.press("Enter")
    assert {row.split()[0] for row in opened.counts("Who ran what")} == {"grace"}
    again = opened.section("Who ran what").get_by_role("button", name="user grace")
    assert again.get_attribute("aria-pressed") == "true"
    opened.section("Who ran what").get_by_role("button", name="Show all relations").click()
    assert len(opened.counts("Who ran what")) == 6
    assert opened.quiet()


def test_a_table_is_sorted_by_its_heads(browser, tmp_path):
    file = tmp_path / "bars.html"
    file.write_bytes(page_html(page_of(many("bars", 30))))
    opened = Opened(browser, file, **DESK)
    assert next(iter(opened.counts("30 <things>"))) == "name0"
    opened.page.get_by_role("columnheader", name="name").get_by_role("button").click()
    opened.page.get_by_role("columnheader", name="name").get_by_role("button").click()
    assert next(iter(opened.counts("30 <things>"))) == "name29"
    assert opened.quiet()


def test_the_theme_changes_and_there_is_something_to_see(browser, tmp_path):
    opened = Opened(browser, page_of_three(tmp_path), viewport={"width": 700, "height": 500})
    light = colours(opened.page.screenshot())
    opened.page.get_by_role("button", name="Use the dark theme").click()
    dark = colours(opened.page.screenshot())
    assert sum(light.most_common(1)[0][0]) > 700
    assert sum(dark.most_common(1)[0][0]) < 120
    for shot in (light, dark):
        assert len(shot) > 60
        assert shot.most_common(1)[0][1] < 0.9 * shot.total()
    assert opened.quiet()


@pytest.mark.parametrize(
    "chart",
    [
        many("bars", 0), many("bars", 1), many("bars", 10_000), many("relations", 3000),
        many("series", 0), chart_of("bars", EVIL[0], ("name",), [((one,), 5) for one in EVIL]),
        chart_of("relations", "e", ("a", "b"), [((one, one[::-1]), 5) for one in EVIL]),
        Chart("series", "one", ("n",), (["a"],), [(0, 0, 3)], Facets([(5, 0, 0, 0, 0)], step_s=60)),
    ],
    ids=["none", "one", "10,000", "3,000 pairs", "no time", "evil", "evil pairs", "one moment"],
)  # fmt: skip
def test_anything_is_shown(browser, tmp_path, chart):
    file = tmp_path / "any.html"
    file.write_bytes(page_html(page_of(chart)))
    for context in (DESK, PHONE):
        opened = Opened(browser, file, **context)
        assert opened.page.evaluate(OVERLAPS) == []
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.page.locator(".empty").count() == (0 if chart.cells else 1)
        if chart.cells:
            opened.page.locator("summary").click()
            opened.page.locator("tbody tr").first.wait_for()
            assert opened.page.locator("tbody tr").count() == min(len(chart.totals()), 100)
        assert opened.quiet()


def test_the_report_of_a_recorded_log(browser, tmp_path):
    (tmp_path / "alpha.log").write_bytes(recorded("alpha-enriched"))
    command = [sys.executable, "-m", "auditd_py.cli.aureport", "-if", "alpha.log", "--html", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT)})
    for context in (DESK, PHONE):
        opened = Opened(browser, tmp_path / "out" / "index.html", **context)
        assert opened.page.evaluate(OVERLAPS) == []
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        links = opened.page.locator("section a").all()
        names = [link.get_attribute("href") for link in links]
        assert names
        assert all((tmp_path / "out" / name).exists() for name in names if name)
        assert opened.quiet()
