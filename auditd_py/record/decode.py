"""Events as values for JSON: numbers, names, decoded texts, arguments. HOT: 12 µs an event.

Most records repeat what was in others: the working directory, the command line, and of a system
call all from `ppid=` on. What such a text decodes to is remembered, also as JSON.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from auditd_py.record.fields import decoded, enriched_names, fields, from_hex
from auditd_py.record.interpret import kind_of
from auditd_py.record.record import Record
from auditd_py.record.sockaddr import sockaddr_text
from auditd_py.tables.machines import MACHINES
from auditd_py.tables.rule_values import ERRNOS
from auditd_py.tables.syscalls import syscall_name

if TYPE_CHECKING:
    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Names

    Values = dict[str, Any]
    _Memories = dict[bytes, tuple[str, dict[bytes, "Part"]]]

UNSET: Final = 0xFFFFFFFF
_MOST: Final = 8192  # texts of one record type; about 10 MB for all
_LONGEST: Final = 2048  # longer ones hardly come again

_syscall = re.compile(
    rb"arch=([0-9a-f]{1,8}) syscall=(\d{1,6})(?: per=[0-9a-f]+)? (?:success=(yes|no) exit=(-?\d{1,19}) )?"
    rb"a0=([0-9a-f]+) a1=([0-9a-f]+) a2=([0-9a-f]+) a3=([0-9a-f]+) items=(\d{1,9})"
).fullmatch
_argument = re.compile(rb"(?:^| )a(\d{1,7})(?:\[(\d{1,7})\])?=(\"[^\"]*\"|[^ ]+)").findall
_address = re.compile(rb"\{ saddr_fam=([^ ]+) (.*) \}", re.DOTALL).fullmatch
_number = re.compile(rb"-?\d{1,19}").fullmatch

_NOTHING: Final = frozenset({b"?", b"(null)", b"(none)", b'"?"', b'""'})
_NUMBERS: Final = frozenset(
    b"pid ppid opid oses ses old-ses exit items item inode argc sig code nargs rport lport"
    b" audit_pid entries prom old_prom auid".split()
)
_DECODED: Final = frozenset({"escaped", "escaped_file", "escaped_key"})
_ACCOUNTS: Final = frozenset(b"ADD_USER DEL_USER ADD_GROUP DEL_GROUP USER_MGMT GRP_MGMT".split())
_ERRNO_NAMES: Final = {number: name for name, number in reversed(ERRNOS.items())}
to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Part:
    """What a record's text, or a part of it, says; as values and as JSON without braces.

    `made` is for what a schema makes of it alone.
    """

    values: Values
    text: str = ""
    made: Values = field(default_factory=dict)


@dataclass(slots=True)
class Decoded:
    """An event's records as values; those that repeat in many events are shared: read only.

    `syscall` is the call's own part and `task` that of the task that made it. `others` are the
    records that have no place of their own, by type.
    """

    event: Event
    types: list[str] = field(default_factory=list)
    syscall: Values | None = None
    task: Part | None = None
    cwd: str | None = None
    argv: list[str] | None = None
    argc: int = 0
    proctitle: list[str] | None = None
    paths: list[Part] = field(default_factory=list)
    others: list[tuple[str, Part]] = field(default_factory=list)


class Decoder:
    """Decodes events. `names` knows users and groups of this machine, whose node is `own`."""

    def __init__(self, names: Names, own: bytes = b"") -> None:
        self._names = names
        self._own = own
        # what a text says depends on who is asked for names: here, or nobody
        self._memories: tuple[_Memories, _Memories] = ({}, {})
        self._calls: dict[tuple[bytes, bytes], tuple[str, str]] = {}

    def decode(self, event: Event) -> Decoded:
        """Return an event's values."""
        found = Decoded(event)
        node = event.records[0].node
        local = node is None or node == self._own
        memories = self._memories[local]
        execve: list[Record] = []
        for record in event.records:
            name = record.type_name
            if name == b"EOE":
                continue
            if name == b"SYSCALL" and found.syscall is None:
                found.types.append("SYSCALL")
                self._take_syscall(found, record, memories, local=local)
                continue
            memory = memories.get(name)
            if memory is None:
                memory = memories[name] = (_text(name), {})
            found.types.append(memory[0])
            if name == b"EXECVE":
                execve.append(record)
                continue
            text = record.line[record.start :]
            part = memory[1].get(text) or self._remember(memory[1], text, record, local=local)
            _place(found, name, memory[0], part)
        if execve:
            _take_arguments(found, execve)
        return found

    def _take_syscall(
        self, found: Decoded, record: Record, memories: _Memories, *, local: bool
    ) -> None:
        line = record.line
        place = line.find(b" ppid=", record.start)
        head = _syscall(line, record.start, place) if place > 0 else None
        memory = memories.get(b"SYSCALL")
        if memory is None:
            memory = memories[b"SYSCALL"] = ("SYSCALL", {})
        if head is None:
            found.syscall = {}
            found.task = self._part(record, local=local)
            return
        tail = line[place:]
        found.task = memory[1].get(tail) or self._remember(
            memory[1], tail, _tail_record(record, place), local=local
        )
        arch, number, success, code, a0, a1, a2, a3, items = head.groups()
        call = self._calls.get((arch, number)) or self._call(arch, number, a0)
        found.syscall = values = {
            "arch": call[0], "name": call[1], "number": int(number),
            "a0": a0.decode(), "a1": a1.decode(), "a2": a2.decode(), "a3": a3.decode(),
            "items": int(items),
        }  # fmt: skip
        if success is not None:
            values["success"] = success == b"yes"
            values["exit"] = status = int(code)
            if status < 0 and -status in _ERRNO_NAMES:
                values["errno"] = _ERRNO_NAMES[-status]

    def _call(self, arch: bytes, number: bytes, a0: bytes) -> tuple[str, str]:
        machine = int(arch, 16)
        known = MACHINES.get(machine)
        name = syscall_name(machine, int(number), int(a0, 16))
        call = (known[0] if known else arch.decode(), name or number.decode())
        if "(" not in call[1] and len(self._calls) < _MOST:
            self._calls[arch, number] = call
        return call

    def _remember(
        self, memory: dict[bytes, Part], text: bytes, record: Record, *, local: bool
    ) -> Part:
        if record.type_name in _ACCOUNTS:
            for memories in self._memories:
                memories.clear()  # names may be others now
        part = self._part(record, local=local)
        if len(text) <= _LONGEST:
            if len(memory) >= _MOST:
                memory.clear()
            memory[text] = part
        return part

    def _part(self, record: Record, *, local: bool) -> Part:
        values: Values = {}
        named = enriched_names(record)
        number = record.type_number
        for name, value in fields(record):
            if value in _NOTHING:
                continue
            key = _text(name)
            if name == b"key":
                values.setdefault("key", []).append(_text(decoded(value)))
                continue
            if key in values:
                key = next(f"{key}_{n}" for n in range(2, 1000) if f"{key}_{n}" not in values)
            kind = kind_of(name, value, number)
            if kind in ("uid", "gid") and _number(value):
                values[key] = account = int(value) & UNSET
                known = self._name(kind, account, named if named or not local else None, name)
                if known:
                    values[f"{key}_name"] = known
            else:
                _add(values, key, (name, value), kind)
        return Part(values, to_json(values)[1:-1])

    def _name(
        self, kind: str, identity: int, named: dict[bytes, bytes] | None, name: bytes
    ) -> str | None:
        if identity == UNSET:
            return "unset"
        if named is not None:
            known = named.get(name, b"")
        elif kind == "uid":
            known = self._names.user_name(identity)
        else:
            known = self._names.group_name(identity)
        return None if not known or known.startswith(b"unknown(") else _text(known)


def _add(values: Values, key: str, written: tuple[bytes, bytes], kind: str) -> None:
    """Put what one field says into the values of its record."""
    name, value = written
    if name in _NUMBERS or kind in ("uid", "gid"):
        if _number(value):
            values[key] = int(value)
        else:
            values[f"{key}_text"] = _text(value)
    elif kind in _DECODED:
        values[key] = _text(decoded(value))
    elif kind == "proctitle":
        values[key] = _text((from_hex(value) or decoded(value)).rstrip(b"\0"))
    elif kind == "sockaddr":
        values.update(_socket(value))
    elif name == b"success":
        values[key] = value in (b"yes", b"1")
    else:
        values[key] = _text(value.strip(b'"'))


def _tail_record(record: Record, place: int) -> Record:
    """Return the record of a system call as if its text began at a place."""
    return Record(
        record.line, record.node, record.type_name, record.seconds, record.milliseconds,
        record.serial, place + 1,
    )  # fmt: skip


def _place(found: Decoded, name: bytes, text: str, part: Part) -> None:
    if name == b"PATH":
        found.paths.append(part)
    elif name == b"CWD" and found.cwd is None and "cwd" in part.values:
        found.cwd = part.values["cwd"]
    elif name == b"PROCTITLE" and found.proctitle is None and "proctitle" in part.values:
        found.proctitle = part.values["proctitle"].split("\0")
    else:
        found.others.append((text, part))


def _take_arguments(found: Decoded, records: list[Record]) -> None:
    """Put the arguments of a program together, which may be in parts and in many records."""
    if len(records) == 1 and b"[" not in records[0].line:
        arguments = [decoded(value) for _, _, value in _argument(records[0].text)]
    else:
        pieces: dict[int, bytes] = {}
        for record in records:
            for number, _, value in _argument(record.text):
                pieces[int(number)] = pieces.get(int(number), b"") + decoded(value)
        arguments = [pieces[number] for number in sorted(pieces)]
    found.argv = [_text(argument) for argument in arguments]
    found.argc = len(arguments)
    head = records[0].text
    if head.startswith(b"argc=") and (count := _number(head[5:].partition(b" ")[0])):
        found.argc = int(count[0])


def _socket(value: bytes) -> Values:
    text = sockaddr_text(value)
    found = _address(text)
    if found is None:
        return {"address_text": _text(text)}
    values: Values = {"family": _text(found[1])}
    rest = found[2]
    if rest.startswith(b"path="):
        values["path"] = _text(rest[5:])
    elif rest.startswith(b"laddr="):
        address, _, port = rest[6:].partition(b" lport=")
        values["address"] = _text(address)
        if port.isdigit():
            values["port"] = int(port)
    else:
        values["address_text"] = _text(rest)
    return values


def _text(value: bytes) -> str:
    r"""Return bytes as text; those that are not UTF-8 as \xNN."""
    return value.decode("utf-8", "backslashreplace")


class Stamps:
    """Times in ISO 8601, UTC; the second's part is made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, event: Event) -> str:
        """Return the time of an event, e.g. `2026-11-22T07:20:10.694Z`."""
        record = event.records[0]
        if record.seconds != self._second:
            self._second = record.seconds
            try:
                self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(record.seconds))
            except (OverflowError, ValueError, OSError):
                self._text = "9999-12-31T23:59:59."  # no calendar has it
        return f"{self._text}{record.milliseconds:03d}Z"


@lru_cache(maxsize=1024)
def words_json(words: tuple[str, ...]) -> str:
    """Return a list of words that comes again and again as JSON."""
    return to_json(words)


@lru_cache(maxsize=1024)
def word_json(word: str) -> str:
    """Return a word that comes again and again as JSON."""
    return to_json(word)


def call_json(call: Values) -> str:
    """Return the own part of a system call as JSON without braces; its texts are plain."""
    if not call:
        return ""
    text = (
        f'"arch":"{call["arch"]}","name":"{call["name"]}","number":{call["number"]},'
        f'"a0":"{call["a0"]}","a1":"{call["a1"]}","a2":"{call["a2"]}","a3":"{call["a3"]}",'
        f'"items":{call["items"]}'
    )
    if "success" in call:
        text += f',"success":{"true" if call["success"] else "false"},"exit":{call["exit"]}'
        if "errno" in call:
            text += f',"errno":"{call["errno"]}"'
    return text


def keys_in(found: Decoded) -> list[str]:
    """Return the keys of the rules that an event came from."""
    parts = [part for _, part in found.others]
    if found.task is not None:
        parts.insert(0, found.task)
    return list(dict.fromkeys(key for part in parts for key in part.values.get("key", ())))


def result_of(found: Decoded) -> bool | None:
    """Say whether what an event tells of was done; None if it does not say."""
    if found.syscall is not None and "success" in found.syscall:
        done: bool = found.syscall["success"]
        return done
    for _, part in found.others:
        word = part.values.get("res", part.values.get("result"))
        if word is not None:
            return not str(word).startswith(("fail", "0"))
        if "seresult" in part.values:
            return bool(part.values["seresult"] == "granted")
    return None
