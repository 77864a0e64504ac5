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
from lab.runtime import cgroup, process
from lab.runtime.policy import policy
from lab.syscalls import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from lab.spec import Spec

LENGTH, MAX_REPORT = 4, 1 << 16  # bytes
SIGKILL = 9
KILLED = "the container's first process was killed before it began"
NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC


class Process:
    """A process that has been exec'ed inside a container.

    pid      as the host's /proc has it
    pidfd    for signals, and to poll for its end
    child    the caller's child to wait() for: the process itself, or its lifeline, which exits as the process did
    console  the master side of its pseudoterminal, or -1
    """

    __slots__ = ("child", "console", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, child: int, console: int) -> None:
        self.pid, self.pidfd, self.child, self.console = pid, pidfd, child, console


def spawn(
    spec: Spec,
    stdio: Sequence[int] = (0, 1, 2),
    preserve_fds: int = 0,
    *,
    loginuid: int | None = None,
    lifeline: bool = False,
    before_exec: Callable[[int], None] | None = None,
) -> Process:
    """Start a container; returns when its command has been exec'ed.

    stdio holds the three descriptors that become 0, 1 and 2; with spec.tty they are not used. preserve_fds, as runc's
    option: how many descriptors, from 3 up, the container inherits. loginuid is stamped on it: a fork inherits, so only
    a daemon has a use for that. With a lifeline the container cannot outlive the caller. before_exec is called with the
    pid while the child builds its root, on another processor; the command is exec'ed only after it has returned. Raises
    CommandNotFound, CommandNotExecutable, CannotStart or MissingFeature, and then nothing is left of the container.
    """
    place = cgroup.create(spec) if spec.cgroup else -1
    try:
        link = Link(spec.tty, in_cgroup=place >= 0)
        namespaces = NAMESPACES | (CLONE_NEWNET if spec.network == "none" else 0)
        above = (CLONE_NEWUSER if spec.uid_mappings else 0) | (CLONE_NEWPID if lifeline else namespaces)
        pid, pidfd = _clone(above, spec, place)
        if pid == 0:
            below = namespaces if lifeline else 0
            _child(link, lambda: process.first(spec, stdio, link, preserve_fds, below), loginuid)
        return link.finish(pid, pidfd, spec, before_exec, lifeline=lifeline)
    except LabError:
        cgroup.remove(spec.cgroup)
        raise
    finally:
        if place >= 0:
            os.close(place)


def spawn_into(pidfd: int, spec: Spec, stdio: Sequence[int] = (0, 1, 2), *, loginuid: int | None = None) -> Process:
    """Start spec's command inside the running container whose first process is behind pidfd.

    setns(2) does not move the caller itself into a pid namespace, only its later children. So a first child joins,
    and its child (CLONE_PARENT: a sibling, ours to wait for) becomes the command; runc's nsenter does the same.
    Raises what spawn() raises.
    """
    program, place = policy(spec), cgroup.directory(spec)
    link = Link(spec.tty, in_cgroup=place >= 0)
    report, reply = os.pipe2(os.O_CLOEXEC)
    helper, helper_pidfd = syscalls.clone3(0, cgroup=place)
    if helper == 0:
        _child(link, lambda: process.join(pidfd, spec, stdio, link, reply, program), loginuid)
    for fd in (reply, *([place] if place >= 0 else [])):
        os.close(fd)
    try:
        with open(report, "rb") as file:
            child = int(file.read() or 0)
    except BaseException:  # the caller waits no longer
        link.give_up(helper, helper_pidfd)
        raise
    os.close(helper_pidfd)
    if child == 0:
        return link.finish(helper, -1)
    os.waitpid(helper, 0)
    return link.finish(child, os.pidfd_open(child))


def wait(pid: int) -> int:
    """Reap a child; 0 to 255, or 128+n for death by signal n."""
    return exit_code(os.waitpid(pid, 0)[1])


def exit_code(status: int) -> int:
    """A status of waitpid(2) as the shells and both engines tell it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


class Link:
    """What ties a caller to the child that it is about to clone.

    status   the child writes its pid as the host's /proc has it, and later why it failed; end of file: it has exec'ed
    go       the child waits for a word before it builds in a user namespace, whose ids the caller maps, and for one
             before exec, which brings the seccomp filter; end of file tells it that the caller died
    console  the socket on which it sends its terminal's master side, if it has one

    in_cgroup says that the child is born in its cgroup of version 2.
    """

    def __init__(self, tty: bool, in_cgroup: bool) -> None:
        self.in_cgroup, self.reported = in_cgroup, False
        self.status, self.child_status = os.pipe2(os.O_CLOEXEC)
        self.child_go, self.go = os.pipe2(os.O_CLOEXEC)
        self.console = self.child_console = None
        if tty:
            import socket  # 6 ms that only a terminal needs

            self.console, self.child_console = socket.socketpair()

    def finish(
        self,
        child: int,
        pidfd: int,
        spec: Spec | None = None,
        before_exec: Callable[[int], None] | None = None,
        *,
        lifeline: bool = False,
    ) -> Process:
        """The caller's side: map ids, let the child go, wait for exec. Raises what the child reported.

        child and pidfd are those of the process that was cloned: the command's, or its lifeline's. spec is None for an
        exec, whose credentials are set already.
        """
        os.close(self.child_status)
        os.close(self.child_go)
        if self.child_console:
            self.child_console.close()
        try:
            if spec and spec.uid_mappings:
                process.write_id_mappings(child, spec)
                self._let_go()
            pid = self._read_pid()
            if lifeline:
                os.close(pidfd)
                pidfd = -1
                pidfd = self._open(pid)
            if before_exec:
                before_exec(pid)
            self._let_go(policy(spec) if spec else b"")
            self._await_exec()
            return Process(pid, pidfd, child, self._receive_console())
        except BaseException:
            self._give_up(child, pidfd)
            raise
        finally:
            self._close()

    def _open(self, pid: int) -> int:
        """A pidfd of the container's first process, which waits for our word or has reported its failure."""
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            self._await_exec()
            raise CannotStart(KILLED) from None

    def give_up(self, child: int, pidfd: int) -> None:
        """In place of finish()."""
        for fd in (self.child_status, self.child_go):
            os.close(fd)
        if self.child_console:
            self.child_console.close()
        self._close()
        self._give_up(child, pidfd)

    def _close(self) -> None:
        os.close(self.status)
        os.close(self.go)
        if self.console:
            self.console.close()

    def _give_up(self, child: int, pidfd: int) -> None:
        """Kill what does not end by itself, and reap it."""
        if pidfd >= 0:
            try:
                syscalls.pidfd_send_signal(pidfd, SIGKILL)
            except ProcessLookupError:
                pass
            os.close(pidfd)
        os.waitpid(child, 0)

    def report_pid(self, proc: str | int = "/proc") -> None:
        """The child's side: tell the pid. proc is the host's /proc, by path or descriptor."""
        name = os.readlink("self", dir_fd=proc) if isinstance(proc, int) else os.readlink(f"{proc}/self")
        os.write(self.child_status, int(name).to_bytes(LENGTH, "little"))
        self.reported = True

    def report_failure(self, failure: LabError) -> None:
        """The child's side, too."""
        os.write(self.child_status, (b"" if self.reported else bytes(LENGTH)) + failure.to_bytes())

    def await_go(self) -> bytes:
        """The child's side: wait for the caller's word, and return what comes with it."""
        length = os.read(self.child_go, LENGTH)
        if len(length) < LENGTH:
            os._exit(125)
        return _read_exactly(self.child_go, int.from_bytes(length, "little"))

    def _let_go(self, program: bytes = b"") -> None:
        try:
            os.write(self.go, len(program).to_bytes(LENGTH, "little") + program)
        except BrokenPipeError:
            pass  # it was killed; wait() will tell

    def _read_pid(self) -> int:
        pid = int.from_bytes(_read_exactly(self.status, LENGTH), "little")
        if pid == 0:
            self._await_exec()
            raise CannotStart(KILLED)
        return pid

    def _await_exec(self) -> None:
        if report := _read_exactly(self.status, MAX_REPORT):
            raise errors.from_bytes(report)

    def _receive_console(self) -> int:
        if self.console is None:
            return -1
        import socket

        return socket.recv_fds(self.console, 1, 1)[1][0]


def _read_exactly(fd: int, length: int) -> bytes:
    """So many bytes from a pipe, or fewer if it ends."""
    data = b""
    while len(data) < length and (chunk := os.read(fd, length - len(data))):
        data += chunk
    return data


def _clone(flags: int, spec: Spec, place: int) -> tuple[int, int]:
    try:
        return syscalls.clone3(flags, cgroup=place)
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
    link.report_failure(failure)
    os._exit(125)
