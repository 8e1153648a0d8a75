"""What readers take from auditd.conf: where the log is, and when an event is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from auditd_py.config.nv import read_lines, read_settings
from auditd_py.errors import ConfigError
from auditd_py.record.event import EOE_TIMEOUT_S

# ours first, then the place of the C daemon: both write the same log
PLACES: Final = ("/etc/auditd_py/auditd.conf", "/etc/audit/auditd.conf")
LOG: Final = "/var/log/audit/audit.log"


@dataclass(slots=True)
class ReaderSettings:
    """Path of the log, seconds until an event is over, and what could not be read."""

    log_file: str = LOG
    timeout_s: int = EOE_TIMEOUT_S
    problems: list[str] = field(default_factory=list)


def reader_settings(places: tuple[str, ...] = PLACES) -> ReaderSettings:
    """Return the settings of the first file that is there; what it lacks has its default.

    All other keywords are the daemon's and are not looked at.
    """
    found = ReaderSettings()
    for path in places:
        try:
            data = read_settings(path, allow_links=True)
        except ConfigError as error:
            found.problems += map(str, error.problems)
            return found
        if data is None:
            continue
        entries, problems = read_lines(data, path)
        found.problems += map(str, problems)
        for entry in entries:
            if entry.keyword == "log_file":
                found.log_file = entry.value
            elif entry.keyword == "end_of_event_timeout" and entry.value.isdecimal():
                found.timeout_s = int(entry.value[:9])
        return found
    return found
