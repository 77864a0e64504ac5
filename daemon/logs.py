"""`docker logs`: the records on disk as lines, from the end or from a time on, and on as they grow."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from daemon.attach import FRAME
from daemon.containers import Container
from lab import logs

LONGEST_LINE = 16 << 10  # dockerd cuts lines there
Line = tuple[int, int, bytes]  # ns since 1970, stream, bytes (the newline included, if it came)


@dataclass(frozen=True, slots=True)
class Query:
    """What to show. tail: the last so many lines, None: all; since, until: seconds since 1970, 0: no limit."""

    stdout: bool
    stderr: bool
    follow: bool
    timestamps: bool
    tail: int | None
    since: float
    until: float

    def wants(self, line: Line) -> bool:
        moment, stream, _ = line
        return (
            (self.stdout if stream == logs.STDOUT else self.stderr)
            and moment >= self.since * 1e9
            and (not self.until or moment <= self.until * 1e9)
        )


async def log_stream(container: Container, query: Query) -> AsyncIterator[bytes]:
    """The response body: frames, or raw bytes for a container with a terminal."""
    framed = not container.spec.tty
    run = container.run
    with container.log_grew.watch() as grew:
        history = _Lines(container.record.log_path, query)
        lines = history.read()
        for line in lines if query.tail is None else deque(lines, maxlen=query.tail):
            yield _encode(line, query, framed)
        while query.follow:
            finished = run.output.finished.is_set() or not container.running
            for line in history.read():
                yield _encode(line, query, framed)
            if finished or (query.until and time.time() > query.until):
                break
            await grew.wait()
            grew.clear()
        for line in history.rest():
            yield _encode(line, query, framed)


class _Lines:
    """The log's lines, read on from where the last reading stopped; whole ones where the query needs to see lines.

    A process may write a line in pieces: they belong together, and have the time of the first.
    """

    def __init__(self, path: str, query: Query) -> None:
        self.path, self.query, self.offset = path, query, 0
        self.whole = query.timestamps or query.tail is not None
        self._pieces: dict[int, tuple[int, bytes]] = {}

    def read(self) -> Iterator[Line]:
        """Those that are there now."""
        for moment, stream, data, offset in logs.read(self.path, self.offset):
            self.offset = offset
            for line in self._split(moment, stream, data) if self.whole else [(moment, stream, data)]:
                if self.query.wants(line):
                    yield line

    def rest(self) -> Iterator[Line]:
        """The last ones, which no newline ended."""
        for stream, (moment, data) in self._pieces.items():
            if self.query.wants((moment, stream, data)):
                yield moment, stream, data

    def _split(self, moment: int, stream: int, data: bytes) -> Iterator[Line]:
        moment, begun = self._pieces.pop(stream, (moment, b""))
        *whole, last = (begun + data).split(b"\n")
        for line in whole:
            yield moment, stream, line + b"\n"
        if len(last) >= LONGEST_LINE:
            yield moment, stream, last
        elif last:
            self._pieces[stream] = (moment, last)


def _encode(line: Line, query: Query, framed: bool) -> bytes:
    moment, stream, data = line
    if query.timestamps:
        data = rfc3339(moment).encode() + b" " + data
    return FRAME.pack(stream, len(data)) + data if framed else data


def rfc3339(moment: int) -> str:
    """2018-02-06T12:00:00.000000000Z for ns since 1970; year 1 for 0, as Go prints its zero time."""
    if not moment:
        return "0001-01-01T00:00:00Z"
    seconds, nanoseconds = divmod(moment, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09}Z"
