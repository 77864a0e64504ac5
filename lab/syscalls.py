"""The system calls that Python lacks, one function each with the name of its man page; errno becomes OSError.

Numbers are listed only for calls without a wrapper in the C library. Those from 424 up are the same on every
architecture (Documentation/process/adding-syscalls.rst); clone(2), keyctl(2) and pivot_root(2) are older.
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# PyDLL holds the interpreter's lock during a call, so the child of clone3(2) holds it as its parent did.
libc = ctypes.PyDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.sethostname.argtypes = libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
libc.capset.argtypes = (ctypes.c_void_p, ctypes.c_void_p)


def _prototype(*argtypes: type[ctypes._SimpleCData[Any]]) -> ctypes._FuncPointer:
    """syscall(2) for one call's argument types. It is variadic: the upper half of an untyped int would be undefined."""
    function = libc["syscall"]
    function.restype, function.argtypes = ctypes.c_long, (ctypes.c_long, *argtypes)
    return function


_clone = _prototype(*(ctypes.c_ulong,) * 5)
_clone3 = _prototype(ctypes.c_void_p, ctypes.c_size_t)
_close_range = _prototype(ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_keyctl = _prototype(ctypes.c_int, ctypes.c_char_p)
_fsconfig = _prototype(ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_fsmount = _prototype(ctypes.c_int, ctypes.c_uint, ctypes.c_uint)
_fsopen = _prototype(ctypes.c_char_p, ctypes.c_uint)
_mount_setattr = _prototype(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_size_t)
_move_mount = _prototype(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_open_tree = _prototype(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_openat2 = _prototype(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_pidfd_send_signal = _prototype(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_pivot_root = _prototype(ctypes.c_char_p, ctypes.c_char_p)

# (clone, keyctl, pivot_root)
SYS_clone, SYS_keyctl, SYS_pivot_root = {"x86_64": (56, 250, 155), "aarch64": (220, 219, 41)}.get(
    os.uname().machine, (-1, -1, -1)
)
SYS_pidfd_send_signal = 424
SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount = 428, 429, 430, 431, 432
SYS_clone3, SYS_close_range, SYS_openat2, SYS_mount_setattr = 435, 436, 437, 442

CLONE_PIDFD, CLONE_PARENT = 0x1000, 0x8000
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP, CLONE_INTO_CGROUP = 0x2000000, 0x200000000
KEYCTL_JOIN_SESSION_KEYRING = 1
SIGCHLD = 17
SIG_BLOCK, SFD_CLOEXEC = 0, os.O_CLOEXEC

MS_REC, MS_PRIVATE, MS_SLAVE, MNT_DETACH = 0x4000, 0x40000, 0x80000, 2
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 0x4, 0x40
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 1, 0, 1, 6
RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x01, 0x04, 0x10

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 4, 15, 22, 2
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 23, 24, 36, 38
LINUX_CAPABILITY_VERSION_3 = 0x20080522
SIGSET_BYTES = 128  # sizeof(sigset_t) of the C library
OPENAT2_TRIES = 1000  # of a fraction of a microsecond each
LAST_FD = 2**32 - 1  # ~0U, for close_range(): every descriptor from the first on


def _check(result: int, path: object = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _fields(kind: type[ctypes._SimpleCData[Any]], names: str) -> tuple[tuple[str, type[Any]], ...]:
    return tuple((name, kind) for name in names.split())


class CloneArgs(ctypes.Structure):
    """struct clone_args, linux/sched.h, as of Linux 5.7."""

    _fields_ = _fields(
        ctypes.c_uint64,
        "flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup",
    )


class MountAttr(ctypes.Structure):
    """struct mount_attr, linux/mount.h."""

    _fields_ = _fields(ctypes.c_uint64, "attr_set attr_clr propagation userns_fd")


class OpenHow(ctypes.Structure):
    """struct open_how, linux/openat2.h."""

    _fields_ = _fields(ctypes.c_uint64, "flags mode resolve")


class CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct, linux/capability.h; pid 0 is the caller."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    """struct __user_cap_data_struct: 32 capabilities; version 3 has two of these, the low ones first."""

    _fields_ = _fields(ctypes.c_uint32, "effective permitted inheritable")


class SockFprog(ctypes.Structure):
    """struct sock_fprog, linux/filter.h."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def clone3(flags: int, *, set_tid: int = 0, cgroup: int = -1) -> tuple[int, int]:
    """Like fork(2), into new namespaces: (pid, pidfd) in the parent, (0, -1) in the child; clone(2).

    os.fork() takes no flags, and after unshare(CLONE_NEWPID) the caller could fork only once. The caller must have one
    thread only: the child has no other, so a lock that another thread holds would stay locked there for ever. The child
    must end by exec or os._exit().

    set_tid   the pid that the child gets (Linux 5.5); EEXIST if that is in use
    cgroup    descriptor of a directory of cgroup version 2, in which the child is born (Linux 5.7)
    """
    pidfd, tid = ctypes.c_int(-1), ctypes.c_int(set_tid)
    arguments = CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=SIGCHLD)
    if set_tid:
        arguments.set_tid, arguments.set_tid_size = ctypes.addressof(tid), 1
    if cgroup >= 0:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    pid = _check(_clone3(SYS_clone3, ctypes.addressof(arguments), ctypes.sizeof(arguments)))
    return pid, pidfd.value


def fork_sibling() -> int:
    """As fork(2), but the child becomes a child of the caller's parent: CLONE_PARENT of clone(2).

    This uses clone(2), since the caller may be under Docker's seccomp policy already, which refuses clone3(2). The
    conditions of clone3() hold here, too.
    """
    return _check(_clone(SYS_clone, CLONE_PARENT, 0, 0, 0, 0))


def join_session_keyring() -> None:
    """Leave the inherited keys: the caller gets a new and empty session keyring; keyctl(2), keyrings(7)."""
    _check(_keyctl(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, None))


def setns(fd: int, flags: int) -> None:
    """Join the namespaces named by flags of the process behind a pidfd; setns(2)."""
    _check(libc.setns(fd, flags))


def unshare(flags: int) -> None:
    """Move the caller into new namespaces; unshare(2)."""
    _check(libc.unshare(flags))


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    _check(libc.mount(*(os.fsencode(text) for text in (source, target, fstype)), flags, os.fsencode(data)), target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); both arguments may be ".", as NOTES of the man page explain."""
    _check(_pivot_root(SYS_pivot_root, os.fsencode(new_root), os.fsencode(put_old)), new_root)


def open_tree(path: str, flags: int, dir_fd: int = AT_FDCWD) -> int:
    """A file descriptor for a (copy of a) mount tree; open_tree(2), Linux 5.2."""
    return _check(_open_tree(SYS_open_tree, dir_fd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC), path)


def move_mount(mount_fd: int, to_fd: int, to_path: str = "") -> None:
    """Attach a detached mount at to_path below to_fd, or at to_fd itself; move_mount(2), Linux 5.2."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    _check(_move_mount(SYS_move_mount, mount_fd, b"", to_fd, os.fsencode(to_path), flags), to_path)


def mount_setattr(mount_fd: int, attributes: int, flags: int = 0, propagation: int = 0) -> None:
    """Set MOUNT_ATTR_* and MS_SLAVE or the like on a mount (with AT_RECURSIVE: and all below it); mount_setattr(2)."""
    wanted = MountAttr(attr_set=attributes, propagation=propagation)
    flags |= AT_EMPTY_PATH
    _check(_mount_setattr(SYS_mount_setattr, mount_fd, b"", flags, ctypes.addressof(wanted), ctypes.sizeof(wanted)))


def new_filesystem(fstype: str, options: dict[str, str | None], attributes: int = 0) -> int:
    """A new, detached instance of a filesystem: fsopen(2), fsconfig(2), fsmount(2), Linux 5.2."""
    context = _check(_fsopen(SYS_fsopen, fstype.encode(), FSOPEN_CLOEXEC), fstype)
    try:
        for key, value in options.items():
            command = FSCONFIG_SET_FLAG if value is None else FSCONFIG_SET_STRING
            encoded = value.encode() if value is not None else None
            _check(_fsconfig(SYS_fsconfig, context, command, key.encode(), encoded, 0), f"{fstype}: {key}")
        _check(_fsconfig(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, None, None, 0), fstype)
        return _check(_fsmount(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes), fstype)
    finally:
        os.close(context)


def openat2(dir_fd: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2), Linux 5.6; with RESOLVE_IN_ROOT no symlink and no ".." leads out of dir_fd.

    For a path with ".." the kernel may ask to try again (EAGAIN): somebody has moved a file or a mount meanwhile.
    """
    how = OpenHow(flags=flags | os.O_CLOEXEC, resolve=resolve)
    arguments = (SYS_openat2, dir_fd, os.fsencode(path), ctypes.addressof(how), ctypes.sizeof(how))
    for _ in range(OPENAT2_TRIES):
        fd = _openat2(*arguments)
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return _check(fd, path)


def close_range(first: int, last: int) -> None:
    """Close all descriptors from first to last; close_range(2), Linux 5.9."""
    if first <= last:
        _check(_close_range(SYS_close_range, first, last, 0))


def sethostname(name: str) -> None:
    """sethostname(2)."""
    encoded = os.fsencode(name)
    _check(libc.sethostname(encoded, len(encoded)), name)


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    encoded = os.fsencode(name)
    _check(libc.setdomainname(encoded, len(encoded)), name)


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """prctl(2)."""
    return _check(libc.prctl(option, argument, second, 0, 0))


def set_seccomp_filter(program: bytes) -> None:
    """Bind the caller and its later children to an array of struct sock_filter; PR_SET_SECCOMP of prctl(2).

    The kernel asks for CAP_SYS_ADMIN in the caller's user namespace, or for NoNewPrivs.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    arguments = SockFprog(len(program) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(arguments))


def set_process_name(name: str) -> None:
    """The name in /proc/self/comm, at most 15 bytes; PR_SET_NAME of prctl(2)."""
    text = ctypes.create_string_buffer(name.encode())
    prctl(PR_SET_NAME, ctypes.addressof(text))


def capset(permitted: int) -> None:
    """Make this bit mask the effective and permitted capabilities, none inheritable; capset(2), version 3."""
    header = CapHeader(version=LINUX_CAPABILITY_VERSION_3)
    words = [permitted & 0xFFFFFFFF, permitted >> 32]
    data = (CapData * 2)(*(CapData(effective=word, permitted=word) for word in words))
    _check(libc.capset(ctypes.addressof(header), ctypes.addressof(data)))


def signalfd(signals: Iterable[int]) -> int:
    """Block these signals and receive them from a descriptor: signalfd(2), sigprocmask(2), sigaddset(3)."""
    mask = ctypes.create_string_buffer(SIGSET_BYTES)
    for number in signals:
        libc.sigaddset(mask, number)
    _check(libc.sigprocmask(SIG_BLOCK, mask, None))
    return _check(libc.signalfd(-1, mask, SFD_CLOEXEC))


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Signal the process behind a pidfd, never a later one with the same pid; pidfd_send_signal(2), Linux 5.1."""
    _check(_pidfd_send_signal(SYS_pidfd_send_signal, pidfd, number, None, 0))


def signal_default(number: int) -> None:
    """Undo SIG_IGN, which execve(2) would hand on; signal(2). Importing `signal` is costly; see docs/developer.md."""
    libc.signal(number, None)
