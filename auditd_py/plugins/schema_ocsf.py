"""Events in the Open Cybersecurity Schema Framework 1.5, with its profile `host`.

Classes: process activity 1007, file system activity 1001, network activity 4001, authentication
3002, account change 3001; else the base event 0. All that the records say is under `unmapped`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from auditd_py.plugins.facts import Facts, facts_of, identity, is_ip, rest_json
from auditd_py.record.decode import Decoder, to_json

if TYPE_CHECKING:
    from auditd_py.record.event import Event

VERSION: Final = "1.5.0"

_CLASSES: Final = {
    "file": (1001, 1), "process": (1007, 1), "account": (3001, 3), "authentication": (3002, 3),
    "network": (4001, 4),
}  # fmt: skip
_ACTIVITIES: Final = {
    ("process", "start"): 1, ("process", "fork"): 1, ("process", "end"): 2,
    ("process", "inject"): 4, ("process", "identity"): 5,
    ("file", "create"): 1, ("file", "read"): 2, ("file", "write"): 3, ("file", "delete"): 4,
    ("file", "rename"): 5, ("file", "attributes"): 6, ("file", "security"): 7,
    ("file", "stat"): 8, ("file", "mount"): 12, ("file", "unmount"): 13, ("file", "open"): 14,
    ("account", "create"): 1, ("account", "password"): 3, ("account", "delete"): 6,
    ("account", "lock"): 9,
    ("authentication", "logon"): 1, ("authentication", "logoff"): 2,
    ("network", "connect"): 1, ("network", "accept"): 1, ("network", "listen"): 7,
    ("network", "send"): 6, ("network", "receive"): 6,
}  # fmt: skip
_OTHER_ACTIVITY: Final = 99
_FILE_TYPES: Final = {0o10: 1, 0o02: 3, 0o06: 3, 0o04: 2, 0o14: 5, 0o01: 6, 0o12: 7}
_UNKNOWN, _INFORMATIONAL, _LOW = 0, 1, 2
_PRODUCT: Final = {"name": "auditd_py", "vendor_name": "Linux audit"}


class OcsfSchema:
    """Makes one line of JSON of an event."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._own = os.uname().nodename or "localhost"

    def line(self, event: Event) -> str:
        """Return the JSON."""
        facts = facts_of(self._decoder.decode(event))
        document = to_json(self._document(event, facts))
        return f'{document[:-1]},"unmapped":{rest_json(facts.found)}}}'

    def _document(self, event: Event, facts: Facts) -> dict[str, Any]:
        actor = _actor(facts)
        area = _area(facts)
        kind, category = _CLASSES.get(area, (0, 0))
        activity = _ACTIVITIES.get((area, facts.action), _OTHER_ACTIVITY)
        host = event.node.decode("utf-8", "backslashreplace") if event.node else self._own
        document: dict[str, Any] = {
            "class_uid": kind, "category_uid": category, "activity_id": activity,
            "type_uid": kind * 100 + activity,
            "time": event.seconds * 1000 + event.milliseconds,
            "severity_id": _LOW if facts.result is False else _INFORMATIONAL,
            "message": facts.subject,
            "metadata": {
                "product": _PRODUCT, "version": VERSION, "profiles": ["host"],
                "sequence": event.serial, "log_name": "audit",
                "uid": f"{event.seconds}.{event.milliseconds:03d}:{event.serial}",
            },
            "device": {"hostname": host, "type_id": _UNKNOWN},
        }  # fmt: skip
        if activity == _OTHER_ACTIVITY:
            document["activity_name"] = facts.subject
        if facts.keys:
            document["metadata"]["labels"] = facts.keys
        if facts.result is not None:
            document["status_id"] = 1 if facts.result else 2
        if actor:
            document["actor"] = actor
        document.update(_PARTS[area](facts, actor) if area in _PARTS else {})
        return document


def _area(facts: Facts) -> str:
    """Return the area whose class the event has everything for."""
    if facts.area == "file" and facts.path is None:
        return "other"
    if facts.area == "network" and not _endpoint(facts):
        return "other"
    if facts.area == "process" and "pid" not in facts.main:
        return "other"
    if facts.area in ("account", "authentication") and not _account(facts):
        return "other"
    return facts.area


def _actor(facts: Facts) -> dict[str, Any]:
    main = facts.main
    actor: dict[str, Any] = dict(facts.of_task("actor", _account_and_session))
    if "pid" in main and facts.subject not in ("execve", "execveat"):
        actor["process"] = _process(facts)
    elif "ppid" in main:
        actor["process"] = {"pid": main["ppid"]}
    return actor


def _account_and_session(main: dict[str, Any]) -> dict[str, Any]:
    actor: dict[str, Any] = {}
    if user := (_user(main, "auid") or _user(main, "uid")):
        actor["user"] = user
    if "ses" in main:
        actor["session"] = {"uid": str(main["ses"])}
        if "tty" in main:
            actor["session"]["terminal"] = main["tty"]
    return actor


def _user(values: dict[str, Any], name: str) -> dict[str, Any]:
    known = identity(values, name)
    if known is None:
        return {}
    return {"uid": known["id"], **({"name": known["name"]} if "name" in known else {})}


def _process(facts: Facts) -> dict[str, Any]:
    found = facts.found
    process: dict[str, Any] = dict(facts.of_task("process", _task))
    words = found.argv or found.proctitle
    if words:
        process["cmd_line"] = " ".join(words)
    elif "cmd" in facts.main:
        process["cmd_line"] = facts.main["cmd"]
    if found.cwd is not None:
        process["working_directory"] = found.cwd
    return process


def _task(main: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = {"pid": main["pid"]}
    if "comm" in main:
        task["name"] = main["comm"]
    if "exe" in main:
        task["path"] = main["exe"]
        task["file"] = _file_of(main["exe"], 1)
    if user := (_user(main, "euid") or _user(main, "uid")):
        task["user"] = user
    if "ppid" in main:
        task["parent_process"] = {"pid": main["ppid"]}
    return task


def _file_of(path: str, kind: int) -> dict[str, Any]:
    return {"name": path.rstrip("/").rpartition("/")[2] or "/", "path": path, "type_id": kind}


def _process_part(facts: Facts, actor: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {"process": _process(facts)}
    target = next((p.values for t, p in facts.found.others if t == "OBJ_PID"), None)
    if target is not None and "opid" in target:
        part["process"] = {"pid": target["opid"]}
        if "ocomm" in target:
            part["process"]["name"] = target["ocomm"]
    if not actor:
        part["actor"] = {"process": {"pid": facts.main["pid"]}}
    return part


def _file_part(facts: Facts, actor: dict[str, Any]) -> dict[str, Any]:
    path = facts.path or {"name": "/"}
    mode = path.get("mode", "")
    bits = int(mode, 8) >> 12 if mode.isdigit() and set(mode) <= set("01234567") else 0
    file = _file_of(facts.full_path(path["name"]), _FILE_TYPES.get(bits, _UNKNOWN))
    if owner := _user(path, "ouid"):
        file["owner"] = owner
    if "inode" in path:
        file["uid"] = str(path["inode"])
    return {"file": file} if actor else {"file": file, "actor": {"app_name": facts.subject}}


def _endpoint(facts: Facts) -> dict[str, Any]:
    address = facts.address
    if address is None:
        return {}
    if "address" in address:
        end: dict[str, Any] = {"ip": address["address"].partition("%")[0]}
        if "port" in address:
            end["port"] = address["port"]
        return end
    return {"name": address["path"]} if address.get("path") else {}


def _network_part(facts: Facts, _actor: dict[str, Any]) -> dict[str, Any]:
    incoming = facts.action in ("accept", "receive")
    outgoing = facts.action in ("connect", "send")
    return {
        "src_endpoint" if incoming else "dst_endpoint": _endpoint(facts),
        "connection_info": {"direction_id": 1 if incoming else 2 if outgoing else _UNKNOWN},
    }


def _account(facts: Facts) -> dict[str, Any]:
    main = facts.main
    if "acct" in main:
        return {"name": str(main["acct"])}
    return _user(main, "id") or _user(main, "auid") or _user(main, "uid")


def _account_part(facts: Facts, _actor: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {"user": _account(facts)}
    if (remote := _remote(facts)) is not None:
        part["src_endpoint"] = remote
    return part


def _authentication_part(facts: Facts, actor: dict[str, Any]) -> dict[str, Any]:
    exe = str(facts.main.get("exe", facts.subject))
    part = _account_part(facts, actor)
    part["service"] = {"name": exe.rpartition("/")[2] or exe}
    if "src_endpoint" in part:
        part["is_remote"] = True
    return part


def _remote(facts: Facts) -> dict[str, Any] | None:
    for name, field in (("addr", "ip"), ("hostname", "hostname")):
        text = facts.main.get(name)
        if isinstance(text, str) and (field == "hostname" or is_ip(text)):
            return {field: text}
    return None


_PARTS: Final = {
    "process": _process_part,
    "file": _file_part,
    "network": _network_part,
    "account": _account_part,
    "authentication": _authentication_part,
}
