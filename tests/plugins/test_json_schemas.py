import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.plugins.live import LiveEvents
from auditd_py.plugins.schema_ecs import EcsSchema
from auditd_py.plugins.schema_ocsf import VERSION, OcsfSchema
from auditd_py.record import schema_own
from auditd_py.record.decode import Decoder
from auditd_py.record.interpret import Names
from auditd_py.record.schema_own import OwnSchema
from tests.plugins.records import golden

SCHEMAS = {"own": OwnSchema, "ecs": EcsSchema, "ocsf": OcsfSchema}
HEAD = b"msg=audit(1795332010.694:7): "
TASK = (
    b" ppid=1 pid=2 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0"
    b' ses=3 comm="sh" exe="/bin/sh" subj=unconfined key="k"'
)
NAMES = b'\x1dARCH=x86_64 SYSCALL=x AUID="alice" UID="root" GID="root" EUID="root" SUID="root"'


def call(number: int, exit_code: int = 0) -> bytes:
    done = b"yes" if exit_code >= 0 else b"no"
    return (
        b"type=SYSCALL " + HEAD + b"arch=c000003e syscall=%d success=%b exit=%d a0=1 a1=2 a2=3"
        b" a3=4 items=1" % (number, done, exit_code) + TASK + NAMES
    )


def events(lines: list[bytes]):
    live = LiveEvents()
    return live.feed(lines) + live.end()


def documents(schema: str, *lines: bytes) -> list[dict[str, Any]]:
    maker: Any = SCHEMAS[schema](Decoder(Names(user={1000: b"al"}.get)))
    return [json.loads(maker.line(event)) for event in events(list(lines))]


def document(schema: str, *lines: bytes) -> dict[str, Any]:
    (found,) = documents(schema, *lines)
    return found


EXECVE = [
    call(59),
    b"type=EXECVE " + HEAD + b'argc=3 a0="sh" a1="-c" a2=6C73202F746D70',
    b"type=CWD " + HEAD + b'cwd="/srv"',
    b"type=PATH " + HEAD + b'item=0 name="bin/sh" inode=9 dev=fe:00 mode=0100755 ouid=0 ogid=0'
    b' rdev=00:00 nametype=NORMAL\x1dOUID="root" OGID="root"',
    b"type=PROCTITLE " + HEAD + b"proctitle=7368002D63006C73202F746D70",
]
UNLINK = [
    call(87, -2),
    b"type=CWD " + HEAD + b'cwd="/srv"',
    b"type=PATH " + HEAD + b'item=0 name="/etc" inode=1 mode=040755 ouid=0 ogid=0 nametype=PARENT',
    b"type=PATH " + HEAD + b"item=1 name=2F6574632F612062 inode=2 mode=0100644 ouid=0 ogid=0"
    b" nametype=DELETE",
]
CONNECT = [call(42), b"type=SOCKADDR " + HEAD + b"saddr=020001BBC00002010000000000000000"]
LOGIN = [
    b"type=USER_LOGIN " + HEAD + b'pid=5 uid=0 auid=1000 ses=3 msg=\'op=login acct="bob"'
    b' exe="/usr/sbin/sshd" hostname=10.0.0.1 addr=10.0.0.1 terminal=sshd res=failed\''
    b'\x1dUID="root" AUID="alice"'
]
ADD_USER = [
    b"type=ADD_USER " + HEAD + b'pid=5 uid=0 auid=1000 ses=3 msg=\'op=add-user acct="new"'
    b' exe="/usr/sbin/useradd" hostname=? addr=? terminal=pts/0 res=success\''
]
CONFIG = [b"type=CONFIG_CHANGE " + HEAD + b'auid=1000 ses=3 op=add_rule key="k" list=4 res=1']
ALL = {"execve": EXECVE, "unlink": UNLINK, "connect": CONNECT, "login": LOGIN,
       "add_user": ADD_USER, "config": CONFIG, "getpgid": [call(121)]}  # fmt: skip


def test_own_has_what_the_records_say():
    assert document("own", *EXECVE) == {
        "timestamp": "2026-11-22T07:20:10.694Z",
        "id": "1795332010.694:7",
        "serial": 7,
        "types": ["SYSCALL", "EXECVE", "CWD", "PATH", "PROCTITLE"],
        "result": "success",
        "keys": ["k"],
        "syscall": {
            "arch": "x86_64", "name": "execve", "number": 59, "success": True, "exit": 0,
            "a0": "1", "a1": "2", "a2": "3", "a3": "4", "items": 1, "ppid": 1, "pid": 2,
            "auid": 1000, "auid_name": "alice", "uid": 0, "uid_name": "root", "gid": 0,
            "gid_name": "root", "euid": 0, "euid_name": "root", "suid": 0, "suid_name": "root",
            "fsuid": 0, "egid": 0, "sgid": 0, "fsgid": 0, "tty": "pts0", "ses": 3, "comm": "sh",
            "exe": "/bin/sh", "subj": "unconfined", "key": ["k"],
        },
        "execve": {"argc": 3, "argv": ["sh", "-c", "ls /tmp"]},
        "cwd": "/srv",
        "path": [
            {"item": 0, "name": "bin/sh", "inode": 9, "dev": "fe:00", "mode": "0100755",
             "ouid": 0, "ouid_name": "root", "ogid": 0, "ogid_name": "root", "rdev": "00:00",
             "nametype": "NORMAL"}
        ],
        "proctitle": ["sh", "-c", "ls /tmp"],
    }  # fmt: skip


def test_names_come_from_this_machine_where_the_record_has_none():
    raw = b"type=USER " + HEAD + b"uid=1000 auid=77"
    assert document("own", raw)["records"] == {
        "user": [{"uid": 1000, "uid_name": "al", "auid": 77}]
    }


def test_names_of_other_machines_are_not_guessed():
    raw = b"node=web1 type=USER " + HEAD + b"uid=1000 auid=4294967295"
    found = document("own", raw)
    assert (found["node"], found["records"]) == (
        "web1", {"user": [{"uid": 1000, "auid": 4294967295, "auid_name": "unset"}]},
    )  # fmt: skip


def test_long_arguments_in_parts_and_in_many_records_are_put_together():
    found = document(
        "own",
        call(59),
        b"type=EXECVE " + HEAD + b'argc=3 a0="sh" a1_len=8 a1[0]=6162',
        b"type=EXECVE " + HEAD + b'a1[1]="cd" a1[2]=20 a2="z"',
    )
    assert found["execve"] == {"argc": 3, "argv": ["sh", "abcd ", "z"]}


def test_a_failed_call_has_its_error():
    found = document("own", *UNLINK)
    assert found["result"] == "failed"
    assert [found["syscall"][name] for name in ("success", "exit", "errno")] == [
        False,
        -2,
        "ENOENT",
    ]
    assert found["path"][1]["name"] == "/etc/a b"


def test_an_address_is_taken_apart():
    (address,) = document("own", *CONNECT)["records"]["sockaddr"]
    assert address == {"family": "inet", "address": "192.0.2.1", "port": 443}


def test_a_field_twice_is_kept_twice():
    found = document("own", b"type=USER " + HEAD + b"op=a op=b op=c")
    assert found["records"]["user"] == [{"op": "a", "op_2": "b", "op_3": "c"}]


def test_bytes_that_are_no_text_are_shown_as_such():
    found = document("own", b"type=USER " + HEAD + b'exe="/b\xff"')
    assert found["records"]["user"] == [{"exe": "/b\\xff"}]


def test_what_was_remembered_is_the_same_again():
    twice = [line.replace(b":7)", b":%d)" % n) for n in (7, 8) for line in EXECVE]
    first, second = documents("own", *twice)
    assert {**second, "id": first["id"], "serial": 7} == first


@cache
def own_validator():
    jsonschema = pytest.importorskip("jsonschema")
    path = Path(schema_own.__file__).with_name("event.schema.json")
    return jsonschema.Draft202012Validator(json.loads(path.read_text()))


@pytest.mark.parametrize("lines", ALL.values(), ids=ALL)
def test_own_is_as_its_published_schema_says(lines):
    assert list(own_validator().iter_errors(document("own", *lines))) == []


def test_a_real_log_is_as_the_own_schema_says():
    found = documents("own", *golden("enriched-sample.log.gz"))
    assert len(found) > 10
    assert [error for d in found for error in own_validator().iter_errors(d)] == []


@cache
def ocsf_validator(class_uid: int):
    jsonschema = pytest.importorskip("jsonschema")
    ocsf = pytest.importorskip("ocsf_json_schema")
    schema = ocsf.OcsfJsonSchemaEmbedded(ocsf_schema())
    name = schema.lookup_class_name_from_uid(class_uid)
    return jsonschema.Draft202012Validator(schema.get_class_schema(name, ["host"]))


@cache
def ocsf_schema():
    return pytest.importorskip("ocsf_json_schema").get_ocsf_schema(VERSION)


OCSF_CLASSES = {"execve": 1007, "unlink": 1001, "connect": 4001, "login": 3002,
                "add_user": 3001, "config": 0, "getpgid": 0}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_ocsf_has_the_class_of_what_happened(name):
    assert document("ocsf", *ALL[name])["class_uid"] == OCSF_CLASSES[name]


@pytest.mark.parametrize("lines", ALL.values(), ids=ALL)
def test_ocsf_is_as_the_published_schema_says(lines):
    found = document("ocsf", *lines)
    assert list(ocsf_validator(found["class_uid"]).iter_errors(found)) == []


def test_a_real_log_is_as_the_ocsf_schema_says():
    found = documents("ocsf", *golden("enriched-sample.log.gz"))
    assert [str(e) for d in found for e in ocsf_validator(d["class_uid"]).iter_errors(d)] == []


# names and types of fields: elastic.co/guide/en/ecs, version 8.17
ECS = {
    "@timestamp": str, "ecs.version": str, "event.kind": str, "event.module": str,
    "event.dataset": str, "event.action": str, "event.sequence": int, "event.outcome": str,
    "event.type": list, "event.category": list, "host.name": str, "tags": list,
    "process.pid": int, "process.name": str, "process.executable": str, "process.parent.pid": int,
    "process.args": list, "process.args_count": int, "process.title": str,
    "process.command_line": str, "process.working_directory": str,
    **{f"process.{u}.{f}": str for u in ("user", "real_user", "saved_user", "group", "real_group",
                                        "saved_group") for f in ("id", "name")},
    **{f"user.{u}{f}": str for u in ("", "effective.", "target.") for f in ("id", "name")},
    **{f"file.{f}": str for f in ("path", "name", "directory", "inode", "device", "mode", "type",
                                  "uid", "owner", "gid", "group")},
    **{f"{end}.{f}": kind for end in ("source", "destination")
       for f, kind in (("address", str), ("ip", str), ("port", int))},
}  # fmt: skip
ECS_WORDS = {
    "event.category": {"process", "file", "network", "authentication", "iam"},
    "event.type": {"start", "end", "change", "creation", "deletion", "access", "connection",
                   "user", "info"},
    "event.outcome": {"success", "failure", "unknown"},
    "event.kind": {"event"},
}  # fmt: skip


def leaves(found: dict[str, Any], prefix: str = ""):
    for name, value in found.items():
        if name == "auditd" and not prefix:
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def ecs_errors(found: dict[str, Any]) -> list[str]:
    errors = []
    for name, value in leaves(found):
        words = ECS_WORDS.get(name)
        if name not in ECS or not isinstance(value, ECS[name]):
            errors.append(f"{name} = {value!r}")
        elif words and not set(value if isinstance(value, list) else [value]) <= words:
            errors.append(f"{name}: {value}")
    return errors


@pytest.mark.parametrize("lines", ALL.values(), ids=ALL)
def test_ecs_has_only_fields_of_the_schema(lines):
    assert ecs_errors(document("ecs", *lines)) == []


def test_a_real_log_has_only_fields_of_the_ecs():
    found = documents("ecs", *golden("enriched-sample.log.gz"))
    assert [error for d in found for error in ecs_errors(d)] == []


def test_ecs_says_who_did_what():
    found = document("ecs", *UNLINK)
    assert found["event"]["type"] == ["deletion"]
    assert found["event"]["outcome"] == "failure"
    assert found["file"]["path"] == "/etc/a b"
    assert found["user"] == {
        "id": "1000",
        "name": "alice",
        "effective": {"id": "0", "name": "root"},
    }


FIELD = st.sampled_from(
    ["pid=1", "pid=x", "uid=0", "uid=-1", "uid=99999999999", "auid=zz", 'key="a"', "key=6B016C",
     "name=2F", "mode=0100644", "mode=9", "saddr=0200", "saddr=01002F61", "saddr=xx", "argc=1",
     'a0="x"', "a0[3]=41", "a99999[0]=zz", "addr=::1", "addr=?", "acct=62", "res=", "res=1", "exe=x",
     "arch=c000003e syscall=59 success=yes exit=1 a0=1 a1=1 a2=1 a3=1 items=0", " ppid=1", "cwd=22",
     "proctitle=", "proctitle=00", "opid=3", "ocomm=x", "nametype=PARENT", "item=0", "ses=1",
     "\x1dUID=\"x\"", "avc:  denied  { read }", "msg='op=x", "'", "success=no", "exit=-2"]
)  # fmt: skip
TYPES = st.sampled_from(
    ["SYSCALL", "EXECVE", "PATH", "CWD", "PROCTITLE", "SOCKADDR", "USER_LOGIN", "ADD_USER", "AVC",
     "OBJ_PID", "USER_CMD", "UNKNOWN[1]", 'x"y', "EOE", "é"]
)  # fmt: skip


@given(st.lists(st.tuples(TYPES, st.lists(FIELD, max_size=8)), max_size=5), st.binary(max_size=20))
@pytest.mark.parametrize("schema", SCHEMAS)
def test_any_records_become_json(schema, records, garbage):
    lines = [
        f"type={kind} ".encode() + HEAD + " ".join(fields).encode() + garbage.replace(b"\n", b"")
        for kind, fields in records
    ]
    for found in documents(schema, *lines):
        if schema == "own":
            assert list(own_validator().iter_errors(found)) == []
        elif schema == "ocsf":
            assert list(ocsf_validator(found["class_uid"]).iter_errors(found)) == []
        else:
            assert ecs_errors(found) == []
