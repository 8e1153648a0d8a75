"""auditd_py.record.interpret, interpret_values and interpret_arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.interpret import Interpreter, Names, context_of, kind_of
from auditd_py.record.interpret_arguments import ARGUMENTS
from auditd_py.record.interpret_values import KINDS
from auditd_py.record.record import parse_record
from auditd_py.tables.fields import TYPES
from auditd_py.tables.syscalls import syscall_number

USERS = {1: b"daemon", 1000: b"alice"}
GROUPS = {5: b"tty", 1000: b"staff"}
PROTOCOLS = {0: b"ip", 1: b"icmp", 6: b"tcp", 17: b"udp"}
X86_64 = 0xC000003E


@pytest.fixture
def interpreter():
    return Interpreter(Names(USERS.get, GROUPS.get, PROTOCOLS.get))


def record(text: bytes, record_type: bytes = b"USER"):
    return parse_record(b"type=" + record_type + b" msg=audit(1.000:1): " + text)


def interpreted(interpreter, text: bytes, record_type: bytes = b"USER") -> list[bytes]:
    return [shown for _, _, shown in interpreter.fields(record(text, record_type))]


CAPABILITIES_3 = b"chown,dac_override"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"uid=0", b"root"),
        (b"uid=1", b"daemon"),
        (b"auid=4294967295", b"unset"),
        (b"oauid=-1", b"unset"),
        (b"uid=1234", b"unknown(1234)"),
        (b"uid=x", b"conversion error(x)"),
        (b"uid=99999999999", b"conversion error(99999999999)"),
        (b"gid=5", b"tty"),
        (b"arch=c000003e", b"x86_64"),
        (b"arch=1", b"unknown-elf-type(1)"),
        (b"exit=-13", b"EACCES(Permission denied)"),
        (b"exit=-11", b"EAGAIN(Resource temporarily unavailable)"),
        (b"exit=3", b"3"),
        (b"errno=2", b"ENOENT"),
        (b"errno=0", b"0"),
        (b"errno=4000", b"UNKNOWN"),
        (b'exe="/bin/a"', b"/bin/a"),
        (b"exe=2F62696E2F612062", b"/bin/a b"),
        (b"exe=(null)", b"(null)"),
        (b"acct=726F6F74", b"root"),
        (b"acct=root", b"root"),
        (b"proctitle=6C73002D6C", b"ls -l"),
        (b"proctitle=2D62617368", b"-bash"),
        (b"perm=6", b"read,write"),
        (b"perm=0", b"read,write,exec,attr"),
        (b"mode=0100644", b"file,644"),
        (b"mode=041777", b"dir,sticky,777"),
        (b"mode=0104755", b"file,suid,755"),
        (b"mode=0170000", b"017,000"),
        (b"mode=xyz", b"conversion error(xyz)"),
        (b"saddr=02000016C0A8000100000000", b"{ saddr_fam=inet sockaddr len too short }"),
        (
            b"saddr=02000016C0A800010000000000000000",
            b"{ saddr_fam=inet laddr=192.168.0.1 lport=22 }",
        ),
        (b"prom=256", b"yes"),
        (b"capability=7", b"setuid"),
        (b"capability=99", b"unknown-capability(99)"),
        (b"cap_pp=3", CAPABILITIES_3),
        (b"cap_pi=0", b"none"),
        (b"res=1", b"yes"),
        (b"res=0", b"no"),
        (b"res=7", b"unset"),
        (b"res=success", b"success"),
        (b"sig=11", b"SIGSEGV"),
        (b"sig=30", b"SIGPWR"),
        (b"sig=77", b"unknown-signal(77)"),
        (b"list=4", b"exit"),
        (b"list=2", b"unknown-list(2)"),
        (b"ses=4294967295", b"unset"),
        (b"ses=3", b"3"),
        (b"family=2", b"ipv4"),
        (b"family=99", b"unknown-netfilter-protocol(99)"),
        (b"icmptype=8", b"echo"),
        (b"proto=17", b"udp"),
        (b"proto=254", b"undefined protocol"),
        (b"addr=1.2.3.4", b"1.2.3.4"),
        (b"per=40008", b"PER_LINUX32|~ADDR_NO_RANDOMIZE"),
        (b"per=7", b"unknown-personality(0x7)"),
        (b"code=0x7ffc0000", b"log"),
        (b"code=0x50001", b"errno"),
        (b"oflag=0x42", b"O_RDWR|O_CREAT"),
        (b"oflag=02000100", b"O_RDONLY|O_CREAT|O_CLOEXEC"),
        (b"flags=0x22", b"MAP_PRIVATE|MAP_ANONYMOUS"),
        (b"flags=0", b"MAP_FILE"),
        (b"subj=a:b:c:s0-s0:c0.c9,c12", b"a:b:c:s0-s0:c0.c9,c12"),
        (b"action=1", b"DROP"),
        (b"macproto=0x0800", b"IP"),
        (b"ioctlcmd=0x5401", b"TCGETS"),
        (b"ioctlcmd=99", b"0x99"),
        (b"resp=2", b"deny"),
        (b"nl-mcgrp=1", b"audit-netlink-multicast"),
        (b"resolve=0xb", b"RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH"),
        (b"subj_trust=1", b"yes"),
        (b"fan_type=1", b"rule_info"),
        (b"data=6C73207F1B5B410D", b'"ls ",<backspace>,<up>,<ret>'),
        (b'dev="sda1"', b'"sda1"'),
        (b"pid=17", b"17"),
    ],
)
def test_a_value_has_the_name_of_its_kind(interpreter, text, shown):
    assert interpreted(interpreter, text) == [shown]


@pytest.mark.parametrize(
    ("record_type", "text", "shown"),
    [
        (
            b"EXECVE",
            b'argc=3 a0="ls" a1=2D6C a2[0]=6162 a1_len=9',
            [b"3", b"ls", b"-l", b"ab", b"9"],
        ),
        (b"ADD_GROUP", b"id=5", [b"tty"]),
        (b"ADD_USER", b"id=1", [b"daemon"]),
        (b"AVC", b"saddr=1.2.3.4", [b"1.2.3.4"]),
        (b"NETFILTER_PKT", b"saddr=::1 proto=6", [b"::1", b"tcp"]),
        (b"NETFILTER_PKT", b"hook=1 family=3", [b"OUTPUT", b"arp"]),
        (b"NETFILTER_PKT", b"hook=1 family=2", [b"INPUT", b"ipv4"]),
        (b"MQ_OPEN", b"oflag=0x42 mode=0644", [b"O_RDWR|O_CREAT", b"0644"]),
        (b"CRYPTO_KEY_USER", b"fp=SHA256:aa", [b"SHA256:aa"]),
        (b"BPRM_FCAPS", b"fp=1", [b"chown"]),
        (b"KERN_MODULE", b'name="xt_foo"', [b"xt_foo"]),
        (b"URINGOP", b"uring_op=18", [b"openat"]),
        (b"USER_TTY", b"msg='6C73'", [b"ls"]),
        (b"FANOTIFY", b"fan_type=1 fan_info=3137", [b"rule_info", b"12599"]),
        (b"SECCOMP", b"sig=31 arch=c000003e syscall=59", [b"SIGSYS", b"x86_64", b"execve"]),
    ],
)
def test_some_records_mean_something_else_by_a_name(interpreter, record_type, text, shown):
    assert interpreted(interpreter, text, record_type) == shown


def test_names_of_the_daemon_go_before_those_of_this_system(interpreter):
    text = b'arch=c000003e syscall=2 uid=0 gid=5\x1dARCH=x SYSCALL=unknown-syscall(2) UID="eve"'
    assert interpreted(interpreter, text, b"SYSCALL") == [b"x", b"open", b"eve", b"tty"]


def test_a_call_that_stands_for_many_says_which(interpreter):
    text = b"arch=40000003 syscall=102 a0=3 a1=4"
    assert interpreted(interpreter, text, b"SYSCALL") == [
        b"i386",
        b"socketcall(connect)",
        b"connect",
        b"0x4",
    ]
    assert interpreted(interpreter, b"arch=40000003 syscall=9999", b"SYSCALL")[1] == (
        b"unknown-syscall(9999)"
    )


@pytest.mark.parametrize(
    ("call", "arguments", "shown"),
    [
        ("read", "3 7ffc 10 0", "0x3 0x7ffc 0x10 0x0"),
        ("openat", "ffffff9c 1 80241 1b6", "AT_FDCWD 0x1 O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC 0x1b6"),
        ("openat", "3 1 0 0", "0x3 0x1 O_RDONLY 0x0"),
        ("open", "1 42 1ed 0", "0x1 O_RDWR|O_CREAT 0755 0x0"),
        ("open", "1 2 1ed 0", "0x1 O_RDWR 0x1ed 0x0"),
        ("chmod", "1 9ed 0 0", "0x1 suid,0755 0x0 0x0"),
        ("mknod", "1 21b6 0 0", "0x1 character,666 0x0 0x0"),
        ("chown", "1 3e8 3e8 0", "0x1 alice staff 0x0"),
        ("fchownat", "ffffff9c 1 3e8 ffffffff", "AT_FDCWD 0x1 alice unset"),
        ("setresuid", "3e8 ffffffff 0 0", "alice unset root 0x0"),
        ("setgid", "5 0 0 0", "tty 0x0 0x0 0x0"),
        ("kill", "1 9 0 0", "0x1 SIGKILL 0x0 0x0"),
        ("kill", "1 40 0 0", "0x1 unknown-signal(0x40) 0x0 0x0"),
        ("tgkill", "1 1 f 0", "0x1 0x1 SIGTERM 0x0"),
        ("mmap", "0 1000 3 22", "0x0 0x1000 PROT_READ|PROT_WRITE MAP_PRIVATE|MAP_ANONYMOUS"),
        ("mmap", "0 1000 0 0", "0x0 0x1000 PROT_NONE MAP_FILE"),
        ("mount", "1 2 3 9", "0x1 0x2 0x3 MS_RDONLY|MS_NOEXEC"),
        ("umount2", "1 2 0 0", "0x1 MNT_DETACH 0x0 0x0"),
        ("clone", "1200011 0 0 0", "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD 0x0 0x0 0x0"),
        ("unshare", "20000000 0 0 0", "CLONE_NEWPID 0x0 0x0 0x0"),
        ("ptrace", "10 1 0 0", "PTRACE_ATTACH 0x1 0x0 0x0"),
        ("prctl", "18 7 0 0", "PR_CAPBSET_DROP setuid 0x0 0x0"),
        ("prctl", "1 9 0 0", "PR_SET_PDEATHSIG SIGKILL 0x0 0x0"),
        ("fcntl", "3 2 1 0", "0x3 F_SETFD FD_CLOEXEC 0x0"),
        ("fcntl", "3 8 3e8 0", "0x3 F_SETOWN alice 0x0"),
        ("fcntl", "3 ffffffff 0 0", "0x3 unknown-fcntl-command(-1) 0x0 0x0"),
        ("socket", "2 80801 6 0", "inet SOCK_STREAM tcp 0x0"),
        ("socket", "10 3 9 0", "netlink SOCK_RAW 0x9 0x0"),
        ("setsockopt", "3 1 2 0", "0x3 SOL_SOCKET SO_REUSEADDR 0x0"),
        ("setsockopt", "3 6 99 0", "0x3 tcp unknown-tcpopt-name(0x99) 0x0"),
        ("setsockopt", "3 29 1a 0", "0x3 SOL_IPV6 IPV6_V6ONLY 0x0"),
        ("access", "1 0 0 0", "0x1 F_OK 0x0 0x0"),
        ("access", "1 6 0 0", "0x1 W_OK|R_OK 0x0 0x0"),
        ("lseek", "3 0 2 0", "0x3 0x0 SEEK_END 0x0"),
        ("ioctl", "3 5401 0 0", "0x3 TCGETS 0x0 0x0"),
        ("sendto", "3 1 2 4000", "0x3 0x1 0x2 MSG_NOSIGNAL"),
        ("bpf", "5 0 0 0", "BPF_PROG_LOAD 0x0 0x0 0x0"),
        ("exit_group", "1 0 0 0", "EXIT_FAILURE 0x0 0x0 0x0"),
        ("clock_settime", "0 0 0 0", "CLOCK_REALTIME 0x0 0x0 0x0"),
        ("sched_setscheduler", "0 40000001 0 0", "0x0 SCHED_FIFO|SCHED_RESET_ON_FORK 0x0 0x0"),
        ("personality", "40000 0 0 0", "PER_LINUX|~ADDR_NO_RANDOMIZE 0x0 0x0 0x0"),
        ("shmget", "1 2 3a4 0", "0x1 0x2 IPC_CREAT|0644 0x0"),
        ("faccessat2", "ffffff9c 1 4 200", "AT_FDCWD 0x1 R_OK AT_EACCESS"),
        ("fsconfig", "3 6 0 0", "0x3 FSCONFIG_CMD_CREATE 0x0 0x0"),
    ],
)
def test_arguments_mean_what_the_call_says(interpreter, call, arguments, shown):
    a0, a1, a2, a3 = arguments.split()
    number = syscall_number(X86_64, call)
    text = f"arch=c000003e syscall={number} a0={a0} a1={a1} a2={a2} a3={a3}".encode()
    assert interpreted(interpreter, text, b"SYSCALL")[2:] == shown.encode().split()


def test_calls_with_wider_arguments_are_read_like_their_elders(interpreter):
    text = b"arch=40000003 syscall=221 a0=3 a1=2 a2=1 a3=0"
    assert interpreted(interpreter, text, b"SYSCALL")[1:5] == [
        b"fcntl64",
        b"0x3",
        b"F_SETFD",
        b"FD_CLOEXEC",
    ]


def test_calls_whose_arguments_are_known_exist():
    machines = (X86_64, 0x40000003, 0xC00000B7)
    unknown = {
        call
        for call in ARGUMENTS
        if not any(syscall_number(machine, call) is not None for machine in machines)
    }
    assert unknown == set()


def test_every_kind_of_field_has_its_names():
    assert {kind_of(name.encode(), b'"x"', 0) for name in TYPES} <= set(KINDS)
    assert set(TYPES.values()) <= set(KINDS)


def test_a_name_is_looked_up_once():
    asked: list[int] = []

    def user(uid: int) -> bytes:
        asked.append(uid)
        return b"bob"

    interpreter = Interpreter(Names(user))
    assert interpreted(interpreter, b"uid=7 auid=7 euid=0 suid=4294967295") == [
        b"bob",
        b"bob",
        b"root",
        b"unset",
    ]
    assert asked == [7]


values = st.one_of(
    st.binary(max_size=40),
    st.integers(-(1 << 70), 1 << 70).map(lambda n: b"%d" % n),
    st.integers(0, 1 << 70).map(lambda n: b"%x" % n),
)


@given(st.sampled_from(sorted(TYPES)), values, st.sampled_from([b"USER", b"SYSCALL", b"EXECVE"]))
def test_any_value_has_a_text(name, value, record_type):
    context = context_of(record(b"arch=c000003e syscall=257 " + value, record_type))
    assert isinstance(Interpreter().value(name.encode(), value, context), bytes)


@given(
    st.sampled_from(sorted(ARGUMENTS)),
    st.lists(st.integers(0, (1 << 64) - 1), min_size=4, max_size=4),
)
def test_any_argument_has_a_text(call, arguments):
    number = syscall_number(X86_64, call) or 0
    text = b"arch=c000003e syscall=%d a0=%x a1=%x a2=%x a3=%x" % (number, *arguments)
    assert all(interpreted(Interpreter(), text, b"SYSCALL"))
