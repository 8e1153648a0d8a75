"""What a page of the documentation shows: commands, and what they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_block = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = "not run: "


@dataclass(frozen=True)
class Shown:
    """A block of commands. `output` is None if the page does not say what they print.

    `reason` says why it cannot be run where the tests run, as the block's fence has it.
    """

    line: int
    commands: str
    output: str | None = None
    reason: str = ""


def shown(page: Path) -> list[Shown]:
    """Return the blocks of a page, in order; all blocks are commands or what the last ones print."""
    text = page.read_text()
    found: list[Shown] = []
    for block in _block.finditer(text):
        kind, _, more = block[1].partition(" ")
        line = text.count("\n", 0, block.start()) + 1
        if kind == "sh":
            assert not more or more.startswith(_REASON), f"{page.name}:{line}: {block[1]}"
            found.append(Shown(line, block[2], None, more.removeprefix(_REASON)))
        elif kind == "text":
            assert found, f"{page.name}:{line}: output of nothing"
            assert found[-1].output is None, f"{page.name}:{line}: output of nothing"
            last = found.pop()
            found.append(Shown(last.line, last.commands, block[2], last.reason))
        else:
            raise AssertionError(f"{page.name}:{line}: {block[1]!r} is neither sh nor text")
    return found


def prints(output: str, said: str) -> bool:
    """Say whether something was printed as shown: `…` is any text, alone on a line any lines."""
    pattern = ""
    for line in output.splitlines():
        if line == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += re.escape(line).replace("…", r"[^\n]*") + r" *\n"
    return re.fullmatch(pattern, said) is not None
