"""Programs that the daemon starts and feeds; each reads the public protocol and nothing else.

For programs of your own: `from auditd_py.plugins import events`, see event_stream.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditd_py.plugins.event_stream import assembled, events

__all__ = ["assembled", "events"]


def __getattr__(name: str) -> object:
    # late: the plugins themselves do without
    if name in __all__:
        from auditd_py.plugins import event_stream

        return getattr(event_stream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
