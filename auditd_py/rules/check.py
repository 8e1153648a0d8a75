"""What --check finds in rule files beyond their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from auditd_py.rules.rule import (
    ARCH,
    CLASS_BITS,
    DIR,
    EQUAL,
    EXIT,
    KEY,
    NEVER,
    PATH,
    PERM,
    Field,
    Rule,
)
from auditd_py.rules.show import rule_text
from auditd_py.tables.machines import AUDIT_ARCH_64BIT, MACHINES
from auditd_py.tables.rule_names import OPERATORS
from auditd_py.tables.syscalls import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditd_py.rules.file import FileLine
    from auditd_py.rules.host import Host

_AT_LEAST: Final = OPERATORS[">="]
_AT_MOST: Final = OPERATORS["<="]
_COMMON: Final = frozenset((ARCH, PERM, KEY))  # many rules have the same


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule file could do without. `kind` is one word for programs."""

    where: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def check(lines: Sequence[FileLine], host: Host) -> list[Finding]:
    """Return what is wrong with the lines of all files in the order in which they are loaded."""
    findings = [
        Finding(line.where, "error", str(line.error).removeprefix(f"{line.where}: "))
        for line in lines
        if line.error
    ]
    added = [
        (line, rule)
        for line in lines
        if line.command and (rule := line.command.added()) is not None
    ]
    findings += (
        Finding(line.where, "warning", text)
        for line in lines
        if line.command
        for text in line.command.warnings
    )
    findings += _duplicates(added)
    findings += _shadowed(added)
    findings += _watches(added, host)
    findings += _lone_machines(added, host)
    position = {line.where: i for i, line in enumerate(lines)}
    return sorted(findings, key=lambda finding: position[finding.where])


def faster_forms(rule: Rule, host: Host) -> list[str]:
    """Return the -a rules that do what a watch does, as a rule file has them.

    Where the machine is named first, the permission stands for the calls that can match, so
    that the kernel does not look at the rule for every other call.
    """
    return [
        rule_text(_escaped(rule_for(rule, arch)), host, exact=True).replace(" -S all ", " ", 1)
        for arch in host.arches
    ]


def rule_for(rule: Rule, arch: int) -> Rule:
    """Return the rule limited to the programs of one machine."""
    return Rule(rule.list, rule.action, rule.calls, (Field(ARCH, EQUAL, arch), *rule.fields))


def _escaped(rule: Rule) -> Rule:
    fields = tuple(
        replace(field, value=field.value.replace(b"\\", b"\\\\").replace(b" ", b"\\ "))
        if isinstance(field.value, bytes)
        else field
        for field in rule.fields
    )
    return replace(rule, fields=fields)


def _duplicates(added: Sequence[tuple[FileLine, Rule]]) -> Iterator[Finding]:
    first: dict[Rule, FileLine] = {}
    for line, rule in added:
        other = first.setdefault(rule.canonical(), line)
        if other is not line:
            yield Finding(line.where, "duplicate", f"the same rule as {other.where}")


def _watches(added: Sequence[tuple[FileLine, Rule]], host: Host) -> Iterator[Finding]:
    for line, rule in added:
        if line.command and line.command.watch:
            forms = "".join(f"\n  {form}" for form in faster_forms(rule, host))
            yield Finding(line.where, "watch", f"old style watch rules are slower; faster:{forms}")


def _lone_machines(added: Sequence[tuple[FileLine, Rule]], host: Host) -> Iterator[Finding]:
    # what a rule is about but for machine, calls and key, to the calls by name, by machine
    groups: dict[object, dict[int, set[str]]] = {}
    about: list[tuple[FileLine, object, int, set[str]]] = []
    group: object
    if len(host.arches) < 2:
        return
    for line, rule in added:
        arches = [f.value for f in rule.fields if f.code == ARCH and f.operator == EQUAL]
        if len(arches) != 1 or rule.list != EXIT or rule.action == NEVER:
            continue
        arch = arches[0]
        if type(arch) is not int or arch not in host.arches:
            continue
        rest = tuple(f for f in rule.fields if f.code not in (ARCH, KEY))
        group = (rule.list, rule.action, frozenset(rest))
        table = names(MACHINES[arch][1])
        calls = {"all"} if rule.calls_all else {table.get(n, "?") for n in rule.call_numbers()}
        groups.setdefault(group, {}).setdefault(arch, set()).update(calls)
        about.append((line, group, arch, calls))
    for line, group, arch, calls in about:
        other = next(a for a in host.arches if a != arch)
        covered = groups[group].get(other, set())
        if "all" in covered:
            continue
        known = {"all", *names(MACHINES[other][1]).values()}
        lone = sorted(call for call in calls - covered if call in known)
        if lone:
            word = "b64" if other & AUDIT_ARCH_64BIT else "b32"
            calls_text = "" if lone == ["all"] else f" for {','.join(lone)}"
            text = f"no rule with arch={word}{calls_text}: programs of that kind are not seen"
            yield Finding(line.where, "arch", text)


def _shadowed(added: Sequence[tuple[FileLine, Rule]]) -> Iterator[Finding]:
    # a rule is looked for under what one of its fields must equal, so that not every rule is
    # compared with every other
    earlier: dict[object, list[tuple[FileLine, Rule, frozenset[Field]]]] = {}
    seen: set[Rule] = set()
    for line, rule in added:
        if rule.canonical() in seen:
            continue  # a duplicate
        seen.add(rule.canonical())
        fields = frozenset(f for f in rule.fields if f.code != KEY)
        cover = next(
            (
                other
                for anchor in _implied_anchors(rule)
                for other in earlier.get((rule.list, anchor), ())
                if _covers(other[1].calls, other[2], rule.calls, fields)
            ),
            None,
        )
        if cover is not None:
            text = f"never used: {cover[0].where} is for all it matches and comes first"
            yield Finding(line.where, "shadowed", f"{text}\n  {cover[0].line.text}")
        if rule.prepend:
            continue  # what comes before what is no longer clear from the order of lines
        earlier.setdefault((rule.list, _anchor(rule)), []).append((line, rule, fields))


def _anchor(rule: Rule) -> object:
    for field in rule.fields:
        if field.operator == EQUAL and field.code not in _COMMON:
            return field.code, field.value
    return None


def _implied_anchors(rule: Rule) -> Iterator[object]:
    """Give the anchors that a rule covering this one can have."""
    yield None
    for field in rule.fields:
        if field.operator != EQUAL or field.code in _COMMON:
            continue
        yield field.code, field.value
        if field.code in (PATH, DIR) and isinstance(field.value, bytes):
            folder = field.value
            while folder not in (b"", b"/"):
                folder = folder.rpartition(b"/")[0]
                yield DIR, folder or b"/"


def _covers(
    calls: int, fields: frozenset[Field], other_calls: int, others: frozenset[Field]
) -> bool:
    """Return whether a rule matches all that another one matches."""
    if other_calls & ~CLASS_BITS & ~calls:
        return False
    return all(f in others or _implied(f, others) for f in fields)


def _implied(field: Field, others: Iterable[Field]) -> bool:
    """Return whether what satisfies all the `others` satisfies `field`."""
    return any(
        _follows(field, other)
        for other in others
        if other.code == field.code or (other.code == PATH and field.code == DIR)
    )


def _follows(field: Field, other: Field) -> bool:
    value, known = field.value, other.value
    if field.operator != other.operator:
        return False
    if isinstance(value, bytes) and isinstance(known, bytes):
        below = field.code == DIR and field.operator == EQUAL
        return below and known.startswith(value.rstrip(b"/") + b"/")
    if not isinstance(value, int) or not isinstance(known, int):
        return False
    if field.code == PERM:
        return known & ~value == 0
    if (value | known) >> 31:
        return False  # some fields have a sign, others have not
    at_least, at_most = field.operator == _AT_LEAST, field.operator == _AT_MOST
    return (at_least and known >= value) or (at_most and known <= value)
