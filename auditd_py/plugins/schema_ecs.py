"""Events in the Elastic Common Schema, version 8; all that the records say is under `auditd`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from auditd_py.plugins.facts import Facts, facts_of, identity, is_ip, rest_json
from auditd_py.record.decode import Decoder, Stamps, to_json

if TYPE_CHECKING:
    from auditd_py.record.event import Event

VERSION: Final = "8.17.0"

_CATEGORIES: Final = {
    "process": ["process"],
    "file": ["file"],
    "network": ["network"],
    "authentication": ["authentication"],
    "account": ["iam"],
}
_TYPES: Final = {
    ("process", "start"): ["start"], ("process", "fork"): ["start"], ("process", "end"): ["end"],
    ("process", "identity"): ["change"], ("process", "inject"): ["change"],
    ("file", "create"): ["creation"], ("file", "delete"): ["deletion"],
    ("file", "open"): ["access"], ("file", "read"): ["access"], ("file", "stat"): ["access"],
    ("network", "connect"): ["connection", "start"],
    ("network", "accept"): ["connection", "start"],
    ("authentication", "logon"): ["start"], ("authentication", "logoff"): ["end"],
    ("account", "create"): ["user", "creation"], ("account", "delete"): ["user", "deletion"],
}  # fmt: skip
_DEFAULT_TYPES: Final = {"file": ["change"], "account": ["user", "change"]}
_IDENTITIES: Final = (
    ("euid", "user"), ("uid", "real_user"), ("suid", "saved_user"),
    ("egid", "group"), ("gid", "real_group"), ("sgid", "saved_group"),
)  # fmt: skip
_FILE_TYPES: Final = {
    0o01: "fifo", 0o02: "char_device", 0o04: "dir", 0o06: "block_device", 0o10: "file",
    0o12: "symlink", 0o14: "socket",
}  # fmt: skip


class EcsSchema:
    """Makes one line of JSON of an event."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._stamps = Stamps()

    def line(self, event: Event) -> str:
        """Return the JSON."""
        facts = facts_of(self._decoder.decode(event))
        document = to_json(self._document(event, facts))
        return f'{document[:-1]},"auditd":{rest_json(facts.found)}}}'

    def _document(self, event: Event, facts: Facts) -> dict[str, Any]:
        about: dict[str, Any] = {
            "kind": "event", "module": "auditd", "dataset": "auditd.log",
            "action": facts.subject.lower(), "sequence": event.serial,
            "outcome": "unknown" if facts.result is None
            else "success" if facts.result else "failure",
            "type": _TYPES.get((facts.area, facts.action))
            or _DEFAULT_TYPES.get(facts.area, ["info"]),
        }  # fmt: skip
        if facts.area in _CATEGORIES:
            about["category"] = _CATEGORIES[facts.area]
        document: dict[str, Any] = {
            "@timestamp": self._stamps.of(event), "ecs": {"version": VERSION}, "event": about,
        }  # fmt: skip
        if event.node is not None:
            document["host"] = {"name": event.node.decode("utf-8", "backslashreplace")}
        if facts.keys:
            document["tags"] = facts.keys
        process = _process(facts)
        if process:
            document["process"] = process
        user = _user(facts)
        if user:
            document["user"] = user
        if (path := facts.path) is not None:
            document["file"] = _file(facts, path)
        document.update(_ends(facts))
        return document


def _process(facts: Facts) -> dict[str, Any]:
    found = facts.found
    process: dict[str, Any] = dict(facts.of_task("process", _task))
    if found.argv is not None:
        process["args"], process["args_count"] = found.argv, found.argc
    if found.proctitle is not None:
        process["title"] = " ".join(found.proctitle)
        process["command_line"] = " ".join(found.argv or found.proctitle)
    if found.cwd is not None:
        process["working_directory"] = found.cwd
    return process


def _task(main: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = {}
    for name, field in (("pid", "pid"), ("comm", "name"), ("exe", "executable")):
        if name in main:
            task[field] = main[name]
    if "ppid" in main:
        task["parent"] = {"pid": main["ppid"]}
    for name, field in _IDENTITIES:
        if (known := identity(main, name)) is not None:
            task[field] = known
    return task


def _user(facts: Facts) -> dict[str, Any]:
    """Return who did it: who logged in, where that is known."""
    main = facts.main
    user: dict[str, Any] = facts.of_task("user", _account)
    if facts.area == "account":
        target = identity(main, "id") or {}
        if "acct" in main:
            target = {**target, "name": main["acct"]}
        if target:
            user = {**user, "target": target}
    elif facts.area == "authentication" and "acct" in main:
        user = {"name": main["acct"]}
    return user


def _account(main: dict[str, Any]) -> dict[str, Any]:
    user: dict[str, Any] = dict(identity(main, "auid") or identity(main, "uid") or {})
    if (effective := identity(main, "euid")) is not None:
        user["effective"] = effective
    return user


def _file(facts: Facts, path: dict[str, Any]) -> dict[str, Any]:
    full = facts.full_path(path["name"])
    file: dict[str, Any] = {"path": full, "name": full.rstrip("/").rpartition("/")[2] or "/"}
    folder = full.rstrip("/").rpartition("/")[0]
    if folder:
        file["directory"] = folder
    if "inode" in path:
        file["inode"] = str(path["inode"])
    if "dev" in path:
        file["device"] = path["dev"]
    mode = path.get("mode", "")
    if mode.isdigit() and set(mode) <= set("01234567"):
        bits = int(mode, 8)
        file["mode"] = f"{bits & 0o7777:04o}"
        if bits >> 12 in _FILE_TYPES:
            file["type"] = _FILE_TYPES[bits >> 12]
    for name, number, named in (("ouid", "uid", "owner"), ("ogid", "gid", "group")):
        if (known := identity(path, name)) is not None:
            file[number] = known["id"]
            if "name" in known:
                file[named] = known["name"]
    return file


def _ends(facts: Facts) -> dict[str, Any]:
    """Return the ends of a connection: where from, or where to."""
    address = facts.address
    if address is not None and facts.area == "network":
        end: dict[str, Any] = {}
        if "address" in address:
            end = {"address": address["address"], "ip": address["address"].partition("%")[0]}
        elif "path" in address:
            end = {"address": address["path"]}
        if "port" in address:
            end["port"] = address["port"]
        incoming = facts.action in ("accept", "receive")
        return {"source" if incoming else "destination": end} if end else {}
    remote = facts.main.get("addr")
    if facts.area in ("authentication", "account") and isinstance(remote, str):
        return {"source": {"address": remote, **({"ip": remote} if is_ip(remote) else {})}}
    return {}
