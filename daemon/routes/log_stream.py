"""`docker logs`: a log's lines, the last ones or those of a time span; then, with --follow, new ones as they come.

One thread reads the files, a batch of some milliseconds at a time. So neither a long log nor a log of empty lines
blocks the event loop, and clients take turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon.containers import Container
from lab import frames, logs
from lab.shown import rfc3339

THREAD = ThreadPoolExecutor(1, "labd-logs")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What to show. tail: how many lines from the end, None: all; since, until: seconds since 1970, 0: no limit.

    details: a line's attributes and a space go before it. Docker takes them from log options, of which labd has none.
    """

    stdout: bool
    stderr: bool
    follow: bool
    timestamps: bool
    tail: int | None
    since: float
    until: float
    details: bool = False

    def lines(self, container: Container) -> logs.Lines:
        """A reader of these lines. Without a terminal they come whole, however the process wrote them."""
        path, whole = container.record.log_path, self.timestamps or self.details or not container.spec.tty
        streams = [stream for stream, wanted in ((logs.STDOUT, self.stdout), (logs.STDERR, self.stderr)) if wanted]
        since, until = int(self.since * 1e9), int(self.until * 1e9)
        return logs.Lines(path, streams, whole=whole, tail=self.tail, since=since, until=until)


async def log_stream(
    container: Container, query: LogQuery, lines: logs.Lines | None = None
) -> AsyncGenerator[bytes, None]:
    """The response body: a frame for each line, or raw bytes for a container with a terminal; closes lines."""
    framed, run, loop = not container.spec.tty, container.run, asyncio.get_running_loop()
    lines = lines or query.lines(container)

    def batch() -> bytes | None:
        found = lines.read()
        return None if found is None else _encode(found, query, framed)

    try:
        with container.log_grew.watch() as grew:
            more = True
            while more:
                grew.clear()
                more = query.follow and container.running and not run.output.finished.is_set()
                while (data := await loop.run_in_executor(THREAD, batch)) is not None:
                    if data:
                        yield data
                more = more and await _growth(grew, query.until)
        if last := _encode(lines.rest(), query, framed):
            yield last
    finally:
        THREAD.submit(lines.close)  # after the batch that may be running


async def _growth(grew: asyncio.Event, until: float) -> bool:
    """Wait until the log grows; False once the time `until` has passed."""
    try:
        async with asyncio.timeout(max(0.0, until - time.time()) if until else None):
            await grew.wait()
    except TimeoutError:
        return False
    return True


def _encode(lines: list[logs.Line], query: LogQuery, framed: bool) -> bytes:
    parts: list[bytes] = []
    stamped, stamp = -1, b""
    for moment, stream, data, begins in lines:
        if query.details and begins:
            data = b" " + data
        if query.timestamps and begins:
            if moment != stamped:
                stamped, stamp = moment, rfc3339(moment).encode() + b" "
            data = stamp + data
        if framed:
            parts.append(frames.header(stream, len(data)))
        parts.append(data)
    return b"".join(parts)
