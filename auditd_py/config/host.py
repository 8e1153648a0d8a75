"""What reading settings asks of the machine: a group's number, a file's status, a directory."""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _group_id(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _open_directory(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


@dataclass(frozen=True, slots=True)
class Host:
    """The look-ups, to be given others in tests; the defaults ask this machine and may block.

    `group_id` raises KeyError for an unknown group, the others raise OSError.
    """

    group_id: Callable[[str], int] = _group_id
    stat: Callable[[str], os.stat_result] = os.stat
    lstat: Callable[[str], os.stat_result] = os.lstat
    open_directory: Callable[[str], None] = _open_directory


THIS_HOST = Host()
