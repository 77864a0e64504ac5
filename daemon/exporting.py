"""labd's side of `docker export`: lab/contents.py, whose tar is passed on while the program writes it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator

from lab import contents
from lab.errors import LabError
from lab.images.making import require_layer
from lab.pidfd import send_signal
from lab.spec import Spec

CHUNK = 1 << 16


@contextlib.asynccontextmanager
async def exported(spec: Spec) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The tar of a container's root, in pieces, during a `with`. Raises NotImplementedHere for `host`, LabError."""
    require_layer(spec)
    process = await asyncio.create_subprocess_exec(
        *contents.command(spec, "root"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    pidfd = -1
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(process.pid)
    assert process.stdout and process.stderr
    try:
        first = await process.stdout.read(CHUNK)
        if not first:
            raise await _failure(process.stderr)
        yield _pieces(first, process)
    finally:
        if pidfd >= 0:
            send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        await process.wait()


async def _pieces(first: bytes, process: asyncio.subprocess.Process) -> AsyncGenerator[bytes, None]:
    """The tar. Raises LabError where the program fails after its first bytes."""
    assert process.stdout and process.stderr
    yield first
    while chunk := await process.stdout.read(CHUNK):
        yield chunk
    if await process.wait():
        raise await _failure(process.stderr)


async def _failure(said: asyncio.StreamReader) -> LabError:
    reason = (await said.read()).decode(errors="replace").strip()
    return LabError(f"cannot read the container's files: {reason}", "look at labd's disk and journal")
