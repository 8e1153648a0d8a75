"""A package of a site's own actions, installed as pip would: the module and its dist-info."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MODULE = """
import threading

from auditd_py.actions.base import Action
from auditd_py.errors import ActionError


class Paging(Action):
    def run(self, incident):
        text = f"paging {self.given.argument}: {incident.condition}"
        self.given.services.tell("notice", text)

    def rehearse(self, incident):
        return "a page marked TEST was sent"


class Blocks(Paging):
    limit_s = 0.05

    def run(self, incident):
        threading.Event().wait()

    def rehearse(self, incident):
        threading.Event().wait()


class Raises(Paging):
    def run(self, incident):
        raise ValueError("out of paper")

    def rehearse(self, incident):
        raise ValueError("out of paper")


class Exits(Paging):
    def run(self, incident):
        raise SystemExit(3)


class Refuses(Paging):
    def run(self, incident):
        raise ActionError("the pager is off")


class CannotBeMade(Paging):
    def __init__(self, given):
        raise ActionError("needs a pager's name")


class Incomplete(Action):
    pass


class OddLimit(Paging):
    limit_s = float("inf")


class OddResponse(Paging):
    response = "go on"


not_an_action = "text"
"""

_ENTRY_POINTS = """\
[auditd_py.actions]
paging = site_actions:Paging
blocks = site_actions:Blocks
raises = site_actions:Raises
exits = site_actions:Exits
refuses = site_actions:Refuses
cannot_be_made = site_actions:CannotBeMade
incomplete = site_actions:Incomplete
odd_limit = site_actions:OddLimit
odd_response = site_actions:OddResponse
not_an_action = site_actions:not_an_action
not_there = site_actions:NotThere
no_module = no_such_module:X
"""


def install_site_package(folder: Path) -> None:
    """Put the package into `folder`, which is to be on sys.path."""
    (folder / "site_actions.py").write_text(_MODULE)
    info = folder / "site_actions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site-actions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
