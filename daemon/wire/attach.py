"""One attached client: frames out, bytes in, the keys that detach."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from daemon.stdio import DRAIN_SECONDS, Input, Output
from daemon.wire.hijack import Connection, hung_up
from lab import frames
from lab.errors import InvalidArgument
from lab.logs import STDERR, STDOUT

RAW, MULTIPLEXED = "application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"
DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
CONTROL_KEYS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class AttachedClient:
    """A Receiver that writes to a connection taken over from HTTP."""

    def __init__(self, *, tty: bool, stdout: bool = True, stderr: bool = True) -> None:
        self.framed = not tty
        self.streams = {stream for stream, wanted in ((STDOUT, stdout), (STDERR, stderr)) if wanted}
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()

    def connect(self, writer: asyncio.StreamWriter) -> None:
        """The head of the response is out; what was sent until now may follow."""
        self._writer = writer
        self._connected.set()

    def leave(self) -> None:
        """The connection has gone."""
        self._writer = None
        self._connected.set()

    async def send(self, stream: int, data: bytes) -> None:
        await self._connected.wait()
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError
        if stream in self.streams:
            if self.framed:
                self._writer.writelines((frames.header(stream, len(data)), data))
            else:
                self._writer.write(data)
            await self._writer.drain()


class DetachKeys:
    """Finds the detach sequence in a terminal's input; docker-attach(1), `--detach-keys`."""

    def __init__(self, keys: str) -> None:
        self.sequence = bytes(_key(name) for name in keys.split(","))
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what the process should get, whether to detach). A beginning that leads nowhere is passed on."""
        passed = bytearray()
        for byte in data:
            if byte == self.sequence[self._seen]:
                self._seen += 1
                if self._seen == len(self.sequence):
                    return bytes(passed), True
                continue
            passed += self.sequence[: self._seen]
            self._seen = 1 if byte == self.sequence[0] else 0
            if not self._seen:
                passed.append(byte)
        return bytes(passed), False


def _key(name: str) -> int:
    if len(name) == 1:
        return ord(name) & 0xFF
    prefix, _, letter = name.lower().partition("-")
    if prefix == "ctrl" and len(letter) == 1:
        if letter.isascii() and letter.isalpha():
            return ord(letter) - ord("a") + 1
        if letter in CONTROL_KEYS:
            return CONTROL_KEYS[letter]
    raise InvalidArgument(
        f"Unknown character: '{name[:40]}'", "write single characters and ctrl-X, with commas between"
    )


class Session:
    """What happens on an attached connection, from the 101 to the end.

    incoming  the way to the process's stdin, once it has been started; None: it has none
    close_stdin  whether the client's end of file is the process's
    before       what is sent ahead of the live output
    live         whether there is to be any
    """

    def __init__(
        self,
        client: AttachedClient,
        output: Output,
        incoming: Callable[[], Awaitable[Input | None]] | None,
        *,
        close_stdin: bool,
        keys: DetachKeys | None = None,
        before: Callable[[asyncio.StreamWriter], Awaitable[None]],
        live: bool = True,
    ) -> None:
        self.client, self.output, self.incoming = client, output, incoming
        self.close_stdin, self.keys, self.before, self.live = close_stdin, keys, before, live
        self._target: Input | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """What the process writes is kept for the client from here on; a client that goes holds nothing up."""
        if self.live:
            self.output.receivers.add(self.client)
        try:
            yield
        finally:
            self.output.receivers.discard(self.client)
            self.client.leave()

    async def serve(self, connection: Connection) -> None:
        """Returns when the process's output has ended, the client has gone, or the detach keys came."""
        reader, writer = connection
        if not self.live:
            await self.before(writer)
            return
        gone = asyncio.create_task(hung_up(connection))
        feeding = asyncio.create_task(self._feed(reader))
        finished = asyncio.create_task(self.output.finished.wait())
        try:
            await self.before(writer)
            self.client.connect(writer)
            await asyncio.wait({feeding, finished, gone}, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and not feeding.result():
                await asyncio.wait({finished, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not finished.done():  # the process reads on: what the client sent before it left is still for it
                await asyncio.wait({feeding}, timeout=DRAIN_SECONDS)
            for task in (feeding, finished, gone):
                task.cancel()
            await asyncio.gather(feeding, finished, gone, return_exceptions=True)

    async def _feed(self, reader: asyncio.StreamReader) -> bool:
        """Carry the client's bytes in; True if it wishes to detach."""
        target = await self.incoming() if self.incoming else None
        detach = False
        try:
            while not detach and (data := await reader.read(1 << 16)):
                if self.keys:
                    data, detach = self.keys.feed(data)
                if target:
                    await target.write(data)
        except ConnectionError:
            pass  # the client has gone, which is an end of file, too
        finally:
            if target and self.close_stdin and not detach and not self.output.finished.is_set():
                target.close()
        return detach
