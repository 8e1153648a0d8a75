"""Our own schema of an event as JSON: docs/plugins.md, and event.schema.json beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditd_py.record.decode import (
    Decoder,
    Stamps,
    call_json,
    keys_in,
    result_of,
    to_json,
    word_json,
    words_json,
)

if TYPE_CHECKING:
    from auditd_py.record.decode import Decoded
    from auditd_py.record.event import Event


class OwnSchema:
    """Makes one line of JSON of an event."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._stamps = Stamps()

    def line(self, event: Event) -> str:
        """Return the JSON."""
        found = self._decoder.decode(event)
        record = event.records[0]
        parts = [
            f'{{"timestamp":"{self._stamps.of(event)}"',
            f'"id":"{record.seconds}.{record.milliseconds:03d}:{record.serial}"',
            f'"serial":{record.serial},"types":{words_json(tuple(found.types))}',
        ]
        if record.node is not None:
            parts.append(f'"node":{to_json(record.node.decode("utf-8", "backslashreplace"))}')
        result = result_of(found)
        if result is not None:
            parts.append('"result":"success"' if result else '"result":"failed"')
        keys = keys_in(found)
        if keys:
            parts.append(f'"keys":{words_json(tuple(keys))}')
        if found.syscall is not None and found.task is not None:
            call, task = call_json(found.syscall), found.task.text
            parts.append(f'"syscall":{{{call}{"," if call and task else ""}{task}}}')
        if found.argv is not None:
            parts.append(f'"execve":{{"argc":{found.argc},"argv":{to_json(found.argv)}}}')
        if found.cwd is not None:
            parts.append(f'"cwd":{word_json(found.cwd)}')
        if found.paths:
            parts.append('"path":[' + ",".join([f"{{{p.text}}}" for p in found.paths]) + "]")
        if found.proctitle is not None:
            parts.append(f'"proctitle":{words_json(tuple(found.proctitle))}')
        if found.others:
            parts.append(_others(found))
        return ",".join(parts) + "}"


def _others(found: Decoded) -> str:
    by_type: dict[str, list[str]] = {}
    for name, part in found.others:
        by_type.setdefault(name, []).append(f"{{{part.text}}}")
    return (
        '"records":{'
        + ",".join(
            [f"{word_json(name.lower())}:[{','.join(texts)}]" for name, texts in by_type.items()]
        )
        + "}"
    )
