import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from auditd_py.config import plugin, remote
from auditd_py.config.daemon import KEYWORDS
from auditd_py.rules.parse import parse_words

ROOT = Path(__file__).parents[2]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "gen_config_docs", ROOT / "tools" / "gen_config_docs.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manual_section(page: str, heading: str) -> str:
    text = (ROOT / "docs" / "man" / f"{page}.5.md").read_text()
    return text.partition(f"\n# {heading}\n")[2].partition("\n# ")[0]


def shipped_lines() -> dict[str, tuple[str, bool]]:
    """Each keyword of the shipped file with its value and whether the line is switched off."""
    lines = {}
    for line in (ROOT / "etc" / "auditd_py" / "auditd.conf").read_text().splitlines():
        keyword, sign, value = line.removeprefix("##").partition(" = ")
        if sign and not keyword.startswith("#"):
            assert keyword not in lines
            lines[keyword] = (value, line.startswith("##"))
    return lines


def test_the_pages_are_what_the_tables_give() -> None:
    tool = generator()
    assert len(tool.pages()) == 4
    for page, keywords in tool.pages().items():
        assert page.read_text() == tool.fresh(page, keywords)
        assert keywords in page.read_text()


def test_the_pages_have_every_keyword_once() -> None:
    page = (ROOT / "docs" / "auditd.conf.md").read_text()
    assert [name for name in KEYWORDS if page.count(f"| `{name}`") != 1] == []
    for name, keywords in (("auditd.conf", KEYWORDS), ("audisp-remote.conf", remote.KEYWORDS)):
        section = manual_section(name, "KEYWORDS")
        assert re.findall(r"^\*\*(\w+)\*\*(?: = |$)", section, re.MULTILINE) == list(keywords)


def test_the_page_of_plugins_has_every_keyword() -> None:
    section = manual_section("auditd-plugins", "KEYWORDS")
    assert re.findall(r"^\*\*(\w+)\*\* = ", section, re.MULTILINE) == list(plugin.KEYWORDS)


def test_the_page_of_rules_has_every_setting_of_augenrules() -> None:
    section = manual_section("audit.rules", "AUGENRULES.CONF")
    shipped = (ROOT / "etc" / "auditd_py" / "augenrules.conf").read_text()
    assert re.findall(r"^\*\*(\w+)\*\* = ", section, re.MULTILINE) == re.findall(
        r"^(\w+) = ", shipped, re.MULTILINE
    )


def test_the_rules_of_the_page_are_rules() -> None:
    section = manual_section("audit.rules", "EXAMPLES")
    lines = re.findall(r"^    (.+)$", section, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["-D", "-b", "-f", "-a", "-a", "-a"]
    for line in lines:
        parse_words(line)


def test_every_heading_of_the_page_stands_at_a_keyword() -> None:
    assert set(generator().HEADINGS) <= set(KEYWORDS)


def test_the_shipped_file_has_every_keyword_in_use_in_the_tables_order() -> None:
    assert list(shipped_lines()) == [
        name for name, keyword in KEYWORDS.items() if not keyword.deprecated
    ]


@pytest.mark.parametrize("name", [name for name in KEYWORDS if not KEYWORDS[name].deprecated])
def test_the_shipped_file_shows_the_default(name: str) -> None:
    value, switched_off = shipped_lines()[name]
    default = KEYWORDS[name].default
    assert (value == default) if default else switched_off
