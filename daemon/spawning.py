"""labd's side of the spawner: start it, request processes, receive their ends.

daemon.programs.spawner describes the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.programs.command import command
from daemon.programs.messages import LOST, Inbox, close_all, pack
from lab import errors, interpreter, syscalls
from lab.errors import CannotStart
from lab.pidfd import send_signal
from lab.record import UNKNOWN
from lab.runtime import NONE_JOINED
from lab.spec import Spec

Ending = tuple[int, bool]


@dataclass(slots=True)
class RemoteProcess:
    """A process that the spawner made (lab.runtime's Process), as labd holds it.

    pid      as the host's /proc has it
    pidfd    labd's own copy, for signals; -1 after close()
    console  the master side of its terminal, or -1
    ended    its exit code, or lab.record.UNKNOWN if the spawner died, as only its parent can reap it; and whether the
             kernel killed a process of the container at the memory limit
    """

    pid: int
    pidfd: int
    console: int
    ended: asyncio.Future[Ending]

    def kill(self, number: int) -> None:
        """Send the signal; nothing happens if the process has ended."""
        if self.pidfd >= 0:
            send_signal(self.pidfd, number)

    def close(self) -> None:
        """Close the pidfd."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class SpawnerLink:
    """The connection to a spawner; a dead one is replaced when the next process is asked for.

    apart: the spawner is the first process of a new pid namespace; else it stays in labd's, for --pid host.
    store is the directory of the containers' states: if labd dies, the spawner records the containers' ends there.
    lock_fd is a locked file that the spawner inherits: the lock is free again only after the last end is recorded.
    """

    def __init__(self, store: str, lock_fd: int, *, apart: bool = True) -> None:
        self.store, self.lock_fd, self.apart, self.pid = store, lock_fd, apart, 0
        self._replies: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._ends: dict[str, asyncio.Future[Ending]] = {}
        self._numbers, self._inbox, self._sending = itertools.count(), Inbox(), asyncio.Lock()
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Start the spawner."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):  # so that one sendmsg(2) takes an ordinary request whole
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with theirs:
            fds = [theirs.fileno(), self.lock_fd]
            argv = command("spawner", *map(str, fds), self.store, "labd-spawner" if self.apart else "labd-host-pids")
            for fd in fds:
                os.set_inheritable(fd, True)
            try:
                with first_of_a_pid_namespace() if self.apart else contextlib.nullcontext():
                    # setsigdef: containers would inherit what labd's starter ignores, such as nohup's SIGHUP.
                    self.pid = os.posix_spawn(
                        interpreter.executable(), argv, {"PATH": os.defpath}, setsid=True,
                        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                    )  # fmt: skip
            finally:
                os.set_inheritable(self.lock_fd, False)
        ours.setblocking(False)
        self._socket, self._inbox = ours, Inbox()
        asyncio.get_running_loop().add_reader(ours, self._readable)

    async def spawn(
        self, key: str, spec: Spec, stdio: Sequence[int], *, into: str = "", loginuid: int | None = None,
        joined: Mapping[str, int] = NONE_JOINED,
    ) -> RemoteProcess:  # fmt: skip
        """Have a container started (or, with `into`, a process in the container of that key).

        A loginuid is stamped on the process; joined is that of lab.runtime.spawn(), which also says what is raised.
        The caller closes stdio and joined.
        """
        request = {
            "id": next(self._numbers), "key": key, "spec": spec.to_dict(), "into": into, "loginuid": loginuid,
            "joined": list(joined),
        }  # fmt: skip
        stdio = [*stdio, *joined.values()]
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        try:
            message, fds = await self._ask(request, stdio, ended)
            if "error" in message:
                raise errors.from_bytes(message["error"].encode())
            if LOST in fds:
                await self._give_up(key, fds)
        except BaseException:
            self._ends.pop(key, None)
            raise
        return RemoteProcess(message["pid"], fds[0], fds[1] if len(fds) > 1 else -1, ended)

    async def _ask(
        self, request: dict[str, Any], stdio: Sequence[int], ended: asyncio.Future[Ending]
    ) -> tuple[dict[str, Any], list[int]]:
        """Send a request; return its reply and the reply's descriptors. ended is set when the process has ended."""
        reply: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        try:
            async with self._sending:
                if self._socket is None:
                    self.start()
                # Registered under the lock: the death of a spawner before our request must not count as an answer.
                self._replies[request["id"]], self._ends[request["key"]] = reply, ended
                await self._send(pack(request, len(stdio)), stdio)
            return await reply
        except BaseException:
            if not reply.cancel():
                reply.exception()  # marked as retrieved: this function raises it already
            raise
        finally:
            self._replies.pop(request["id"], None)

    async def _give_up(self, key: str, fds: list[int]) -> None:
        """Have a process killed whose descriptors labd could not take. Raises CannotStart."""
        close_all(fds)
        async with self._sending:
            if self._socket:
                await self._send(pack({"kill": key}, 0), [])
        raise CannotStart("the daemon has no free descriptors for the process", "raise LimitNOFILE of labd's service")

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        connection = self._socket
        assert connection is not None
        try:
            sent = await self._send_first(connection, data, fds)
            await asyncio.get_running_loop().sock_sendall(connection, data[sent:])
        except OSError:
            raise _gone() from None

    async def _send_first(self, connection: socket.socket, data: bytes, fds: Sequence[int]) -> int:
        """The sendmsg(2) that carries the descriptors; waits while the socket is full."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return socket.send_fds(connection, [data], list(fds))
            except BlockingIOError:
                writable = asyncio.Event()
                loop.add_writer(connection, writable.set)
                try:
                    await writable.wait()
                finally:
                    loop.remove_writer(connection)

    def _readable(self) -> None:
        assert self._socket is not None
        alive = self._inbox.receive(self._socket)
        while message := self._inbox.next():
            self._handle(*message)
        if not alive:
            self._died()

    def _handle(self, message: dict[str, Any], fds: list[int]) -> None:
        if "exit" in message:
            ended = self._ends.pop(message["exit"], None)
            if ended and not ended.done():
                ended.set_result((message["code"], message["oom_killed"]))
            return
        reply = self._replies.get(message["id"])
        if reply and not reply.done():
            reply.set_result((message, fds))
            return
        close_all(fds)  # the task that asked was cancelled

    def _died(self) -> None:
        self._disconnect()
        os.waitpid(self.pid, 0)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(_gone())
        for ended in self._ends.values():
            if not ended.done():
                ended.set_result((UNKNOWN, False))
        self._ends.clear()

    def _disconnect(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def stop(self) -> None:
        """Close the connection and wait: the spawner then kills every process that still runs, and ends."""
        if self._socket:
            self._disconnect()
            await asyncio.to_thread(os.waitpid, self.pid, 0)


@contextlib.contextmanager
def first_of_a_pid_namespace() -> Iterator[None]:
    """For one child of this thread. unshare(2) and setns(2) change only the pid namespace of its later children."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWPID)
    try:
        yield
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWPID)
        os.close(own)


def _gone() -> CannotStart:
    return CannotStart("the daemon's spawner has died", "try again: a new one is started for the next request")
