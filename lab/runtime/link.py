"""What ties the caller of spawn() to the child that it has cloned: pipes, from clone3(2) to execve(2)."""

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
    from lab.userns import Mappings

LENGTH, MAX_REPORT = 4, 1 << 16  # bytes; a pipe has room for that, so it is written at once
REAP_TRIES, REAP_PAUSE = 1000, 0.001  # seconds
KILLED = "the container's first process was killed before it began"


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


class Link:
    """What ties a caller to the child that it is about to clone.

    status   the child writes its pid as the host's /proc has it (not that of an exec, where the host's /proc must be
             out of sight), and later why it failed; end of file: it has exec'ed
    go       the child waits for a word before it builds in a user namespace, whose ids the caller maps, and for one
             before exec, which brings the seccomp filter; end of file tells it that the caller died
    console  the socket on which it sends its terminal's master side, if it has one

    in_cgroup says that the child is born in its cgroup of version 2. All is closed at the end of a `with`.
    """

    def __init__(self, tty: bool, in_cgroup: bool, tells_pid: bool = True) -> None:
        self.in_cgroup, self.reported = in_cgroup, not tells_pid
        self.status, self.child_status = os.pipe2(os.O_CLOEXEC)
        self.child_go, self.go = os.pipe2(os.O_CLOEXEC)
        self.console = self.child_console = None
        if tty:
            import socket  # 6 ms that only a terminal needs

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
                pidfd = -1  # closed once only, should the next line fail
                pidfd = self._open(pid)
            self._let_go(prepare(pid))
            yield self.status
            self._await_exec()
            return Process(pid, pidfd, child, self._receive_console())
        except BaseException:
            self.give_up(child, pidfd)
            raise

    def _open(self, pid: int) -> int:
        """A pidfd of the container's first process, which waits for our word or has reported its failure."""
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            self._await_exec()
            raise CannotStart(KILLED) from None

    def give_up(self, child: int, pidfd: int) -> None:
        """Kill what does not end by itself, and reap it."""
        if pidfd >= 0:
            send_signal(pidfd, SIGKILL)
            os.close(pidfd)
        _reap(child)

    def report_pid(self) -> None:
        """The child's side, while it sees the host's /proc: tell the pid."""
        os.write(self.child_status, int(os.readlink("/proc/self")).to_bytes(LENGTH, "little"))
        self.reported = True

    def report_failure(self, failure: LabError) -> None:
        """The child's side, too."""
        os.write(self.child_status, ((b"" if self.reported else bytes(LENGTH)) + failure.to_bytes())[:MAX_REPORT])

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
        if report := os.read(self.status, MAX_REPORT):  # not up to its end: who wrote it may have been stopped since
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
    """So many bytes from a pipe, or fewer if it ends."""
    data = b""
    while len(data) < length and (chunk := os.read(fd, length - len(data))):
        data += chunk
    return data


def _reap(pid: int) -> None:
    """Wait for a killed process, but not for ever: another that traces it can hold its end back; ptrace(2)."""
    for _ in range(REAP_TRIES):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(REAP_PAUSE)
