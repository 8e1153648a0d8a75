"""Rules and command lines for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from auditd_py.rules.rule import ALL_CALLS, EQUAL, NOT_EQUAL, STRING_FIELDS, Field, Rule
from auditd_py.tables.rule_names import FIELDS, LISTS, OPERATORS

U32 = st.integers(0, 0xFFFFFFFF)
STRINGS = st.binary(min_size=1, max_size=40)
CALLS = st.one_of(
    st.just(ALL_CALLS), st.integers(0, ALL_CALLS), st.integers(0, 400).map(lambda n: 1 << n)
)

FIELDS_OF_ANY_KIND = st.one_of(
    st.builds(
        Field,
        st.sampled_from(sorted(set(FIELDS.values()) - STRING_FIELDS)),
        st.sampled_from(sorted(OPERATORS.values())),
        U32,
    ),
    st.builds(
        Field, st.sampled_from(sorted(STRING_FIELDS)), st.sampled_from([EQUAL, NOT_EQUAL]), STRINGS
    ),
)

RULES = st.builds(
    Rule,
    st.sampled_from(sorted(LISTS.values())),
    st.sampled_from([0, 2]),
    CALLS,
    st.lists(FIELDS_OF_ANY_KIND, max_size=12).map(tuple),
    st.booleans(),
)

# words that come near to a command line, so that the fuzzer gets past its first option
_PIECES = st.sampled_from(
    [
        "-a", "-A", "-d", "-F", "-C", "-S", "-k", "-w", "-W", "-p", "-D", "-l", "-i", "-s", "-b",
        "-e", "-f", "-r", "-m", "-q", "-t", "-R", "-c", "--signal", "--reset-lost", "--", "-", "",
        "always,exit", "exit,never", "never,task", "always,exclude", "always,user", "entry,always",
        "always,filesystem", "always,io_uring", "possible,exit", "always,nolist", ",", "arch=b64",
        "arch=b32", "arch!=b64", "arch=aarch64", "arch=0x1", "uid=0", "auid>=1000", "auid!=unset",
        "exit=-EACCES", "exit=-13", "perm=wa", "perm>r", "path=/etc/passwd", "dir=/etc", "key=k",
        "exe=/bin/x", "msgtype=CWD", "a0&0xf", "a1=0xfffffffff", "sessionid=unset", "success=1",
        "filetype=dir", "fstype=tracefs", "saddr_fam=2", "inode=1", "uid!=euid", "=", "x=", "=x",
        "open", "openat,close", "all", "59", "99999", "/etc", "/etc/passwd", "rwxa", "key", "\udcff",
        "\x01", "a" * 300,
    ]
)  # fmt: skip
WORDS = st.lists(st.one_of(_PIECES, st.text(max_size=8)), max_size=14)

# options of rules that kernels take, some of them on some lists only
OPTIONS = st.lists(
    st.sampled_from(
        [
            "-F arch=b64 -S openat", "-F arch=b32 -S open,close", "-F auid>=1000", "-F auid!=unset",
            "-F uid=0", "-F gid!=4", "-F exit=-EPERM", "-F exit>=0", "-F success=1", "-F a0&=0xf",
            "-F a1=7", "-F pid=1", "-F ppid!=1", "-F pers=8", "-F path=/etc/x", "-F dir=/usr",
            "-F perm=wa", "-F filetype=file", "-F exe=/usr/bin/x", "-F sessionid=3", "-C uid!=euid",
            "-C auid!=obj_uid", "-F obj_uid=0", "-F saddr_fam=2", "-F inode=5", "-F devmajor=8",
            "-F msgtype=CWD", "-F fstype=debugfs", "-F key=k", "-k two", "-S execve", "-S all",
        ]
    ),
    max_size=6, unique=True,
)  # fmt: skip
LIST_WORDS = st.sampled_from(["exit", "exit", "user", "task", "exclude", "filesystem", "io_uring"])
