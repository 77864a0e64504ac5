"""The pipes between the caller of spawn() and its child, from clone3(2) to execve(2)."""

from __future__ import annotations

import os
import time

from lab import errors
from lab.errors import CannotStart
from lab.pidfd import pid_of, send_signal
from lab.signals import SIGKILL
from lab.userns import write_id_mappings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lab.errors import LabError
    from lab.runtime.keeper import Keeper
    from lab.userns import Mappings

LENGTH, MAX_REPORT = 4, 1 << 16  # bytes; a pipe takes that in one write
REAP_TRIES, REAP_PAUSE = 1000, 0.001  # seconds
KILLED = "the process was killed before it began"


class Process:
    """A process that has been exec'ed inside a container.

    pid      as the host's /proc has it
    pidfd    for signals, and to poll for its end
    child    the pid to wait() for: the process itself, or its lifeline, which exits with the same code
    console  the master side of its pseudoterminal, or -1
    keeper   what ends its container if the engine dies, where that is no lifeline; release() it after the end
    """

    __slots__ = ("child", "console", "keeper", "pid", "pidfd")
    keeper: Keeper | None

    def __init__(self, pid: int, pidfd: int, child: int, console: int) -> None:
        self.pid, self.pidfd, self.child, self.console, self.keeper = pid, pidfd, child, console, None


class Link:
    """The pipes between a caller and the child that it is about to clone.

    status   from the child: its pid as the host's /proc has it (not for an exec, which must not see the host's /proc),
             then the error if it fails; end of file: it has exec'ed
    go       to the child: a message when the ids of its user namespace are mapped, if it has one, and a message before
             exec with the seccomp filter; end of file: the caller has died
    console  a socket on which the child sends its terminal's master side, if it has a terminal

    in_cgroup says that the child is born in its cgroup of version 2. A `with` closes everything at its end.
    """

    def __init__(self, tty: bool, in_cgroup: bool, tells_pid: bool = True) -> None:
        self.in_cgroup, self.reported = in_cgroup, not tells_pid
        self.status, self.child_status = os.pipe2(os.O_CLOEXEC)
        self.child_go, self.go = os.pipe2(os.O_CLOEXEC)
        self.console = self.child_console = None
        if tty:
            import socket  # costly, and only a terminal needs it

            self.console, self.child_console = socket.socketpair()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self.close_child_ends()
        os.close(self.status)
        os.close(self.go)
        if self.console:
            self.console.close()

    def close_child_ends(self) -> None:
        """The caller's copies of the child's ends; once they are closed, the child's death is an end of file here."""
        if self.child_go >= 0:
            os.close(self.child_status)
            os.close(self.child_go)
            self.child_status = self.child_go = -1
            if self.child_console:
                self.child_console.close()

    def finish(
        self,
        child: int,
        pidfd: int,
        *,
        mappings: tuple[Mappings, Mappings] = ([], []),
        prepare: Callable[[int], bytes] = lambda pid: b"",
        lifeline: bool = False,
    ) -> Generator[int, None, Process]:
        """The caller's side: map ids, let the child go, wait for exec. Raises what the child reported.

        child and pidfd are those of the process that was cloned: the command's, or its lifeline's. mappings are the
        ids of its user namespace, empty if it has none. prepare is called with the command's pid while the child
        builds its root on another processor; it returns the seccomp filter that the child gets before exec. An exec
        needs neither: its credentials are set already.
        """
        self.close_child_ends()
        try:
            if mappings[0]:
                write_id_mappings(child, *mappings)
                self._let_go()
            if self.reported:
                pid = pid_of(pidfd) if pidfd >= 0 else 0
            else:
                yield self.status
                pid = self._read_pid()
            if lifeline:
                os.close(pidfd)
                pidfd = -1  # give_up() must not close it again if the next line fails
                pidfd = self._open(pid)
            self._let_go(prepare(pid))
            yield self.status
            self._await_exec()
            return Process(pid, pidfd, child, self._receive_console())
        except BaseException:
            self.give_up(child, pidfd)
            raise

    def _open(self, pid: int) -> int:
        """A pidfd of the container's first process, which waits for the message on `go` or has reported an error."""
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            self._await_exec()
            raise CannotStart(KILLED) from None

    def give_up(self, child: int, pidfd: int) -> None:
        """Kill the child and reap it. Without a pidfd it has ended already."""
        if pidfd >= 0:
            send_signal(pidfd, SIGKILL)
            os.close(pidfd)
        _reap(child)

    def report_pid(self) -> None:
        """The child's side: write the pid, while /proc is still the host's."""
        os.write(self.child_status, int(os.readlink("/proc/self")).to_bytes(LENGTH, "little"))
        self.reported = True

    def report_failure(self, failure: LabError) -> None:
        """The child's side: write the error, behind an empty pid if none has been written."""
        os.write(self.child_status, ((b"" if self.reported else bytes(LENGTH)) + failure.to_bytes())[:MAX_REPORT])

    def await_go(self) -> bytes:
        """The child's side: wait for a message on `go`; returns the seccomp filter in it, which may be empty."""
        length = os.read(self.child_go, LENGTH)
        if len(length) < LENGTH:
            os._exit(125)
        return _read_exactly(self.child_go, int.from_bytes(length, "little"))

    def _let_go(self, program: bytes = b"") -> None:
        try:
            os.write(self.go, len(program).to_bytes(LENGTH, "little") + program)
        except BrokenPipeError:
            pass  # the child was killed; wait() will tell

    def _read_pid(self) -> int:
        pid = int.from_bytes(_read_exactly(self.status, LENGTH), "little")
        if pid == 0:
            self._await_exec()
            raise CannotStart(KILLED)
        return pid

    def _await_exec(self) -> None:
        # One read, not up to end of file: the writer may have been stopped since.
        if report := os.read(self.status, MAX_REPORT):
            raise errors.from_bytes(report)

    def _receive_console(self) -> int:
        if self.console is None:
            return -1
        import socket

        self.console.setblocking(False)
        try:
            fds = socket.recv_fds(self.console, 1, 1)[1]
        except BlockingIOError:
            fds = []
        if not fds:
            raise CannotStart(KILLED)
        return fds[0]


def _read_exactly(fd: int, length: int) -> bytes:
    """That many bytes from a pipe, or fewer if the pipe ends."""
    data = b""
    while len(data) < length and (chunk := os.read(fd, length - len(data))):
        data += chunk
    return data


def _reap(pid: int) -> None:
    """Wait for a killed process, but not for ever: a process that traces it can delay its end; ptrace(2)."""
    for _ in range(REAP_TRIES):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(REAP_PAUSE)
