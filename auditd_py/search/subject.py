"""Who did what to what: what searches ask of an event, and reports tell. HOT: 5 to 10 µs a record.

Values are those of the record that says them first; a system call's own record goes before all
others. What a record writes in quotes or in hex is decoded here. Nothing is named: ids and calls
are numbers (interpret.py has their names).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from auditd_py.record.fields import decoded, from_hex
from auditd_py.record.record import type_number
from auditd_py.record.sockaddr import sockaddr_text

if TYPE_CHECKING:
    from auditd_py.record.event import Event
    from auditd_py.record.record import Record

UNSET: Final = 0xFFFFFFFF  # the id or session that is none; -1 for those who write it signed

_SYSCALL: Final = 1300
_PATH: Final = 1302
_SOCKADDR: Final = 1306
_CWD: Final = 1307
_LOGIN: Final = 1006
_AVCS: Final = frozenset({1107, 1400})  # USER_AVC, AVC
_GROUPS: Final = frozenset({1116, 1117, 1132})  # records whose id= is a group's
# EXECVE, EOE, BPRM_FCAPS, CAPSET, MMAP, FD_PAIR and PROCTITLE say nothing that is asked for
_SILENT: Final = frozenset({1309, 1320, 1321, 1322, 1323, 1317, 1327})

_syscall = re.compile(
    rb"arch=([0-9a-f]{1,8}) syscall=(\d{1,9}) (?:per=[0-9a-f]+ )?"
    rb"(?:success=(yes|no) exit=(-?\d{1,19}) )?a0=[^=]+=[^=]+=[^=]+=[0-9a-f]+ items=\d+ "
    rb"ppid=(\d{1,10}) pid=(\d{1,10}) auid=(\d{1,10}) uid=(\d{1,10}) gid=(\d{1,10}) "
    rb"euid=(\d{1,10}) suid=(\d{1,10}) fsuid=(\d{1,10}) egid=(\d{1,10}) sgid=(\d{1,10}) "
    rb"fsgid=(\d{1,10}) tty=([^ ]+) ses=(\d{1,10}) comm=([^ ]+) exe=([^ ]+)"
    rb"(?: subj=([^ ]+))? key=([^ \x1d]+)"
).match
_path = re.compile(rb"item=\d+ name=(\"[^\"]*\"|[^ ]+) (?:[^ ]+ )*?nametype=([A-Z]+)").match
_pairs = re.compile(rb"(?:(?<=[ '(])|^)([a-z][a-z-]*)=(\"[^\"]*\"|[^ ']+)").findall
_access = re.compile(rb"\b(denied|granted)\b(?: *\{([^}]*)\})?").search
_number = re.compile(rb"-?\d{1,19}").match
_address = re.compile(rb"laddr=([^ %]+)").search
_socket_path = re.compile(rb"path=(.*) \}", re.DOTALL).search

_IDS: Final = frozenset(
    ("auid", "uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid", "ses", "pid", "ppid")
)
_KERNELS: Final = frozenset({b"gid", b"egid", b"euid", b"suid", b"fsuid", b"sgid", b"fsgid"})
_NUMBERS: Final = _IDS | {"syscall", "exit"}
_DECODED: Final = frozenset(("exe", "comm", "vm", "acct"))
_PLAIN: Final = frozenset(("op", "uuid", "addr", "hostname", "data"))
_FAILED: Final = frozenset({b"no", b"0"})
_NOBODY: Final = frozenset({b"?", b"(null)", b"(none)"})


class File(NamedTuple):
    """A file that an event names.

    `name` is decoded, as written: relative to `Subject.cwd` if it does not begin with `/`.
    `nametype` is that of a PATH record (NORMAL, PARENT, CREATE …), empty for others.
    """

    name: bytes
    nametype: bytes = b""


class Access(NamedTuple):
    """A decision of SELinux or of a program that asks it (AVC, USER_AVC)."""

    result: bytes  # denied, granted, or empty
    permissions: bytes  # joined with commas
    subject: bytes | None
    object: bytes | None
    tclass: bytes | None


class Subject:
    """What an event says. None stands for what it does not say.

    | attribute | is |
    |---|---|
    | `event`, `records` | the event itself |
    | `auid` `uid` `euid` `suid` `fsuid` | users; 4294967295 is unset |
    | `gid` `egid` `sgid` `fsgid` | groups |
    | `ses` `pid` `ppid` | session, process and its parent |
    | `success` | True, False, None: of the call, else `res=`, else of an AVC |
    | `exit` | what the call returned |
    | `arch` `syscall` | numbers |
    | `exe` `comm` | bytes |
    | `terminal` | `tty=` or `terminal=`, as written: `(none)` and `?` too |
    | `hostname` `addr` | as written: `?` too |
    | `host` | hostname, else addr, else the address of a socket; `?` if it says only that |
    | `acct` `account_id` `group_id` | whom a user-space message is about: name, or number |
    | `vm` `vm_uuid` | virtual machine |
    | `op` | what was done, in a message's own word |
    | `data` | what was typed at a terminal, as written |
    | `files` | list of File: PATH, AVC, sockets with a path, disks |
    | `cwd` | working directory |
    | `keys` | list of the keys of rules |
    | `subjects` `objects` | lists of security contexts |
    | `accesses` | list of Access |
    | `addresses` | list of the internet addresses of SOCKADDR records |
    """

    __slots__ = (
        "accesses", "account_id", "acct", "addr", "addresses", "arch", "auid", "comm", "cwd",
        "data", "egid", "euid", "event", "exe", "exit", "files", "fsgid", "fsuid", "gid",
        "group_id", "hostname", "keys", "objects", "op", "pid", "ppid", "records", "ses", "sgid",
        "subjects", "success", "suid", "syscall", "terminal", "uid", "vm", "vm_uuid",
    )  # fmt: skip

    def __init__(self, event: Event) -> None:
        self.event = event
        self.records: list[Record] = event.records
        ids: int | None = None
        self.auid = self.uid = self.euid = self.suid = self.fsuid = ids
        self.gid = self.egid = self.sgid = self.fsgid = ids
        self.ses = self.pid = self.ppid = self.exit = self.arch = self.syscall = ids
        self.account_id = self.group_id = ids
        text: bytes | None = None
        self.exe = self.comm = self.terminal = self.hostname = self.addr = self.cwd = text
        self.acct = self.vm = self.vm_uuid = self.op = self.data = text
        self.success: bool | None = None
        self.files: list[File] = []
        self.keys: list[bytes] = []
        self.subjects: list[bytes] = []
        self.objects: list[bytes] = []
        self.accesses: list[Access] = []
        self.addresses: list[bytes] = []
        for record in self.records:
            number = type_number(record.type_name)
            if number not in _SILENT:
                _READERS.get(number, _read_any)(self, record)

    @property
    def type_numbers(self) -> list[int]:
        """The record types, in order."""
        return [record.type_number for record in self.records]

    @property
    def host(self) -> bytes | None:
        """Where it came from: hostname, else addr, else a socket's address."""
        if self.hostname is not None and self.hostname not in _NOBODY:
            return self.hostname
        if self.addr is not None and self.addr not in _NOBODY:
            return self.addr
        return self.addresses[0] if self.addresses else self.hostname or self.addr


def _read_syscall(found: Subject, record: Record) -> None:
    match = None if found.syscall is not None else _syscall(record.line, record.start)
    if match is None:
        _read_any(found, record)
        return
    (
        arch, call, success, code, ppid, pid, auid, uid, gid, euid, suid, fsuid, egid, sgid, fsgid,
        found.terminal, ses, comm, exe, subject, key,
    ) = match.groups()  # fmt: skip
    found.arch, found.syscall = int(arch, 16), int(call)
    if success is not None:
        found.success, found.exit = success == b"yes", int(code)
    found.ppid, found.pid, found.ses = int(ppid), int(pid), int(ses)
    found.auid, found.uid, found.gid = int(auid), int(uid), int(gid)
    found.euid, found.suid, found.fsuid = int(euid), int(suid), int(fsuid)
    found.egid, found.sgid, found.fsgid = int(egid), int(sgid), int(fsgid)
    found.comm, found.exe = decoded(comm), decoded(exe)
    if subject is not None:
        found.subjects.append(subject)
    _add_keys(found, key)


def _read_path(found: Subject, record: Record) -> None:
    match = _path(record.line, record.start)
    if match is None or b" obj=" in record.line:
        _read_any(found, record)
    else:
        found.files.append(File(decoded(match[1]), match[2]))


def _read_cwd(found: Subject, record: Record) -> None:
    _, _, value = record.text.partition(b"cwd=")
    if found.cwd is None and value:
        found.cwd = decoded(value.partition(b" ")[0] if value[:1] != b'"' else value)


def _read_socket(found: Subject, record: Record) -> None:
    _, _, value = record.text.partition(b"saddr=")
    text = value if value[:1] == b"{" or not value else sockaddr_text(value.partition(b" ")[0])
    if address := _address(text):
        found.addresses.append(address[1])
    elif path := _socket_path(text):
        found.files.append(File(path[1]))


def _read_any(found: Subject, record: Record) -> None:
    """Take what any other record says: of each name the first value, in `msg='…'` too."""
    text, number = record.text, record.type_number
    said: dict[bytes, bytes] = {}
    identity = None
    for name, value in _pairs(text):
        if name == b"uid" and name in said:
            identity = value
        elif name == b"key":
            _add_keys(found, value)
        elif name not in said:
            said[name] = value
    if identity is not None and number not in _AVCS:
        said[b"uid"] = identity  # the message's own goes before that of who sent it
    by_program = 1100 <= number < 1300 or number >= 2100
    for name, value in said.items():
        # other ids in a program's message are not those of who did it
        if not (by_program and name in _KERNELS):
            _take(found, name.decode("ascii"), value)
    _take_result(found, said)
    if number == _LOGIN:
        _take_login(found, text)
    elif b"id" in said and found.account_id is None and found.group_id is None:
        attribute = "group_id" if number in _GROUPS else "account_id"
        setattr(found, attribute, _as_id(said[b"id"]))
    if number in _AVCS:
        _take_access(found, text, said)
    _take_files(found, number, said)


def _take(found: Subject, name: str, value: bytes) -> None:
    if name in _NUMBERS:
        if getattr(found, name) is None and (digits := _number(value)):
            number = int(digits[0])
            setattr(found, name, number & UNSET if name in _IDS else number)
    elif name in _DECODED:
        if getattr(found, name) is None:
            written = value[:1] == b'"' or value in _NOBODY or from_hex(value)
            setattr(found, name, decoded(value) if written else value.rstrip(b",:)"))
    elif name in ("tty", "terminal"):
        if found.terminal is None:
            found.terminal = value.strip(b'"').rstrip(b",:)") if value[:1] != b"(" else value
    elif name in _PLAIN:
        attribute = "vm_uuid" if name == "uuid" else name
        if getattr(found, attribute) is None:
            setattr(found, attribute, _address_in(value) if name == "addr" else _bare(value))
    elif name in ("subj", "scontext"):
        found.subjects.append(value)
    elif name in ("obj", "tcontext"):
        found.objects.append(value)
    elif name == "arch" and found.arch is None and from_hex(value.rjust(8, b"0")):
        found.arch = int(value, 16)


def _take_result(found: Subject, said: dict[bytes, bytes]) -> None:
    if b"success" in said:
        found.success = said[b"success"].rstrip(b",)") not in _FAILED
    elif found.success is None and (result := said.get(b"res", said.get(b"result"))):
        bare = result.strip(b'"').rstrip(b",)")
        found.success = bare[:4].lower() != b"fail" and bare not in _FAILED


def _take_login(found: Subject, text: bytes) -> None:
    """Take the new login id and session: old ones stand before them, also as `auid=`."""
    for name in ("auid", "ses"):
        place = max(text.rfind(b" %b=" % name.encode()), text.rfind(b" new %b=" % name.encode()))
        digits = _number(text, text.find(b"=", place) + 1) if place >= 0 else None
        if digits:
            setattr(found, name, int(digits[0]) & UNSET)


def _take_access(found: Subject, text: bytes, said: dict[bytes, bytes]) -> None:
    access = _access(text)
    result, permissions = access.groups() if access else (b"", None)
    found.accesses.append(
        Access(
            result,
            b",".join((permissions or b"").split()),
            said.get(b"scontext"),
            said.get(b"tcontext"),
            said.get(b"tclass"),
        )
    )
    if found.success is None and result:
        found.success = result != b"denied"


def _take_files(found: Subject, number: int, said: dict[bytes, bytes]) -> None:
    names: tuple[bytes, ...]
    if number == _PATH:
        names, nametype = (b"name",), said.get(b"nametype", b"")
    elif number in _AVCS:
        names, nametype = (b"path", b"name"), b""
    elif b"resrc" in said:
        names, nametype = (b"new-disk", b"old-disk"), b""
    else:
        if b"cwd" in said and found.cwd is None:
            found.cwd = decoded(said[b"cwd"])
        saddr = said.get(b"saddr")
        if saddr is not None:  # NETFILTER_PKT
            found.addresses.append(saddr)
        return
    for name in names:
        if name in said and (file := decoded(said[name])) not in (b"?", b"(null)"):
            found.files.append(File(file, nametype))
            return
        if name in said and number == _PATH:
            found.files.append(File(said[name], nametype))


def _add_keys(found: Subject, value: bytes) -> None:
    if value[:1] == b'"':
        found.keys.append(decoded(value))
    elif value != b"(null)":
        raw = from_hex(value)
        found.keys += [value] if raw is None else raw.split(b"\x01")


def _as_id(value: bytes) -> int | None:
    digits = _number(value)
    return int(digits[0]) & UNSET if digits else None


def _bare(value: bytes) -> bytes:
    return value.strip(b'"').rstrip(b",")


def _address_in(value: bytes) -> bytes:
    """Return an address without the port that the daemon writes behind it."""
    bare = _bare(value).rstrip(b")")
    return bare.partition(b":")[0] if bare.count(b":") == 1 else bare


_READERS: Final = {
    _SYSCALL: _read_syscall,
    _PATH: _read_path,
    _CWD: _read_cwd,
    _SOCKADDR: _read_socket,
}
