"""The Linux audit userspace: daemon, control, search, reports, and a library that reads logs."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes time to load
if TYPE_CHECKING:
    from typing import Any

    from auditd_py.search.logs import events, interpret, records

__version__ = "0.1.0"
__all__ = ["events", "interpret", "records"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  what the library has
    if name in __all__:
        from auditd_py.search import logs

        return getattr(logs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
