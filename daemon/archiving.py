"""labd's side of `docker cp`: start the archiver in a container's root, and pass the tar on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from daemon.programs.command import command
from lab import errors
from lab.errors import InvalidArgument, LabError
from lab.pidfd import send_signal
from lab.shown import rfc3339

if TYPE_CHECKING:
    from daemon.containers import Container

CHUNK = 1 << 16
LONGEST_ANSWER = 1 << 16


class Archiver:
    """`async with Archiver(container, verb, path)`: daemon.programs.archiver, run in the container's root.

    owner: a user as in --user, who gets all that "put" unpacks; "" leaves the owners that the tar names.
    """

    def __init__(self, container: Container, verb: str, path: str, owner: str = "") -> None:
        if not path or "\0" in path:
            raise InvalidArgument("the query has no path, or one with a NUL byte", "give path=/PATH/IN/THE/CONTAINER")
        container.require_sound()
        where = [container.engine.store.root, container.id]
        self._fds: tuple[int, ...] = ()
        self._pidfd = -1
        process = container.run.process if container.running else None
        if process and process.pidfd >= 0:  # else the container has just ended
            self._fds = (process.pidfd,)
            where.append(str(process.pidfd))
        # surrogateescape: a name in a container need not be UTF-8
        self._command = command("archiver", verb, "/" + path.lstrip("/"), owner, *where)

    async def __aenter__(self) -> Archiver:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=self._fds,
            limit=LONGEST_ANSWER,
        )  # fmt: skip
        # Not Process.kill(): it reaps a process that has just ended, and asyncio's own wait for it then fails.
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(self.process.pid)
        assert self.process.stdin and self.process.stdout
        self._in, self._out = self.process.stdin, self.process.stdout
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._pidfd >= 0:
            send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
        await self.process.wait()

    async def feed(self, request: Request) -> None:
        """Pass the request's body on: the tar to unpack. Raises InvalidArgument if the client leaves."""
        try:
            async for chunk in request.stream():
                self._in.write(chunk)
                await self._in.drain()
            self._in.close()
        except ConnectionError:
            pass  # the archiver reads no more; its answer says why
        except ClientDisconnect:
            raise InvalidArgument("the tar ended too early", "send all of it again") from None

    async def answer(self) -> dict[str, Any]:
        """The program's first line. Raises the error that it reports: NotFound, InvalidArgument, Conflict."""
        line = await self._out.readline()
        if not line:
            raise LabError("the archiver ended without an answer", "labd's journal may say why; try again")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise errors.from_bytes(found["error"].encode())
        return found

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """What follows that line: the tar. Raises LabError where the archiver fails before the tar's end."""
        while chunk := await self._out.read(CHUNK):
            yield chunk
        if await self.process.wait():
            raise LabError("the archiver failed", "its last line in labd's journal says why")


def path_stat(answer: dict[str, Any]) -> dict[str, Any]:
    """The JSON for the header X-Docker-Container-Path-Stat."""
    moment = rfc3339(answer["mtime"] * 10**9 + answer["nanoseconds"])
    return {**{key: answer[key] for key in ("name", "size", "mode", "linkTarget")}, "mtime": moment}
