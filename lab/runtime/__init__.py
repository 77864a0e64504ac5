"""The container runtime that both engines use: a mini-runc. Who calls spawn(), or starting(), is the one variable.

    spawn()       clone3(2) a container's first process
    spawn_into()  one more process for a running container (`exec`)
    wait()        its exit code

    starting()    the steps of spawn(), and starting_into() those of spawn_into(), for a caller that must not wait

The caller must have one thread, for the reason given at lab.syscalls.clone3().
"""

from __future__ import annotations

import os

from lab import syscalls
from lab.errors import CannotStart, LabError
from lab.runtime import cgroup, child
from lab.runtime.compiled import policy
from lab.runtime.link import KILLED, Link, Process
from lab.spec import PRIVATE
from lab.syscalls import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import NoReturn

    from lab.runtime.keeper import Keeper
    from lab.spec import Spec

PID_DIGITS = 10
OWN_IPC = (PRIVATE, "shareable", "none")
NONE_JOINED: Mapping[str, int] = {}


def spawn(
    spec: Spec,
    stdio: Sequence[int] = (0, 1, 2),
    preserve_fds: int = 0,
    *,
    loginuid: int | None = None,
    lifeline: bool = False,
    on_clone: Callable[[int], None] | None = None,
    joined: Mapping[str, int] = NONE_JOINED,
) -> Process:
    """Start a container; returns when its command has been exec'ed.

    stdio         three descriptors that become 0, 1 and 2; with spec.tty they are not used
    preserve_fds  how many descriptors, from 3 up, the container inherits; runc has the same option
    loginuid      written to the container's process; only a daemon needs that: a fork copies the parent's loginuid
    lifeline      put a process above the container that ends it when the caller ends; lab.runtime.lifeline
    on_clone      called with the pid while the child builds its root; the command is exec'ed only after it returns
    joined        for each of "pid" and "ipc" that is "container:ID" in spec: a pidfd of that container's first process

    Raises CommandNotFound, CommandNotExecutable, CannotStart or MissingFeature; nothing is left of the container then.
    """
    return _complete(
        starting(
            spec, stdio, preserve_fds=preserve_fds, loginuid=loginuid, lifeline=lifeline, on_clone=on_clone,
            joined=joined,
        )
    )  # fmt: skip


def starting(
    spec: Spec,
    stdio: Sequence[int] = (0, 1, 2),
    *,
    preserve_fds: int = 0,
    loginuid: int | None = None,
    lifeline: bool = False,
    on_clone: Callable[[int], None] | None = None,
    joined: Mapping[str, int] = NONE_JOINED,
) -> Generator[int, None, Process]:
    """The steps of spawn(): yields each descriptor that must be readable before the next step can be taken.

    Calling this does nothing; the first next() forks. stdio and joined may be closed after the first step.
    """
    cgroup_fd = cgroup.create(spec) if spec.cgroup else -1
    keeper = None
    try:
        if spec.pid == "host" or (lifeline and spec.pid != PRIVATE):
            keeper = _keeper(spec)
        if "pid" in joined:
            steps = _starting_beside(spec, stdio, preserve_fds, loginuid, on_clone, joined, cgroup_fd)
        else:
            over = lifeline and not keeper
            steps = _starting_first(spec, stdio, preserve_fds, loginuid, over, on_clone, joined, cgroup_fd)
        process = yield from steps
        process.keeper = keeper
        return process
    except BaseException:
        cgroup.remove(spec.cgroup)
        if keeper:
            keeper.release()
        raise
    finally:
        if cgroup_fd >= 0:
            os.close(cgroup_fd)


def _keeper(spec: Spec) -> Keeper:
    from lab.runtime.keeper import Keeper

    return Keeper(spec.cgroup)


def _starting_first(
    spec: Spec, stdio: Sequence[int], preserve_fds: int, loginuid: int | None, lifeline: bool,
    on_clone: Callable[[int], None] | None, joined: Mapping[str, int], cgroup_fd: int,
) -> Generator[int, None, Process]:  # fmt: skip
    """starting() for a container that is the first in its pid namespace, or is in the caller's."""

    def clone_inside() -> int:
        return syscalls.clone3(_namespaces(spec), cgroup=cgroup_fd)[0]

    def prepare(pid: int) -> bytes:
        if on_clone:
            on_clone(pid)
        return policy(spec)

    with Link(spec.tty, in_cgroup=cgroup_fd >= 0) as link:
        user = CLONE_NEWUSER if spec.uid_mappings else 0
        if lifeline:
            pid, pidfd = _clone(user | CLONE_NEWPID, spec, -1)
        else:
            pid, pidfd = _clone(user | _namespaces(spec), spec, cgroup_fd)
        if pid == 0:
            clone = clone_inside if lifeline else None
            _child(link, lambda: child.first(spec, stdio, link, preserve_fds, clone, joined), loginuid)
        mappings = (spec.uid_mappings, spec.gid_mappings)
        return (yield from link.finish(pid, pidfd, mappings=mappings, prepare=prepare, lifeline=lifeline))


def _starting_beside(
    spec: Spec, stdio: Sequence[int], preserve_fds: int, loginuid: int | None,
    on_clone: Callable[[int], None] | None, joined: Mapping[str, int], cgroup_fd: int,
) -> Generator[int, None, Process]:  # fmt: skip
    """starting() for a container in another one's pid namespace, whose processes see it from its birth on.

    So it is not born as a copy of the engine: a helper outside builds its world first, as for an exec; child.join().
    """

    def prepare(pid: int) -> bytes:
        if on_clone:
            on_clone(pid)
        return b""

    def enter() -> None:
        child.build_world(spec, joined)

    with Link(spec.tty, in_cgroup=cgroup_fd >= 0, tells_pid=False) as link:
        helper = _clone_helper(link, enter, spec, stdio, loginuid, cgroup_fd, _namespaces(spec), preserve_fds)
        return (yield from _finish_helper(link, *helper, prepare))


def _namespaces(spec: Spec) -> int:
    """The CLONE_NEW* of a container, except CLONE_NEWUSER: a lifeline is in the container's user namespace."""
    flags = CLONE_NEWNS | (CLONE_NEWNET if spec.network == "none" else 0)
    flags |= (CLONE_NEWPID if spec.pid == PRIVATE else 0) | (CLONE_NEWUTS if spec.uts == PRIVATE else 0)
    return flags | (CLONE_NEWIPC if spec.ipc in OWN_IPC else 0)


def spawn_into(pidfd: int, spec: Spec, stdio: Sequence[int] = (0, 1, 2), *, loginuid: int | None = None) -> Process:
    """Start spec's command inside the running container whose first process is behind pidfd.

    setns(2) does not move the caller into a pid namespace, only the children that it makes later. So a helper joins
    the namespaces and then forks the command with CLONE_PARENT, as a child of ours; runc's nsenter does the same.
    Raises what spawn() raises.
    """
    return _complete(starting_into(pidfd, spec, stdio, loginuid=loginuid))


def starting_into(
    pidfd: int, spec: Spec, stdio: Sequence[int] = (0, 1, 2), *, loginuid: int | None = None
) -> Generator[int, None, Process]:
    """The steps of spawn_into(), as those of starting(). The container can delay the steps without limit."""
    cgroup_fd = cgroup.directory(spec)
    with Link(spec.tty, in_cgroup=cgroup_fd >= 0, tells_pid=False) as link:
        try:
            helper = _clone_helper(link, lambda: child.join_namespaces(pidfd, spec), spec, stdio, loginuid, cgroup_fd)
        finally:
            if cgroup_fd >= 0:
                os.close(cgroup_fd)
        return (yield from _finish_helper(link, *helper))


def _clone_helper(
    link: Link, enter: Callable[[], None], spec: Spec, stdio: Sequence[int], loginuid: int | None, cgroup_fd: int,
    flags: int = 0, preserve_fds: int = 0,
) -> tuple[int, int, int]:  # fmt: skip
    """The child that joins the container: its pid, its pidfd, and the pipe on which it tells the command's pid."""
    program = policy(spec)
    report, reply = os.pipe2(os.O_CLOEXEC)
    try:
        helper, helper_pidfd = _clone(flags, spec, cgroup_fd)
        if helper == 0:
            _child(link, lambda: child.join(enter, spec, stdio, link, reply, program, preserve_fds), loginuid)
        link.close_child_ends()
        return helper, helper_pidfd, report
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(reply)


def _finish_helper(
    link: Link, helper: int, helper_pidfd: int, report: int, prepare: Callable[[int], bytes] = lambda pid: b""
) -> Generator[int, None, Process]:
    """Wait for the helper's report, and then for the command that it has forked as a child of the caller."""
    try:
        with open(report, "rb", buffering=0) as file:
            yield report
            pid = int(file.read(PID_DIGITS) or 0)  # one read: the command holds the pipe's other end open, too
    except BaseException:  # such as GeneratorExit: the caller waits no longer
        link.give_up(helper, helper_pidfd)
        raise
    os.close(helper_pidfd)
    if pid == 0:
        yield from link.finish(helper, -1)  # raises what the helper has reported
        link.give_up(helper, -1)
        raise CannotStart(KILLED, "the container may have just ended")
    os.waitpid(helper, 0)
    return (yield from link.finish(pid, os.pidfd_open(pid), prepare=prepare))


def _complete(steps: Generator[int, None, Process]) -> Process:
    """Take all steps, and wait in each for what it waits for."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            process: Process = end.value
            return process


def wait(pid: int) -> int:
    """Reap a child; 0 to 255, or 128+n for death by signal n."""
    return exit_code(os.waitpid(pid, 0)[1])


def exit_code(status: int) -> int:
    """The exit code for a status of waitpid(2), as in a shell: 0 to 255, or 128+n for death by signal n."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _clone(flags: int, spec: Spec, cgroup_fd: int) -> tuple[int, int]:
    try:
        return syscalls.clone3(flags, cgroup=cgroup_fd)
    except OSError as error:
        wanted, hint = "namespaces", "run as root, or as an ordinary user without sudo for a rootless container"
        if spec.uid_mappings:
            wanted = "a user namespace"
            hint = "see user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns in sysctl(8)"
        raise CannotStart(f"the kernel refused {wanted}: {error.strerror}", hint) from None


def _child(link: Link, enter: Callable[[], NoReturn], loginuid: int | None) -> NoReturn:
    """Run enter(), which ends in exec; if it fails, report the reason and exit."""
    try:
        os.close(link.status)
        os.close(link.go)
        if loginuid is not None:
            child.stamp(loginuid)
        enter()
    except LabError as error:
        failure = error
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        failure = CannotStart(f"cannot set up the container:{where} {error.strerror}")
    except BaseException as error:  # this process has a copy of the caller's stack, and must not return into it
        failure = CannotStart(f"cannot set up the container: {error!r}")
    try:
        link.report_failure(failure)
    finally:  # a seccomp profile may forbid even the write
        os._exit(125)
