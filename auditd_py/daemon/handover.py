"""What a daemon leaves for the new version of itself: open descriptors, and how far it was.

It is JSON in a memory file whose descriptor the environment names. Bytes are in it as Latin-1
text. Everything here is for the moment before execv and the one after it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Final

FORMAT: Final = 1  # of what is handed over; a version that cannot read it refuses in the check
VARIABLE: Final = "AUDITD_PY_HANDOVER"


class Handover:
    """What the process before this one was; `state` by part, see `Reexecution`."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self._unused = set(state["descriptors"])

    def take(self, descriptor: int) -> int:
        """Return a descriptor of the state as one of this process's own."""
        os.set_inheritable(descriptor, False)
        self._unused.discard(descriptor)
        return descriptor

    def close(self) -> None:
        """Close what nobody took."""
        for descriptor in self._unused:
            os.close(descriptor)
        self._unused.clear()


def leave(state: dict[str, Any], descriptors: list[int]) -> int:
    """Put `state` where `found` finds it after execv; return the descriptor it is in.

    `descriptors` are those that the state names: they survive execv from now on.
    """
    memory = os.memfd_create("auditd-handover")
    with os.fdopen(os.dup(memory), "w", encoding="ascii") as file:
        json.dump({"format": FORMAT, "descriptors": descriptors, **state}, file)
    for descriptor in (memory, *descriptors):
        os.set_inheritable(descriptor, True)
    os.environ[VARIABLE] = str(memory)
    return memory


def take_back(memory: int, descriptors: list[int]) -> None:
    """Undo `leave`, where execv failed."""
    os.environ.pop(VARIABLE, None)
    os.close(memory)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)


def found() -> Handover | None:
    """Return what the process before this one left; None after an ordinary start."""
    word = os.environ.pop(VARIABLE, "")
    if not word.isdigit():
        return None
    memory = int(word)
    os.lseek(memory, 0, os.SEEK_SET)
    with os.fdopen(memory, "rb") as file:
        return Handover(json.load(file))


def restore(counters: object, values: dict[str, Any]) -> None:
    """Set the fields of `counters`, a dataclass, that `values` names."""
    for field in dataclasses.fields(counters):  # type: ignore[arg-type]
        if field.name in values:
            setattr(counters, field.name, values[field.name])


def text(data: bytes) -> str:
    """Return bytes as the state holds them."""
    return data.decode("latin-1")


def data(text: str) -> bytes:
    """Return what `text` was made of."""
    return text.encode("latin-1")
