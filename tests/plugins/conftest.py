"""Starts plugins, and ends them whatever a test did."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.plugin_process import Plugin, bound

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start() -> Iterator[Callable[..., Plugin]]:
    """Start a plugin by the name of its module."""
    running: list[Plugin] = []

    def begin(module: str, *arguments: str, **options: Any) -> Plugin:
        plugin = Plugin(module, *arguments, **options)
        running.append(plugin)
        return plugin

    yield begin
    for plugin in running:
        plugin.end()


@pytest.fixture
def bind() -> Iterator[Callable[..., socket.socket]]:
    """Bind sockets, and close them."""
    with contextlib.ExitStack() as stack:
        yield lambda *where: stack.enter_context(bound(*where))


@pytest.fixture
def log(bind: Callable[..., socket.socket], tmp_path: Path) -> socket.socket:
    """Be a log daemon, at tmp_path/log."""
    return bind(tmp_path / "log")
