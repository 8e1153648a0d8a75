"""The daemon: sockets, threads and the event loop around the core."""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    # structlog shows tracebacks with rich where that is installed, which takes 4 MiB; a None
    # makes the import of rich fail, for structlog alone
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog as structlog

    del sys.modules["rich"]
