"""The action suspend: no record is written until somebody resumes logging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.actions import texts
from auditd_py.actions.base import Action
from auditd_py.log.incident import Condition, Response

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident


class Suspend(Action):
    """Says that logging is suspended; the log's writer has done it."""

    response = Response.SUSPEND

    def run(self, incident: Incident) -> None:
        self.given.services.tell(texts.ALERT, texts.suspending(incident.condition))

    def rehearse(self, incident: Incident) -> str:
        if incident.condition is Condition.QUEUE_FULL:
            return "would stop giving records to plugins until SIGUSR2; the log goes on"
        return f"would suspend logging and say: {texts.suspending(incident.condition)}"
