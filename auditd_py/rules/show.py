"""Rules and the status as auditctl prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditd_py.rules.fields import KINDS
from auditd_py.rules.host import Host
from auditd_py.rules.rule import (
    ALWAYS,
    ARCH,
    DIR,
    EQUAL,
    EXIT,
    FIELD_COMPARE,
    IO_URING,
    KEY,
    KEY_SEPARATOR,
    PATH,
    PERM,
    PERMISSIONS,
    Field,
    Rule,
)
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.record_types import NAMES as RECORD_TYPES
from auditd_py.tables.rule_names import ACTIONS, COMPARISONS, FIELD_NAMES, FIELDS, LISTS, OPERATORS
from auditd_py.tables.rule_values import ERRNO_NAMES, FILE_SYSTEMS
from auditd_py.tables.syscalls import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditd_py.netlink.uapi import Status

_LIST_NAMES: Final = {number: name for name, number in LISTS.items()}
_ACTION_NAMES: Final = {number: name for name, number in ACTIONS.items()} | {1: "possible"}
_OPERATOR_WORDS: Final = {number: word for word, number in OPERATORS.items()}
_VALUE_NAMES: Final[Mapping[str, Mapping[int, str]]] = {
    "record type": RECORD_TYPES,
    "file system": {number: name for name, number in FILE_SYSTEMS.items()},
}
_A0: Final = FIELDS["a0"]
_ARGUMENTS: Final = range(_A0, _A0 + 4)
_WATCH_FIELDS: Final = frozenset((PATH, DIR, PERM, KEY))
_UNSET: Final = 0xFFFFFFFF

_STATUS_FIELDS: Final = (
    "enabled",
    "failure",
    "pid",
    "rate_limit",
    "backlog_limit",
    "lost",
    "backlog",
    "backlog_wait_time",
    "backlog_wait_time_actual",
)
_STATUS_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "enabled": ("disable", "enabled", "enabled+immutable"),
    "failure": ("silent", "printk", "panic"),
}


def rule_text(
    rule: Rule, host: Host | None = None, *, interpret: bool = False, exact: bool = False
) -> str:
    """Return the line that -l prints for a rule.

    There a rule that has nothing but path and permission is shown as a watch, on whatever list
    and with whatever action, and machines come first. With `exact` only what is a watch is shown
    as one, and the fields are in their order: read again, the line is the same rule.
    """
    if _shown_as_watch(rule) and (not exact or _is_watch(rule)):
        return " ".join(_watch_words(rule))
    host = host or Host()
    name = _LIST_NAMES.get(rule.list, "(null)")
    action = _ACTION_NAMES.get(rule.action, "unknown")
    calls = f" -S {found}" if (found := _calls(rule, host)) else ""
    arguments = _argument_names(rule, host) if interpret else {}
    text = f"{'-A' if rule.prepend else '-a'} {action},{name}"
    machines = sum(field.code == ARCH for field in rule.fields)
    if not machines:
        text += calls
    for field in rule.fields if exact else sorted(rule.fields, key=lambda f: f.code != ARCH):
        if field.code == ARCH:
            machines -= 1
            text += f" -F arch{_operator(field)}{_arch(field, host, interpret=interpret)}"
            text += "" if machines else calls
        else:
            words = _field_words(field, arguments, interpret=interpret)
            text += "".join(f" {word}" for word in words)
    return text


def rules_text(
    rules: Iterable[Rule], host: Host | None = None, *, key: str = "", interpret: bool = False
) -> str:
    """Return what -l prints: the rules whose key contains `key`, or that there are none."""
    wanted = key.encode("utf-8", "surrogateescape")
    lines = [rule_text(rule, host, interpret=interpret) for rule in rules if wanted in rule.key]
    return "".join(f"{line}\n" for line in lines) or "No rules\n"


def rule_object(rule: Rule, host: Host | None = None) -> dict[str, object]:
    """Return a rule for JSON: its parts, and as `text` the line that -l prints."""
    host = host or Host()
    calls = _calls(rule, host)
    return {
        "list": _LIST_NAMES.get(rule.list, str(rule.list)),
        "action": _ACTION_NAMES.get(rule.action, str(rule.action)),
        "syscalls": calls.split(",") if calls else [],
        "fields": [
            _field_object(field, host) for field in rule.fields if field.code != KEY
        ],
        "keys": [_text(key) for key in rule.key.split(KEY_SEPARATOR) if key],
        "text": rule_text(rule, host),
    }  # fmt: skip


def status_text(status: Status, features: tuple[int, int] | None, *, interpret: bool) -> str:
    """Return the status block.

    `features` is what GET_FEATURE says of loginuid_immutable: whether it is on and locked; None
    leaves it out, as where a setting was changed.
    """
    lines = [
        f"{name} {_status_value(name, getattr(status, name), interpret=interpret)}\n"
        for name in _STATUS_FIELDS
    ]
    if features is not None:
        lines.append(f"loginuid_immutable {features[0]} {'un' * (not features[1])}locked\n")
    return "".join(lines)


def status_object(status: Status, features: tuple[int, int] | None) -> dict[str, object]:
    """Return the status for JSON."""
    found: dict[str, object] = {name: getattr(status, name) for name in _STATUS_FIELDS}
    if features is not None:
        found["loginuid_immutable"] = bool(features[0])
        found["loginuid_immutable_locked"] = bool(features[1])
    return found


def _status_value(name: str, value: int, *, interpret: bool) -> object:
    words = _STATUS_WORDS.get(name, ())
    return words[value] if interpret and value < len(words) else value


def _shown_as_watch(rule: Rule) -> bool:
    codes = [field.code for field in rule.fields]
    return PERM in codes and rule.calls_all and _WATCH_FIELDS.issuperset(codes)


def _is_watch(rule: Rule) -> bool:
    codes = tuple(field.code for field in rule.fields)
    equal = all(field.operator == EQUAL for field in rule.fields)
    always = rule.list == EXIT and rule.action == ALWAYS and not rule.prepend
    return always and equal and codes[:2] in ((PATH, PERM), (DIR, PERM)) and len(codes) < 4


def _watch_words(rule: Rule) -> Iterable[str]:
    for field in rule.fields:
        if field.code == PERM:
            yield f"-p {_permissions(field.value)}"
        elif field.code == KEY:
            yield from (f"-k {_text(key)}" for key in _keys(field))
        else:
            yield f"-w {_text(field.value)}"


def _operator(field: Field) -> str:
    return _OPERATOR_WORDS.get(field.operator, f"?{field.operator:x}?")


def _arch(field: Field, host: Host, *, interpret: bool) -> str:
    arch = field.value if type(field.value) is int else 0
    if interpret and arch in MACHINES:
        return MACHINES[arch][0]
    return host.arch_word(arch)


def _calls(rule: Rule, host: Host) -> str:
    if rule.list not in (EXIT, IO_URING) and rule.list in _LIST_NAMES:
        return ""
    if rule.calls_all:
        return "all"
    if rule.list == IO_URING:
        table = names("uring")
    elif rule.list == EXIT:
        arch = host.arch if rule.arch is None else rule.arch
        table = names(MACHINES[arch][1]) if arch in MACHINES else {}
    else:
        table = {}
    return ",".join(table.get(number, str(number)) for number in rule.call_numbers())


def _argument_names(rule: Rule, host: Host) -> dict[Field, str]:
    """Return what the arguments that a rule compares are called, if it is for one call only."""
    asked = {f.code - _A0: f for f in rule.fields if f.code in _ARGUMENTS}
    calls = rule.call_numbers() if asked else ()
    arch = host.arch if rule.arch is None else rule.arch
    if rule.list != EXIT or len(calls) != 1 or arch not in MACHINES:
        return {}
    from auditd_py.record.interpret import Names
    from auditd_py.record.interpret_arguments import DEPENDENT, arguments_of

    call = names(MACHINES[arch][1]).get(calls[0], "")
    values = [f.value if (f := asked.get(i)) and isinstance(f.value, int) else 0 for i in range(4)]
    known = Names(host.user_name, host.group_name)
    return {
        asked[place]: name(values[place], b"%x" % values[place], values, known).decode()
        for place, name in arguments_of(call).items()
        if place in asked and ((call, place) not in DEPENDENT or place - 1 in asked)
    }


def _field_words(field: Field, arguments: dict[Field, str], *, interpret: bool) -> Iterable[str]:
    if field.code == KEY:
        return [f"-F key={_text(key)}" for key in _keys(field)]
    operator = _operator(field)
    if field.code == FIELD_COMPARE and field.value in COMPARISONS:
        left, right = COMPARISONS[field.value]
        return [f"-C {left}{operator}{right}"]
    name = FIELD_NAMES.get(field.code)
    if name is None:
        return [f"f{field.code}{operator}{_text(field.value)}"]
    value = arguments.get(field) or _value(name, field.value, interpret=interpret)
    return [f"-F {name}{operator}{value}"]


def _field_object(field: Field, host: Host) -> dict[str, object]:
    operator = _operator(field)
    if field.code == FIELD_COMPARE and field.value in COMPARISONS:
        left, right = COMPARISONS[field.value]
        return {"field": left, "operator": operator, "compared_with": right}
    name = FIELD_NAMES.get(field.code, f"f{field.code}")
    if field.code == ARCH:
        return {"field": name, "operator": operator, "value": _arch(field, host, interpret=False)}
    return {"field": name, "operator": operator, "value": _value(name, field.value)}


def _value(name: str, value: int | bytes, *, interpret: bool = False) -> str:
    if isinstance(value, bytes):
        return _text(value)
    kind = KINDS.get(name, "")
    signed = value - (1 << 32) if value >> 31 else value
    if kind == "permission":
        return _permissions(value)
    if kind in ("user", "group", "session"):
        unset = interpret and value == _UNSET and name in ("auid", "sessionid")
        return "unset" if unset else str(signed)
    if kind == "errno":
        return f"-{ERRNO_NAMES[-signed]}" if -signed in ERRNO_NAMES else str(signed)
    if kind == "argument":
        return f"0x{value:X}"
    return _VALUE_NAMES.get(kind, {}).get(value, str(value))


def _permissions(value: int | bytes) -> str:
    assert type(value) is int
    return "".join(letter for letter, bit in PERMISSIONS.items() if value & bit)


def _keys(field: Field) -> Iterable[bytes]:
    assert type(field.value) is bytes
    return field.value.split(KEY_SEPARATOR)


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
