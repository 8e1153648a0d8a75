"""What the arguments of a system call are called: a0= to a3= of a SYSCALL record.

Arguments are what the registers held, 64 bits in hex. Whether one is an open mode, a signal or
a user depends on the call and sometimes on another argument (the manual page of each call).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from auditd_py.tables.families import NAMES as FAMILIES
from auditd_py.tables.syscalls import names as call_names
from auditd_py.tables.values import names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditd_py.record.interpret import Names

    # number, its text, all four arguments, who knows the names of users and protocols
    Argument = Callable[[int, bytes, Sequence[int], Names], bytes]

AT_FDCWD: Final = 0xFFFFFF9C
_ADDR_NO_RANDOMIZE: Final = 0x40000
_PER_MASK: Final = 0xFF
_O_CREAT: Final = 0x40
_TMPFILE: Final = 0x400000
_RESET_ON_FORK: Final = 0x40000000
_INTERNET: Final = frozenset({2, 10})  # the families whose protocols /etc/protocols names


def flags(
    table: str, number: int, nothing: bytes = b"", first: bytes = b"", mask: int = 0
) -> bytes:
    """Return the names of the flags in a number, joined by `|`.

    `first` is the name when none of the bits of `mask` is set, `nothing` when there is no flag.
    """
    found = [name for flag, name in names(table).items() if number & flag == flag]
    if first and not number & mask:
        found.insert(0, first)
    return b"|".join(found) or nothing or b"0x%x" % number


def open_flags(number: int) -> bytes:
    """Return the flags of open, with O_RDONLY, which is no bit."""
    return flags("open", number, first=b"O_RDONLY", mask=3)


def mmap_flags(number: int) -> bytes:
    """Return the flags of mmap, with MAP_FILE where no sort of mapping is said."""
    return flags("mmap", number, first=b"MAP_FILE", mask=0xF)


def short_mode(mode: int) -> bytes:
    """Return permissions as `0644` or `suid,0755`."""
    return _bits(mode) + b"0%03o" % (mode & 0o777)


def mode(number: int) -> bytes:
    """Return the type of a file and its permissions: `file,644`, `dir,sticky,777`."""
    kind = _FILE_TYPES.get(number & 0o170000)
    if kind is None:
        kind = b"%03o" % ((number & 0o170000) >> 12)
    return kind + b"," + _bits(number) + b"%03o" % (number & 0o777)


_FILE_TYPES: Final = {
    0o140000: b"socket",
    0o120000: b"link",
    0o100000: b"file",
    0o060000: b"block",
    0o040000: b"dir",
    0o020000: b"character",
    0o010000: b"fifo",
}


def _bits(number: int) -> bytes:
    special = ((0o4000, b"suid,"), (0o2000, b"sgid,"), (0o1000, b"sticky,"))
    return b"".join(name for bit, name in special if number & bit)


def personality(number: int) -> bytes:
    """Return the execution domain, and whether addresses are not random."""
    number &= 0xFFFFFFFF
    known = names("personality")
    bare = number & ~_ADDR_NO_RANDOMIZE
    name = known.get(bare) or known.get(number & _PER_MASK)
    if name is None:
        return b"unknown-personality(0x%x)" % number
    return name + (b"|~ADDR_NO_RANDOMIZE" if number & _ADDR_NO_RANDOMIZE else b"")


def _named(table: str, unknown: bytes, bits: int = 64) -> Argument:
    """Return what names a number by a table; `unknown` is a format for others."""
    mask = (1 << bits) - 1

    def name(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
        known = names(table).get(number & mask)
        if known is not None:
            return known
        return unknown % (text if b"%b" in unknown else _signed(number))

    return name


def _signed(number: int) -> int:
    low = number & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _flag_names(table: str, nothing: bytes = b"", mask: int = (1 << 64) - 1) -> Argument:
    return lambda number, _text, _arguments, _names: flags(table, number & mask, nothing)


def _folder(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    # an int in a 64-bit register: the upper half is whatever it was
    return b"AT_FDCWD" if number & 0xFFFFFFFF == AT_FDCWD else b"0x" + text


def _user(number: int, _text: bytes, _arguments: Sequence[int], known: Names) -> bytes:
    return known.user_name(number & 0xFFFFFFFF)


def _group(number: int, _text: bytes, _arguments: Sequence[int], known: Names) -> bytes:
    return known.group_name(number & 0xFFFFFFFF)


def _signal(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return names("signal").get(number) or b"unknown-signal(0x" + text + b")"


def _capability(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return names("capability").get(number) or b"unknown-capability(0x" + text + b")"


def _clone(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    # the lowest byte is the signal that the parent gets
    found = [name for flag, name in names("clone").items() if number & flag]
    signal = number & 0xFF
    if signal and signal in names("signal"):
        found.append(names("signal")[signal])
    return b"|".join(found) or b"0x%x" % number


def _unshare(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return flags("clone", number)


def _family(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    name = FAMILIES.get(number)
    return name.encode("ascii") if name else b"unknown-family(0x" + text + b")"


def _protocol(number: int, text: bytes, arguments: Sequence[int], known: Names) -> bytes:
    if arguments[0] not in _INTERNET:
        return b"0x" + text
    return known.protocol_name(number) or b"unknown-proto(" + text + b")"


def _exit(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return {0: b"EXIT_SUCCESS", 1: b"EXIT_FAILURE"}.get(number, b"UNKNOWN")


def _short_mode(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return short_mode(number)


def _long_mode(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return mode(number)


def _open(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return open_flags(number)


def _mode_of_new(flags_at: int) -> Argument:
    """Return what names the mode of a call that may create a file."""

    def name(number: int, text: bytes, arguments: Sequence[int], _names: Names) -> bytes:
        created = arguments[flags_at] & (_O_CREAT | _TMPFILE)
        return short_mode(number) if created else b"0x" + text

    return name


def _command_value(number: int, text: bytes, arguments: Sequence[int], known: Names) -> bytes:
    command = arguments[1]
    if command == 8:  # F_SETOWN
        return known.user_name(number & 0xFFFFFFFF)
    if command == 2 and number == 1:  # F_SETFD
        return b"FD_CLOEXEC"
    if command == 4:  # F_SETFL
        return open_flags(number)
    return b"0x" + text


def _level(number: int, text: bytes, _arguments: Sequence[int], known: Names) -> bytes:
    if number == 1:
        return b"SOL_SOCKET"
    name = known.protocol_name(number) or names("socket_level").get(number)
    return name or b"unknown-sockopt-level(0x" + text + b")"


_OPTIONS: Final = {
    0: ("ip_option", b"ipopt"),
    1: ("socket_option", b"sockopt"),
    6: ("tcp_option", b"tcpopt"),
    17: ("udp_option", b"udpopt"),
    41: ("ipv6_option", b"ip6opt"),
    263: ("packet_option", b"pktopt"),
}


def _option(number: int, text: bytes, arguments: Sequence[int], _names: Names) -> bytes:
    if arguments[1] not in _OPTIONS:
        return b"0x" + text
    table, kind = _OPTIONS[arguments[1]]
    return names(table).get(number) or b"unknown-%b-name(0x%b)" % (kind, text)


def _scheduler(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    name = names("scheduler").get(number & 0xF)
    if name is None:
        return b"unknown-scheduler-policy(0x" + text + b")"
    return name + (b"|SCHED_RESET_ON_FORK" if number & _RESET_ON_FORK else b"")


def _ioctl(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    return names("ioctl").get(number & 0xFFFFFFFF) or b"0x" + text


def _prctl_value(number: int, text: bytes, arguments: Sequence[int], known: Names) -> bytes:
    option = arguments[0]
    if option in {23, 24}:  # PR_CAPBSET_READ, PR_CAPBSET_DROP
        return _capability(number, text, arguments, known)
    if option == 1:  # PR_SET_PDEATHSIG
        return _signal(number, text, arguments, known)
    return b"0x" + text


def _shm(number: int, _text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
    found = [
        name
        for table in ("ipc_flags", "shm_flags")
        for flag, name in names(table).items()
        if number & flag and name not in {b"IPC_NOWAIT", b"SHM_DEST", b"SHM_LOCKED"}
    ]
    return b"|".join([*found, b"0%03o" % (number & 0o777)])


def _call_of(table: str) -> Argument:
    def name(number: int, text: bytes, _arguments: Sequence[int], _names: Names) -> bytes:
        known = call_names(table).get(number)
        return known.encode("ascii") if known else b"unknown-%b(%b)" % (table.encode(), text)

    return name


_socket_type = _named("socket_type", b"unknown-type(%b)", bits=8)
_message = _flag_names("message")
_prot = _flag_names("prot", b"PROT_NONE")
_access = _flag_names("access", b"F_OK", 7)
_at = _flag_names("xattr_flags")

# by call: what its arguments are, by their place
ARGUMENTS: Final[dict[str, dict[int, Argument]]] = {
    "access": {1: _access},
    "bpf": {0: _named("bpf", b"unknown-bpf-cmd(%b)")},
    "chmod": {1: _short_mode},
    "chown": {1: _user, 2: _group},
    "clock_settime": {0: _named("clock", b"unknown-clk_id(0x%b)")},
    "clone": {0: _clone},
    "creat": {1: _short_mode},
    "epoll_ctl": {1: _named("epoll", b"unknown-epoll_ctl-operation(%d)", bits=32)},
    "exit": {0: _exit},
    "exit_group": {0: _exit},
    "faccessat": {0: _folder, 2: _access},
    "faccessat2": {0: _folder, 2: _access, 3: _flag_names("accessat_flags")},
    "fchmod": {1: _short_mode},
    "fchmodat": {0: _folder, 2: _short_mode},
    "fchmodat2": {0: _folder, 2: _short_mode, 3: _at},
    "fchown": {1: _user, 2: _group},
    "fchownat": {0: _folder, 2: _user, 3: _group},
    "fcntl": {1: _named("fcntl", b"unknown-fcntl-command(%d)", bits=32), 2: _command_value},
    "fsconfig": {1: _named("fsconfig", b"unknown-fsconfig-command(%d)", bits=32)},
    "futimesat": {0: _folder},
    "getrlimit": {0: _named("rlimit", b"unknown-rlimit(0x%b)")},
    "getsockopt": {1: _level, 2: _option},
    "getxattrat": {0: _folder, 2: _at},
    "ioctl": {1: _ioctl},
    "ipc": {0: _call_of("ipc")},
    "kill": {1: _signal},
    "lchown": {1: _user, 2: _group},
    "linkat": {0: _folder, 2: _folder},
    "listxattrat": {0: _folder, 2: _at},
    "lseek": {2: _named("whence", b"unknown-whence(%b)")},
    "mkdir": {1: _short_mode},
    "mkdirat": {0: _folder, 2: _short_mode},
    "mknod": {1: _long_mode},
    "mknodat": {0: _folder, 2: _long_mode},
    "mmap": {2: _prot, 3: lambda number, _t, _a, _n: mmap_flags(number)},
    "mount": {3: _flag_names("mount")},
    "move_mount": {0: _folder, 2: _folder},
    "mprotect": {2: _prot},
    "mq_open": {1: _open, 2: _mode_of_new(1)},
    "name_to_handle_at": {0: _folder},
    "newfstatat": {0: _folder},
    "open": {1: _open, 2: _mode_of_new(1)},
    "open_by_handle_at": {2: _open},
    "open_tree": {0: _folder},
    "open_tree_attr": {0: _folder, 3: _at},
    "openat": {0: _folder, 2: _open},
    "openat2": {0: _folder},
    "personality": {0: lambda number, _t, _a, _n: personality(number)},
    "prctl": {0: _named("prctl", b"unknown-prctl-option(0x%b)"), 1: _prctl_value},
    "prlimit64": {1: _named("rlimit", b"unknown-rlimit(0x%b)")},
    "ptrace": {0: _named("ptrace", b"unknown-ptrace(0x%b)")},
    "readlinkat": {0: _folder},
    "recvfrom": {3: _message},
    "recvmmsg": {3: _message},
    "recvmsg": {2: _message},
    "removexattrat": {0: _folder, 2: _at},
    "renameat": {0: _folder, 2: _folder},
    "renameat2": {0: _folder, 2: _folder},
    "rt_sigaction": {0: _signal},
    "sched_setscheduler": {1: _scheduler},
    "sendmmsg": {3: _message},
    "sendmsg": {2: _message},
    "sendto": {3: _message},
    "setfsgid": {0: _group},
    "setfsuid": {0: _user},
    "setgid": {0: _group},
    "setns": {1: _unshare},
    "setregid": {0: _group, 1: _group},
    "setresgid": {0: _group, 1: _group, 2: _group},
    "setresuid": {0: _user, 1: _user, 2: _user},
    "setreuid": {0: _user, 1: _user},
    "setrlimit": {0: _named("rlimit", b"unknown-rlimit(0x%b)")},
    "setsockopt": {1: _level, 2: _option},
    "setuid": {0: _user},
    "setxattrat": {0: _folder, 2: _at},
    "shmget": {2: _shm},
    "socket": {0: _family, 1: _socket_type, 2: _protocol},
    "socketcall": {0: _call_of("socketcall")},
    "statx": {0: _folder},
    "symlinkat": {1: _folder},
    "tgkill": {2: _signal},
    "tkill": {1: _signal},
    "umount2": {1: _flag_names("umount")},
    "unlinkat": {0: _folder},
    "unshare": {0: _unshare},
    "utimensat": {0: _folder},
}

_VARIANTS: Final = ("32", "64", "2")  # of calls with wider arguments, on 32-bit machines


@cache
def arguments_of(call: str) -> dict[int, Argument]:
    """Return what names the arguments of a call, by their place; those left out are numbers."""
    known = ARGUMENTS.get(call)
    for variant in _VARIANTS:
        if known is None and call.endswith(variant):
            known = ARGUMENTS.get(call.removesuffix(variant))
    return known or {}


# those that depend on another argument too
DEPENDENT: Final[frozenset[tuple[str, int]]] = frozenset(
    {
        ("fcntl", 2),
        ("fcntl64", 2),
        ("getsockopt", 2),
        ("mq_open", 2),
        ("open", 2),
        ("prctl", 1),
        ("setsockopt", 2),
        ("socket", 2),
    }
)
