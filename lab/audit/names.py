"""Names of numbers in audit records. Sources: linux/audit.h, linux/capability.h, the fcntl and mount headers; a test
compares them with ausearch(8). The values are those of x86_64; aarch64 differs in four O_* flags (below).
"""


def _numbered(*runs: tuple[int, str]) -> dict[int, str]:
    return {number: name for first, names in runs for number, name in enumerate(names.split(), first)}


# Record types that a machine with containers can show; the kernel writes 1300 to 2099, and LOGIN (1006);
# programs write the rest.
RECORD_TYPES = _numbered(
    (1005, "USER LOGIN"),
    (
        1100,
        "USER_AUTH USER_ACCT USER_MGMT CRED_ACQ CRED_DISP USER_START USER_END USER_AVC USER_CHAUTHTOK USER_ERR "
        "CRED_REFR USYS_CONFIG USER_LOGIN USER_LOGOUT ADD_USER DEL_USER ADD_GROUP DEL_GROUP DAC_CHECK CHGRP_ID "
        "TEST TRUSTED_APP USER_SELINUX_ERR USER_CMD USER_TTY CHUSER_ID GRP_AUTH SYSTEM_BOOT SYSTEM_SHUTDOWN "
        "SYSTEM_RUNLEVEL SERVICE_START SERVICE_STOP GRP_MGMT GRP_CHAUTHTOK MAC_CHECK ACCT_LOCK ACCT_UNLOCK "
        "USER_DEVICE SOFTWARE_UPDATE",
    ),
    (1200, "DAEMON_START DAEMON_END DAEMON_ABORT DAEMON_CONFIG"),
    (1205, "DAEMON_ROTATE DAEMON_RESUME DAEMON_ACCEPT DAEMON_CLOSE DAEMON_ERR"),
    (1300, "SYSCALL"),
    (1302, "PATH IPC SOCKETCALL CONFIG_CHANGE SOCKADDR CWD"),
    (1309, "EXECVE"),
    (
        1311,
        "IPC_SET_PERM MQ_OPEN MQ_SENDRECV MQ_NOTIFY MQ_GETSETATTR KERNEL_OTHER FD_PAIR OBJ_PID TTY EOE BPRM_FCAPS "
        "CAPSET MMAP NETFILTER_PKT NETFILTER_CFG SECCOMP PROCTITLE FEATURE_CHANGE",
    ),
    (
        1330,
        "KERN_MODULE FANOTIFY TIME_INJOFFSET TIME_ADJNTPVAL BPF EVENT_LISTENER URINGOP OPENAT2 DM_CTRL DM_EVENT",
    ),
    (
        1400,
        "AVC SELINUX_ERR AVC_PATH MAC_POLICY_LOAD MAC_STATUS MAC_CONFIG_CHANGE MAC_UNLBL_ALLOW MAC_CIPSOV4_ADD "
        "MAC_CIPSOV4_DEL MAC_MAP_ADD MAC_MAP_DEL MAC_IPSEC_ADDSA MAC_IPSEC_DELSA MAC_IPSEC_ADDSPD "
        "MAC_IPSEC_DELSPD MAC_IPSEC_EVENT MAC_UNLBL_STCADD MAC_UNLBL_STCDEL MAC_CALIPSO_ADD MAC_CALIPSO_DEL",
    ),
    (
        1500,
        "APPARMOR APPARMOR_AUDIT APPARMOR_ALLOWED APPARMOR_DENIED APPARMOR_HINT APPARMOR_STATUS APPARMOR_ERROR "
        "APPARMOR_KILL",
    ),
    (1700, "ANOM_PROMISCUOUS ANOM_ABEND ANOM_LINK ANOM_CREAT"),
    (2000, "KERNEL"),
    (
        2500,
        "VIRT_CONTROL VIRT_RESOURCE VIRT_MACHINE_ID VIRT_INTEGRITY_CHECK VIRT_CREATE VIRT_DESTROY VIRT_MIGRATE_IN "
        "VIRT_MIGRATE_OUT",
    ),
)
TYPE_NUMBERS = {name: number for number, name in RECORD_TYPES.items()}

CAPABILITIES = _numbered(
    (
        0,
        "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
        "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct "
        "sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control "
        "setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore",
    ),
)

FILE_TYPES = {
    0o140000: "socket", 0o120000: "link", 0o100000: "file", 0o060000: "block", 0o040000: "dir",
    0o020000: "character", 0o010000: "fifo",
}  # fmt: skip

OPEN_FLAGS = {
    0o1: "O_WRONLY", 0o2: "O_RDWR", 0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC",
    0o2000: "O_APPEND", 0o4000: "O_NONBLOCK", 0o10000: "O_DSYNC", 0o20000: "O_ASYNC", 0o40000: "O_DIRECT",
    0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW", 0o1000000: "O_NOATIME", 0o2000000: "O_CLOEXEC",
    0o4000000: "__O_SYNC", 0o10000000: "O_PATH", 0o20000000: "__O_TMPFILE",
}  # fmt: skip
# arch/arm64/include/uapi/asm/fcntl.h
OPEN_FLAGS_AARCH64 = {
    **{bit: name for bit, name in OPEN_FLAGS.items() if name not in ("O_DIRECT", "O_DIRECTORY", "O_NOFOLLOW")},
    0o40000: "O_DIRECTORY", 0o100000: "O_NOFOLLOW", 0o200000: "O_DIRECT",
}  # fmt: skip

CLONE_FLAGS = {
    0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND", 0x2000: "CLONE_PTRACE",
    0x4000: "CLONE_VFORK", 0x8000: "CLONE_PARENT", 0x10000: "CLONE_THREAD", 0x20000: "CLONE_NEWNS",
    0x40000: "CLONE_SYSVSEM", 0x80000: "CLONE_SETTLS", 0x100000: "CLONE_PARENT_SETTID",
    0x200000: "CLONE_CHILD_CLEARTID", 0x400000: "CLONE_DETACHED", 0x800000: "CLONE_UNTRACED",
    0x1000000: "CLONE_CHILD_SETTID", 0x2000000: "CLONE_STOPPED", 0x4000000: "CLONE_NEWUTS",
    0x8000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER", 0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET", 0x80000000: "CLONE_IO",
}  # fmt: skip

MOUNT_FLAGS = {
    1 << bit: f"MS_{name}"
    for bit, name in _numbered(
        (0, "RDONLY NOSUID NODEV NOEXEC SYNCHRONOUS REMOUNT MANDLOCK DIRSYNC"), (10, "NOATIME NODIRATIME BIND MOVE"),
        (14, "REC SILENT POSIXACL UNBINDABLE PRIVATE SLAVE SHARED RELATIME KERNMOUNT I_VERSION STRICTATIME LAZYTIME"),
    ).items()
}  # fmt: skip
UMOUNT_FLAGS = {1: "MNT_FORCE", 2: "MNT_DETACH", 4: "MNT_EXPIRE", 8: "UMOUNT_NOFOLLOW"}
ACCESS_MODES = {1: "X_OK", 2: "W_OK", 4: "R_OK"}
PROTECTIONS = {1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC"}

MAP_FLAGS = {
    0x1: "MAP_SHARED", 0x2: "MAP_PRIVATE", 0x10: "MAP_FIXED", 0x20: "MAP_ANONYMOUS", 0x40: "MAP_32BIT",
    0x100: "MAP_GROWSDOWN", 0x800: "MAP_DENYWRITE", 0x1000: "MAP_EXECUTABLE", 0x2000: "MAP_LOCKED",
    0x4000: "MAP_NORESERVE", 0x8000: "MAP_POPULATE", 0x10000: "MAP_NONBLOCK", 0x20000: "MAP_STACK",
    0x40000: "MAP_HUGETLB", 0x80000: "MAP_SYNC", 0x100000: "MAP_FIXED_NOREPLACE",
}  # fmt: skip

PRCTL_OPTIONS = {
    1: "PR_SET_PDEATHSIG", 2: "PR_GET_PDEATHSIG", 3: "PR_GET_DUMPABLE", 4: "PR_SET_DUMPABLE", 7: "PR_GET_KEEPCAPS",
    8: "PR_SET_KEEPCAPS", 15: "PR_SET_NAME", 16: "PR_GET_NAME", 21: "PR_GET_SECCOMP", 22: "PR_SET_SECCOMP",
    23: "PR_CAPBSET_READ", 24: "PR_CAPBSET_DROP", 27: "PR_GET_SECUREBITS", 28: "PR_SET_SECUREBITS",
    36: "PR_SET_CHILD_SUBREAPER", 37: "PR_GET_CHILD_SUBREAPER", 38: "PR_SET_NO_NEW_PRIVS",
    39: "PR_GET_NO_NEW_PRIVS", 47: "PR_CAP_AMBIENT",
}  # fmt: skip
SOCKET_FAMILIES = {1: "local", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock"}
SOCKET_TYPES = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET"}
SECCOMP_ACTIONS = {
    0x80000000: "kill-process", 0: "kill", 0x30000: "trap", 0x50000: "errno", 0x7FC00000: "user-notify",
    0x7FF00000: "trace", 0x7FFC0000: "log", 0x7FFF0000: "allow",
}  # fmt: skip
