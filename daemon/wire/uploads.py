"""A request's body as a file for synchronous code. Memory holds no more of it than a pipe does."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from lab.errors import InvalidArgument
from lab.pidfd import send_signal

Result = TypeVar("Result")
CLEANING_SECONDS = 2.0
BROKEN_OFF = InvalidArgument("the upload ended too early", "send all of it again")


async def upload(request: Request, work: Callable[[IO[bytes]], Result]) -> Result:
    """Run work(file) in a new thread, where file is the body while it arrives; return its result.

    If the body ends too early, reading the file raises InvalidArgument, and the processes that `work` has started are
    killed; then its clean-up has CLEANING_SECONDS.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    worker = Worker(work, Body(reading))
    worker.start()
    try:
        try:
            await _feed(request, writing)
            worker.body.complete = True
        except BrokenPipeError:
            pass  # `work` reads no more; its result or error says why
        finally:
            os.close(writing)
        return await asyncio.shield(worker.result)
    except (ClientDisconnect, asyncio.CancelledError) as error:
        worker.kill_children()
        done, _ = await asyncio.wait({worker.result}, timeout=CLEANING_SECONDS)
        if done and isinstance(error, ClientDisconnect):
            raise BROKEN_OFF from worker.result.exception()
        raise


class Body(io.FileIO):
    """The pipe's read end. End of file is an error until `complete` is set: half a tar is no tar."""

    complete = False

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "rb")

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size) or b""
        if not data and size and not self.complete:
            raise BROKEN_OFF
        return data


class Worker(threading.Thread, Generic[Result]):
    """A thread for one upload. asyncio.to_thread() has few threads, and other work must not wait for a long upload."""

    def __init__(self, work: Callable[[IO[bytes]], Result], body: Body) -> None:
        super().__init__(name="labd-upload", daemon=True)
        self.work, self.body = work, body
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Result] = self.loop.create_future()

    def run(self) -> None:
        with self.body:
            told: Any
            tell: Callable[[Any], None]
            try:
                tell, told = self.result.set_result, self.work(self.body)
            except Exception as error:
                tell, told = self.result.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(tell, told)

    def kill_children(self) -> None:
        """Kill the processes that this thread has started and not yet waited for."""
        children = Path(f"/proc/self/task/{self.native_id}/children")
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                pidfd = os.pidfd_open(int(pid))
                try:
                    if pid in children.read_text().split():  # still our child, so the pidfd is too
                        send_signal(pidfd, signal.SIGKILL)
                finally:
                    os.close(pidfd)


async def _feed(request: Request, fd: int) -> None:
    os.set_blocking(fd, False)
    async for chunk in request.stream():
        await _write_all(fd, chunk)


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
