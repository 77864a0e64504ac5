"""The helper process that makes the containers: exec'ed once by labd, one thread, nothing but lab.* in it.

A threaded server must not clone(2): the child would inherit the locks of threads that it has not got. So labd sends
each Spec here, with the three descriptors of its stdio, and this process is the parent of every container: it
reaps them and reports their exit codes. Requests and replies are JSON behind a length, descriptors ride along by
SCM_RIGHTS; unix(7).

    request  {"id", "spec", "key"[, "into"][, "loginuid"]}      + stdin, stdout, stderr
             {"kill": key}                              labd could not take its descriptors
    reply    {"id", "pid"} + pidfd[, console]   or   {"id", "error": [class, message, hint]}
    report   {"exit": key, "code", "oom_killed"}

If labd dies, the socket ends: then all containers are killed and reaped here, and each exit code goes into the
container's state on disk, so that the next labd can tell what became of it. This process is the first of a pid
namespace: if it dies, the kernel kills all containers, whatever they do against that; pid_namespaces(7).
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import time

from lab import runtime, syscalls
from lab.errors import CannotStart, LabError, NoSuchContainer
from lab.runtime import cgroup
from lab.spec import Spec
from lab.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lab.runtime.link import Process

    Steps = Generator[int, None, Process]

LENGTH = struct.Struct(">II")  # of the JSON in bytes, and the number of descriptors
MAX_FDS = 8
HELD_MILLISECONDS, BEGIN_SECONDS = 50, 10
LOST = -1  # in place of a descriptor for which the receiver had no number free


def pack(message: dict[str, Any], fds: int) -> bytes:
    """A message as it goes over the socket."""
    data = json.dumps(message).encode()
    return LENGTH.pack(len(data), fds) + data


class Inbox:
    """Takes what recvmsg(2) returns and gives whole messages with their descriptors."""

    def __init__(self) -> None:
        self._data, self._fds = bytearray(), list[int]()

    def receive(self, connection: socket.socket) -> bool:
        """One recvmsg(2); False at end of file."""
        try:
            data, fds, flags, _ = socket.recv_fds(connection, 1 << 18, MAX_FDS)
        except ConnectionResetError:
            return False
        self._fds += fds
        if flags & socket.MSG_CTRUNC:
            self._fds.append(LOST)
        self._data += data
        return bool(data)

    def next(self) -> tuple[dict[str, Any], list[int]] | None:
        """The oldest message, None if it is not all here yet."""
        if len(self._data) < LENGTH.size:
            return None
        length, count = LENGTH.unpack_from(self._data)
        end = LENGTH.size + length
        if len(self._data) < end:
            return None
        message: dict[str, Any] = json.loads(self._data[LENGTH.size : end])
        del self._data[:end]
        return message, self._take(count)

    def _take(self, count: int) -> list[int]:
        """So many descriptors; where some were lost, the next ones are another message's."""
        fds: list[int] = []
        while len(fds) < count:
            fd = self._fds.pop(0)
            fds += [fd] if fd != LOST else [LOST] * (count - len(fds))
        return fds


class Child:
    """A process of ours: key is the container's id, or labd's name for an exec."""

    def __init__(self, key: str, cgroup: str | None, process: Process) -> None:
        self.key, self.cgroup, self.process = key, cgroup, process  # cgroup: None for an exec

    def remove_cgroup(self) -> bool:
        """After a container's end; whether it had been killed at its memory limit."""
        return bool(self.cgroup) and cgroup.remove(self.cgroup or "")


class Spawner:
    """The loop: requests from labd on one side, the ends of children on the other."""

    def __init__(self, connection: socket.socket, store: Store) -> None:
        self.connection, self.inbox, self.store = connection, Inbox(), store
        self.children: dict[int, Child] = {}  # by pidfd
        # Requests, their steps and when they must have begun, by the descriptor they wait for.
        self.starting: dict[int, tuple[dict[str, Any], Steps, float]] = {}
        self.held: list[int] = []  # pidfds of children that have ended, but are not given to us yet
        self.poll = select.poll()
        self.poll.register(connection, select.POLLIN)

    def run(self) -> None:
        """Serve until labd has gone, then leave no container behind."""
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
        """Milliseconds until something is to be looked at that no descriptor tells of; None: there is nothing."""
        times = [1000 * (deadline - time.monotonic()) for _, _, deadline in self.starting.values()]
        if self.held:
            times.append(HELD_MILLISECONDS)
        return max(0.0, min(times)) if times else None

    def _give_up_late_ones(self) -> None:
        """What a filesystem or a freezer holds up may never begin."""
        for fd, (request, steps, deadline) in list(self.starting.items()):
            if time.monotonic() >= deadline:
                self.poll.unregister(fd)
                del self.starting[fd]
                steps.close()
                late = f"the process did not begin within {BEGIN_SECONDS} seconds"
                self._send({"id": request["id"], "error": ["CannotStart", late, "is the container frozen?"]})

    def _answer(self, request: dict[str, Any], stdio: list[int]) -> None:
        if "kill" in request:
            self._kill(request["kill"])
            return
        try:
            self._go_on(request, self._steps(request, stdio), time.monotonic() + BEGIN_SECONDS)
        finally:
            for fd in stdio:
                if fd != LOST:
                    os.close(fd)

    def _kill(self, key: str) -> None:
        for pidfd, child in self.children.items():
            if child.key == key:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _go_on(self, request: dict[str, Any], steps: Steps, deadline: float) -> None:
        """Take the next step. None may wait: a container can stop what is being started in it, for ever."""
        try:
            awaited = next(steps)
            self.starting[awaited] = request, steps, deadline
            self.poll.register(awaited, select.POLLIN)
        except StopIteration as end:
            self._started(request, end.value)
        except LabError as error:
            self._send({"id": request["id"], "error": [type(error).__name__, error.message, error.hint]})
        except Exception as error:  # whatever it is, the other containers' parent must live on
            self._send({"id": request["id"], "error": ["CannotStart", f"cannot start: {error}", ""]})

    def _steps(self, request: dict[str, Any], stdio: list[int]) -> Steps:
        if LOST in stdio:
            raise CannotStart("the daemon's spawner has no descriptors left", "raise LimitNOFILE of labd's service")
        spec, loginuid = Spec.from_dict(request["spec"]), request.get("loginuid")
        if "into" in request:
            pidfd = self._container(request["into"])
            return (yield from runtime.starting_into(pidfd, spec, stdio, loginuid=loginuid))
        return (yield from runtime.starting(spec, stdio, loginuid=loginuid))

    def _started(self, request: dict[str, Any], process: Process) -> None:
        self.children[process.pidfd] = Child(
            request["key"], None if "into" in request else request["spec"]["cgroup"], process
        )
        self.poll.register(process.pidfd, select.POLLIN)
        console = process.console
        self._send(
            {"id": request["id"], "pid": process.pid}, [process.pidfd] if console < 0 else [process.pidfd, console]
        )
        if console >= 0:
            os.close(console)

    def _container(self, key: str) -> int:
        for pidfd, child in self.children.items():
            if child.key == key:
                return pidfd
        raise CannotStart("the container has just ended")

    def _report_end(self, pidfd: int) -> bool:
        """Reap a child and tell labd. False while another process of its container traces it.

        The kernel gives a process that has ended to who traces it first, and that one may take its time; ptrace(2).
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
            pass  # labd is gone; the next poll says so

    def _end_all(self) -> None:
        for _, steps, _ in self.starting.values():
            steps.close()
        for pidfd in self.children:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for child in self.children.values():
            code = runtime.wait(child.process.child)
            if child.cgroup is not None:
                self._record(child.key, code, child.remove_cgroup())

    def _record(self, container_id: str, code: int, oom_killed: bool) -> None:
        try:
            container = self.store.find(container_id)
        except NoSuchContainer:
            return  # labd died between removing it and saying so
        if container.status == "running":
            container.exited(code, oom_killed)


def main() -> None:
    """`python -I -S -c ... CHECKOUT SOCKET-FD LOCK-FD STORE`; the lock is kept to the very end."""
    syscalls.set_process_name("labd-spawner")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN, which every container would inherit. labd decides when to end, by closing the socket.
        signal.signal(number, lambda *_: None)
    connection = socket.socket(fileno=int(sys.argv[2]))
    connection.set_inheritable(False)
    os.set_inheritable(int(sys.argv[3]), False)
    Spawner(connection, Store(sys.argv[4])).run()
