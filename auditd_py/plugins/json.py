"""audisp-json: one JSON object an event, to a file, a socket or standard output."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from auditd_py.errors import WireError
from auditd_py.plugins.input import Input
from auditd_py.plugins.json_sinks import FORMS, sink_maker
from auditd_py.plugins.live import LiveEvents
from auditd_py.plugins.outlet import Outlet
from auditd_py.plugins.system_log import teller
from auditd_py.record.decode import Decoder
from auditd_py.record.local_names import local_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.record.event import Event

PROGRAM: Final = "audisp-json"
SCHEMAS: Final = ("own", "ecs", "ocsf")


class Schema(Protocol):
    """Makes JSON of events."""

    def line(self, event: Event) -> str:
        """Return the JSON of one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plugin with `arguments`; return the exit status."""
    tell = teller(PROGRAM)
    try:
        request = parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
        connect = sink_maker(request.output, request.mode)
    except (ValueError, argparse.ArgumentError) as error:
        tell(str(error))
        return 1
    # what is remembered is no garbage, and is much to look through
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    source = Input()
    outlet = Outlet(request.output, connect, tell)
    events = LiveEvents()
    try:
        _run(source, outlet, events, request.schema)
    except WireError as error:
        tell(f"standard input: {error}")
        return 1
    finally:
        source.finish(outlet)
        if events.bad:
            tell(f"{events.bad} lines were no records")
    return 0


def schema_of(name: str) -> Schema:
    """Return what makes the JSON of a schema, with the names of this machine's accounts."""
    decoder = Decoder(local_names(), os.fsencode(os.uname().nodename))
    # late: of three one is needed
    if name == "ecs":
        from auditd_py.plugins.schema_ecs import EcsSchema

        return EcsSchema(decoder)
    if name == "ocsf":
        from auditd_py.plugins.schema_ocsf import OcsfSchema

        return OcsfSchema(decoder)
    from auditd_py.record.schema_own import OwnSchema

    return OwnSchema(decoder)


def _run(source: Input, outlet: Outlet, events: LiveEvents, name: str) -> None:
    schema = schema_of(name)
    for batch in source.batches(events.limit_s, outlet=outlet):
        if signal.SIGHUP in source.happened:
            outlet.reopen()
            schema = schema_of(name)
        source.happened.clear()
        whole = events.feed(batch) if batch else events.idle()
        if source.ending:
            whole += events.end()
        line = schema.line
        outlet.put([line(event).encode() + b"\n" for event in whole], time.monotonic())


def _mode(text: str) -> int:
    mode = int(text, 8)
    if not 0o600 <= mode <= 0o666:
        raise ValueError(text)
    return mode


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # ends with 1, and tells
        raise ValueError(message)


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments; raises ValueError for what is none."""
    found = _Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    found.add_argument("--schema", choices=SCHEMAS, default="own", help="default: own")
    found.add_argument("--output", default="stdout", help=f"{FORMS}; default: stdout")
    found.add_argument("--mode", type=_mode, default=0o600, help="of a new file; default: 0600")
    return found


if __name__ == "__main__":
    sys.exit(main())
