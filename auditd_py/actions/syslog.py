"""The action syslog: one line in the system log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.actions import system_log, texts
from auditd_py.actions.base import Action
from auditd_py.errors import ActionError

if TYPE_CHECKING:
    from auditd_py.log.incident import Incident


class Syslog(Action):
    """Says what happened in the system log, and in the daemon's own messages if that fails."""

    limit_s = 10.0

    def run(self, incident: Incident) -> None:
        level, text = texts.warning(incident, self.given.config)
        try:
            self._send(level, text, incident)
        except ActionError:
            self.given.services.tell(level, text)
            raise

    def rehearse(self, incident: Incident) -> str:
        level, text = texts.warning(incident, self.given.config)
        self._send(level, f"TEST: {text}", incident)
        return f"sent to the system log as daemon.{level}: TEST: {text}"

    def _send(self, level: str, text: str, incident: Incident) -> None:
        system_log.send(level, text, message_id=incident.condition.value, host=self.given.host)
