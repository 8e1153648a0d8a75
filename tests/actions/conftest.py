"""What tests of actions stand on: services that note what was asked of them, and a log daemon."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions import power, system_log
from auditd_py.actions.base import Given
from auditd_py.config.keywords import DaemonConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(slots=True)
class NotedServices:
    """The daemon as an action sees it; keeps what was asked."""

    told: list[tuple[str, str]] = field(default_factory=list)
    resumed: int = 0
    stopped: int = 0

    def tell(self, level: str, text: str) -> None:
        self.told.append((level, text))

    def resume_logging(self) -> None:
        self.resumed += 1

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def services() -> NotedServices:
    return NotedServices()


@pytest.fixture
def given(services: NotedServices) -> Callable[..., Given]:
    """Make what an action gets: given(argument, **settings)."""

    def make(argument: str = "", **settings: object) -> Given:
        return Given(argument, DaemonConfig.model_validate(settings), "web1", services)

    return make


@pytest.fixture
def log_path(tmp_path: Path, monkeypatch) -> Path:
    """Give the log daemon's place; nobody listens there yet."""
    path = tmp_path / "log"
    monkeypatch.setattr(system_log, "_SOCKET", str(path))
    return path


@pytest.fixture
def listener(log_path: Path) -> Iterator[socket.socket]:
    """Give the log daemon's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(log_path))
        found.setblocking(False)
        yield found


@pytest.fixture(autouse=True)
def commands(monkeypatch) -> list[tuple[list[str], str]]:
    """Keep every test from the commands that change the host; note what would have run."""
    noted: list[tuple[list[str], str]] = []

    def note(argv, text="", limit_s=0.0) -> None:
        noted.append((list(argv), text))

    monkeypatch.setattr(power, "run_command", note)
    return noted


@pytest.fixture
def in_thread() -> Callable[[Callable[[], object]], object]:
    """Run something as actions run, in a thread of its own; give or raise what it does."""

    def run(work: Callable[[], object]) -> object:
        outcome: list[object] = []

        def keep() -> None:
            try:
                outcome.append(work())
            except Exception as error:  # noqa: BLE001  raised below
                outcome.append(error)

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        thread.join(30)
        assert outcome, "not done in 30 s"
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    return run
