"""What reading settings asks of the machine: groups, files, what is installed."""

from __future__ import annotations

import grp
import importlib.util
import os
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _group_id(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _open_directory(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _site_actions() -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group="auditd_py.actions"))


@dataclass(frozen=True, slots=True)
class Host:
    """The look-ups, to be given others in tests; the defaults ask this machine and may block.

    `group_id` raises KeyError for an unknown group, the others raise OSError.
    """

    group_id: Callable[[str], int] = _group_id
    stat: Callable[[str], os.stat_result] = os.stat
    lstat: Callable[[str], os.stat_result] = os.lstat
    open_directory: Callable[[str], None] = _open_directory
    site_actions: Callable[[], frozenset[str]] = _site_actions
    module: Callable[[str], bool] = _has_module
    shared_keys: bool = sys.version_info >= (3, 13)  # whether Python's TLS can use them


THIS_HOST = Host()
