"""The helper process that makes the containers: labd execs it once; it has one thread, and no asyncio.

A threaded server must not clone(2): the child would inherit locks held by threads that do not exist in it. So labd
sends each Spec here, and this process is the parent of every container: it reaps them and reports their exit codes.

    labd                            spawner                         the process in the container
    write end of a pipe             read end ---------------------> 0
    read ends of two pipes          write ends -------------------> 1 and 2
    request + those three ends ===> closed here once the child has its copies
                                    link's `go` ------------------> read before it execs
                                    link's `status` <-------------- its pid, its error; end of file: it has exec'ed
    reply + pidfd[, console] <===== pidfd of clone3(2), console <-- sent over link's socket pair, with -t
    spawner.lock                    inherited: it is free again once both processes have ended

    ===  the one socketpair(2) between the two; daemon.programs.messages has its form.  link: lab.runtime.link

    request  {"id", "key", "spec", "into", "loginuid", "joined"}    + stdin, stdout, stderr[, a pidfd for each joined]
             {"kill": key}                                kill that process: labd had no room for its descriptors
    reply    {"id", "pid"} + pidfd[, console]   or   {"id", "error"}   error: LabError.to_bytes() as text
    report   {"exit": key, "code", "oom_killed"}

    id       the request's number; its reply carries the same
    key      the process's name between the two: the container's id or the exec's id; its report carries the same
    joined   ["pid"], ["ipc"] or both: which namespaces of other containers the container joins; lab.runtime.spawn()
    into     for an exec the key of the container in which the process starts; "" for a container

If labd dies, the socket ends: then all containers are killed and reaped here, and each exit code goes into the
container's state on disk, so that the next labd knows how the container ended. This process is the first of a pid
namespace: if it dies, the kernel kills all containers, and no process in them can prevent that; pid_namespaces(7).

No process can leave its pid namespace upwards. So the containers of --pid host have a second spawner, which stays in
labd's pid namespace; there each container has a keeper (lab.runtime.keeper).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from daemon.programs.messages import LOST, Inbox, close_all, pack
from lab import runtime, syscalls
from lab.errors import CannotStart, LabError, NoSuchContainer
from lab.pidfd import send_signal
from lab.runtime import cgroup, cgroup_control
from lab.spec import Spec
from lab.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lab.runtime.link import Process

    Steps = Generator[int, None, Process]

HELD_MILLISECONDS = 50  # between two tries to reap a process that another one traces
BEGIN_SECONDS = 10  # a start that takes longer is given up


class Child:
    """A process that the spawner must reap. cgroup is the container's to remove at the end; None for an exec."""

    def __init__(self, key: str, cgroup: str | None, process: Process) -> None:
        self.key, self.cgroup, self.process = key, cgroup, process

    def remove_cgroup(self) -> bool:
        """For after the container's end; True if the kernel had killed a process at the memory limit."""
        oom_killed = cgroup.remove(self.cgroup) if self.cgroup else False
        if self.process.keeper:
            self.process.keeper.release()
        return oom_killed


class Spawner:
    """The loop: requests from labd on one side, the ends of children on the other."""

    def __init__(self, connection: socket.socket, store: Store) -> None:
        self.connection, self.inbox, self.store = connection, Inbox(), store
        self.children: dict[int, Child] = {}  # by pidfd
        # By the descriptor that a start waits for: its request, its remaining steps, its deadline.
        self.starting: dict[int, tuple[dict[str, Any], Steps, float]] = {}
        self.held: list[int] = []  # pidfds of children that have ended but that a tracer keeps; see _report_end()
        self.poll = select.poll()
        self.poll.register(connection, select.POLLIN)

    def run(self) -> None:
        """Serve until labd has ended, then end every container."""
        while self._turn():
            pass
        self._end_all()

    def _turn(self) -> bool:
        for fd, _ in self.poll.poll(self._patience()):
            if fd in self.children:
                self.poll.unregister(fd)
                self.held.append(fd)
            elif fd in self.starting:
                self.poll.unregister(fd)
                request, steps, deadline = self.starting.pop(fd)
                self._go_on(request, steps, deadline)
            elif not self.inbox.receive(self.connection):
                return False
        self.held = [pidfd for pidfd in self.held if not self._report_end(pidfd)]
        self._give_up_late_ones()
        while message := self.inbox.next():
            self._answer(*message)
        return True

    def _patience(self) -> float | None:
        """Milliseconds until the next deadline, or until held children are tried again; None: wait for descriptors."""
        times = [1000 * (deadline - time.monotonic()) for _, _, deadline in self.starting.values()]
        if self.held:
            times.append(HELD_MILLISECONDS)
        return max(0.0, min(times)) if times else None

    def _give_up_late_ones(self) -> None:
        """Give up each start that takes too long: a filesystem or the cgroup freezer can delay it without limit."""
        for fd, (request, steps, deadline) in list(self.starting.items()):
            if time.monotonic() >= deadline:
                self.poll.unregister(fd)
                del self.starting[fd]
                steps.close()
                late = f"the process did not begin within {BEGIN_SECONDS} seconds"
                self._refuse(request, CannotStart(late, "the container may be frozen: see cgroup.freeze in its cgroup"))

    def _answer(self, request: dict[str, Any], stdio: list[int]) -> None:
        if "kill" in request:
            self._kill(request["kill"])
            return
        try:
            self._go_on(request, self._spawn(request, stdio), time.monotonic() + BEGIN_SECONDS)
        finally:
            close_all(stdio)

    def _kill(self, key: str) -> None:
        for pidfd, child in self.children.items():
            if child.key == key:
                send_signal(pidfd, signal.SIGKILL)

    def _go_on(self, request: dict[str, Any], steps: Steps, deadline: float) -> None:
        """Take the next step of a start. No step may block: a container can stop a process that is started in it."""
        try:
            awaited = next(steps)
            self.starting[awaited] = request, steps, deadline
            self.poll.register(awaited, select.POLLIN)
        except StopIteration as end:
            self._started(request, end.value)
        except LabError as error:
            self._refuse(request, error)
        except Exception as error:  # whatever failed, the parent of the other containers must live on
            self._refuse(request, CannotStart(f"cannot start the process: {error!r}"))

    def _refuse(self, request: dict[str, Any], error: LabError) -> None:
        self._send({"id": request["id"], "error": error.to_bytes().decode()})

    def _spawn(self, request: dict[str, Any], stdio: list[int]) -> Steps:
        if LOST in stdio:
            raise CannotStart("the daemon's spawner has no free descriptors", "raise LimitNOFILE of labd's service")
        spec, loginuid = Spec.from_dict(request["spec"]), request.get("loginuid")
        if request["into"]:
            pidfd = self._container(request["into"])
            return (yield from runtime.starting_into(pidfd, spec, stdio, loginuid=loginuid))
        # The fork that loses the loginuid: the caller of starting() is no user's process, but a descendant of init.
        joined = dict(zip(request["joined"], stdio[3:], strict=True))
        return (yield from runtime.starting(spec, stdio[:3], loginuid=loginuid, joined=joined))

    def _started(self, request: dict[str, Any], process: Process) -> None:
        its_cgroup = None if request["into"] else request["spec"]["cgroup"]
        self.children[process.pidfd] = Child(request["key"], its_cgroup, process)
        self.poll.register(process.pidfd, select.POLLIN)
        console = [process.console] if process.console >= 0 else []
        self._send({"id": request["id"], "pid": process.pid}, [process.pidfd, *console])
        close_all(console)

    def _container(self, key: str) -> int:
        for pidfd, child in self.children.items():
            if child.key == key:
                return pidfd
        raise CannotStart("the container has just ended", "start it again")

    def _report_end(self, pidfd: int) -> bool:
        """Reap a child and tell labd. False while another process of its container traces it.

        The kernel reports the end of a traced process to its tracer first, and to its parent only later; ptrace(2).
        """
        child = self.children[pidfd]
        pid, status = os.waitpid(child.process.child, os.WNOHANG)
        if pid == 0:
            return False
        del self.children[pidfd]
        os.close(pidfd)
        self._send({"exit": child.key, "code": runtime.exit_code(status), "oom_killed": child.remove_cgroup()})
        return True

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        data = pack(message, len(fds or ()))
        try:
            sent = socket.send_fds(self.connection, [data], fds) if fds else 0
            self.connection.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # labd has ended; the next poll reports that

    def _end_all(self) -> None:
        for _, steps, _ in self.starting.values():
            steps.close()
        for pidfd, child in self.children.items():
            send_signal(pidfd, signal.SIGKILL)
            if child.cgroup:
                cgroup_control.thaw(child.cgroup)
        left = {child.process.child: child for child in self.children.values()}
        while left:  # in any order, and unknown ones too: a container cannot end before its execs have been reaped
            pid, status = os.waitpid(-1, 0)
            ended = left.pop(pid, None)
            if ended and ended.cgroup is not None:
                self._record(ended.key, runtime.exit_code(status), ended.remove_cgroup())

    def _record(self, container_id: str, code: int, oom_killed: bool) -> None:
        try:
            container = self.store.find(container_id)
        except NoSuchContainer:
            return  # labd died after it had removed the container
        if container.status == "running":
            container.exited(code, oom_killed)


def main() -> None:
    """`python -I -S -c ... CHECKOUT SOCKET-FD LOCK-FD STORE NAME`; the lock is held until this process ends."""
    syscalls.set_process_name(sys.argv[5])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, because every container would inherit SIG_IGN. labd ends this process by closing the socket.
        signal.signal(number, lambda *_: None)
    connection = socket.socket(fileno=int(sys.argv[2]))
    connection.set_inheritable(False)
    os.set_inheritable(int(sys.argv[3]), False)
    Spawner(connection, Store(sys.argv[4])).run()
