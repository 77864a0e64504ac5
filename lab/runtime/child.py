"""The container's side of spawn(): from clone3(2) or setns(2) to execve(2)."""

from __future__ import annotations

import errno
import os
import stat
import struct

from lab import syscalls
from lab.errors import CannotStart, CommandNotExecutable, CommandNotFound
from lab.runtime import cgroup, credentials, rootfs
from lab.runtime.descriptors import close_others, connect_stdio, take_terminal
from lab.runtime.lifeline import die_with_parent, stand_between
from lab.sealed import seal
from lab.signals import SIGPIPE, SIGXFSZ
from lab.spec import DEFAULT_PATH, PRIVATE, RLIMITS
from lab.userns import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from lab.runtime.link import Link
    from lab.spec import Spec

    Joined = Mapping[str, int]  # pidfds of other containers, for "pid" and "ipc"

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # netdevice(7)
IFREQ = struct.Struct("16sh22x")  # struct ifreq: ifr_name, ifr_flags; the union behind the name has 24 bytes


def first(
    spec: Spec, stdio: Sequence[int], link: Link, preserve_fds: int, clone: Callable[[], int] | None, joined: Joined
) -> NoReturn:
    """Become the first process of a new container: pid 1 of its pid namespace, unless it shares the host's.

    clone makes that process if the calling one is to be its lifeline; None: the calling process is the first itself.
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
    _set_oom_score(spec)
    build_world(spec, joined)
    connect_stdio(spec, stdio, link)
    if spec.tty:
        take_terminal()
    close_others(link.child_status, link.child_go, first=3 + preserve_fds)
    home = _take_identity(spec, link.await_go(), (0, 1, 2))
    die_with_parent(link.child_go)
    _supervise(spec, link)
    execute(spec, home)


def join(
    enter: Callable[[], None], spec: Spec, stdio: Sequence[int], link: Link, reply: int, program: bytes,
    preserve_fds: int = 0,
) -> NoReturn:  # fmt: skip
    """Enter the namespaces of another container, then become spec's command in a child there.

    enter is join_namespaces() for an exec, build_world() for a new container in the other one's pid namespace.

    The processes of the container see the child from its birth on, and can stop it there. So the child is born with its
    final credentials, seccomp filter and keys, and non-dumpable, since its /proc/PID/{exe,mem,environ} are still the
    engine's. With CAP_SYS_PTRACE the others can look at it even so, and take its descriptors by pidfd_getfd(2): it is
    born with its stdio and the pipes to the engine only, none of which leads out of the container.
    """
    _import_and_seal(spec)
    if spec.cgroup:
        cgroup.join(spec, link.in_cgroup)
    _set_oom_score(spec)
    enter()
    _leave_keys_behind()
    os.umask(0o022)
    home = _take_identity(spec, program, () if spec.tty else stdio)
    connect_stdio(spec, stdio, link)
    close_others(link.child_status, link.child_go, reply, first=3 + preserve_fds)
    pid = syscalls.fork_sibling()
    if pid:
        os.write(reply, str(pid).encode())
        os._exit(0)
    os.close(reply)
    os.setsid()  # after the fork, since the end of a session's leader hangs up the terminal
    if spec.tty:
        take_terminal()
    link.await_go()
    die_with_parent(link.child_go)
    _supervise(spec, link)
    execute(spec, home)


def _supervise(spec: Spec, link: Link) -> None:
    """With --init, go on in a child of the init."""
    if spec.init:
        from lab.runtime import init  # imported above; here it only gets its name

        init.supervise(spec.tty, link.child_status)


def build_world(spec: Spec, joined: Joined) -> None:
    """Fill the new namespaces: the host name, the root and, without the host's network, a loopback interface."""
    given = None
    if _shares(spec):
        from lab.runtime import sharing  # imported above; here it only gets its name

        given = sharing.enter(spec, joined)
    if spec.uts == PRIVATE:
        syscalls.sethostname(spec.hostname or os.uname().nodename)
        if spec.domainname:
            syscalls.setdomainname(spec.domainname)
    for name, value in spec.sysctl.items():  # before the new root: there, /proc/sys cannot be written
        write_whole(f"/proc/sys/{name.replace('.', '/')}", value)
    os.umask(0)
    rootfs.enter(spec, given)
    os.umask(0o022)
    if spec.network == "none":
        _loopback_up()


def _shares(spec: Spec) -> bool:
    """Whether there is more to do than to leave a namespace out of clone3(2)."""
    return spec.ipc == "host" or spec.cgroupns == PRIVATE or spec.joins


def _set_oom_score(spec: Spec) -> None:
    if spec.oom_score_adj is not None:
        write_whole("/proc/self/oom_score_adj", str(spec.oom_score_adj))


def join_namespaces(pidfd: int, spec: Spec) -> None:
    """Enter all namespaces of the container whose first process is behind pidfd."""
    namespaces = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID
    for mode, flag in ((spec.uts, syscalls.CLONE_NEWUTS), (spec.ipc, syscalls.CLONE_NEWIPC)):
        namespaces |= flag if mode != "host" else 0
    if spec.cgroupns == PRIVATE:
        namespaces |= syscalls.CLONE_NEWCGROUP
    if spec.uid_mappings:
        namespaces |= syscalls.CLONE_NEWUSER
    if spec.network != "host":  # the host's is the caller's already, and a user namespace may not join it
        namespaces |= syscalls.CLONE_NEWNET
    syscalls.setns(pidfd, namespaces)
    if spec.uid_mappings:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    if not os.path.isdir(spec.cwd):  # _change_directory() makes it, but an exec is to change nothing, as under runc
        raise CannotStart(f'working directory "{spec.cwd}": No such directory', "choose one that the container has")


def _import_and_seal(spec: Spec) -> None:
    """Make the last imports of this process: from here on a path may lead to the image's files."""
    if spec.init:
        from lab.runtime import init  # noqa: F401
    if _shares(spec):
        from lab.runtime import sharing  # noqa: F401
    if spec.rlimits:
        import resource  # noqa: F401
    if spec.network == "none" or spec.tty:
        import fcntl  # noqa: F401
        import socket  # noqa: F401
    seal()


def _leave_keys_behind() -> None:
    try:
        syscalls.join_session_keyring()
    except OSError as error:
        # ENOSYS: a kernel without keys. EPERM: a seccomp filter of the caller's, which holds for the container, too.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def stamp(loginuid: int) -> None:
    """Write the calling process's loginuid, for an engine that is not a child of the user. Raises CannotStart.

    The kernel gives a new session id with it, never the user's; kernel/auditsc.c, audit_set_loginuid().
    """
    write_whole("/proc/self/loginuid", str(loginuid))


def _take_identity(spec: Spec, program: bytes, stdio: Sequence[int]) -> str:
    """Become the user, with the capabilities and under the policy that spec asks for; returns the home directory.

    The pipes or the terminal are given to the user, who could not open /dev/stdout otherwise; runc does the same.
    Without NoNewPrivs a filter needs CAP_SYS_ADMIN, so it is set first; with NoNewPrivs it is set last, as in runc.
    """
    identity = credentials.look_up(spec.user, spec.groups)
    if spec.rlimits:
        _set_limits(spec, hard_only=True)
    if identity.uid:
        for fd in stdio:
            if spec.tty or stat.S_ISFIFO(os.fstat(fd).st_mode):
                try:
                    os.fchown(fd, identity.uid, -1)
                except OSError:
                    pass  # such as a user that the user namespace lacks: assume() reports that
    may_setgroups = not spec.uid_mappings or len(spec.gid_mappings) > 1
    if program and not spec.no_new_privileges:
        syscalls.set_seccomp_filter(program)
    credentials.assume(
        identity, spec.capabilities, no_new_privileges=spec.no_new_privileges, may_setgroups=may_setgroups
    )
    if program and spec.no_new_privileges:
        syscalls.set_seccomp_filter(program)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # until exec, which makes the process dumpable again
    return identity.home


def _set_limits(spec: Spec, *, hard_only: bool) -> None:
    """Set the process's limits; to raise a hard one takes CAP_SYS_RESOURCE. Raises CannotStart.

    hard_only: raise what is to be raised, while there are capabilities. The rest waits for the last moment: with few
    open files or little memory, this process itself could not go on.
    """
    import resource  # imported above; here it only gets its name

    for name, soft, hard in spec.rlimits:
        number = RLIMITS.index(name)
        now, most = resource.getrlimit(number)
        if hard_only and (most == -1 or 0 <= hard <= most):
            continue
        try:
            resource.setrlimit(number, (now, hard) if hard_only else (soft, hard))
        except (OSError, ValueError) as error:  # ValueError: EPERM and EINVAL, in Python's words
            raise CannotStart(
                f"error setting rlimit {name} to {soft}:{hard}: {error}",
                f"the engine's own hard limit is {most}; only CAP_SYS_RESOURCE may raise it",
            ) from None


def execute(spec: Spec, home: str) -> NoReturn:
    """Enter the working directory and exec. Raises CannotStart or a kind of it."""
    _change_directory(spec.cwd)
    for number in (SIGPIPE, SIGXFSZ):  # Python ignores these two
        syscalls.signal_default(number)
    if spec.rlimits:
        _set_limits(spec, hard_only=False)
    _exec(spec.args, {"HOME": home, **spec.env})


def _loopback_up() -> None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, IFREQ.pack(b"lo", IFF_UP | IFF_RUNNING))


def _change_directory(path: str) -> None:
    try:
        try:
            os.chdir(path)
        except FileNotFoundError:
            os.makedirs(path)
            os.chdir(path)
        os.getcwd()  # fails outside the root, where a path through /proc/self/fd can lead (CVE-2024-21626)
    except OSError as error:
        raise CannotStart(
            f'working directory "{path}": {error.strerror}', "choose a directory that the image has"
        ) from None


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
    # runc's words: the docker command chooses its exit code, 126 or 127, by them.
    if failure is None:
        return CommandNotFound(f'exec: "{command}": executable file not found in $PATH')
    reason = (failure.strerror or "").lower()
    if failure.errno in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFound(f'exec: "{command}": {reason}')
    if failure.errno == errno.E2BIG:
        return CannotStart(f'exec: "{command}": {reason}', "the arguments and the environment exceed execve(2)'s limit")
    return CommandNotExecutable(f'exec: "{command}": {reason}')
