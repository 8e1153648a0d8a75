"""Doing what command lines ask for, one after the other; what to say goes to two functions."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Protocol

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import AUDIT_FEATURE_LOGINUID_IMMUTABLE, Features, StatusMask
from auditd_py.rules.codec import encode_rule
from auditd_py.rules.command import Command, Setting, Verb
from auditd_py.rules.file import errors
from auditd_py.rules.host import LOCKED, LOST_RESET, Host
from auditd_py.rules.load import (
    IMMUTABLE,
    REBOOT,
    Kernel,
    add_rule,
    delete_rules,
    live_rules,
    load_all,
    refusal,
)
from auditd_py.rules.rule import Rule
from auditd_py.rules.show import rule_text, rules_text, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.rules.file import FileLine

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 255
DISABLED: Final = "The audit system is disabled"
GENERIC: Final = "There was an error while processing parameters"

_LOGINUID: Final = 1 << AUDIT_FEATURE_LOGINUID_IMMUTABLE
_BY_LOAD_ALL: Final = (Verb.SET, Verb.ADD, Verb.DELETE, Verb.DELETE_ALL)


class ControlledKernel(Kernel, Protocol):
    """All that auditctl asks of a kernel."""

    def features(self) -> Features:
        """Return the features that can be locked."""

    def set_features(self, features: Features) -> None:
        """Switch them."""

    def reset_counter(self, mask: StatusMask) -> int:
        """Set a counter to 0; return what it was."""

    def trim(self) -> None:
        """Drop unmounted trees."""

    def make_equivalent(self, mounted: bytes, subtree: bytes) -> None:
        """Follow a watched tree to where it is mounted."""


class StepError(Exception):
    """A command has ended early, with this exit status; what was wrong is said."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Performer:
    """Does the steps of commands.

    `show` takes text for standard output, `tell` lines for standard error. `others` does the
    steps that are no requests of auditctl's own: MESSAGE and SIGNAL.
    """

    def __init__(
        self,
        kernel: ControlledKernel,
        host: Host,
        show: Callable[[str], object],
        tell: Callable[[str], object],
        others: Callable[[Verb, str], int],
    ) -> None:
        self._kernel = kernel
        self._host = host
        self._show = show
        self._tell = tell
        self._others = others
        self._interpret = False

    def perform(self, command: Command) -> int:
        """Do all steps; return the exit status.

        Raises StepError at the first that fails, after saying why.
        """
        status = DONE
        self._interpret = command.interpret
        for verb, what in command.steps:
            try:
                if verb in (Verb.ADD, Verb.DELETE) and command.locked:
                    self._tell(f"{IMMUTABLE}\n{REBOOT}")
                    status = FAILED
                else:
                    status = max(self._step(verb, what, command), status)
            except KernelError as error:
                if error.errno == errno.ECONNREFUSED:
                    self._tell(DISABLED)
                    raise StepError(DONE) from None
                self._refused(error, verb, what)
                raise StepError(WRONG) from None
        return status

    def load(self, lines: Sequence[FileLine], path: str) -> int:
        """Do the lines of a file until one fails; return the exit status.

        An `-i` or `-c` line before it lets the rest go on.
        """
        if self._kernel.status().enabled == LOCKED:
            self._tell(f"{IMMUTABLE}\n{REBOOT}")
            return FAILED
        ignore = go_on = False
        status, watches = DONE, 0
        for i, line in enumerate(lines):
            if self._line_done(line, path):
                command = line.command
                if command is not None:
                    ignore = ignore or command.ignore_errors
                    go_on = go_on or command.continue_on_error
                    watches += command.watch
                continue
            if not ignore:
                status = FAILED
            if not ignore and not go_on:
                for error in errors(lines[i + 1 :]):
                    self._tell(str(error))
                break
        if watches:
            self._tell(
                f"{path}: {watches} old style watch rules are slower; "
                f"auditctl --check {path} shows the faster form"
            )
        return status

    def load_whole(self, lines: Sequence[FileLine]) -> int:
        """Load all lines or leave the kernel as it was, and say how it ended."""
        if wrong := errors(lines):
            for error in wrong:
                self._tell(str(error))
            self._tell(f"{len(wrong)} errors: nothing was changed")
            return FAILED
        for line in lines:
            for warning in line.command.warnings if line.command else ():
                self._tell(f"{line.where}: {warning}")
        report = load_all(lines, self._kernel, lambda: self._rest(lines), self._host)
        for line in report.duplicates:
            self._tell(f"{line.where}: this rule is there already: {line.line.text}")
        for rule in report.missing:
            self._tell(f"missing: {rule_text(rule, self._host, exact=True)}")
        for rule in report.foreign:
            self._tell(f"not wanted: {rule_text(rule, self._host, exact=True)}")
        ending = "" if report.done else ", it failed"
        if report.problem:
            self._tell(report.problem)
            back = "nothing was changed" if report.problem == REBOOT else "the old rules are back"
            ending = f": {back if report.restored else 'the old rules could NOT be put back'}"
        self._show(f"{report.wanted} rules wanted, {report.live} live{ending}\n")
        return DONE if report.done else FAILED

    def _rest(self, lines: Sequence[FileLine]) -> None:
        for line in lines:
            command = line.command
            if command is not None:
                for verb, what in command.steps:
                    if verb not in _BY_LOAD_ALL:
                        self._step(verb, what, command)

    def _line_done(self, line: FileLine, path: str) -> bool:
        status = WRONG
        if line.error is not None or line.command is None:
            self._tell(str(line.error))
        else:
            for warning in line.command.warnings:
                self._tell(f"{line.where}: {warning}")
            try:
                status = self.perform(line.command)
            except StepError as failure:
                status = failure.status
                if status:
                    self._tell(f"  {line.line.text}")
        if status:
            self._tell(f"There was an error in line {line.number} of {path}")
        return status == DONE

    def _step(self, verb: Verb, what: object, command: Command) -> int:
        kernel = self._kernel
        if isinstance(what, Setting):
            kernel.set_status(what.mask, **{what.name: what.value})
            self._show(status_text(kernel.status(), None, interpret=command.interpret))
        elif isinstance(what, Rule):
            if verb is Verb.DELETE:
                kernel.delete_rule(encode_rule(what))
            else:
                add_rule(kernel, command, what)
        elif verb is Verb.STATUS:
            self._show(
                status_text(kernel.status(), loginuid_immutable(kernel), interpret=self._interpret)
            )
        elif verb is Verb.LIST:
            self._list(command.key)
        elif verb is Verb.DELETE_ALL:
            delete_rules(kernel, command.key)
            self._list("")
        elif verb in (Verb.RESET_LOST, Verb.RESET_WAIT):
            self._reset(verb)
        elif verb is Verb.LOGINUID_IMMUTABLE:
            kernel.set_features(Features(_LOGINUID, _LOGINUID, _LOGINUID))
        elif verb is Verb.TRIM:
            kernel.trim()
        elif verb is Verb.EQUIVALENT and isinstance(what, tuple):
            kernel.make_equivalent(*what)
        else:
            return self._others(verb, str(what))
        return DONE

    def _list(self, key: str) -> None:
        rules = live_rules(self._kernel)
        self._show(rules_text(rules, self._host, key=key, interpret=self._interpret))

    def _reset(self, verb: Verb) -> None:
        if verb is Verb.RESET_WAIT:
            was = self._kernel.reset_counter(StatusMask.BACKLOG_WAIT_TIME_ACTUAL)
            self._show(f"backlog_wait_time_actual: {was}\n")
        elif self._host.features() & LOST_RESET:
            self._show(f"lost: {self._kernel.reset_counter(StatusMask.LOST)}\n")
        else:
            raise KernelError(errno.EOPNOTSUPP, "reset-lost")

    def _refused(self, error: KernelError, verb: Verb, what: object) -> None:
        if isinstance(what, Rule):
            name = "add" if verb is Verb.ADD else "delete"
            self._tell(refusal(error, f"Error sending {name} rule data request"))
        elif isinstance(what, Setting):
            self._tell(refusal(error, f"Error setting {what.option}"))
        elif verb is Verb.DELETE_ALL:
            self._tell(refusal(error, "Error deleting rule"))
        else:
            self._tell(refusal(error, f"Error in {verb.value}"))
        if error.errno == errno.EPERM and self._kernel.status().enabled == LOCKED:
            self._tell(f"{IMMUTABLE}\n{REBOOT}")


def watch_note(command: Command, host: Host) -> str:
    """Return what is said of a rule given with -w, empty if none is."""
    rule = command.added()
    if rule is None or not command.watch:
        return ""
    from auditd_py.rules.check import faster_forms  # few command lines need it

    forms = "".join(f"\n  {form}" for form in faster_forms(rule, host))
    return f"Old style watch rules are slower; faster:{forms}"


def loginuid_immutable(kernel: ControlledKernel) -> tuple[int, int]:
    """Return whether login uids cannot be changed, and whether that is locked."""
    features = kernel.features()
    return int(bool(features.features & _LOGINUID)), int(bool(features.lock & _LOGINUID))


def file_problem(path: str, mode: int) -> str:
    """Return why a rule file with these permissions is not read, empty if it may be."""
    if mode & 0o170000 != 0o100000:
        return f"Error - {path} is not a regular file"
    if mode & 0o002:
        return f"Error - {path} is world writable: chmod o-w {path}"
    return ""
