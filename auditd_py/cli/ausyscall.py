"""ausyscall: names and numbers of system calls, of every machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from auditd_py.tables.machines import ARCHES, AUDIT_ARCH_64BIT, MACHINES
from auditd_py.tables.rule_names import COMPATIBLE
from auditd_py.tables.syscalls import X32_BIT, names, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE: Final = "usage: ausyscall [arch] name | number | --dump | --exact\n"
NEEDED: Final = "Error - either a syscall name or number must be given with an optional arch"

DONE: Final = 0
FAILED: Final = 1

_TOO_MANY: Final = (  # by how many of two words are numbers
    "Two syscall names not allowed",
    "A syscall name and a number together are not allowed",
    "Two syscall numbers not allowed",
)

URING: Final = "uring"  # operations of io_uring, as rules of that list name them


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ausyscall with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in ([], ["-h"], ["--help"]):
        (sys.stdout if words else sys.stderr).write(USAGE)
        return DONE if words else FAILED
    try:
        machine, table, call = _request([w for w in words if w not in ("--dump", "--exact")])
        if "--dump" in words:
            return _dump(machine, table)
        if call is None:
            sys.stderr.write(f"{NEEDED}\n")
            return FAILED
        return _look_up(machine, table, call, exact="--exact" in words)
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return FAILED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115  for the last flush
        return FAILED


def _request(words: list[str]) -> tuple[str, str, str | None]:
    """Return the machine's name, its table and the call; raises UsageError."""
    own = ARCHES.get(os.uname().machine)
    found: tuple[str, str] | None = None
    call: str | None = None
    for word in words:
        machine = _machine(word.lower(), own)
        if machine is not None and found is not None:
            raise UsageError("Two machine types not allowed")
        if machine is None and call is not None:
            raise UsageError(_TOO_MANY[call[:1].isdecimal() + word[:1].isdecimal()])
        if machine is None:
            call = word
        else:
            found = machine
    if found is None and own is not None:
        found = MACHINES[own]
    if found is None:
        raise UsageError("Unable to determine machine type")
    return *found, call


def _machine(word: str, own: int | None) -> tuple[str, str] | None:
    """Return the name and the table of a machine, None if `word` is none."""
    if word == URING:
        return URING, URING
    if word in ("b32", "b64") and own is not None:
        for arch in (own, COMPATIBLE.get(own)):
            if arch is not None and bool(arch & AUDIT_ARCH_64BIT) == (word == "b64"):
                return MACHINES[arch]
    return MACHINES[ARCHES[word]] if word in ARCHES else None


def _dump(machine: str, table: str) -> int:
    rows = [f"{number}\t{name}\n" for number, name in sorted(names(table).items())]
    sys.stdout.write(f"Using {machine} syscall table:\n{''.join(rows)}")
    sys.stdout.flush()
    return DONE


def _look_up(machine: str, table: str, call: str, *, exact: bool) -> int:
    name = call.lower()
    known = names(table)
    answer = ""
    number = _number(name)
    if number is not None:
        if table == "x86_64" and number & X32_BIT:
            number, known = number ^ X32_BIT, names("x32")
        answer = known.get(number, "")
    elif exact:
        answer = str(numbers(table).get(name, ""))
    elif name:
        rows = [(number, known_name) for number, known_name in known.items() if name in known_name]
        if not rows and name in numbers(table):
            rows = [(numbers(table)[name], name)]  # a second name
        answer = "\n".join(f"{known_name:<18} {number}" for number, known_name in sorted(rows))
    if not answer:
        sys.stderr.write(f"Unknown syscall {call} using {machine} lookup table\n")
        return FAILED
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()
    return DONE


def _number(word: str) -> int | None:
    """Return a number written in decimal or with 0x, None for anything else."""
    if word.isascii() and word.isdecimal():
        return int(word) if len(word) < 20 else None
    try:
        return int(word, 16) if word.startswith("0x") else None
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main())
