"""The daemon's own records: what DAEMON_START, DAEMON_END and the others say.

Texts follow the C daemon's field by field (audit-userspace 3 and 4), because scripts and
ausearch read them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent the daemon a signal. Ids are 4294967295 when unset or gone."""

    auid: int
    uid: int
    session: int
    pid: int
    context: str = ""

    def fields(self) -> str:
        """Return `auid= uid= ses= pid= [subj=]`."""
        subj = f" subj={self.context}" if self.context else ""
        return f"auid={self.auid} uid={self.uid} ses={self.session} pid={self.pid}{subj}"


def stamped(time_s: float, serial: int, text: str) -> bytes:
    """Return a record's whole text: the time stamp and serial, then `text`."""
    seconds, milliseconds = divmod(int(time_s * 1000), 1000)
    stamp = f"audit({seconds}.{milliseconds:03d}:{serial}): "
    return (stamp + text).encode("utf-8", "surrogateescape")


def start_text(version: str, log_format: str, kernel: str, own: Sender) -> str:
    """Return DAEMON_START's text; `log_format` is raw, enriched or nolog."""
    subj = f" subj={own.context}" if own.context else ""
    return (
        f"op=start ver={version} format={log_format} kernel={kernel} auid={own.auid} "
        f"pid={own.pid} uid={own.uid} ses={own.session}{subj} res=success"
    )


def signalled_text(operation: str, sender: Sender | None, result: str = "success") -> str:
    """Return the text of what a signal made the daemon do; `sender` None when unknown.

    `operation` is terminate, rotate-logs, resume-logging or `reconfigure state=no-change`.
    """
    if sender is not None:
        return f"op={operation} {sender.fields()} res={result}"
    if operation == "terminate":
        return f"op={operation} auid=-1 uid=-1 ses=-1 pid=-1 subj=? res={result}"
    return f"op={operation} auid=-1 pid=-1 subj=? res={result}"


def reconfigured_text(sender: Sender | None) -> str:
    """Return DAEMON_CONFIG's text after settings were changed."""
    auid, pid, subj = (
        (-1, -1, "?") if sender is None else (sender.auid, sender.pid, sender.context or "?")
    )
    return f"op=reconfigure state=changed auid={auid} pid={pid} subj={subj} res=success"


def reexec_text(version: str, sender: Sender | None, result: str = "success") -> str:
    """Return DAEMON_CONFIG's text after a re-execution; `version` is the one that runs now."""
    who = sender.fields() if sender is not None else "auid=-1 uid=-1 ses=-1 pid=-1"
    return f"op=reexec ver={version} {who} res={result}"


def abort_text(operation: str, own: Sender) -> str:
    """Return DAEMON_ABORT's text; `operation` is set-pid, set-enable or network-init."""
    subj = f" subj={own.context}" if own.context else ""
    return (
        f"op={operation} auid={own.auid} pid={own.pid} uid={own.uid} ses={own.session}{subj} "
        "res=failed"
    )
