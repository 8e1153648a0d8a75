import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from auditd_py.config.daemon import KEYWORDS

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


def shipped_lines() -> dict[str, tuple[str, bool]]:
    """Each keyword of the shipped file with its value and whether the line is switched off."""
    lines = {}
    for line in (ROOT / "etc" / "auditd_py" / "auditd.conf").read_text().splitlines():
        keyword, sign, value = line.removeprefix("##").partition(" = ")
        if sign and not keyword.startswith("#"):
            assert keyword not in lines
            lines[keyword] = (value, line.startswith("##"))
    return lines


def test_the_page_is_what_the_table_gives() -> None:
    tool = generator()
    page = tool.PAGE.read_text()
    assert page == tool.with_keywords(page)


def test_the_page_has_a_row_for_every_keyword() -> None:
    page = generator().PAGE.read_text()
    assert [name for name in KEYWORDS if page.count(f"| `{name}`") != 1] == []


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
