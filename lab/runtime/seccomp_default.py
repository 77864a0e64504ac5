"""Docker's default policy: the system calls that a container may make, in the form of Docker's JSON.

Source: moby, profiles/seccomp/default.json, as of Docker 28; names of 32-bit machines and of others than x86_64 and
aarch64 are left out. What is not named here fails with EPERM.
"""

import errno

ALWAYS = """
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
    execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync
    ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu
    getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
    getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr listxattrat llistxattr
    lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
    mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
    nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
    process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom
    recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid
    setresuid setreuid setrlimit setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs
    sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes
    vfork vmsplice wait4 waitid write writev
"""
# What a capability is for: a container without the capability does not get the call either.
WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd
        setdomainname sethostname setns statmount syslog umount2 unshare
    """,
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime settimeofday",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}
ON_X86_64 = "arch_prctl modify_ldt"
PER_LINUX, PER_LINUX32, UNAME26, ASK_ONLY = 0, 8, 0x20000, 0xFFFFFFFF  # personality(2)
PERSONALITIES = (PER_LINUX, PER_LINUX32, UNAME26, UNAME26 | PER_LINUX32, ASK_ONLY)
NAMESPACE_FLAGS = 0x7E020000  # every CLONE_NEW* but CLONE_NEWTIME, which clone(2) does not take
AF_VSOCK = 40  # the way from a virtual machine to its host
LOWER_HALF: dict[str, object] = {"index": 0, "value": 0xFFFFFFFF, "op": "SCMP_CMP_MASKED_EQ"}


def _allow(names: str, **more: object) -> dict[str, object]:
    return {"names": names.split(), "action": "SCMP_ACT_ALLOW", **more}


def _argument(value: int, operator: str) -> list[dict[str, object]]:
    return [{"index": 0, "value": value, "op": operator}]


DEFAULT_PROFILE: dict[str, object] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [
        _allow(ALWAYS),
        _allow(ON_X86_64, includes={"arches": ["amd64"]}),
        *(_allow(names, includes={"caps": [name]}) for name, names in WITH_CAPABILITY.items()),
        *(_allow("personality", args=_argument(value, "SCMP_CMP_EQ")) for value in PERSONALITIES),
        # All but AF_VSOCK, of which the kernel looks at the lower half alone.
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{**LOWER_HALF, "valueTwo": AF_VSOCK}]},
        _allow("socket", args=_argument(0, "SCMP_CMP_GE")),
        _allow("clone", args=_argument(NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ"), excludes={"caps": ["CAP_SYS_ADMIN"]}),
        # A filter cannot look behind clone3's pointer at the flags. ENOSYS makes the C library use clone(2) instead.
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": errno.ENOSYS,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
    ],
}  # fmt: skip
