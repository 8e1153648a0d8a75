"""What kind of thing an event tells of, for schemas that sort events by that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from auditd_py.record.decode import (
    UNSET,
    call_json,
    keys_in,
    result_of,
    to_json,
    word_json,
    words_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.record.decode import Decoded

# system calls, by what they do to files, processes and connections
_CALLS: Final = {
    "process": {
        "start": "execve execveat",
        "fork": "fork vfork clone clone3",
        "end": "exit exit_group kill tkill tgkill pidfd_send_signal rt_sigqueueinfo",
        "inject": "ptrace process_vm_writev",
        "identity": "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid",
    },
    "file": {
        "create": "creat mkdir mkdirat mknod mknodat symlink symlinkat link linkat",
        "open": "open openat openat2 open_by_handle_at",
        "delete": "unlink unlinkat rmdir",
        "rename": "rename renameat renameat2",
        "write": "write pwrite64 writev truncate ftruncate fallocate",
        "read": "read pread64 readv readlink readlinkat getdents getdents64",
        "attributes": "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr utime"
        " utimes utimensat futimesat",
        "security": "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat",
        "stat": "stat lstat fstat newfstatat statx access faccessat faccessat2 statfs fstatfs",
        "mount": "mount move_mount fsmount",
        "unmount": "umount umount2",
    },
    "network": {
        "connect": "connect",
        "accept": "accept accept4",
        "listen": "bind listen",
        "send": "sendto sendmsg sendmmsg",
        "receive": "recvfrom recvmsg recvmmsg",
    },
}
_RECORDS: Final = {
    "authentication": {
        "logon": "USER_LOGIN USER_AUTH USER_START LOGIN CRED_ACQ",
        "logoff": "USER_LOGOUT USER_END CRED_DISP",
        "other": "USER_ACCT USER_ERR CRED_REFR ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME"
        " ANOM_LOGIN_SESSIONS ANOM_LOGIN_LOCATION ANOM_LOGIN_ACCT GRP_AUTH CHUSER_ID",
    },
    "account": {
        "create": "ADD_USER ADD_GROUP",
        "delete": "DEL_USER DEL_GROUP",
        "password": "USER_CHAUTHTOK GRP_CHAUTHTOK",
        "lock": "ACCT_LOCK RESP_ACCT_LOCK RESP_ACCT_LOCK_TIMED",
        "unlock": "ACCT_UNLOCK RESP_ACCT_UNLOCK_TIMED",
        "change": "USER_MGMT GRP_MGMT USER_ROLE_CHANGE ROLE_ASSIGN ROLE_REMOVE ROLE_MODIFY",
    },
    "process": {"start": "USER_CMD", "end": "ANOM_ABEND"},
    "network": {"other": "NETFILTER_PKT"},
}

CALLS: Final = {
    call: (area, action)
    for area, actions in _CALLS.items()
    for action, calls in actions.items()
    for call in calls.split()
}
RECORDS: Final = {
    name: (area, action)
    for area, actions in _RECORDS.items()
    for action, names in actions.items()
    for name in names.split()
}
_OTHER: Final = ("other", "other")


@dataclass(slots=True)
class Facts:
    """One event, sorted: `area` is process, file, network, authentication, account or other.

    `main` has the fields that say who and what; `subject` is the record type or call that
    gives the event its name.
    """

    found: Decoded
    area: str
    action: str
    subject: str
    main: dict[str, Any]
    keys: list[str]
    result: bool | None
    message: dict[str, Any]

    @property
    def path(self) -> dict[str, Any] | None:
        """The file that the event is about: what is no folder on the way to it."""
        paths = [part.values for part in self.found.paths if "name" in part.values]
        if not paths:
            return None
        own = [p for p in paths if p.get("nametype") not in ("PARENT", "UNKNOWN")]
        return (own or paths)[0]

    @property
    def address(self) -> dict[str, Any] | None:
        """The socket address that the event is about."""
        for name, part in self.found.others:
            if name == "SOCKADDR":
                return part.values
        return None

    def of_task(self, name: str, make: Callable[[dict[str, Any]], Any]) -> Any:  # noqa: ANN401
        """Return what `make` makes of the main fields; once for a task's calls. Read only."""
        task = self.found.task
        if task is None:
            return make(self.main)
        found = task.made.get(name)
        if found is None:
            found = task.made[name] = make(task.values)
        return found

    def full_path(self, name: str) -> str:
        """Return a path as it is from the root."""
        if name.startswith("/") or not self.found.cwd:
            return name
        return f"{self.found.cwd.rstrip('/')}/{name}"


def facts_of(found: Decoded) -> Facts:
    """Sort an event."""
    first: dict[str, Any] = found.others[0][1].values if found.others else {}
    if found.syscall is not None and found.task is not None:
        call: str = found.syscall.get("name", "")
        name = call.partition("(")[2][:-1] if "(" in call else call
        area, action = CALLS.get(name, _OTHER)
        if area == "other" and found.paths:
            area, action = "file", "other"
        main, subject = found.task.values, call or "syscall"
    else:
        # the record that tells most, of those that stand alone it is the only one
        types = [name for name, _ in found.others]
        subject = next((t for t in types if t in RECORDS), types[0] if types else "unknown")
        area, action = RECORDS.get(subject, _OTHER)
        main = next((p.values for t, p in found.others if t == subject), first)
    return Facts(found, area, action, subject, main, keys_in(found), result_of(found), first)


def identity(values: dict[str, Any], name: str) -> dict[str, str] | None:
    """Return id and name of a user or group field; None if it is unset or missing."""
    number = values.get(name)
    if not isinstance(number, int) or number == UNSET:
        return None
    known = values.get(f"{name}_name")
    return {"id": str(number)} if known is None else {"id": str(number), "name": known}


def rest_json(found: Decoded) -> str:
    """Return all that an event says, for what has no place of its own in a schema."""
    parts = [f'"types":{words_json(tuple(found.types))}']
    if found.syscall:
        parts.append(f'"syscall":{{{call_json(found.syscall)}}}')
    if found.task is not None:
        parts.append(f'"task":{{{found.task.text}}}')
    if found.argv is not None:
        parts.append(f'"argv":{to_json(found.argv)}')
    if found.paths:
        parts.append('"paths":[' + ",".join([f"{{{part.text}}}" for part in found.paths]) + "]")
    if found.others:
        records = [
            f'{{"record":{word_json(name)}{"," if part.text else ""}{part.text}}}'
            for name, part in found.others
        ]
        parts.append(f'"records":[{",".join(records)}]')
    return "{" + ",".join(parts) + "}"


@lru_cache(1024)
def is_ip(text: str) -> bool:
    """Whether `text` is an address of the internet; programs write anything into addr=."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
