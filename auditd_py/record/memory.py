"""Python's search for cycles of objects, which costs a fifth of the time where many are made."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_RARELY: Final = (1_000_000, 50, 100)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Look for cycles rarely meanwhile: values of records have none, and go with their last use."""
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
