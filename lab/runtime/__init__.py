"""The container runtime that both engines use: a mini-runc. Who calls spawn() is the one variable of this lab.

    spawn()       clone3(2) a container's first process
    spawn_into()  one more process for a running container (`exec`)
    wait()        its exit code

The caller must have one thread, for the reason given at lab.syscalls.clone3().
"""

from __future__ import annotations

import os

from lab import errors, syscalls
from lab.errors import CannotStart, LabError
from lab.runtime import process
from lab.syscalls import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from lab.spec import Spec

NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC


class Process:
    """A process that has been exec'ed inside a container. pid and pidfd are the caller's to wait for.

    console is the master side of its pseudoterminal, or -1.
    """

    __slots__ = ("console", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, console: int) -> None:
        self.pid, self.pidfd, self.console = pid, pidfd, console


def spawn(
    spec: Spec,
    stdio: Sequence[int] = (0, 1, 2),
    preserve_fds: int = 0,
    *,
    loginuid: int | None = None,
    before_exec: Callable[[int], None] | None = None,
) -> Process:
    """Start a container; returns when its command has been exec'ed.

    stdio holds the three descriptors that become 0, 1 and 2; with spec.tty they are not used. So many descriptors from
    3 on go in as they are: preserve_fds, as runc's option. loginuid is stamped on it: a fork inherits, so only a daemon
    has a use for that. before_exec is called with the pid while the child builds its root, on another processor; the
    command is exec'ed only after it has returned. Raises CommandNotFound, CommandNotExecutable or CannotStart, and then
    nothing is left of the container.
    """
    flags = NAMESPACES | (CLONE_NEWUSER if spec.uid_mappings else 0) | (CLONE_NEWNET if spec.network == "none" else 0)
    link = Link(spec.tty)
    pid, pidfd = _clone(flags, spec)
    if pid == 0:
        _child(link, lambda: process.first(spec, stdio, link, preserve_fds), loginuid)
    return link.finish(pid, pidfd, spec, before_exec)


def spawn_into(pidfd: int, spec: Spec, stdio: Sequence[int] = (0, 1, 2), *, loginuid: int | None = None) -> Process:
    """Start spec's command inside the running container whose first process is behind pidfd.

    setns(2) does not move the caller itself into a pid namespace, only its later children. So a first child joins,
    and its child (CLONE_PARENT: a sibling, ours to wait for) becomes the command; runc's nsenter does the same.
    """
    link = Link(spec.tty)
    report, reply = os.pipe2(os.O_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        _child(link, lambda: process.join(pidfd, spec, stdio, link, reply), loginuid)
    os.close(reply)
    with open(report, "rb") as file:
        pid = int(file.read() or 0)
    if pid == 0:
        return link.finish(helper, -1, None)
    os.waitpid(helper, 0)
    return link.finish(pid, os.pidfd_open(pid), None)


def wait(pid: int) -> int:
    """Reap a child; 0 to 255, or 128+n for death by signal n."""
    return exit_code(os.waitpid(pid, 0)[1])


def exit_code(status: int) -> int:
    """A status of waitpid(2) as the shells and both engines tell it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


class Link:
    """What ties a caller to the child that it is about to clone.

    status   the child writes why it failed; end of file means that exec has happened
    go       the child waits for a byte before it builds in a user namespace, whose ids the caller maps, and for one
             before exec; end of file tells it that the caller died
    console  the socket on which it sends its terminal's master side, if it has one
    """

    def __init__(self, tty: bool) -> None:
        self.status, self.child_status = os.pipe2(os.O_CLOEXEC)
        self.child_go, self.go = os.pipe2(os.O_CLOEXEC)
        self.console = self.child_console = None
        if tty:
            import socket  # 6 ms that only a terminal needs

            self.console, self.child_console = socket.socketpair()

    def finish(
        self, pid: int, pidfd: int, spec: Spec | None, before_exec: Callable[[int], None] | None = None
    ) -> Process:
        """The caller's side: map ids, let the child go, wait for exec. Raises what the child reported."""
        os.close(self.child_status)
        os.close(self.child_go)
        if self.child_console:
            self.child_console.close()
        try:
            if spec and spec.uid_mappings:
                process.write_id_mappings(pid, spec)
                self._let_go()
            if before_exec:
                before_exec(pid)
            self._let_go()
            failure = self._read_failure()
        except LabError as error:
            failure = error
        finally:
            os.close(self.go)
            os.close(self.status)
        if failure:
            os.waitpid(pid, 0)
            if pidfd >= 0:
                os.close(pidfd)
            raise failure
        return Process(pid, pidfd, self._receive_console())

    def _let_go(self) -> None:
        try:
            os.write(self.go, b"g")
        except BrokenPipeError:
            pass  # it was killed; wait() will tell

    def _read_failure(self) -> LabError | None:
        data = b""
        while chunk := os.read(self.status, 4096):
            data += chunk
        return errors.from_bytes(data) if data else None

    def _receive_console(self) -> int:
        if self.console is None:
            return -1
        import socket

        with self.console:
            return socket.recv_fds(self.console, 1, 1)[1][0]


def _clone(flags: int, spec: Spec) -> tuple[int, int]:
    try:
        return syscalls.clone3(flags)
    except OSError as error:
        wanted = "a user namespace" if spec.uid_mappings else "namespaces"
        raise CannotStart(
            f"the kernel refused {wanted}: {error.strerror}",
            "see user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns in sysctl(8)"
            if spec.uid_mappings
            else "run as root, or as an ordinary user without sudo for a rootless container",
        ) from None


def _child(link: Link, enter: Callable[[], NoReturn], loginuid: int | None) -> NoReturn:
    """Run enter(), which ends in exec; report what stopped it."""
    try:
        os.close(link.status)
        os.close(link.go)
        if loginuid is not None:
            process.stamp(loginuid)
        enter()
    except LabError as error:
        failure = error
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        failure = CannotStart(f"cannot set up the container:{where} {error.strerror}")
    except BaseException as error:  # nothing may escape into the caller's copied stack
        failure = CannotStart(f"cannot set up the container: {error!r}")
    os.write(link.child_status, failure.to_bytes())
    os._exit(125)
