"""One audit rule as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from auditd_py.netlink.uapi import AUDIT_BITMASK_SIZE
from auditd_py.tables.rule_names import ACTIONS, FIELDS, LISTS, OPERATORS

USER: Final = LISTS["user"]
TASK: Final = LISTS["task"]
EXIT: Final = LISTS["exit"]
EXCLUDE: Final = LISTS["exclude"]
FILESYSTEM: Final = LISTS["filesystem"]
IO_URING: Final = LISTS["io_uring"]
NO_LIST: Final = 0xFFFFFFFF  # what a word that is no list becomes; the kernel refuses it
NEVER: Final = ACTIONS["never"]
ALWAYS: Final = ACTIONS["always"]

EQUAL: Final = OPERATORS["="]
NOT_EQUAL: Final = OPERATORS["!="]

ARCH: Final = FIELDS["arch"]
PATH: Final = FIELDS["path"]
DIR: Final = FIELDS["dir"]
PERM: Final = FIELDS["perm"]
EXE: Final = FIELDS["exe"]
KEY: Final = FIELDS["key"]
FIELD_COMPARE: Final = 111

# fields whose value is a string behind the struct; the number in the struct is its length
STRING_FIELDS: Final = frozenset(
    FIELDS[name]
    for name in (
        "subj_user", "subj_role", "subj_type", "subj_sen", "subj_clr", "obj_user", "obj_role",
        "obj_type", "obj_lev_low", "obj_lev_high", "path", "dir", "exe", "key",
    )
)  # fmt: skip

MASK_BITS: Final = AUDIT_BITMASK_SIZE * 32
ALL_CALLS: Final = (1 << MASK_BITS) - 1
# the topmost bits stand for classes of calls: the kernel replaces them by the calls
CLASS_BITS: Final = 0xFFFF << MASK_BITS - 16

# letters of perm= in the order in which they are written, and their bits
PERMISSIONS: Final = {"r": 4, "w": 2, "x": 1, "a": 8}

KEY_SEPARATOR: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Field:
    """One condition of a rule: `code` is the field's number, `operator` the kernel's.

    `value` is bytes for the fields in STRING_FIELDS, for others a number of 32 bits.
    """

    code: int
    operator: int
    value: int | bytes


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what the kernel has to do (`action`) on which filter list, and when.

    `calls` is a bit mask of syscall numbers, ALL_CALLS for every one. `prepend` puts the rule
    before those that are loaded. The fields are in the order in which the kernel looks at them.
    """

    list: int
    action: int
    calls: int = 0
    fields: tuple[Field, ...] = ()
    prepend: bool = False

    @property
    def key(self) -> bytes:
        """The keys, with KEY_SEPARATOR between them; empty without."""
        return next((f.value for f in self.fields if f.code == KEY and type(f.value) is bytes), b"")

    @property
    def arch(self) -> int | None:
        """The last machine the rule names, None if it names none."""
        found = None
        for field in self.fields:
            if field.code == ARCH and type(field.value) is int:
                found = field.value
        return found

    @property
    def calls_all(self) -> bool:
        """Whether it is for every syscall."""
        return self.calls | CLASS_BITS == ALL_CALLS

    def canonical(self) -> Rule:
        """Return the rule as the kernel lists it: no place in the list, no class bits."""
        return Rule(self.list, self.action, self.calls & ~CLASS_BITS, self.fields)

    def call_numbers(self) -> tuple[int, ...]:
        """Return the syscall numbers in the mask, in order."""
        calls, found = self.calls, []
        while calls:
            lowest = calls & -calls
            found.append(lowest.bit_length() - 1)
            calls ^= lowest
        return tuple(found)
