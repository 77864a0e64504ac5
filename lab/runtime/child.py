"""The container's side of spawn(): from clone3(2) or setns(2) to execve(2)."""

from __future__ import annotations

import errno
import os
import stat
import struct

from lab import syscalls
from lab.errors import CannotStart, CommandNotExecutable, CommandNotFound
from lab.runtime import cgroup, credentials, rootfs
from lab.runtime.lifeline import die_with_parent, stand_between
from lab.sealed import seal
from lab.signals import SIGPIPE, SIGXFSZ
from lab.spec import DEFAULT_PATH
from lab.userns import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from lab.runtime.link import Link
    from lab.spec import Spec

TIOCSCTTY, TIOCGWINSZ, TIOCSWINSZ = 0x540E, 0x5413, 0x5414  # ioctl_tty(2)
WINSIZE_BYTES = 8  # sizeof(struct winsize)
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # netdevice(7)
IFREQ = struct.Struct("16sh22x")  # struct ifreq: ifr_name, ifr_flags; the union behind the name has 24 bytes


def first(spec: Spec, stdio: Sequence[int], link: Link, preserve_fds: int, clone: Callable[[], int] | None) -> NoReturn:
    """Become the first process of a new container: pid 1 of its pid namespace.

    clone makes that process, if the calling one is to be its lifeline; None if the calling process itself is the first.
    """
    _import_and_seal(spec)
    if spec.uid_mappings:
        link.await_go()
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    if clone:
        stand_between(clone, link.child_go)
    link.report_pid()
    if spec.cgroup:
        cgroup.join(spec, link.in_cgroup)
    os.setsid()
    _leave_keys_behind()
    syscalls.sethostname(spec.hostname or os.uname().nodename)
    os.umask(0)
    rootfs.enter(spec)
    os.umask(0o022)
    if spec.network == "none":
        _loopback_up()
    _connect_stdio(spec, stdio, link)
    if spec.tty:
        _take_terminal()
    close_others(link.child_status, link.child_go, first=3 + preserve_fds)
    home = _take_identity(spec, link.await_go(), (0, 1, 2))
    die_with_parent(link.child_go)
    if spec.init:
        from lab.runtime import init  # imported above; here it only gets its name

        init.supervise(spec.tty, link.child_status)
    execute(spec, home)


def join(pidfd: int, spec: Spec, stdio: Sequence[int], link: Link, reply: int, program: bytes) -> NoReturn:
    """Enter the namespaces of the process behind pidfd, then become spec's command in a child there.

    The processes that run there already see the child from its birth on, and can stop it there. So it is born with the
    credentials, the seccomp filter and the keys that it will have, and non-dumpable: /proc/PID/{exe,mem,environ} would
    lead to the engine's. With CAP_SYS_PTRACE they can look at it even so, and take its descriptors, pidfd_getfd(2): it
    is born with its own three and the pipes to the engine, and none that leads out of the container.
    """
    _import_and_seal(spec)
    if spec.cgroup:
        cgroup.join(spec, link.in_cgroup)
    namespaces = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    if spec.uid_mappings:
        namespaces |= syscalls.CLONE_NEWUSER
    if spec.network != "host":  # the host's may not be joined from a user namespace, and is the caller's own
        namespaces |= syscalls.CLONE_NEWNET
    syscalls.setns(pidfd, namespaces)
    if spec.uid_mappings:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    _leave_keys_behind()
    os.umask(0o022)
    home = _take_identity(spec, program, () if spec.tty else stdio)
    _connect_stdio(spec, stdio, link)
    close_others(link.child_status, link.child_go, reply)
    pid = syscalls.fork_sibling()
    if pid:
        os.write(reply, str(pid).encode())
        os._exit(0)
    os.close(reply)
    os.setsid()  # not before the fork: the terminal is hung up when the leader of its session ends
    if spec.tty:
        _take_terminal()
    link.await_go()
    die_with_parent(link.child_go)
    execute(spec, home)


def _import_and_seal(spec: Spec) -> None:
    """The last imports of this process: from here on a path may lead to the image's files."""
    if spec.init:
        from lab.runtime import init  # noqa: F401
    if spec.network == "none" or spec.tty:
        import fcntl  # noqa: F401
        import socket  # noqa: F401
    seal()


def _leave_keys_behind() -> None:
    try:
        syscalls.join_session_keyring()
    except OSError as error:
        # A kernel without keys has none to leave behind; a filter that refuses keyctl(2) here, refuses it inside, too.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def stamp(loginuid: int) -> None:
    """Write the child's own loginuid, for an engine that is not the user's child. Raises CannotStart: fail closed.

    A new session id comes with it, never the user's; kernel/auditsc.c, audit_set_loginuid().
    """
    write_whole("/proc/self/loginuid", str(loginuid))


def _take_identity(spec: Spec, program: bytes, stdio: Sequence[int]) -> str:
    """Become the user, with the capabilities and under the policy that spec asks for; returns the home directory.

    The pipes or the terminal become the user's, too, who else could not open /dev/stdout, as runc does.
    Without NoNewPrivs a filter needs CAP_SYS_ADMIN, so it comes first; with it, it comes last, as in runc.
    """
    identity = credentials.look_up(spec.user)
    if identity.uid:
        for fd in stdio:
            if spec.tty or stat.S_ISFIFO(os.fstat(fd).st_mode):
                try:
                    os.fchown(fd, identity.uid, -1)
                except OSError:
                    pass  # such as a user that the user namespace has not: assume() says so
    may_setgroups = not spec.uid_mappings or len(spec.gid_mappings) > 1
    if program and not spec.no_new_privileges:
        syscalls.set_seccomp_filter(program)
    credentials.assume(
        identity, spec.capabilities, no_new_privileges=spec.no_new_privileges, may_setgroups=may_setgroups
    )
    if program and spec.no_new_privileges:
        syscalls.set_seccomp_filter(program)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # until exec, which makes it dumpable again
    return identity.home


def execute(spec: Spec, home: str) -> NoReturn:
    """Enter the working directory and exec. Raises CannotStart or a kind of it."""
    _change_directory(spec.cwd)
    for number in (SIGPIPE, SIGXFSZ):  # which Python ignores
        syscalls.signal_default(number)
    _exec(spec.args, {"HOME": home, **spec.env})


def _loopback_up() -> None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, IFREQ.pack(b"lo", IFF_UP | IFF_RUNNING))


def _connect_stdio(spec: Spec, stdio: Sequence[int], link: Link) -> None:
    if spec.tty and link.child_console:
        import fcntl
        import socket

        master, terminal = os.openpty()
        socket.send_fds(link.child_console, [b"t"], [master])
        try:  # before the command can ask for it; 0 still is the caller's, if that is a terminal
            fcntl.ioctl(terminal, TIOCSWINSZ, fcntl.ioctl(0, TIOCGWINSZ, bytes(WINSIZE_BYTES)))
        except OSError:
            pass
        stdio = (terminal, terminal, terminal)
        os.close(master)
    # First out of the way: one of the three may itself be 0, 1 or 2.
    copies = [os.dup(fd) for fd in stdio]
    for number, fd in enumerate(copies):
        os.dup2(fd, number, inheritable=True)


def _take_terminal() -> None:
    """Make standard input the controlling terminal of this new session; ioctl_tty(2)."""
    import fcntl

    fcntl.ioctl(0, TIOCSCTTY, 0)


def close_others(*kept: int, first: int = 3) -> None:
    """Close every descriptor from first on but those kept; they are closed by exec."""
    for fd in sorted(kept):
        syscalls.close_range(first, fd - 1)
        first = fd + 1
    syscalls.close_range(first, syscalls.LAST_FD)


def _change_directory(path: str) -> None:
    try:
        try:
            os.chdir(path)
        except FileNotFoundError:
            os.makedirs(path)
            os.chdir(path)
        os.getcwd()  # fails outside the root: a path through /proc/self/fd could have led there (CVE-2024-21626)
    except OSError as error:
        raise CannotStart(f'working directory "{path}": {error.strerror}', "name one that the image has") from None


def _exec(args: list[str], env: dict[str, str]) -> NoReturn:
    command = args[0]
    if "/" in command:
        candidates = [command]
    else:
        candidates = [f"{folder or '.'}/{command}" for folder in env.get("PATH", DEFAULT_PATH).split(":")]
    failure: OSError | None = None
    for path in candidates:
        try:
            os.execve(path, args, env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) or (failure is None and "/" in command):
                failure = error
    raise _explain(command, failure)


def _explain(command: str, failure: OSError | None) -> CannotStart:
    # The words are runc's: the docker command finds its exit code, 126 or 127, by them.
    if failure is None:
        return CommandNotFound(f'exec: "{command}": executable file not found in $PATH')
    reason = (failure.strerror or "").lower()
    if failure.errno in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFound(f'exec: "{command}": {reason}')
    if failure.errno == errno.E2BIG:
        return CannotStart(f'exec: "{command}": {reason}', "the arguments and the environment exceed execve(2)'s limit")
    return CommandNotExecutable(f'exec: "{command}": {reason}')
