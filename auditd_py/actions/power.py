"""The actions single and halt: this host changes to single user mode, or powers off."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, ClassVar, Final

from auditd_py.actions import texts
from auditd_py.actions.base import Action
from auditd_py.config.words import ActionWord
from auditd_py.errors import ActionError
from auditd_py.log.incident import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.log.incident import Incident

_SYSTEMD: Final = "/run/systemd/system"  # sd_booted(3)
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_COMMAND_LIMIT_S: Final = 20.0
_WALL_LIMIT_S: Final = 5.0  # a terminal that is not read must not keep the host up


def run_command(argv: Sequence[str], text: str = "", limit_s: float = _COMMAND_LIMIT_S) -> None:
    """Run `argv` with `text` as its input, and wait for it. Tests replace this function.

    Nothing else in the project starts a program that changes the state of the host. Raises
    ActionError when the program is missing, fails, or takes longer than `limit_s`.
    """
    shown = shlex.join(argv)
    try:
        done = subprocess.run(  # noqa: S603  one of the commands below, and wall
            argv, input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=_ENVIRONMENT, cwd="/", timeout=limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ActionError(f"{shown}: took longer than {limit_s:.0f} s") from None
    except OSError as error:
        raise ActionError(f"{shown}: {error.strerror}") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise ActionError(f"{shown}: exit status {done.returncode}: {said}")


def tell_terminals(text: str) -> None:
    """Show `text` on the terminals of everybody logged in. Raises ActionError."""
    run_command(["wall"], text + "\n", _WALL_LIMIT_S)


class Single(Action):
    """Tells everybody, changes this host to single user mode, and ends the daemon."""

    response = Response.SUSPEND
    word: ClassVar[ActionWord] = ActionWord.SINGLE
    with_systemd: ClassVar[tuple[str, ...]] = ("systemctl", "rescue")
    without: ClassVar[tuple[str, ...]] = ("/sbin/init", "1")

    def run(self, incident: Incident) -> None:
        services = self.given.services
        services.tell(texts.ALERT, texts.power(incident.condition, self.word))
        try:
            tell_terminals(texts.wall(incident.condition, self.word))
        except ActionError as error:
            services.tell("warning", f"terminals were not told: {error}")
        run_command(self._command())
        services.stop()

    def rehearse(self, incident: Incident) -> str:
        told = texts.wall(incident.condition, self.word)
        command = shlex.join(self._command())
        return f"would tell terminals: {told} Then run {command} and end the daemon"

    def _command(self) -> tuple[str, ...]:
        return self.with_systemd if os.path.isdir(_SYSTEMD) else self.without


class Halt(Single):
    """Tells everybody, powers this host off, and ends the daemon."""

    word = ActionWord.HALT
    with_systemd = ("systemctl", "poweroff")
    without = ("/sbin/init", "0")
