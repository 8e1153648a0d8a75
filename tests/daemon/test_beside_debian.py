"""Our daemon and Debian's: the same lines, and tools that read either log."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.programs import (
    EXECVE,
    GETPGID,
    OPENAT,
    Actor,
    Auditd,
    DebianAuditd,
    Peers,
    parse_log,
    syscall_rule,
    wait_for,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from auditd_py.netlink.control import Control

    StartAuditd = Callable[..., Auditd]
    StartDebian = Callable[..., DebianAuditd]

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.slow]

PID = 0
KEY = b"auditd-py-test"
CONNECT, RENAME, UNLINK = 42, 82, 87
FORMATS = pytest.mark.parametrize("log_format", ["RAW", "ENRICHED"])
TEST = 1120

# what can be seen of a process: files found, not found and refused; names with a space, a quote
# and bytes that are no UTF-8; addresses of four families; ids with and without a name; arguments
# that fill many records
ACTIONS = """
import socket
print('started', flush=True)
sys.stdin.readline()
def tried(work, *arguments):
    try:
        return work(*arguments)
    except OSError:
        pass
os.chdir(PLACE)
tried(os.open, '/etc/hostname', os.O_RDONLY)
tried(os.open, 'missing', os.O_RDONLY)
for name in (b'plain', b'with space', b'quo"te', b'\\xff\\xfe', b'new\\nline', b'n' * 255):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    os.rename(name, b'renamed')
    os.unlink(b'renamed')
os.mkdir('secret', 0o700)
open('secret/file', 'w').close()
os.setegid(4243)
os.seteuid(4242)
tried(os.open, 'secret/file', os.O_RDONLY)
os.seteuid(0)
os.setegid(65534)
os.seteuid(65534)
tried(os.open, 'secret/file', os.O_RDONLY)
os.seteuid(0)
os.setegid(0)
for family, address in (
    (socket.AF_UNIX, 'missing.sock'),
    (socket.AF_UNIX, '\\0abstract'),
    (socket.AF_INET, ('127.0.0.1', 1)),
    (socket.AF_INET6, ('::1', 1)),
    (socket.AF_NETLINK, (0, 0)),
):
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_DGRAM
    tried(tried(socket.socket, family, kind).connect, address)
for _ in range(50): os.getpgid(0)
os.execv('/bin/true', ['true', 'two words', 'a"b', 'x' * 9000] + ['argument-%05d' % i for i in range(4000)])
"""

# record types that a user may send, one that no table knows, and the longest text
MESSAGES = [
    (
        1100,
        b'op=PAM:authentication acct="root" exe="/bin/su" hostname=? terminal=pts/1 res=success',
    ),
    (1112, b'op=login id=0 exe="/usr/sbin/sshd" hostname=h addr=10.0.0.1 terminal=ssh res=failed'),
    (1114, b'op=adding user id=4242 exe="/usr/sbin/useradd" res=success'),
    (1116, b'op=adding group id=4243 exe="/usr/sbin/groupadd" res=success'),
    (1102, b"op=modify uid=65534 gid=4243 suid=-1 sgid=4294967295 iuid=0 ouid=4242 new_gid=0"),
    (1123, b'cwd="/root" cmd=6C73202D6C terminal=pts/0 res=success'),
    (TEST, b"x"),
    (TEST, b"ends with a space "),
    (TEST, b"two\nlines\n"),
    (TEST, b"arch=ffffffff arch=zz arch=c00000b7"),
    (TEST, b"saddr=0A00005000000000000000000000000000000000000000010000000000"),
    (2403, b"op=start direction=from-server cipher=aes ksize=256 suid=74"),
    (2999, b"op=future uid=0"),
    (TEST, b"op=long " + b"x" * 8970),
]

# what auditd 3.0.9 adds to these is wrong, and no kernel record has such fields: text, the
# names it adds, the names we add
MISNAMED = [
    # what is no number is called root
    (b"uid=notanumber", b'UID="root"', b""),
    (b"uid= gid=0x0 euid=+0 fsgid=4243,", b'GID="root" EUID="root" FSGID="unknown(4243)"',
     b'FSGID="unknown(4243)"'),
    # a large number is called another
    (b"auid=4294967294", b'AUID="unknown(-2)"', b'AUID="unknown(4294967294)"'),
    (b"suid=99999999999", b'SUID="unknown(1215752191)"', b""),
    # the syscalls of user messages are not named
    (b"arch=c000003e syscall=59", b"ARCH=x86_64 SYSCALL=unknown-syscall(-1)",
     b"ARCH=x86_64 SYSCALL=execve"),
    (b"uring_op=18", b"", b"URING_OP=openat"),
    # a name after an address could be told from its words by no reader
    (b"saddr=0100000000 uid=0", b'SADDR={ saddr_fam=local path= } UID="root"',
     b"SADDR={ saddr_fam=local path= }"),
]  # fmt: skip


def act(audit: Control, place: Path) -> None:
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    actor = Actor(f"PLACE = {str(place)!r}\n" + ACTIONS)
    actor.go()
    assert actor.process.stdout
    assert actor.process.stdout.readline() == b"started\n"
    for number in (OPENAT, EXECVE, CONNECT, RENAME, UNLINK, GETPGID):
        audit.add_rule(syscall_rule(number, (PID, actor.pid), key=KEY))
    actor.run()
    for kind, text in MESSAGES:
        audit.user_message(text, kind)


def between_marks(log: bytes) -> list[bytes]:
    lines = log.split(b"\n")
    (first,) = [i for i, line in enumerate(lines) if b"op=first-mark" in line]
    (last,) = [i for i, line in enumerate(lines) if b"op=last-mark" in line]
    return lines[first : last + 1]


def has_last_mark(log: Path) -> bool:
    return re.search(rb"op=last-mark.*\n", log.read_bytes()) is not None


def wait_for_record(log: Path, kind: str) -> None:
    wait_for(lambda: f"type={kind} ".encode() in log.read_bytes(), kind)


def seen_by_both(
    audit: Control,
    auditd: StartAuditd,
    debian: DebianAuditd,
    log_format: str,
    action: Callable[[], None],
) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of `action` that our observer and Debian's daemon write."""
    seen = debian.folder.parent / "seen.log"
    observer = auditd("--observe", "--output", str(seen), ready=False, log_format=log_format)
    wait_for(seen.exists, "the observer runs")
    audit.user_message(b"op=first-mark", TEST)
    action()
    audit.user_message(b"op=last-mark", TEST)
    wait_for(lambda: has_last_mark(seen) and has_last_mark(debian.log), "the last mark")
    observer.process.terminate()
    assert observer.process.wait(20) == 0
    return between_marks(seen.read_bytes()), between_marks(debian.log.read_bytes())


@FORMATS
def test_each_line_is_the_one_debian_writes(
    audit: Control, auditd: StartAuditd, debian_auditd: StartDebian, log_dir: Path, log_format: str
):
    debian = debian_auditd(log_format=log_format)
    place = log_dir / "place"
    ours, theirs = seen_by_both(audit, auditd, debian, log_format, lambda: act(audit, place))
    assert {line.type for line in parse_log(b"\n".join([*theirs, b""]))} >= {
        "SYSCALL", "CWD", "PATH", "PROCTITLE", "EXECVE", "SOCKADDR", "USER_AUTH", "UNKNOWN[2999]"
    }  # fmt: skip
    assert ours == theirs


def test_names_that_debian_gets_wrong_are_right(
    audit: Control, auditd: StartAuditd, debian_auditd: StartDebian
):
    debian = debian_auditd(log_format="ENRICHED")

    def send() -> None:
        for text, _, _ in MISNAMED:
            audit.user_message(text, TEST)

    both = seen_by_both(audit, auditd, debian, "ENRICHED", send)
    # the first two names are those of the sender's uid and auid
    theirs, ours = (
        [line.partition(b"\x1d")[2].split(b" ", 2)[2:] for line in lines[1:-1]]
        for lines in reversed(both)
    )
    assert theirs == [[name] if name else [] for _, name, _ in MISNAMED]
    assert ours == [[name] if name else [] for _, _, name in MISNAMED]


def normalised(lines: list[bytes]) -> list[tuple[str, ...]]:
    """Return the fields of each line, with what no two runs share made equal."""
    found = []
    for line in lines:
        text = re.sub(rb"audit\([\d.:]+\)", b"STAMP", line)
        text = re.sub(rb"\b(pid|ppid|inode)=\d+", rb"\1=N", text)
        text = re.sub(rb"\b(saddr=1000)....", rb"\1NNNN", text)  # padding of sockaddr_nl
        if line.startswith(b"type=SYSCALL"):
            text = re.sub(rb"\b(a[0-3])=[0-9a-f]+", rb"\1=N", text)  # addresses
        found.append(tuple(text.decode("utf-8", "surrogateescape").split(" ")))
    return found


@FORMATS
def test_the_same_action_has_the_same_records_in_either_log(
    audit: Control, auditd: StartAuditd, debian_auditd: StartDebian, log_dir: Path, log_format: str
):
    def marked_action() -> None:
        audit.user_message(b"op=first-mark", TEST)
        act(audit, log_dir / "place")
        audit.user_message(b"op=last-mark", TEST)

    our = auditd(log_format=log_format)
    marked_action()
    assert our.stop() == 0
    for rule in audit.rules():
        audit.delete_rule(rule)
    shutil.rmtree(log_dir / "place")
    debian = debian_auditd(log_format=log_format)
    marked_action()
    wait_for(lambda: has_last_mark(debian.log), "the last mark")
    ours = normalised(between_marks(our.log.read_bytes()))
    theirs = normalised(between_marks(debian.log.read_bytes()))
    assert len(ours) > 300
    assert ours == theirs


def events(log: Path, *wanted: str) -> int:
    """Return how many events have a line that matches one of the expressions `wanted`."""
    return len({
        found[1]
        for line in log.read_text("utf-8", "surrogateescape").splitlines()
        if (found := re.search(r" msg=audit\(([\d.:]+)\)", line))
        and any(re.search(expression, line) for expression in wanted)
    })  # fmt: skip


@pytest.fixture(params=["RAW", "ENRICHED"])
def our_log(audit: Control, auditd: StartAuditd, log_dir: Path, request) -> Path:
    """Give a log of our daemon with all kinds of records."""
    daemon = auditd(log_format=request.param)
    act(audit, log_dir / "place")
    for number, told in (
        (signal.SIGHUP, "DAEMON_CONFIG"),
        (signal.SIGUSR2, "DAEMON_RESUME"),
    ):
        daemon.process.send_signal(number)
        wait_for_record(daemon.log, told)
    assert daemon.stop() == 0
    return daemon.log


def tool_output(peers: Peers, *command: str) -> str:
    done = peers.run(*command)
    # the tools look for this file, wherever the log is
    complaints = [line for line in done.stderr.splitlines() if "/etc/audit/auditd.conf" not in line]
    assert (done.returncode, complaints) == (0, [])
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["-i"], ["^"]),
        (["-k", KEY.decode()], [f'key="{KEY.decode()}"']),
        (["-m", "TEST,ADD_USER"], ["^type=TEST ", "^type=ADD_USER "]),
        (["-m", "DAEMON_START,DAEMON_CONFIG,DAEMON_RESUME,DAEMON_END"], ["^type=DAEMON_"]),
        (["-m", "EXECVE"], ["^type=EXECVE "]),
        (["-sv", "no"], ["^type=SYSCALL .* success=no ", "res=failed"]),
    ],
    ids=["all", "key", "types", "daemon", "many-records", "failed"],
)
def test_debians_ausearch_finds_every_event(
    our_log: Path, peers: Peers, arguments: list[str], wanted: list[str]
):
    out = tool_output(peers, "ausearch", "-if", str(our_log), *arguments)
    assert out.splitlines().count("----") == events(our_log, *wanted) > 0


def test_debians_aureport_counts_every_event(our_log: Path, peers: Peers):
    out = tool_output(peers, "aureport", "-if", str(our_log), "--summary")
    counts = dict(re.findall(r"^Number of (.+): (\d+)$", out, re.MULTILINE))
    assert counts["events"] == str(events(our_log, "^"))
    assert counts["keys"] == "1"
    assert counts["failed syscalls"] == str(events(our_log, "^type=SYSCALL .* success=no "))
    assert counts["failed logins"] == "1"


def test_records_of_the_daemons_own_have_the_same_fields(
    audit: Control, auditd: StartAuditd, debian_auditd: StartDebian
):
    def told(process: subprocess.Popen[bytes], log: Path) -> dict[str, list[str]]:
        for number, kind in (
            (signal.SIGHUP, "DAEMON_CONFIG"),
            (signal.SIGUSR2, "DAEMON_RESUME"),
            (signal.SIGTERM, "DAEMON_END"),
        ):
            process.send_signal(number)
            wait_for_record(log, kind)
        assert process.wait(20) == 0
        return {
            line.type: re.findall(r"(\w+)=", line.text)
            for line in parse_log(log.read_bytes())
            if line.type.startswith("DAEMON_")
        }

    our = auditd()
    ours = told(our.process, our.log)
    debian = debian_auditd()
    theirs = told(debian.process, debian.log)
    assert list(theirs) == ["DAEMON_START", "DAEMON_CONFIG", "DAEMON_RESUME", "DAEMON_END"]
    assert ours == theirs
