"""A kernel's rule list in memory."""

from __future__ import annotations

import errno
from dataclasses import replace

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import Features, Status, StatusMask
from auditd_py.rules.codec import decode_rule, encode_rule
from auditd_py.rules.rule import IO_URING, Rule


class MemoryKernel:
    """Holds rules and settings as the kernel does; refuses the rules in `refused`."""

    def __init__(self, *rules: Rule, enabled: int = 1) -> None:
        self.held = [rule.canonical() for rule in rules]
        self.state = Status(enabled=enabled, failure=1, backlog_limit=64, feature_bitmap=0x7F)
        self.refused: set[Rule] = set()
        self.lost_on_arrival: set[Rule] = set()
        self.settings_refused: set[str] = set()
        self.changes = 0
        self.features_set = Features()

    def status(self) -> Status:
        return self.state

    def set_status(self, mask: StatusMask, **values: int) -> None:
        if self.state.enabled == 2:
            raise KernelError(errno.EPERM, "SET")
        if self.settings_refused & values.keys():
            raise KernelError(errno.EINVAL, "SET")
        self.state = replace(self.state, **values)

    def rules(self) -> list[bytes]:
        self.held.sort(key=lambda rule: rule.list)
        return [encode_rule(rule) for rule in self.held]

    def add_rule(self, data: bytes) -> None:
        rule = self._change(data)
        if rule.canonical() in self.held:
            raise KernelError(errno.EEXIST, "ADD_RULE")
        if rule.list > IO_URING or rule.canonical() in self.refused:
            raise KernelError(errno.EINVAL, "ADD_RULE")
        if rule.canonical() in self.lost_on_arrival:
            return
        self.held.insert(0 if rule.prepend else len(self.held), rule.canonical())

    def delete_rule(self, data: bytes) -> None:
        rule = self._change(data).canonical()
        if rule not in self.held:
            raise KernelError(errno.ENOENT, "DEL_RULE")
        self.held.remove(rule)

    def features(self) -> Features:
        return self.features_set

    def set_features(self, features: Features) -> None:
        self.features_set = features

    def reset_counter(self, mask: StatusMask) -> int:
        was, self.state = self.state.lost, replace(self.state, lost=0)
        return was

    def trim(self) -> None:
        self.changes += 1

    def make_equivalent(self, mounted: bytes, subtree: bytes) -> None:
        raise KernelError(errno.ENOENT, f"MAKE_EQUIV {mounted!r} {subtree!r}")

    def _change(self, data: bytes) -> Rule:
        if self.state.enabled == 2:
            raise KernelError(errno.EPERM, "ADD_RULE")
        self.changes += 1
        return decode_rule(data)
