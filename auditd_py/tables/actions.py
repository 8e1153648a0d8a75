"""What was done, in words: by record type, and by the class of a system call (ausearch --format text).

The words are those of the C tools, which scripts know.
"""

from __future__ import annotations

from functools import cache
from typing import Final

# record types that need no word of their own are in no table
ACTIONS: Final[dict[str, str]] = {
    "USER": "sent-message",
    "LOGIN": "changed-login-id-to",
    "USER_AUTH": "authenticated",
    "USER_ACCT": "was-authorized",
    "USER_MGMT": "modified-user-account",
    "CRED_ACQ": "acquired-credentials",
    "CRED_DISP": "disposed-credentials",
    "USER_START": "started-session",
    "USER_END": "ended-session",
    "USER_AVC": "accessed-mac-policy-controlled-object",
    "USER_CHAUTHTOK": "changed-password",
    "USER_ERR": "caused-account-error",
    "CRED_REFR": "refreshed-credentials",
    "USYS_CONFIG": "changed-configuration",
    "USER_LOGIN": "logged-in",
    "USER_LOGOUT": "logged-out",
    "ADD_USER": "added-user-account",
    "DEL_USER": "deleted-user-account",
    "ADD_GROUP": "added-group-account-to",
    "DEL_GROUP": "deleted-group-account-from",
    "DAC_CHECK": "access-result",
    "CHGRP_ID": "changed-group",
    "TEST": "sent-test",
    "USER_SELINUX_ERR": "access-error",
    "USER_CMD": "ran-command",
    "USER_TTY": "typed",
    "CHUSER_ID": "changed-user-id",
    "GRP_AUTH": "authenticated-to-group",
    "SYSTEM_BOOT": "booted-system",
    "SYSTEM_SHUTDOWN": "shutdown-system",
    "SYSTEM_RUNLEVEL": "changed-to-runlevel",
    "SERVICE_START": "started-service",
    "SERVICE_STOP": "stopped-service",
    "GRP_MGMT": "modified-group-account",
    "GRP_CHAUTHTOK": "changed-group-password",
    "MAC_CHECK": "mac-permission",
    "ACCT_LOCK": "locked-account",
    "ACCT_UNLOCK": "unlocked-account",
    "USER_DEVICE": "configured-device",
    "SOFTWARE_UPDATE": "installed-software",
    "DAEMON_START": "started-audit",
    "DAEMON_END": "shutdown-audit",
    "DAEMON_ABORT": "aborted-auditd-startup",
    "DAEMON_CONFIG": "changed-auditd-configuration",
    "DAEMON_RECONFIG": "reconfigured-auditd",
    "DAEMON_ROTATE": "rotated-audit-logs",
    "DAEMON_RESUME": "resumed-audit-logging",
    "DAEMON_ACCEPT": "remote-audit-connected",
    "DAEMON_CLOSE": "remote-audit-disconnected",
    "DAEMON_ERR": "audit-error",
    "CONFIG_CHANGE": "changed-audit-configuration",
    "TTY": "typed",
    "SECCOMP": "called-seccomp-controlled-syscall",
    "FEATURE_CHANGE": "changed-audit-feature",
    "KERN_MODULE": "loaded-kernel-module",
    "FANOTIFY": "accessed-policy-controlled-file",
    "URINGOP": "io_uring-operation",
    "AVC": "accessed-mac-policy-controlled-object",
    "MAC_POLICY_LOAD": "loaded-selinux-policy",
    "MAC_STATUS": "changed-selinux-enforcement-to",
    "MAC_CONFIG_CHANGE": "changed-selinux-boolean",
    "MAC_MAP_ADD": "added-mac-network-domain-mapping-to",
    "MAC_MAP_DEL": "deleted-mac-network-domain-mapping-from",
    "ANOM_PROMISCUOUS": "changed-socket-promiscuous-mode",
    "ANOM_ABEND": "crashed-program",
    "ANOM_LINK": "used-suspicious-link",
    "ANOM_CREAT": "created-suspicious-file",
    "KERNEL": "initialized-audit-subsystem",
    "ANOM_LOGIN_FAILURES": "failed-log-in-too-many-times-to",
    "ANOM_LOGIN_TIME": "attempted-log-in-during-unusual-hour-to",
    "ANOM_LOGIN_SESSIONS": "opened-too-many-sessions-to",
    "ANOM_LOGIN_LOCATION": "attempted-log-in-from-unusual-place-to",
    "ANOM_RBAC_INTEGRITY_FAIL": "tested-file-system-integrity-of",
    "ANOM_EXEC": "attempted-execution-of-forbidden-program",
    "USER_ROLE_CHANGE": "changed-role-to",
    "ROLE_ASSIGN": "assigned-user-role-to",
    "ROLE_REMOVE": "removed-user-role-from",
    "LABEL_OVERRIDE": "overrode-label-of",
    "LABEL_LEVEL_CHANGE": "modified-level-of",
    "FS_RELABEL": "relabeled-filesystem",
    "USER_MAC_POLICY_LOAD": "loaded-mac-policy",
    "ROLE_MODIFY": "modified-role",
    "USER_MAC_CONFIG_CHANGE": "changed-mac-configuration",
    "USER_MAC_STATUS": "changed-selinux-enforcement-to",
    "CRYPTO_LOGIN": "crypto-officer-logged-in",
    "CRYPTO_LOGOUT": "crypto-officer-logged-out",
    "CRYPTO_KEY_USER": "negotiated-crypto-key",
    "CRYPTO_SESSION": "started-crypto-session",
    "VIRT_CONTROL": "issued-vm-control",
    "VIRT_RESOURCE": "assigned-vm-resource",
    "VIRT_MACHINE_ID": "assigned-vm-id",
    "VIRT_INTEGRITY_CHECK": "checked-integrity-of",
    "VIRT_CREATE": "created-vm-image",
    "VIRT_DESTROY": "deleted-vm-image",
    "VIRT_MIGRATE_IN": "migrated-vm-from",
    "VIRT_MIGRATE_OUT": "migrated-vm-to",
}

_CLASSES: Final = {
    "file_stat": """
        access faccessat faccessat2 newfstatat stat fstat lstat stat64 statx getxattrat
        listxattrat file_getattr
    """,
    "file_chperm": """
        chmod fchmod fchmodat fchmodat2
    """,
    "file_chown": """
        chown fchown fchownat fchownat2 lchown
    """,
    "file_ldmod": """
        finit_module init_module
    """,
    "file_unldmod": """
        delete_module
    """,
    "file_chattr": """
        setxattr setxattrat fsetxattr lsetxattr mount_setattr file_setattr removexattr
        removexattrat fremovexattr lremovexattr
    """,
    "file_dir": """
        mkdir mkdirat
    """,
    "file_mount": """
        fsconfig fsmount fsopen fspick mount move_mount
    """,
    "file_sys_stat": """
        statfs fstatfs statmount
    """,
    "file": """
        creat fallocate truncate ftruncate memfd_create memfd_secret open openat openat2
        readlink readlinkat open_by_handle_at pidfd_getfd open_tree_attr
    """,
    "file_rename": """
        rename renameat renameat2
    """,
    "file_del": """
        rmdir unlink unlinkat
    """,
    "file_lnk": """
        symlink symlinkat
    """,
    "file_umnt": """
        umount umount2
    """,
    "file_time": """
        utime utimes futimesat utimensat
    """,
    "exec": """
        execve execveat
    """,
    "socket_accept": """
        accept accept4
    """,
    "socket_bind": """
        bind
    """,
    "socket_conn": """
        connect
    """,
    "socket_recv": """
        recvfrom recvmsg
    """,
    "socket_send": """
        sendmsg sendto
    """,
    "pid": """
        kill tkill tgkill
    """,
    "uid": """
        setuid seteuid setfsuid setreuid setresuid
    """,
    "gid": """
        setgid setegid setfsgid setregid setresgid
    """,
    "system_time": """
        settimeofday clock_settime clock_settime64 stime adjtimex
    """,
    "make_dev": """
        mknod mknodat
    """,
    "system_name": """
        sethostname setdomainname
    """,
    "system_memory": """
        mmap brk
    """,
    "scheduler": """
        sched_setparam sched_setscheduler sched_setattr
    """,
    "security_policy": """
        landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_set_self_attr mseal
    """,
    "security_attr": """
        lsm_get_self_attr
    """,
    "security_list": """
        lsm_list_modules
    """,
}

# class: action, kind of object
CLASS_ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "file": ("opened-file", "file"),
    "file_chattr": ("changed-file-attributes-of", "file"),
    "file_chperm": ("changed-file-permissions-of", "file"),
    "file_chown": ("changed-file-ownership-of", "file"),
    "file_ldmod": ("loaded-kernel-module", "file"),
    "file_unldmod": ("unloaded-kernel-module", "file"),
    "file_dir": ("created-directory", "file"),
    "file_mount": ("mounted", "file-system"),
    "file_rename": ("renamed", "file"),
    "file_stat": ("checked-metadata-of", "file"),
    "file_sys_stat": ("checked-filesystem-metadata-of", "file-system"),
    "file_lnk": ("symlinked", "file"),
    "file_umnt": ("unmounted", "file-system"),
    "file_del": ("deleted", "file"),
    "file_time": ("changed-timestamp-of", "file"),
    "exec": ("executed", "file"),
    "socket_accept": ("accepted-connection-from", "socket"),
    "socket_bind": ("bound-socket", "socket"),
    "socket_conn": ("connected-to", "socket"),
    "socket_recv": ("received-from", "socket"),
    "socket_send": ("sent-to", "socket"),
    "pid": ("killed-pid", "process"),
    "uid": ("changed-identity-of", "process"),
    "gid": ("changed-identity-of", "process"),
    "system_time": ("changed-system-time", "system"),
    "make_dev": ("make-device", "file"),
    "system_name": ("changed-system-name", "system"),
    "system_memory": ("allocated-memory", "memory"),
    "scheduler": ("adjusted-scheduling-policy-of", "process"),
    "security_policy": ("adjusted-security-policy-of", "security-policy"),
    "security_attr": ("retrieved-security-attr-of", "security-policy"),
    "security_list": ("listed-security-modules", "security-modules"),
}


@cache
def call_classes() -> dict[str, str]:
    """Return the class of each system call that has one, by its name."""
    return {name: group for group, names in _CLASSES.items() for name in names.split()}
