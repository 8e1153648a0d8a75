"""Write the keyword tables of docs/auditd.conf.md from the settings table; --check only looks."""

from __future__ import annotations

import sys
from pathlib import Path

from auditd_py.config.daemon import KEYWORDS, Keyword

PAGE = Path(__file__).resolve().parent.parent / "docs" / "auditd.conf.md"
BEGIN = "<!-- keywords: made by tools/gen_config_docs.py from auditd_py/config/keywords.py -->"
END = "<!-- end of keywords -->"

# the sections of the page, each named at its first keyword
HEADINGS = {
    "local_events": "Where records come from",
    "write_logs": "The log",
    "max_log_file": "Size of the log",
    "space_left": "Space on the disk of the log",
    "smtp_server": "Mail of the email action",
    "metrics_listen": "Counters for Prometheus",
    "tcp_listen_port": "Records from other hosts",
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


def with_keywords(page: str) -> str:
    """Return the page with what is between the markers made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rendered_keywords()}\n\n{END}{after}"


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
    """Bring the page up to date; with --check, exit 1 if it is not."""
    page = PAGE.read_text()
    fresh = with_keywords(page)
    if arguments == ["--check"]:
        if page != fresh:
            print(f"{PAGE}: not what the settings table gives: run {sys.argv[0]}")
        return int(page != fresh)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
