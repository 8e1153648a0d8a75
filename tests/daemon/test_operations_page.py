"""The operations page explains every line of the state report of a running daemon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.programs import Auditd, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parent.parent.parent / "docs" / "operations.md"
# lines that a daemon has only while a plugin or a host is there
NAMED = {"plugin NAME", "client ADDRESS port N"}


def explained() -> set[str]:
    """Return what stands in the first column of the section's tables."""
    text = PAGE.read_text().partition("\n## The state report\n")[2].partition("\n## ")[0]
    heads = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for head in heads for name in re.findall(r"`([^`]+)`", head)}


def test_the_page_explains_the_lines_of_the_report_and_no_others(
    auditd: Callable[..., Auditd],
) -> None:
    daemon = auditd(local_events="no", tcp_listen_port=free_port())
    keys = set(daemon.state())
    assert "records unwritten" in keys
    assert explained() - NAMED == keys
    assert explained() >= NAMED
