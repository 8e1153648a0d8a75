"""For plugins of your own: `for event in events(): …` gives whole events from standard input.

Each is a dictionary as audisp-json writes it (docs/plugins.md). The stream may be lines or
messages with headers.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from auditd_py.plugins.input import Input
from auditd_py.plugins.live import LiveEvents
from auditd_py.record.decode import Decoder
from auditd_py.record.local_names import local_names
from auditd_py.record.schema_own import OwnSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.record.event import Event


def events(on_hangup: Callable[[], None] | None = None) -> Iterator[dict[str, Any]]:
    """Give each event, as values, as soon as it is whole.

    Ends with the input and with SIGTERM. At SIGHUP `on_hangup` is called, e.g. to read settings
    again, and the names of users are looked up anew. Only for the main thread. Raises WireError
    when the input is no stream of records.
    """
    for event, schema in _assembled(on_hangup):
        found: dict[str, Any] = json.loads(schema.line(event))
        yield found


def assembled(on_hangup: Callable[[], None] | None = None) -> Iterator[Event]:
    """Give the same events as records (auditd_py.record.event): faster, and nothing is decoded."""
    for event, _ in _assembled(on_hangup):
        yield event


def _assembled(on_hangup: Callable[[], None] | None) -> Iterator[tuple[Event, OwnSchema]]:
    source, live = Input(), LiveEvents()
    schema = _schema()
    for batch in source.batches(live.limit_s):
        if source.happened:
            source.happened.clear()
            schema = _schema()
            if on_hangup is not None:
                on_hangup()
        whole = live.feed(batch) if batch else live.idle()
        if source.ending:
            whole += live.end()
        for event in whole:
            yield event, schema


def _schema() -> OwnSchema:
    return OwnSchema(Decoder(local_names(), os.fsencode(os.uname().nodename)))
