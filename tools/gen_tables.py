"""Write the constants of auditd_py/tables; --check only looks whether they are up to date.

The facts are here, as runs: a number or a word, a colon, and the names that count up from it
or belong to it. Syscall numbers come from the PyPI package system-calls; the calls it leaves
out, and those that audit has always called otherwise, are here too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import system_calls

TABLES: Final = Path(__file__).resolve().parent.parent / "auditd_py" / "tables"

# include/uapi/linux/audit.h; 1100 to 1199 and from 2000 on are userspace's own
RECORD_TYPES: Final = """
1005: USER LOGIN
1100: USER_AUTH USER_ACCT USER_MGMT CRED_ACQ CRED_DISP USER_START USER_END USER_AVC
    USER_CHAUTHTOK USER_ERR CRED_REFR USYS_CONFIG USER_LOGIN USER_LOGOUT ADD_USER DEL_USER
    ADD_GROUP DEL_GROUP DAC_CHECK CHGRP_ID TEST TRUSTED_APP USER_SELINUX_ERR USER_CMD USER_TTY
    CHUSER_ID GRP_AUTH SYSTEM_BOOT SYSTEM_SHUTDOWN SYSTEM_RUNLEVEL SERVICE_START SERVICE_STOP
    GRP_MGMT GRP_CHAUTHTOK MAC_CHECK ACCT_LOCK ACCT_UNLOCK USER_DEVICE SOFTWARE_UPDATE
1200: DAEMON_START DAEMON_END DAEMON_ABORT DAEMON_CONFIG
1205: DAEMON_ROTATE DAEMON_RESUME DAEMON_ACCEPT DAEMON_CLOSE DAEMON_ERR
1300: SYSCALL
1302: PATH IPC SOCKETCALL CONFIG_CHANGE SOCKADDR CWD
1309: EXECVE
1311: IPC_SET_PERM MQ_OPEN MQ_SENDRECV MQ_NOTIFY MQ_GETSETATTR KERNEL_OTHER FD_PAIR OBJ_PID TTY
    EOE BPRM_FCAPS CAPSET MMAP NETFILTER_PKT NETFILTER_CFG SECCOMP PROCTITLE FEATURE_CHANGE
1330: KERN_MODULE FANOTIFY TIME_INJOFFSET TIME_ADJNTPVAL BPF EVENT_LISTENER URINGOP OPENAT2
    DM_CTRL DM_EVENT
1400: AVC SELINUX_ERR AVC_PATH MAC_POLICY_LOAD MAC_STATUS MAC_CONFIG_CHANGE MAC_UNLBL_ALLOW
    MAC_CIPSOV4_ADD MAC_CIPSOV4_DEL MAC_MAP_ADD MAC_MAP_DEL MAC_IPSEC_ADDSA MAC_IPSEC_DELSA
    MAC_IPSEC_ADDSPD MAC_IPSEC_DELSPD MAC_IPSEC_EVENT MAC_UNLBL_STCADD MAC_UNLBL_STCDEL
    MAC_CALIPSO_ADD MAC_CALIPSO_DEL
1423: LANDLOCK_ACCESS LANDLOCK_DOMAIN
1700: ANOM_PROMISCUOUS ANOM_ABEND ANOM_LINK ANOM_CREAT
1800: INTEGRITY_DATA INTEGRITY_METADATA INTEGRITY_STATUS INTEGRITY_HASH INTEGRITY_PCR
    INTEGRITY_RULE INTEGRITY_EVM_XATTR INTEGRITY_POLICY_RULE
2000: KERNEL
2100: ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME ANOM_LOGIN_SESSIONS ANOM_LOGIN_ACCT
    ANOM_LOGIN_LOCATION ANOM_MAX_DAC ANOM_MAX_MAC ANOM_AMTU_FAIL ANOM_RBAC_FAIL
    ANOM_RBAC_INTEGRITY_FAIL ANOM_CRYPTO_FAIL ANOM_ACCESS_FS ANOM_EXEC ANOM_MK_EXEC
    ANOM_ADD_ACCT ANOM_DEL_ACCT ANOM_MOD_ACCT ANOM_ROOT_TRANS ANOM_LOGIN_SERVICE ANOM_LOGIN_ROOT
    ANOM_ORIGIN_FAILURES ANOM_SESSION
2200: RESP_ANOMALY RESP_ALERT RESP_KILL_PROC RESP_TERM_ACCESS RESP_ACCT_REMOTE
    RESP_ACCT_LOCK_TIMED RESP_ACCT_UNLOCK_TIMED RESP_ACCT_LOCK RESP_TERM_LOCK RESP_SEBOOL
    RESP_EXEC RESP_SINGLE RESP_HALT RESP_ORIGIN_BLOCK RESP_ORIGIN_BLOCK_TIMED
    RESP_ORIGIN_UNBLOCK_TIMED
2300: USER_ROLE_CHANGE ROLE_ASSIGN ROLE_REMOVE LABEL_OVERRIDE LABEL_LEVEL_CHANGE
    USER_LABELED_EXPORT USER_UNLABELED_EXPORT DEV_ALLOC DEV_DEALLOC FS_RELABEL
    USER_MAC_POLICY_LOAD ROLE_MODIFY USER_MAC_CONFIG_CHANGE USER_MAC_STATUS
2400: CRYPTO_TEST_USER CRYPTO_PARAM_CHANGE_USER CRYPTO_LOGIN CRYPTO_LOGOUT CRYPTO_KEY_USER
    CRYPTO_FAILURE_USER CRYPTO_REPLAY_USER CRYPTO_SESSION CRYPTO_IKE_SA CRYPTO_IPSEC_SA
2500: VIRT_CONTROL VIRT_RESOURCE VIRT_MACHINE_ID VIRT_INTEGRITY_CHECK VIRT_CREATE VIRT_DESTROY
    VIRT_MIGRATE_IN VIRT_MIGRATE_OUT
"""

# include/linux/socket.h; AF_UNIX is local
FAMILIES: Final = """
1: local inet ax25 ipx appletalk netrom bridge atmpvc x25 inet6 rose decnet netbeui security key
    netlink packet ash econet atmsvc rds sna irda pppox wanpipe llc
29: can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp
    mctp
"""

# which of a record's fields has which kind of value
FIELD_TYPES: Final = """
uid: auid uid euid suid fsuid ouid oauid old-auid iuid id inode_uid sauid obj_uid
gid: obj_gid gid egid sgid fsgid ogid igid inode_gid new_gid
syscall: syscall uring_op
arch: arch
exit: exit
escaped: path comm exe file watch cwd cmd acct dir vm old-chardev new-chardev old-disk new-disk
    old-fs new-fs old-net new-net device cgroup apparmor operation denied_mask info profile
    requested_mask old-rng new-rng ocomm grp new_group invalid_context sw root_dir
escaped_file: name
escaped_key: key
perm: perm perm_mask
mode: mode
sockaddr: saddr
promisc: prom old_prom
capability: capability
success: res result
a0: a0
a1: a1
a2: a2
a3: a3
signal: sig sigev_signo
list: list
tty_data: data
session: ses
cap_bitmap: cap_pi cap_pe cap_pp cap_pa cap_fi cap_fp fp fi old_pp old_pi old_pe old_pa new_pp
    new_pi new_pe pp pi pe pa
nfproto: family
icmptype: icmptype
protocol: proto
addr: addr
personality: per
seccomp: code
oflag: oflag
mmap: flags
mac_label: subj obj scontext tcontext vm-ctx img-ctx
proctitle: proctitle
hook: hook
netaction: action
macproto: macproto
ioctl_req: ioctlcmd
fanotify: resp
nlmcgrp: nl-mcgrp
resolve: resolve
trust: subj_trust obj_trust
fan_type: fan_type
fan_info: fan_info
errno: errno
"""

# machine: its arch (EM_* of include/uapi/linux/elf-em.h with the flags of
# include/uapi/linux/audit.h), its syscall table, other words of uname -m
MACHINES: Final = """
i386: 0x40000003 i386 i486 i586 i686
x86_64: 0xC000003E x86_64
aarch64: 0xC00000B7 aarch64
arm: 0x40000028 arm armv5tejl armv6l armv7l armv8l
armeb: 0x00000028 arm armv5tejb
ppc: 0x00000014 ppc
ppc64: 0x80000015 ppc
ppc64le: 0xC0000015 ppc
s390: 0x00000016 s390
s390x: 0x80000016 s390x
riscv32: 0x400000F3 riscv32
riscv64: 0xC00000F3 riscv64
"""

# table: the tables of system-calls that make it; where two have a number, the first names it
SOURCES: Final = """
x86_64: x86_64
x32: x32
i386: i386
aarch64: arm64
arm: arm armoabi
ppc: powerpc powerpc64
s390: s390
s390x: s390x
riscv32: riscv32
riscv64: riscv64
"""
# armoabi has the calls that the newer ABI dropped; x32 marks its calls with bit 30
OFFSETS: Final = {"armoabi": 0x900000, "x32": 0x40000000}

# what audit calls otherwise: rules, logs and scripts have these names
AUDIT_NAMES: Final = """
x86_64: 17=pread 18=pwrite
x32: 17=pread 18=pwrite
i386: 283=sys_kexec_load 423=sched_rr_get_interval64
aarch64: 61=getdents 67=pread 68=pwrite 80=newfstat
arm: 140=llseek 142=newselect 270=fadvise64_64 341=sync_file_range 423=sched_rr_get_interval64
ppc: 179=pread 180=pwrite 306=timerfd 319=perf_counter_open
s390: 180=pread 181=pwrite
s390x: 180=pread 181=pwrite
"""

# what system-calls leaves out: mostly calls that Linux dropped, but old logs and rules have
OLD_CALLS: Final = """
x86_64: 134=uselib 156=_sysctl 174=create_module 177=get_kernel_syms 178=query_module
    180=nfsservctl 181=getpmsg 182=putpmsg 183=afs_syscall 184=tuxcall 185=security 236=vserver
i386: 17=break 31=stty 32=gtty 35=ftime 44=prof 53=lock 56=mpx 58=ulimit 86=uselib 98=profil
    112=idle 127=create_module 130=get_kernel_syms 134=bdflush 137=afs_syscall 149=_sysctl
    167=query_module 169=nfsservctl 188=getpmsg 189=putpmsg 273=vserver
aarch64: 42=nfsservctl
arm: 86=uselib 134=bdflush 149=sysctl 169=nfsservctl 313=vserver
ppc: 17=break 31=stty 32=gtty 35=ftime 44=prof 53=lock 56=mpx 58=ulimit 86=uselib 98=profil
    112=idle 127=create_module 130=get_kernel_syms 134=bdflush 137=afs_syscall 149=_sysctl
    166=query_module 168=nfsservctl 187=getpmsg 188=putpmsg 225=tuxcall
s390: 86=uselib 112=idle 127=create_module 130=get_kernel_syms 134=bdflush 137=afs_syscall
    149=_sysctl 167=query_module 169=nfsservctl 188=getpmsg 189=putpmsg 470=listns
    471=rseq_slice_yield
s390x: 86=uselib 112=idle 127=create_module 130=get_kernel_syms 134=bdflush 137=afs_syscall
    149=_sysctl 167=query_module 169=nfsservctl 188=getpmsg 189=putpmsg
riscv32: 42=nfsservctl
riscv64: 42=nfsservctl
"""

# names that are understood but not written
OTHER_NAMES: Final = """
i386: 219=madvise1
"""

# what the first argument of socketcall and ipc stands for (include/uapi/linux/net.h, ipc.h),
# and the operations of io_uring that the kernel audits (io_uring/opdef.c)
OPERATIONS: Final = """
socketcall: 1=socket 2=bind 3=connect 4=listen 5=accept 6=getsockname 7=getpeername 8=socketpair
    9=send 10=recv 11=sendto 12=recvfrom 13=shutdown 14=setsockopt 15=getsockopt 16=sendmsg
    17=recvmsg 18=accept4 19=recvmmsg 20=sendmmsg
ipc: 1=semop 2=semget 3=semctl 4=semtimedop 11=msgsnd 12=msgrcv 13=msgget 14=msgctl 21=shmat
    22=shmdt 23=shmget 24=shmctl 25=dipc
uring: 9=sendmsg 10=recvmsg 13=accept 16=connect 17=fallocate 18=openat 19=close 28=openat2
    34=shutdown 35=renameat 36=unlinkat 37=mkdirat 38=symlinkat 39=linkat 40=msg_ring
    41=fsetxattr 42=setxattr 43=fgetxattr 44=getxattr 46=uring_cmd 48=sendmsg_zc 50=waitid
    51=futex_wait 52=futex_wake 53=futex_waitv 54=fixed_fd_install 55=ftruncate 56=bind
    57=listen 64=uring_cmd128
"""

# words of rules (include/uapi/linux/audit.h): lists, actions, operators in the order in which
# they are looked for, fields; of two names for a number the first is written
RULE_LISTS: Final = "0=user 1=task 4=exit 5=exclude 6=filesystem 7=io_uring"
RULE_ACTIONS: Final = "0=never 2=always"
RULE_OPERATORS: Final = """
!=: 0x30000000
>=: 0x60000000
<=: 0x50000000
&=: 0x48000000
=: 0x40000000
>: 0x20000000
<: 0x10000000
&: 0x08000000
"""
RULE_FIELDS: Final = """
0: pid uid euid suid fsuid gid egid sgid fsgid auid pers arch msgtype subj_user subj_role subj_type
    subj_sen subj_clr ppid obj_user obj_role obj_type obj_lev_low obj_lev_high
25: sessionid fstype
100: devmajor devminor inode exit success path perm dir filetype obj_uid obj_gid field_compare exe
    saddr_fam
200: a0 a1 a2 a3
210: key
"""
# field_compare is what -C makes and no word; loginuid is what auid was called first
RULE_FIELD_ALIASES: Final = "9=loginuid"
RULE_COMPARISONS: Final = """
1: uid-obj_uid gid-obj_gid euid-obj_uid egid-obj_gid auid-obj_uid suid-obj_uid sgid-obj_gid
    fsuid-obj_uid fsgid-obj_gid uid-auid uid-euid uid-fsuid uid-suid auid-fsuid auid-suid auid-euid
    euid-suid euid-fsuid suid-fsuid gid-egid gid-fsgid gid-sgid egid-fsgid egid-sgid sgid-fsgid
"""

# values of rule fields: include/uapi/linux/stat.h, magic.h, asm-generic/errno.h
FILE_TYPES: Final = (
    "49152=socket 40960=link 32768=file 24576=block 16384=dir 8192=character 4096=fifo"
)
FILE_SYSTEMS: Final = "1953653091=tracefs 1684170528=debugfs 2613483=cgroup 1667723888=cgroup2"
ERRNOS: Final = """
1: EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP
42: ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL
    ENOANO EBADRQC EBADSLT
59: EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO
    EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX
    ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN
    ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED
    EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
"""
ERRNO_ALIASES: Final = "11=EWOULDBLOCK 35=EDEADLOCK"

# the calls that a permission stands for, if the rule's machine has them
PERMISSION_CALLS: Final = """
x: execve execveat
w: rename mkdir rmdir creat link unlink symlink mknod mkdirat mknodat unlinkat renameat linkat
    symlinkat renameat2 acct swapon quotactl quotactl_fd truncate ftruncate bind fallocate open
    openat openat2
r: readlink quotactl quotactl_fd listxattr listxattrat llistxattr flistxattr getxattr getxattrat
    lgetxattr fgetxattr readlinkat open openat openat2 file_getattr stat lstat fstat newfstatat
    statx
a: chmod fchmod chown lchown fchown setxattr setxattrat lsetxattr fsetxattr removexattr
    removexattrat lremovexattr fremovexattr fchownat fchmodat fchmodat2 file_setattr link linkat
"""

# the machines whose programs run on another, 64-bit one too
COMPATIBLE: Final = "x86_64=i386 aarch64=arm ppc64=ppc s390x=s390 riscv64=riscv32"

HEADER: Final = '# generated by tools/gen_tables.py: do not edit\n"""{}"""\n\nfrom __future__ import annotations\n'

RECORD_TYPES_TAIL: Final = '''
NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()}


def type_name(number: int) -> str:
    """Return the record type's name as in type= of a log line, UNKNOWN[n] if it has none."""
    return NAMES.get(number) or f"UNKNOWN[{number}]"


def type_number(text: str) -> int | None:
    """Return the number of a name, of UNKNOWN[n] or of digits; None for anything else."""
    if text in NUMBERS:
        return NUMBERS[text]
    bracketed = text.startswith("UNKNOWN[") and text.endswith("]")
    digits = text[8:-1] if bracketed else text
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 11 else None
'''

FAMILIES_TAIL: Final = """
NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()}
"""

FIELDS_HEAD: Final = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    FieldType = Literal[
{}    ]
"""

MACHINES_HEAD: Final = """
from typing import Final

AUDIT_ARCH_64BIT: Final = 0x80000000
AUDIT_ARCH_LE: Final = 0x40000000
"""

MACHINES_TAIL: Final = """
# what uname -m or a rule may say, and the arch it means
ARCHES: dict[str, int] = {
%s}
"""


def main() -> int:
    """Write what differs; with --check return 1 instead when something does."""
    stale = 0
    for name, text in rendered().items():
        path = TABLES / name
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(path)
        if "--check" not in sys.argv:
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv else 0


def rendered() -> dict[str, str]:
    """Return the text of every generated module, by its path under tables/."""
    files = {
        "record_types.py": (
            HEADER.format("Record types: the number of a netlink message, the name in a log line.")
            + table("NAMES: dict[int, str]", counted(RECORD_TYPES))
            + RECORD_TYPES_TAIL
        ),
        "families.py": (
            HEADER.format("Address families of sockets, as in saddr_fam=.")
            + table("NAMES: dict[int, str]", counted(FAMILIES))
            + FAMILIES_TAIL
        ),
        "fields.py": fields_module(),
        "rule_names.py": rule_names_module(),
        "rule_values.py": rule_values_module(),
        "machines.py": machines_module(),
    }
    for name, text in runs(OPERATIONS).items():
        files[f"syscalls/{name}.py"] = names_module(f"Operations of {name}.", pairs(text), {})
    for name in runs(SOURCES):
        files[f"syscalls/{name}.py"] = syscalls_module(name)
    return files


def runs(facts: str) -> dict[str, str]:
    """Return what follows each `word:`; a run's further lines are indented."""
    found: dict[str, str] = {}
    for run in facts.strip().replace("\n    ", " ").splitlines():
        word, _, names = run.partition(":")
        found[word] = names
    return found


def counted(facts: str) -> dict[int, str]:
    """Return number to name of runs that count up."""
    return {
        number: name
        for first, names in runs(facts).items()
        for number, name in enumerate(names.split(), int(first))
    }


def pairs(text: str) -> dict[int, str]:
    """Return number to name of `number=name` words."""
    return {int(number): name for number, name in (word.split("=") for word in text.split())}


def table(target: str, entries: dict[int, str] | dict[str, str] | dict[str, int]) -> str:
    """Return the assignment of a dict literal, one entry a line."""
    lines = "".join(f"    {literal(key)}: {literal(value)},\n" for key, value in entries.items())
    return f"\n{target} = {{\n{lines}}}\n" if lines else f"\n{target} = {{}}\n"


def literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def fields_module() -> str:
    kinds = runs(FIELD_TYPES)
    words = "".join(f'        "{kind}",\n' for kind in kinds)
    by_name = {name: kind for kind, names in kinds.items() for name in names.split()}
    return (
        HEADER.format("Which of a record's fields has which kind of value.")
        + FIELDS_HEAD.format(words)
        + table("TYPES: dict[str, FieldType]", by_name)
    )


def rule_names_module() -> str:
    fields = counted(RULE_FIELDS)
    del fields[111]  # field_compare
    names = numbered(fields) | numbered(pairs(RULE_FIELD_ALIASES))
    operators = {word: int(value, 16) for word, value in runs(RULE_OPERATORS).items()}
    comparisons = "".join(
        f"    {code}: ({literal(left)}, {literal(right)}),\n"
        for code, (left, right) in (
            (code, both.split("-")) for code, both in counted(RULE_COMPARISONS).items()
        )
    )
    arches = {name: facts.split()[0] for name, facts in runs(MACHINES).items()}
    compatible = "".join(
        f"    {arches[wide]}: {arches[narrow]},\n"
        for wide, narrow in (pair.split("=") for pair in COMPATIBLE.split())
    )
    return (
        HEADER.format("The words of rules: lists, actions, operators, fields, comparisons.")
        + table("LISTS: dict[str, int]", numbered(pairs(RULE_LISTS)))
        + table("ACTIONS: dict[str, int]", numbered(pairs(RULE_ACTIONS)))
        + "\n# in the order in which they are looked for"
        + table("OPERATORS: dict[str, int]", operators)
        + table("FIELDS: dict[str, int]", names)
        + table("FIELD_NAMES: dict[int, str]", fields)
        + "\n# code to the two fields, as they are written"
        + f"\nCOMPARISONS: dict[int, tuple[str, str]] = {{\n{comparisons}}}\n"
        + "\n# a 64-bit machine's arch to the arch of the 32-bit programs it runs"
        + f"\nCOMPATIBLE: dict[int, int] = {{\n{compatible}}}\n"
    )


def rule_values_module() -> str:
    errnos = counted(ERRNOS)
    calls = "".join(
        f"    {literal(letter)}: (\n"
        + "".join(f"        {literal(call)},\n" for call in names.split())
        + "    ),\n"
        for letter, names in runs(PERMISSION_CALLS).items()
    )
    return (
        HEADER.format("Values in rules that have names: file types, file systems, errors.")
        + table("FILE_TYPES: dict[str, int]", numbered(pairs(FILE_TYPES)))
        + table("FILE_SYSTEMS: dict[str, int]", numbered(pairs(FILE_SYSTEMS)))
        + table("ERRNOS: dict[str, int]", numbered(errnos) | numbered(pairs(ERRNO_ALIASES)))
        + table("ERRNO_NAMES: dict[int, str]", errnos)
        + "\n# the calls that a permission stands for, where the machine has them"
        + f"\nPERMISSION_CALLS: dict[str, tuple[str, ...]] = {{\n{calls}}}\n"
    )


def numbered(names: dict[int, str]) -> dict[str, int]:
    """Return name to number."""
    return {name: number for number, name in names.items()}


def machines_module() -> str:
    machines = {name: facts.split() for name, facts in runs(MACHINES).items()}
    names = "".join(
        f'    {arch}: ("{name}", "{calls}"),\n' for name, (arch, calls, *_) in machines.items()
    )
    arches = "".join(
        f'    "{word}": {arch},\n'
        for name, (arch, _, *more) in machines.items()
        for word in (name, *more)
    )
    return (
        HEADER.format("Machines: what an arch= number is called and which syscall table it has.")
        + MACHINES_HEAD
        + "\n# arch to (name, table in auditd_py.tables.syscalls)\n"
        + f"MACHINES: dict[int, tuple[str, str]] = {{\n{names}}}\n"
        + MACHINES_TAIL % arches
    )


def syscalls_module(name: str) -> str:
    """Return the module of one syscall table: audit's names, and the kernel's as aliases."""
    names = pairs(runs(OLD_CALLS).get(name, ""))
    spellings = {other: number for number, other in pairs(runs(OTHER_NAMES).get(name, "")).items()}
    for source in reversed(runs(SOURCES)[name].split()):
        for call, marked in system_calls.syscalls().load_arch_table(source).items():
            spellings[call] = number = marked - OFFSETS.get(source, 0)
            names[number] = call
    names |= pairs(runs(AUDIT_NAMES).get(name, ""))
    written = set(names.values())
    aliases = {call: number for call, number in spellings.items() if call not in written}
    version = system_calls.syscalls().linux_version
    title = f"Syscalls of {name}, Linux {version}."
    return names_module(title, dict(sorted(names.items())), aliases)


def names_module(title: str, names: dict[int, str], aliases: dict[str, int]) -> str:
    return (
        HEADER.format(title)
        + table("NAMES: dict[int, str]", names)
        + "\n# understood, not written"
        + table("ALIASES: dict[str, int]", aliases)
    )


if __name__ == "__main__":
    sys.exit(main())
