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

from lab import runtime, syscalls
from lab.errors import CannotStart, LabError, NoSuchContainer
from lab.runtime import cgroup
from lab.spec import Spec
from lab.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LENGTH = struct.Struct(">II")  # of the JSON in bytes, and the number of descriptors
MAX_FDS = 8
LOST = -1  # in place of a descriptor for which the receiver had no number free
BEGIN_SECONDS = 10  # for a process to begin: whom a filesystem or a freezer holds up, holds up all


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

    def __init__(self, key: str, cgroup: str | None, process: runtime.Process) -> None:
        self.key, self.cgroup, self.process = key, cgroup, process  # cgroup: None for an exec

    def remove_cgroup(self) -> bool:
        """After a container's end; whether it had been killed at its memory limit."""
        return bool(self.cgroup) and cgroup.remove(self.cgroup or "")


class Spawner:
    """The loop: requests from labd on one side, the ends of children on the other."""

    def __init__(self, connection: socket.socket, store: Store) -> None:
        self.connection, self.inbox, self.store = connection, Inbox(), store
        self.children: dict[int, Child] = {}  # by pidfd
        self.pid = os.getpid()
        self.poll = select.poll()
        self.poll.register(connection, select.POLLIN)

    def run(self) -> None:
        """Serve until labd has gone, then leave no container behind."""
        while self._turn():
            pass
        self._end_all()

    def _turn(self) -> bool:
        for fd, _ in self.poll.poll():
            if fd in self.children:
                child, code = self._reap(fd)
                self._send({"exit": child.key, "code": code, "oom_killed": child.remove_cgroup()})
            elif not self.inbox.receive(self.connection):
                return False
        while message := self.inbox.next():
            self._answer(*message)
        return True

    def _answer(self, request: dict[str, Any], stdio: list[int]) -> None:
        if "kill" in request:
            self._kill(request["kill"])
            return
        fds: list[int] = []
        try:
            if LOST in stdio:
                raise CannotStart("the daemon's spawner has no descriptors left", "raise LimitNOFILE of labd's service")
            child, console = self._spawn(request, stdio)
            reply: dict[str, Any] = {"id": request["id"], "pid": child.process.pid}
            fds = [child.process.pidfd] if console < 0 else [child.process.pidfd, console]
            self._send(reply, fds)
            if console >= 0:
                os.close(console)
        except LabError as error:
            self._send({"id": request["id"], "error": [type(error).__name__, error.message, error.hint]})
        except Exception as error:  # whatever it is, the other containers' parent must live on
            if os.getpid() != self.pid:
                os._exit(125)  # a clone that failed where the runtime did not expect it: never a second spawner
            self._send({"id": request["id"], "error": ["CannotStart", f"cannot start: {error}", ""]})
        finally:
            for fd in stdio:
                if fd != LOST:
                    os.close(fd)

    def _kill(self, key: str) -> None:
        for pidfd, child in self.children.items():
            if child.key == key:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _spawn(self, request: dict[str, Any], stdio: list[int]) -> tuple[Child, int]:
        spec = Spec.from_dict(request["spec"])
        loginuid = request.get("loginuid")
        signal.alarm(BEGIN_SECONDS)
        try:
            if "into" in request:
                process = runtime.spawn_into(self._container(request["into"]), spec, stdio, loginuid=loginuid)
            else:
                process = runtime.spawn(spec, stdio, loginuid=loginuid)
        finally:
            signal.alarm(0)
        child = Child(request["key"], None if "into" in request else spec.cgroup, process)
        self.children[process.pidfd] = child
        self.poll.register(process.pidfd, select.POLLIN)
        return child, process.console

    def _container(self, key: str) -> int:
        for pidfd, child in self.children.items():
            if child.key == key:
                return pidfd
        raise CannotStart("the container has just ended")

    def _reap(self, pidfd: int) -> tuple[Child, int]:
        self.poll.unregister(pidfd)
        os.close(pidfd)
        child = self.children.pop(pidfd)
        return child, runtime.wait(child.process.child)

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        data = pack(message, len(fds or ()))
        try:
            sent = socket.send_fds(self.connection, [data], fds) if fds else 0
            self.connection.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # labd is gone; the next poll says so

    def _end_all(self) -> None:
        for pidfd in self.children:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pidfd in list(self.children):
            child, code = self._reap(pidfd)
            if child.cgroup is not None:
                self._record(child.key, code, child.remove_cgroup())

    def _record(self, container_id: str, code: int, oom_killed: bool) -> None:
        try:
            container = self.store.find(container_id)
        except NoSuchContainer:
            return  # labd died between removing it and saying so
        if container.status == "running":
            container.exited(code, oom_killed)


def _too_late(*_: object) -> None:
    raise CannotStart(f"the process did not begin within {BEGIN_SECONDS} seconds", "is the container frozen?")


def main() -> None:
    """`python -I -S -c ... CHECKOUT SOCKET-FD LOCK-FD STORE`; the lock is kept to the very end."""
    syscalls.set_process_name("labd-spawner")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN, which every container would inherit. labd decides when to end, by closing the socket.
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGALRM, _too_late)
    connection = socket.socket(fileno=int(sys.argv[2]))
    connection.set_inheritable(False)
    os.set_inheritable(int(sys.argv[3]), False)
    Spawner(connection, Store(sys.argv[4])).run()
