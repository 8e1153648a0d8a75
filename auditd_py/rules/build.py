"""A rule, put together from one option after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.netlink.uapi import AUDIT_MAX_FIELDS
from auditd_py.rules.command import Command, Verb
from auditd_py.rules.fields import FieldError, parse_comparison, parse_field, permission_bits
from auditd_py.rules.host import LOCKED, Host
from auditd_py.rules.rule import (
    ALL_CALLS,
    ALWAYS,
    ARCH,
    DIR,
    EQUAL,
    EXCLUDE,
    EXE,
    EXIT,
    FILESYSTEM,
    IO_URING,
    KEY,
    KEY_SEPARATOR,
    MASK_BITS,
    NO_LIST,
    PATH,
    PERM,
    PERMISSIONS,
    TASK,
    USER,
    Field,
    Rule,
)
from auditd_py.rules.words import Line, Option, nearest
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.rule_names import ACTIONS, COMPATIBLE, FIELDS, LISTS
from auditd_py.tables.rule_values import PERMISSION_CALLS
from auditd_py.tables.syscalls import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.errors import RuleError

MAX_KEY: Final = 256
PATH_MAX: Final = 4096
NAME_MAX: Final = 255

_KEYED: Final = frozenset((PATH, DIR, PERM, EXE, FIELDS["fstype"]))
_NO_CALLS: Final = {
    EXCLUDE: "cannot be put on exclude list",
    TASK: "being added to task list",
    USER: "being added to user list",
    FILESYSTEM: "being added to filesystem list",
}


class RuleBuilder:
    """Takes the options of one rule in their order; each method raises RuleError.

    `verb` is ADD or DELETE once the rule has begun. What is said of the rule goes into
    `command`.
    """

    def __init__(self, line: Line, host: Host, command: Command) -> None:
        self.verb: Verb | None = None
        self.keys: list[str] = []
        self._line = line
        self._host = host
        self._command = command
        self._list = NO_LIST
        self._action = ALWAYS
        self._prepend = False
        self._fields: list[Field] = []
        self._calls = 0
        self._calls_given = False  # by -S, or by a permission that stands for calls
        self._arch: int | None = None
        self._mismatch = False
        self._keyed = False
        self._key_span: tuple[int, int] | None = None  # of -F key=

    def rule(self) -> Rule:
        """Return the rule after its last option."""
        if self._mismatch and self._arch is None:
            self._command.warnings.append(
                "WARNING - 32/64 bit syscall mismatch, you should specify an arch"
            )
        if self._key_span is not None and not self._may_have_key():
            reason = "Key field needs a watch, syscall or exe path given prior to it"
            raise self._error(reason, self._key_span)
        if not self._calls_given and self._list != TASK:
            self._calls = ALL_CALLS
        if self.keys:
            key = KEY_SEPARATOR.join(k.encode("utf-8", "surrogateescape") for k in self.keys)
            self._append(Field(KEY, EQUAL, key), self._line.spans[-1])
        return Rule(self._list, self._action, self._calls, tuple(self._fields), self._prepend)

    def add_or_delete(self, option: Option) -> None:
        """Take -a, -A or -d."""
        if self.verb is not None:
            reason = "Multiple rule insert/delete operations are not allowed"
            raise self._error(reason, option.span)
        what = {"a": "Append", "A": "Add", "d": "Delete"}[option.name]
        reason = f"{what} rule - bad keyword {option.value}"
        words = option.value.split(",")
        if len(words) != 2:
            raise self._error(f"{reason}: a list and an action are needed", option.value_span)
        self._begin(Verb.DELETE if option.name == "d" else Verb.ADD)
        self._prepend = option.name == "A"
        action, rule_list = self._action_and_list(words, option, reason)
        self._list = LISTS.get(rule_list, NO_LIST)
        self._action = ACTIONS[action]

    def watch(self, option: Option) -> None:
        """Take -w or -W."""
        removes = option.name == "W"
        if self.verb is not None:
            if self._fields and not self._command.watch:
                raise self._error("Watches may not include fields or actions", option.span)
            raise self._error("watch option can't be given with a syscall", option.span)
        self._begin(Verb.DELETE if removes else Verb.ADD)
        path = option.value
        self._check_path(path, option)
        path = path.rstrip("/") or "/"
        field = DIR if self._host.is_directory(path) else PATH
        self._list = EXIT
        self._fields = [
            Field(field, EQUAL, path.encode("utf-8", "surrogateescape")),
            Field(PERM, EQUAL, sum(PERMISSIONS.values())),
        ]
        self._keyed = self._calls_given = self._command.watch = True
        self._calls = ALL_CALLS

    def field(self, option: Option) -> None:
        """Take -F."""
        if self.verb is None:
            raise self._error("List must be given before field", option.span)
        if option.value.startswith("key="):
            self._key_field(option)
            return
        try:
            field = parse_field(option.value, self._list, self._host)
        except FieldError as error:
            raise self._field_error(error, option) from None
        if field.code == ARCH:
            if self._calls_given:
                raise self._error("arch must be before -S", option.value_span)
            self._arch = field.value if type(field.value) is int else None
        elif field.code == PERM and self._arch is not None and type(field.value) is int:
            self._add_permission_calls(field.value, self._arch)
        self._keyed = self._keyed or field.code in _KEYED
        self._append(field, option.value_span)

    def comparison(self, option: Option) -> None:
        """Take -C."""
        if self.verb is None:
            raise self._error("List must be given before field", option.span)
        try:
            field = parse_comparison(option.value, self._list)
        except FieldError as error:
            raise self._field_error(error, option) from None
        self._append(field, option.value_span)

    def syscalls(self, option: Option) -> None:
        """Take -S."""
        if self.verb is None:
            raise self._error("Error - no list specified", option.span)
        if self._list in _NO_CALLS:
            reason = f"Error: syscall auditing {_NO_CALLS[self._list]}"
            raise self._error(reason, option.span)
        self._calls_given = True
        at = 0
        for word in option.value.split(","):
            if word == "all":
                self._calls = ALL_CALLS
            elif word or option.value == "":
                self._calls |= 1 << self._call(word, option.part(at, len(word)))
            at += len(word) + 1

    def permission(self, option: Option) -> None:
        """Take -p."""
        if not self._command.watch:
            reason = "permission option needs a watch given prior to it"
            raise self._error(reason, option.span)
        if len(option.value) > 4:
            raise self._error(f"permission {option.value} is too long", option.value_span)
        bits = permission_bits(option.value)
        if bits is None:
            reason = f"Permission {option.value} isn't supported"
            raise self._error(reason, option.value_span)
        self._fields[1] = Field(PERM, EQUAL, bits)

    def key(self, option: Option) -> None:
        """Take -k."""
        if not self._may_have_key():
            reason = "key option needs a watch or syscall given prior to it"
            raise self._error(reason, option.span)
        self.add_key(option.value, option)

    def add_key(self, key: str, option: Option) -> None:
        """Take a key, whatever it is for."""
        whole = "\1".join((*self.keys, key)).encode("utf-8", "surrogateescape")
        if len(whole) > MAX_KEY:
            raise self._error("key option exceeds size limit", option.value_span)
        if key:
            self.keys.append(key)

    def _action_and_list(self, words: list[str], option: Option, reason: str) -> tuple[str, str]:
        first = 1 if words[1] in ACTIONS else 0
        action, rule_list = words[first], words[1 - first]
        at = len(words[0]) + 1
        if action not in ACTIONS:
            # neither is an action: blame the one that is no list either
            wrong = 0 if words[0] not in LISTS else 1
            if words[wrong] == "possible":
                reason += ": the action possible is deprecated"
            part = option.part(at * wrong, len(words[wrong]))
            raise self._error(reason, part, words[wrong], (*ACTIONS, *LISTS))
        if rule_list == "entry":
            self._command.warnings.append(
                f"the list entry is no more: {option.value} is taken as {action},exit"
            )
            rule_list = "exit"
        elif rule_list not in LISTS:
            # as always it goes to the kernel, which refuses it
            meant = nearest(rule_list, LISTS)
            self._command.warnings.append(
                f"unknown list {rule_list}" + (f", did you mean {meant}?" if meant else "")
            )
        return action, rule_list

    def _begin(self, verb: Verb) -> None:
        self.verb = verb
        if self._host.enabled() == LOCKED:
            self._command.locked = True

    def _key_field(self, option: Option) -> None:
        # it becomes the last field, so that what it needs may still follow
        if option.value != "key=":
            self._key_span = option.value_span
            self.add_key(option.value[4:], option)

    def _field_error(self, error: FieldError, option: Option) -> RuleError:
        part = option.part(error.offset, error.length)
        return self._error(error.reason, part, error.word, error.known)

    def _append(self, field: Field, span: tuple[int, int]) -> None:
        if len(self._fields) >= AUDIT_MAX_FIELDS - 1:
            raise self._error(f"Too many fields in rule: {self._line.text[slice(*span)]}", span)
        self._fields.append(field)

    def _add_permission_calls(self, bits: int, arch: int) -> None:
        known = numbers(MACHINES[arch][1])
        for letter, bit in PERMISSIONS.items():
            if bits & bit:
                for call in PERMISSION_CALLS[letter]:
                    if call in known:
                        self._calls |= 1 << known[call]
        self._calls_given = True

    def _call(self, word: str, span: tuple[int, int]) -> int:
        table = self._table()
        number = numbers(table).get(word.lower())
        if number is None and word.isascii() and word.isdecimal() and len(word) < 6:
            number = int(word)
            if number < MASK_BITS:
                return number
            number = None
        if number is None or number >= MASK_BITS:
            reason = f"Syscall name unknown: {word}"
            raise self._error(reason, span, word.lower(), numbers(table))
        own = self._host.arch
        if self._arch is None and own in COMPATIBLE and self._list != IO_URING:
            other = numbers(MACHINES[COMPATIBLE[own]][1]).get(word.lower())
            self._mismatch = self._mismatch or other != number
        return number

    def _table(self) -> str:
        if self._list == IO_URING:
            return "uring"
        return MACHINES[self._host.arch if self._arch is None else self._arch][1]

    def _check_path(self, path: str, option: Option) -> None:
        if not path.startswith("/"):
            raise self._error("The path must start with '/'", option.value_span)
        data = path.encode("utf-8", "surrogateescape")
        name = data.rstrip(b"/").rpartition(b"/")[2]
        if len(data) >= PATH_MAX or len(name) > NAME_MAX:
            what = "path" if len(data) >= PATH_MAX else "base name"
            raise self._error(f"The {what} is too long", option.value_span)
        if ".." in path:
            self._command.warnings.append("Warning - relative path notation is not supported")
        if "*" in path or "?" in path:
            self._command.warnings.append("Warning - wildcard notation is not supported")

    def _may_have_key(self) -> bool:
        return self._calls_given or self._keyed

    def _error(
        self, reason: str, span: tuple[int, int], word: str = "", known: Iterable[str] = ()
    ) -> RuleError:
        return self._line.error(reason, span, word, known)
