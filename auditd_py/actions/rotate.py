"""The actions rotate and keep_logs: the log's writer rotates, this says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from auditd_py.actions.base import Action
from auditd_py.log.incident import Response

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident


class Rotate(Action):
    """Begins a new log; for want of space the oldest one goes."""

    response = Response.ROTATE
    text: ClassVar[str] = "Audit daemon rotating log files"

    def run(self, incident: Incident) -> None:  # noqa: ARG002  the protocol's
        self.given.services.tell("info", self.text)

    def rehearse(self, incident: Incident) -> str:
        count = self.given.config.num_logs
        if count < 2:
            return f"nothing would be rotated: num_logs = {count}"
        return f"{incident.path} would be rotated, {count} log files kept"


class KeepLogs(Rotate):
    """Begins a new log and removes none."""

    response = Response.KEEP_LOGS
    text = "Audit daemon rotating log files with keep option"

    def rehearse(self, incident: Incident) -> str:
        return f"{incident.path} would be rotated, all log files kept"
