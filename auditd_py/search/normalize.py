"""Who did what to what, in words: the sentence and the columns that ausearch makes of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.record.fields import decoded, fields, full_path, keys_of
from auditd_py.record.interpret import Interpreter, context_of
from auditd_py.record.record import type_number
from auditd_py.tables.actions import ACTIONS, CLASS_ACTIONS, call_classes
from auditd_py.tables.record_types import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditd_py.record.event import Event
    from auditd_py.record.interpret import Context, Names
    from auditd_py.record.record import Record

UNSET: Final = 0xFFFFFFFF


@dataclass(slots=True)
class Act:
    """What an event says, each part as text; empty where it says nothing.

    `subject` is the login user, `acting_as` the user the process ran as. `success` is `success`,
    `failed` or empty. `object_kind` and `kind` are words of their own (docs/man/ausearch.8.md).
    """

    type: bytes = b""
    kind: str = "unknown"
    session: bytes = b""
    subject: bytes = b""
    acting_as: bytes = b""
    subject_kind: str = ""
    subject_label: bytes = b""
    action: str = "did-unknown"
    result: str = ""
    object: bytes = b""
    object_detail: bytes = b""
    object2: bytes = b""
    object_label: bytes = b""
    object_kind: str = "unknown"
    how: bytes = b""
    key: bytes = b""


class _View:
    """A record with its fields, and what they are called."""

    __slots__ = ("_context", "_interpreter", "name", "record", "values")

    def __init__(self, record: Record, interpreter: Interpreter) -> None:
        self.record = record
        self.name = NAMES.get(type_number(record.type_name), "")
        self._interpreter = interpreter
        self._context: Context | None = None
        self.values: dict[bytes, bytes] = {}
        for name, value in fields(record):
            self.values.setdefault(name, value)

    def get(self, name: bytes) -> bytes:
        """Return what a field's value is called; empty if it is not there."""
        value = self.values.get(name)
        if value is None:
            return b""
        if self._context is None:
            self._context = context_of(self.record)
        shown = self._interpreter.value(name, value, self._context)
        return shown.strip(b'"') if shown[:1] == b'"' else shown

    @property
    def call(self) -> str:
        """The name of the system call."""
        if self._context is None:
            self._context = context_of(self.record)
        return self._context.call


class Normalizer:
    """Makes an Act of an event."""

    def __init__(self, names: Names) -> None:
        self._interpreter = Interpreter(names)

    def act(self, event: Event) -> Act:
        """Return who did what to what in an event of records."""
        views = [_View(record, self._interpreter) for record in event.records]
        first = views[0]
        call = next((view for view in views if view.name == "SYSCALL"), None)
        act = Act(type=event.records[0].type_name, kind=event_kind(first.record.type_number))
        _take_who(act, [call, first] if call else [first])
        selected = _selected(views) if call else first
        if selected is not None:
            _take_record(act, selected, views)
        else:
            assert call is not None
            _take_call(act, call, views)
        act.key = _rule_key([call] if call else views)
        return act


def _rule_key(views: list[_View]) -> bytes:
    for view in views:
        key = decoded(keys_of(view.values.get(b"key", b"(null)"))[0])
        if key != b"(null)":
            return key
    return b""


def _selected(views: list[_View]) -> _View | None:
    """Return the record that says more of what was done than the call does, if there is one."""
    if views[0].name in _SIMPLE_FIRST:
        return views[0]
    for name in _SELECTING:
        for view in views:
            if view.name.startswith(name):
                return view
    return None


def _take_who(act: Act, views: list[_View]) -> None:
    def said(*names: bytes) -> bytes:
        return next((v for view in views for n in names if (v := view.get(n))), b"")

    act.session = said(b"ses")
    act.subject, act.acting_as = said(b"auid"), said(b"uid")
    uid = next((view.values[b"uid"] for view in views if b"uid" in view.values), b"")
    act.subject_kind = _account_kind(uid)
    act.subject_label = said(b"subj")
    result = said(b"success") or said(b"res", b"result")
    if result:
        act.result = "success" if result in _SUCCESS else "failed"
    act.how = _program(said(b"exe"), said(b"comm"))


def _program(exe: bytes, comm: bytes) -> bytes:
    """Return the program; of one that runs scripts the script."""
    return comm if comm and exe.startswith(_INTERPRETERS) else exe


def _account_kind(uid: bytes) -> str:
    digits = uid.removeprefix(b"-")
    if not digits.isdigit():
        return "unknown-acct" if uid else ""
    number = int(uid) & UNSET
    if number == UNSET:
        return "unset-acct"
    if number == 0:
        return "privileged-acct"
    return "service-acct" if number < 1000 else "user-acct" if number < 60000 else "unknown-acct"


def _take_record(act: Act, view: _View, views: list[_View]) -> None:
    """Take what a record other than a system call's says."""
    name = view.name
    act.action = ACTIONS.get(name, "did-unknown")
    act.object_kind = _object_kind(name)
    for field in _OBJECTS.get(name, ()):
        if field in view.values:
            act.object = view.get(field)
            break
    special = _SPECIAL.get(name)
    if special is not None:
        special(act, view)
    elif name.startswith("DAEMON_"):
        act.subject_kind = "auditd"
        if view.record.type_number < _DAEMON_ACCEPT and name != "DAEMON_ABORT":
            act.how = b"init" if name == "DAEMON_START" else b"signal"
    elif name.startswith("TIME_"):
        act.action, act.object_kind = "changed-system-time", "system"
    if name in ("AVC", "FANOTIFY") and (paths := _paths(views)):
        _take_path(act, paths[0], views)


def _configuration(act: Act, view: _View) -> None:
    op = view.get(b"op").decode("ascii", "replace")
    if op:
        act.action = {"add_rule": "added-audit-rule", "remove_rule": "deleted-audit-rule"}.get(
            op, op
        )
    names = (b"key", b"audit_enabled", b"audit_pid", b"audit_backlog_limit", b"audit_failure",
             b"actions", b"list")  # fmt: skip
    for name in names:
        if name in view.values:
            named = op in ("set", "seccomp-logging")
            act.object = name if named else decoded(view.values[name])
            return


def _login(act: Act, view: _View) -> None:
    if b"id" in view.values:
        act.subject_kind = _account_kind(view.values[b"id"])
        act.subject = view.get(b"id")
    else:
        act.subject, act.subject_kind = view.get(b"acct"), "unknown-acct"
    act.acting_as = b""


def _new_login_id(act: Act, view: _View) -> None:
    act.subject = view.get(b"old-auid")
    act.object = view.get(b"auid")


def _abend(act: Act, view: _View) -> None:
    act.how = view.get(b"sig")


def _seccomp(act: Act, view: _View) -> None:
    act.result = view.get(b"code").decode("ascii", "replace")


def _decision(act: Act, view: _View) -> None:
    act.subject = view.get(b"scontext") or act.subject
    act.object_label = view.get(b"tcontext")


def _promiscuous(act: Act, view: _View) -> None:
    verb = (
        "entered" if view.get(b"prom") == b"yes" or view.values.get(b"prom") == b"256" else "left"
    )
    act.action = f"{verb}-promiscuous-mode-on-device"


def _program_of_kernel(act: Act, view: _View) -> None:
    loaded = view.get(b"op").upper().startswith(b"LOAD")
    act.action = f"{'loaded' if loaded else 'unloaded'}-bpf-program"


def _listener(act: Act, view: _View) -> None:
    verb = "disconnected-from" if view.get(b"op") == b"disconnect" else "connected-to"
    act.action = verb


def _operation(act: Act, view: _View) -> None:
    act.action = view.get(b"op").decode("ascii", "replace") or act.action


def _software(act: Act, view: _View) -> None:
    act.object_detail, act.object2 = view.get(b"sw_type"), view.get(b"root_dir")


def _machine(act: Act, view: _View) -> None:
    act.object2 = view.get(b"vm")


def _crypto_session(act: Act, view: _View) -> None:
    act.object_detail = view.get(b"rport")


def _take_call(act: Act, call: _View, views: list[_View]) -> None:
    group = call_classes().get(call.call, "")
    if not group:
        key = decoded(keys_of(call.values.get(b"key", b"(null)"))[0])
        known = key != b"(null)"
        act.action = "triggered-audit-rule" if known else "triggered-unknown-audit-rule"
        act.object, act.object_kind = key if known else b"", "admin-defined-rule"
        return
    act.action, act.object_kind = CLASS_ACTIONS[group]
    if group.startswith("file") or group in ("exec", "make_dev"):
        _take_file(act, group, call, views)
    elif group.startswith("socket"):
        socket = next((view for view in views if view.name == "SOCKADDR"), None)
        act.object = socket.get(b"saddr") if socket else b""
    elif group == "pid":
        killed = [view for view in views if view.name == "OBJ_PID"]
        if len(killed) == 1:
            act.object, act.object_detail = killed[0].get(b"ocomm"), killed[0].get(b"opid")
        else:
            act.action = "killed-list-of-pids"
    elif group in ("uid", "gid"):
        act.object, act.how = call.get(b"exe"), call.call.encode("ascii")
        act.object2 = _new_identity(call)
    elif group == "scheduler":
        act.object = call.get(b"exe")


def _new_identity(call: _View) -> bytes:
    """Return the id that a call sets: the effective one where it sets several."""
    for name in (b"a1", b"a0") if "re" in call.call else (b"a0",):
        if call.values.get(name, b"ffffffff")[-8:] != b"ffffffff":
            return call.get(name)
    return b""


def _paths(views: list[_View]) -> list[_View]:
    return [view for view in views if view.name == "PATH"]


def _take_file(act: Act, group: str, call: _View, views: list[_View]) -> None:
    paths = _paths(views)
    wanted = _NAMETYPES.get(group, ())
    kinds = [path.values.get(b"nametype", b"") for path in paths]
    place = next((kinds.index(kind) for kind in wanted if kind in kinds), None)
    if place is None:
        place = next((n for n, kind in enumerate(kinds) if kind != b"PARENT"), 0)
    if paths:
        _take_path(act, paths[place], views)
    if group == "file_rename" and b"CREATE" in kinds:
        act.object2 = _path_name(paths[kinds.index(b"CREATE")], views)
    elif group == "file_lnk":
        target = [p for p, kind in zip(paths, kinds, strict=True) if kind == b"UNKNOWN"]
        act.object2 = target[0].get(b"name") if target else b""
    elif group == "file_chperm":
        act.object2 = call.get(b"a2" if call.call.startswith("fchmodat") else b"a1")
    elif group == "file_chown":
        first = 2 if call.call.startswith("fchownat") else 1
        names = (b"a%d" % first, b"a%d" % (first + 1))
        given = (n for n in names if call.values.get(n, b"")[-8:] not in (b"ffffffff", b""))
        act.object2 = call.get(next(given, names[0]))
    elif group == "make_dev":
        mode = call.get(b"a2" if call.call == "mknodat" else b"a1")
        kind = next((k for k in (b"character", b"block") if mode.startswith(k)), b"")
        act.action = f"made-{kind.decode()}-device" if kind else act.action
    elif group == "file_ldmod":
        module = next((view for view in views if view.name == "KERN_MODULE"), None)
        act.object = module.get(b"name") if module else act.object


def _path_name(path: _View, views: list[_View]) -> bytes:
    cwd = next((view.get(b"cwd") for view in views if view.name == "CWD"), b"")
    name = path.get(b"name")
    return name if name == b"(null)" else full_path(name, cwd)


def _take_path(act: Act, path: _View, views: list[_View]) -> None:
    act.object = _path_name(path, views)
    act.object_detail = path.get(b"inode")
    act.object_label = path.get(b"obj") or act.object_label
    mode = path.get(b"mode").partition(b",")[0]
    if act.object_kind != "file-system":
        act.object_kind = _MODES.get(mode, "file")


_DAEMON_ACCEPT: Final = 1207
_SUCCESS: Final = frozenset({b"yes", b"success", b"1", b"Success"})
_INTERPRETERS: Final = (b"/usr/bin/python", b"/usr/bin/sh", b"/usr/bin/bash", b"/usr/bin/perl")
_MODES: Final = {
    b"file": "file", b"dir": "directory", b"character": "character-device",
    b"block": "block-device", b"fifo": "fifo", b"link": "symlink", b"socket": "socket",
}  # fmt: skip
_NAMETYPES: Final[dict[str, tuple[bytes, ...]]] = {
    "file_dir": (b"CREATE",),
    "file_rename": (b"DELETE",),
    "file_del": (b"DELETE",),
    "file_lnk": (b"CREATE",),
    "make_dev": (b"CREATE",),
    "file": (b"CREATE", b"NORMAL"),
}
_SIMPLE_FIRST: Final = frozenset(
    {"CONFIG_CHANGE", "LOGIN", "FEATURE_CHANGE", "ANOM_LINK", "ANOM_CREAT", "SECCOMP"}
)
_SELECTING: Final = (
    "AVC", "SELINUX_ERR", "NETFILTER_CFG", "ANOM_PROMISCUOUS", "KERN_MODULE", "MAC_POLICY_LOAD",
    "MAC_STATUS", "MAC_CONFIG_CHANGE", "FANOTIFY", "TIME_", "BPF", "EVENT_LISTENER",
)  # fmt: skip
_ACCOUNT: Final = (b"id", b"acct")
_ACCT: Final = (b"acct",)
_OBJECTS: Final[dict[str, tuple[bytes, ...]]] = {
    **dict.fromkeys(("SERVICE_START", "SERVICE_STOP"), (b"unit",)),
    **dict.fromkeys(
        ("USER_MGMT", "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "GRP_MGMT", "ACCT_LOCK",
         "ACCT_UNLOCK", "ROLE_ASSIGN", "ROLE_REMOVE"), _ACCOUNT),
    **dict.fromkeys(
        ("USER_START", "USER_END", "USER_ERR", "USER_LOGIN", "USER_LOGOUT"), (b"terminal",)),
    **dict.fromkeys(
        ("USER_AUTH", "USER_ACCT", "CRED_ACQ", "CRED_DISP", "CRED_REFR", "USER_CHAUTHTOK",
         "GRP_CHAUTHTOK", "GRP_AUTH", "CHGRP_ID", "CHUSER_ID", "ANOM_LOGIN_FAILURES",
         "ANOM_LOGIN_TIME", "ANOM_LOGIN_SESSIONS", "ANOM_LOGIN_LOCATION"), _ACCT),
    "SYSTEM_RUNLEVEL": (b"new-level",),
    "USER_CMD": (b"cmd",), "ANOM_EXEC": (b"cmd",),
    "TTY": (b"data",), "USER_TTY": (b"data",),
    "USER_DEVICE": (b"device",),
    "SOFTWARE_UPDATE": (b"sw",),
    "VIRT_CONTROL": (b"op",), "VIRT_RESOURCE": (b"resrc",), "VIRT_MACHINE_ID": (b"vm",),
    "VIRT_INTEGRITY_CHECK": (b"vm",), "VIRT_CREATE": (b"vm",), "VIRT_DESTROY": (b"vm",),
    "VIRT_MIGRATE_IN": (b"vm",), "VIRT_MIGRATE_OUT": (b"vm",),
    "LABEL_LEVEL_CHANGE": (b"printer",),
    "MAC_CONFIG_CHANGE": (b"bool",), "MAC_STATUS": (b"enforcing",),
    "USER": (b"addr",),
    "CRYPTO_KEY_USER": (b"fp",), "CRYPTO_SESSION": (b"addr",),
    "SECCOMP": (b"syscall",),
    "ANOM_ABEND": (b"exe",),
    "NETFILTER_CFG": (b"table",),
    "ANOM_PROMISCUOUS": (b"dev",),
    "KERN_MODULE": (b"name",),
    "FEATURE_CHANGE": (b"feature",),
    "AVC": (b"path", b"name", b"tcontext"), "USER_AVC": (b"tcontext",),
    "BPF": (b"prog-id",),
    "EVENT_LISTENER": (b"nl-mcgrp",),
}  # fmt: skip
_SPECIAL: Final = {
    "CONFIG_CHANGE": _configuration,
    "USER_LOGIN": _login,
    "LOGIN": _new_login_id,
    "ANOM_ABEND": _abend,
    "SECCOMP": _seccomp,
    "AVC": _decision,
    "USER_AVC": _decision,
    "ANOM_PROMISCUOUS": _promiscuous,
    "BPF": _program_of_kernel,
    "EVENT_LISTENER": _listener,
    "NETFILTER_CFG": lambda act, _view: setattr(act, "action", "loaded-firewall-rule-to"),
    "SELINUX_ERR": lambda act, _view: setattr(act, "action", "caused-mac-policy-error"),
    "USER_DEVICE": _operation,
    "USYS_CONFIG": _operation,
    "SOFTWARE_UPDATE": _software,
    "VIRT_CONTROL": _machine,
    "VIRT_RESOURCE": _machine,
    "CRYPTO_SESSION": _crypto_session,
}

_SESSION_TYPES: Final = frozenset(
    [
        "LOGIN",
        "USER_AUTH",
        "USER_ACCT",
        "CRED_ACQ",
        "CRED_DISP",
        "CRED_REFR",
        "USER_START",
        "USER_END",
        "USER_ERR",
        "USER_LOGIN",
        "USER_LOGOUT",
        "USER_CHAUTHTOK",
    ]
)
_OBJECT_KINDS: Final = {
    **dict.fromkeys(_SESSION_TYPES, "user-session"),
    **dict.fromkeys(
        ("ANOM_LOGIN_FAILURES", "ANOM_LOGIN_TIME", "ANOM_LOGIN_SESSIONS", "ANOM_LOGIN_LOCATION",
         "USER_ROLE_CHANGE", "CRYPTO_KEY_USER", "CRYPTO_SESSION"), "user-session"),
    **dict.fromkeys(
        ("USER_MGMT", "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "GRP_MGMT", "ACCT_LOCK",
         "ACCT_UNLOCK", "ROLE_ASSIGN", "ROLE_REMOVE", "GRP_CHAUTHTOK"), "account"),
    **dict.fromkeys(("USER_CMD", "ANOM_ABEND", "ANOM_EXEC", "SECCOMP"), "process"),
    **dict.fromkeys(
        ("SERVICE_START", "SERVICE_STOP", "SYSTEM_SHUTDOWN", "EVENT_LISTENER"), "service"),
    **dict.fromkeys(("SYSTEM_BOOT", "SYSTEM_RUNLEVEL", "USYS_CONFIG"), "system"),
    **dict.fromkeys(("TTY", "USER_TTY"), "keystrokes"),
    **dict.fromkeys(("CONFIG_CHANGE", "FEATURE_CHANGE"), "audit-config"),
    **dict.fromkeys(
        ("MAC_POLICY_LOAD", "MAC_STATUS", "MAC_CONFIG_CHANGE", "USER_MAC_POLICY_LOAD",
         "USER_MAC_CONFIG_CHANGE", "USER_MAC_STATUS", "SELINUX_ERR"), "security-policy"),
    "USER_DEVICE": "device", "ANOM_PROMISCUOUS": "device",
    "SOFTWARE_UPDATE": "software",
    "LABEL_LEVEL_CHANGE": "printer",
    "NETFILTER_CFG": "firewall",
    "ANOM_LINK": "file", "ANOM_CREAT": "file", "KERN_MODULE": "file", "FANOTIFY": "file",
    "ANOM_RBAC_INTEGRITY_FAIL": "integrity-policy",
}  # fmt: skip


def _object_kind(name: str) -> str:
    if name.startswith("VIRT_"):
        return "virtual-machine"
    if name.startswith("DAEMON_"):
        return "service"
    return _OBJECT_KINDS.get(name, "unknown")


_KINDS: Final = {
    **dict.fromkeys(_SESSION_TYPES, "user-login"),
    **dict.fromkeys(
        ("USER_MGMT", "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "GRP_MGMT", "ACCT_LOCK",
         "ACCT_UNLOCK"), "user-account"),
    **dict.fromkeys(("CHGRP_ID", "GRP_AUTH", "GRP_CHAUTHTOK", "CHUSER_ID"), "group-change"),
    **dict.fromkeys(("USER_CMD", "TEST", "TRUSTED_APP"), "user-space"),
    **dict.fromkeys(("TTY", "USER_TTY"), "TTY"),
    **dict.fromkeys(
        ("SYSTEM_BOOT", "SYSTEM_SHUTDOWN", "SYSTEM_RUNLEVEL", "SERVICE_START", "SERVICE_STOP"),
        "system-services"),
    **dict.fromkeys(
        ("CONFIG_CHANGE", "NETFILTER_CFG", "FEATURE_CHANGE", "USYS_CONFIG", "USER_DEVICE",
         "SOFTWARE_UPDATE"), "configuration"),
    **dict.fromkeys(
        ("AVC", "USER_AVC", "SELINUX_ERR", "USER_SELINUX_ERR", "MAC_CHECK"), "mac-decision"),
    **dict.fromkeys(("SECCOMP", "DAC_CHECK", "LANDLOCK_ACCESS"), "dac-decision"),
    "FANOTIFY": "av-decision", "BPF": "bpf-program", "ANOM_ABEND": "anomaly",
    "USER": "unknown",
}  # fmt: skip
_RANGES: Final = (
    (range(1200, 1300), "audit-daemon"), (range(1300, 1400), "audit-rule"),
    (range(1400, 1500), "mac"), (range(1500, 1600), "mac-decision"),
    (range(1600, 1700), "crypto"), (range(1700, 1800), "anomaly"),
    (range(1800, 1900), "integrity"), (range(2100, 2200), "anomaly"),
    (range(2200, 2300), "anomaly-response"), (range(2300, 2400), "mac"),
    (range(2400, 2500), "crypto"), (range(2500, 2600), "virt"),
)  # fmt: skip


def event_kind(number: int) -> str:
    """Return the kind of an event by the type of its first record, e.g. `user-login`."""
    known = _KINDS.get(NAMES.get(number, ""))
    if known is not None:
        return known
    return next((kind for numbers, kind in _RANGES if number in numbers), "unknown")


def short_object(act: Act) -> bytes:
    """Return the object as a sentence has it: of a socket its address or family."""
    if not act.object.startswith(b"{ saddr_fam="):
        return act.object
    words = act.object.split(b" ")
    address = next((word[6:] for word in words if word.startswith(b"laddr=")), b"")
    return address or words[1].removeprefix(b"saddr_fam=")


def sentence(act: Act, when: bytes, node: bytes | None) -> bytes:
    """Return an act as a sentence; `when` is its time and date."""
    said: list[bytes] = [b"At " + when if node is None else b"On " + node + b" at " + when]
    subject = _shown(act.subject)
    acting_as = act.acting_as
    if acting_as and acting_as not in (b"unset", act.subject):
        said.append(subject + b", acting as " + acting_as + b",")
    else:
        said.append(subject)
    if act.result in ("success", "failed"):
        said.append(b"successfully" if act.result == "success" else b"unsuccessfully")
    said.append(act.action.encode("utf-8", "surrogateescape"))
    said += _rest(act)
    return b" ".join(said) + b"\n"


def _shown(subject: bytes) -> bytes:
    return b"system" if subject == b"unset" else subject


def _rest(act: Act) -> Iterable[bytes]:
    thing = short_object(act)
    if thing:
        yield thing
    if act.object2:
        yield b"to " + act.object2
    # the program says nothing new where it is what was executed, or a session ends
    yield b"using " + act.how if act.how and not act.action.startswith("e") else b""
