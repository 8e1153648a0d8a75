"""The daemon: sockets, threads and the event loop around the core."""

import sys

if "structlog" not in sys.modules:
    # structlog shows tracebacks with rich and knows greenlets where they are installed, which takes
    # 4 MiB and 1 MiB; a None makes their import fail, for structlog alone
    _absent = [name for name in ("rich", "greenlet") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(_absent))  # type: ignore[arg-type]
    import structlog as structlog

    for _name in _absent:
        del sys.modules[_name]
