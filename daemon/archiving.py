"""labd's side of `docker cp`: start the archiver in a container's root, and carry its tar."""

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
from lab.errors import InvalidArgument, LabError, NotFound
from lab.shown import rfc3339

if TYPE_CHECKING:
    from daemon.containers import Container

CHUNK = 1 << 16
LONGEST_ANSWER = 1 << 16


class Archiver:
    """`async with Archiver(container, verb, path)`: daemon.programs.archiver at work in the container's root."""

    def __init__(self, container: Container, verb: str, path: str) -> None:
        if not path or "\0" in path:
            raise InvalidArgument("path must be given, without NUL bytes")
        container.require_sound()
        where = ["stopped", container.engine.store.root, container.id]
        self._fds: tuple[int, ...] = ()
        self._pidfd = -1
        if container.running and container.run.process and container.run.process.pidfd >= 0:  # else it has just ended
            self._fds = (container.run.process.pidfd,)
            where = ["running", str(self._fds[0])]
        # surrogateescape: a name in a container need not be UTF-8
        self._command = command("archiver", verb, "/" + path.lstrip("/"), *where)

    async def __aenter__(self) -> Archiver:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=self._fds,
            limit=LONGEST_ANSWER,
        )  # fmt: skip
        # Not Process.kill(): that reaps a process that has just ended, and asyncio's own waiting for it then complains.
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(self.process.pid)
        assert self.process.stdin and self.process.stdout
        self._in, self._out = self.process.stdin, self.process.stdout
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
        await self.process.wait()

    async def feed(self, request: Request) -> None:
        """The request's body is the tar to unpack."""
        try:
            async for chunk in request.stream():
                self._in.write(chunk)
                await self._in.drain()
            self._in.close()
        except ConnectionError:
            pass  # it says why, in its answer
        except ClientDisconnect:
            raise InvalidArgument("the tar ended too early") from None

    async def answer(self) -> dict[str, Any]:
        """Its first line. Raises NotFound or InvalidArgument if that tells of a failure."""
        line = await self._out.readline()
        found: dict[str, Any] = json.loads(line or b'{"message": "the archiver died", "status": 500}')
        if "message" not in found:
            return found
        kinds: dict[int, type[LabError]] = {404: NotFound, 400: InvalidArgument}
        raise kinds.get(found["status"], LabError)(found["message"])

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """What follows that line."""
        while chunk := await self._out.read(CHUNK):
            yield chunk


def path_stat(answer: dict[str, Any]) -> dict[str, Any]:
    """The JSON for the header X-Docker-Container-Path-Stat."""
    moment = rfc3339(answer["mtime"] * 10**9 + answer["nanoseconds"])
    return {**{key: answer[key] for key in ("name", "size", "mode", "linkTarget")}, "mtime": moment}
