"""The action ignore: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.actions.base import Action

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident


class Ignore(Action):
    """Does nothing; logging goes on as long as it can."""

    def run(self, incident: Incident) -> None:
        pass

    def rehearse(self, incident: Incident) -> str:  # noqa: ARG002  the protocol's
        return "nothing would be done"
