"""Whether this process may do what an audit daemon does."""

from __future__ import annotations

from typing import Final

CAP_AUDIT_CONTROL: Final = 30
CAP_AUDIT_READ: Final = 37


def has_capability(number: int, status: str | None = None) -> bool:
    """Return whether the capability is effective; `status` is the text of /proc/self/status."""
    if status is None:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            status = file.read()
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
