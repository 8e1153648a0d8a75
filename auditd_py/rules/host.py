"""What the parser of rules has to be told about the machine and its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.tables.machines import ARCHES, AUDIT_ARCH_64BIT, MACHINES
from auditd_py.tables.rule_names import COMPATIBLE

if TYPE_CHECKING:
    from collections.abc import Callable

# bits of feature_bitmap in audit_status
EXECUTABLE_PATH: Final = 0x04
EXCLUDE_EXTEND: Final = 0x08
SESSIONID_FILTER: Final = 0x10
LOST_RESET: Final = 0x20
FILTER_FS: Final = 0x40
ALL_FEATURES: Final = 0x7F

LOCKED: Final = 2  # audit_status.enabled: no change before a reboot


def _nobody(_: str) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Host:
    """Answers that decide what a rule means; each is asked for only when it matters.

    `machine` is what uname -m says. `enabled` and `features` are fields of audit_status; they
    are asked when a rule begins and when it uses what old kernels lack.
    """

    machine: str = "x86_64"
    enabled: Callable[[], int] = lambda: 1
    features: Callable[[], int] = lambda: ALL_FEATURES
    user_id: Callable[[str], int | None] = _nobody
    group_id: Callable[[str], int | None] = _nobody
    is_directory: Callable[[str], bool] = lambda _: False
    user_name: Callable[[int], bytes | None] = lambda _: None
    group_name: Callable[[int], bytes | None] = lambda _: None

    @property
    def arch(self) -> int:
        """The arch number of the kernel's own programs."""
        return ARCHES.get(self.machine, ARCHES["x86_64"])

    @property
    def arches(self) -> tuple[int, ...]:
        """The arch numbers of all programs that can run, 64-bit first."""
        own = self.arch
        return (own, COMPATIBLE[own]) if own in COMPATIBLE else (own,)

    def arch_of_bits(self, word: str) -> int | None:
        """Return the arch that `b64` or `b32` means, None if it has no such programs."""
        wide = word == "b64"
        for arch in self.arches:
            if bool(arch & AUDIT_ARCH_64BIT) == wide:
                return arch
        return None

    def arch_word(self, arch: int) -> str:
        """Return how a rule names `arch` on this machine."""
        if arch in self.arches:
            return "b64" if arch & AUDIT_ARCH_64BIT else "b32"
        return MACHINES[arch][0] if arch in MACHINES else f"0x{arch:x}"
