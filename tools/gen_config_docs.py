"""Write what pages say of keywords from the tables of settings; --check only looks.

The pages are docs/auditd.conf.md and those of section 5 of the manual.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from auditd_py.config import fleet, remote, table
from auditd_py.config.daemon import KEYWORDS, Keyword
from auditd_py.config.keywords import Reload

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCS = Path(__file__).resolve().parent.parent / "docs"
PARTS = re.compile(r"(?<=<!-- keywords: made by tools/gen_config_docs.py -->\n)\n.*?\n"
                   r"(?=<!-- end of keywords -->)", re.DOTALL)  # fmt: skip

# the sections of the page, each named at its first keyword
HEADINGS = {
    "local_events": "Where records come from",
    "write_logs": "The log",
    "max_log_file": "Size of the log",
    "space_left": "Space on the disk of the log",
    "smtp_server": "Mail of the email action",
    "metrics_listen": "Counters for Prometheus",
    "tcp_listen_port": "Records from other hosts",
    "jetstream_url": "Records of a fleet",
    "plugin_dir": "Plugins",
    "disp_qos": "Accepted for the sake of old files",
}
TABLE_HEAD = "| keyword | values | default | reload | meaning |\n|---|---|---|---|---|"


def rendered_keywords() -> str:
    """Return the sections with one table row a keyword."""
    lines: list[str] = []
    for keyword in KEYWORDS.values():
        if heading := HEADINGS.get(keyword.name):
            lines += ["", f"### {heading}", "", TABLE_HEAD]
        lines.append(_row(keyword))
    return "\n".join(lines).strip("\n")


def manual(keywords: Iterable[Keyword | table.Keyword], level: str) -> str:
    """Return the same as a manual page has it."""
    lines: list[str] = []
    for keyword in keywords:
        if isinstance(keyword, Keyword) and (heading := HEADINGS.get(keyword.name)):
            lines += [f"{level} {heading}", ""]
        allowed = "" if getattr(keyword, "deprecated", "") else f" = {_allowed(keyword)}"
        lines += [*textwrap.wrap(f"**{keyword.name}**{allowed}", 10_000)]
        lines += textwrap.wrap(
            _about(keyword), 100, initial_indent=":   ", subsequent_indent="    "
        )
        lines.append("")
    return "\n".join(lines).strip("\n")


def pages() -> dict[Path, str]:
    """Return what is between the markers of each page."""
    return {
        DOCS / "auditd.conf.md": rendered_keywords(),
        DOCS / "man" / "auditd.conf.5.md": manual(KEYWORDS.values(), "##"),
        DOCS / "man" / "audisp-nats.8.md": manual(fleet.KEYWORDS.values(), "##"),
        DOCS / "man" / "audisp-remote.conf.5.md": manual(remote.KEYWORDS.values(), "##"),
    }


def fresh(page: Path, keywords: str) -> str:
    """Return a page with what is between the markers made anew."""
    return PARTS.sub(lambda _: f"\n{keywords}\n\n", page.read_text(), count=1)


def _allowed(keyword: Keyword | table.Keyword) -> str:
    return keyword.form.allowed.removesuffix(",")


def _about(keyword: Keyword | table.Keyword) -> str:
    if deprecated := getattr(keyword, "deprecated", ""):
        return f"Deprecated and ignored: {deprecated}."
    about = re.sub(r"([*_<\[])", r"\\\1", keyword.about)
    words = [about, f"Default: *{keyword.default}*." if keyword.default else ""]
    if (reload := getattr(keyword, "reload", Reload.YES)) is not Reload.YES:
        when = "" if reload is Reload.NO else f", {reload}"
        words.append(f"A reload changes it{when}." if when else "A change waits for a restart.")
    if keyword.ours:
        words.append("(New.)")
    return " ".join(word for word in words if word)


def _row(keyword: Keyword) -> str:
    marks = ""
    if keyword.ours:
        marks += " **ours**"
    if keyword.deprecated:
        return f"| `{keyword.name}`{marks} | | | | Deprecated and ignored: {keyword.deprecated}. |"
    default = f"`{keyword.default}`" if keyword.default else "not set"
    cells = (f"`{keyword.name}`{marks}", keyword.allowed, default, keyword.reload, keyword.about)
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> int:
    """Bring the pages up to date; with --check, exit 1 if one is not."""
    status = 0
    for page, keywords in pages().items():
        text = fresh(page, keywords)
        if text == page.read_text():
            continue
        if arguments == ["--check"]:
            print(f"{page}: not what the table of settings gives: run {sys.argv[0]}")
            status = 1
        else:
            page.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
