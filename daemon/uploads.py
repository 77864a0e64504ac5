"""A request's body as a file for code that reads: never more of it in memory than a pipe holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import IO

from fastapi import Request
from starlette.requests import ClientDisconnect


class Upload:
    """`async with Upload(request) as file`: a reader for another thread or process, fed while the block runs."""

    def __init__(self, request: Request) -> None:
        self.request = request

    async def __aenter__(self) -> IO[bytes]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self.file = os.fdopen(reading, "rb")
        self.task = asyncio.create_task(self._feed(writing))
        return self.file

    async def __aexit__(self, *error: object) -> None:
        self.file.close()
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def _feed(self, fd: int) -> None:
        os.set_blocking(fd, False)
        try:
            async for chunk in self.request.stream():
                await _write_all(fd, chunk)
        except (BrokenPipeError, ClientDisconnect):
            pass  # the reader has seen enough; or sees a file that ends too early
        finally:
            os.close(fd)


async def _write_all(fd: int, data: bytes) -> None:
    rest, loop = memoryview(data), asyncio.get_running_loop()
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(fd, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(fd)
