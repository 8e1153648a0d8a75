"""Bringing rules into a kernel: line by line, or a whole file or nothing."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import Status, StatusMask
from auditd_py.rules.codec import decode_rule, encode_rule
from auditd_py.rules.command import Command, Setting
from auditd_py.rules.file import wanted
from auditd_py.rules.host import LOCKED
from auditd_py.rules.rule import DIR, PATH, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.rules.file import FileLine
    from auditd_py.rules.host import Host

IMMUTABLE: Final = "The audit system is in immutable mode, no rule changes allowed"
REBOOT: Final = "it is locked (enabled 2): a change needs a reboot"


class Kernel(Protocol):
    """What a kernel can be asked for; auditd_py.netlink.control.Control is one.

    Each raises KernelError when the kernel refuses.
    """

    def status(self) -> Status:
        """Return the status."""

    def set_status(self, mask: StatusMask, **values: int) -> None:
        """Change settings."""

    def rules(self) -> list[bytes]:
        """Return the loaded rules."""

    def add_rule(self, rule: bytes) -> None:
        """Load one rule."""

    def delete_rule(self, rule: bytes) -> None:
        """Remove one rule."""


@dataclass(slots=True)
class Report:
    """What came of loading a file as a whole.

    `wanted` is how many rules there had to be, `live` how many of them the kernel has.
    `missing` are those it has not, `foreign` those it has beside. `problem` says what failed,
    empty if nothing did; then `restored` tells whether the rules are again what they were.
    """

    wanted: int
    live: int = 0
    missing: list[Rule] = field(default_factory=list)
    foreign: list[Rule] = field(default_factory=list)
    duplicates: list[FileLine] = field(default_factory=list)
    problem: str = ""
    restored: bool = False

    @property
    def done(self) -> bool:
        """Whether everything is as it was wanted."""
        return not self.problem and not self.missing and not self.foreign


def live_rules(kernel: Kernel) -> list[Rule]:
    """Return the rules of a kernel, in the order in which it looks at them."""
    return [decode_rule(data) for data in kernel.rules()]


def add_rule(kernel: Kernel, command: Command, rule: Rule) -> None:
    """Load the rule of a command; raises KernelError."""
    try:
        kernel.add_rule(encode_rule(rule))
    except KernelError as error:
        if error.errno != errno.EINVAL or not command.watch or rule.fields[0].code != DIR:
            raise
        # kernels without directory watches
        fields = (replace(rule.fields[0], code=PATH), *rule.fields[1:])
        kernel.add_rule(encode_rule(replace(rule, fields=fields)))


def delete_rules(kernel: Kernel, key: str) -> None:
    """Remove all rules whose key contains `key`; raises KernelError."""
    part = key.encode("utf-8", "surrogateescape")
    for data in kernel.rules():
        rule = decode_rule(data)
        if part in rule.key:
            kernel.delete_rule(encode_rule(rule))


def load_all(
    lines: Sequence[FileLine],
    kernel: Kernel,
    then: Callable[[], None] | None = None,
    host: Host | None = None,
) -> Report:
    """Load the rules and settings of lines without an error, or leave the kernel as it was.

    What is loaded already in its place stays, so that there is no moment without it. The
    enabled flag is set last, when all rules are there and `then` was called. Raises KernelError when the kernel does
    not even tell what it has.
    """
    before, status = live_rules(kernel), kernel.status()
    target = wanted(lines, before)
    report = Report(len(target.rules), duplicates=target.duplicates)
    if status.enabled == LOCKED:
        report.problem = REBOOT
        _compare(report, target.rules, before)
        report.restored = True
        return report
    settings = [s for s in target.settings.values() if s.mask != StatusMask.ENABLED]
    enable = [s for s in target.settings.values() if s.mask == StatusMask.ENABLED]
    failed = _change(kernel, before, target.rules, settings, host)
    _compare(report, target.rules, live_rules(kernel))
    if not failed and not report.missing:
        failed = _finish(kernel, enable, then)
    if failed or report.missing:
        report.problem = failed or "the kernel took all rules but does not list all"
        old = [Setting(s.mask, s.name, getattr(status, s.name)) for s in (*settings, *enable)]
        report.restored = not _change(kernel, live_rules(kernel), before, old, host)
        live = live_rules(kernel)
        report.restored = report.restored and _same(live, before)
        _compare(report, target.rules, live)
    return report


def drift(
    lines: Sequence[FileLine], live: Sequence[Rule], status: Status, host: Host | None = None
) -> tuple[str, ...]:
    """Return the differences between files and kernel as lines of a diff, none if there are none.

    `-` is what only the files have, `+` what only the kernel has.
    """
    from difflib import unified_diff

    target = wanted(lines)
    settings = sorted(target.settings.values(), key=lambda s: s.mask)
    files = [s.option for s in settings] + [_text(rule, host) for rule in target.rules]
    kernel = [Setting(s.mask, s.name, getattr(status, s.name)).option for s in settings]
    kernel += [_text(rule.canonical(), host) for rule in live]
    return tuple(unified_diff(files, kernel, "files", "kernel", n=0, lineterm=""))


def refusal(error: KernelError, what: str) -> str:
    """Return what is said of a request that the kernel refused."""
    reason = "Rule exists" if error.errno == errno.EEXIST else os.strerror(error.errno)
    return f"{what} ({reason})"


def _change(
    kernel: Kernel,
    live: Sequence[Rule],
    target: Sequence[Rule],
    settings: Sequence[Setting],
    host: Host | None,
) -> str:
    """Make the kernel's rules `target`; return what failed, empty if nothing did."""
    old, new = _steps(live, target)
    what = ""
    try:
        for setting in settings:
            what = f"Error setting {setting.option}"
            kernel.set_status(setting.mask, **{setting.name: setting.value})
        for rule in old:
            what = f"Error deleting rule {_text(rule, host)}"
            kernel.delete_rule(encode_rule(rule))
        for rule in new:
            what = f"Error adding rule {_text(rule, host)}"
            kernel.add_rule(encode_rule(rule))
    except KernelError as error:
        return refusal(error, what)
    return ""


def _finish(kernel: Kernel, enable: Sequence[Setting], then: Callable[[], None] | None) -> str:
    try:
        if then is not None:
            then()
    except KernelError as error:
        return str(error)
    return _change(kernel, [], [], enable, None)


def _steps(live: Sequence[Rule], target: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that go and those that come.

    A rule can only be added at the end, so that of each list the beginning that is right stays.
    """
    old: list[Rule] = []
    new: list[Rule] = []
    for number in sorted({rule.list for rule in (*live, *target)}):
        have = [rule.canonical() for rule in live if rule.list == number]
        want = [rule.canonical() for rule in target if rule.list == number]
        same = 0
        while same < min(len(have), len(want)) and have[same] == want[same]:
            same += 1
        old += have[same:]
        new += want[same:]
    return old, new


def _compare(report: Report, target: Sequence[Rule], live: Sequence[Rule]) -> None:
    have = {rule.canonical() for rule in live}
    want = set(target)
    report.missing = [rule for rule in target if rule not in have]
    report.foreign = [rule for rule in live if rule.canonical() not in want]
    report.live = len(target) - len(report.missing)


def _same(one: Sequence[Rule], other: Sequence[Rule]) -> bool:
    return [rule.canonical() for rule in one] == [rule.canonical() for rule in other]


def _text(rule: Rule, host: Host | None) -> str:
    from auditd_py.rules.show import rule_text

    return rule_text(rule, host, exact=True)
