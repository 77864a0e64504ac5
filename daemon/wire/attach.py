"""One attached client: its output in frames, its input, the keys that detach."""

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
        """The head of the response has been sent: send() may write from now on."""
        self._writer = writer
        self._connected.set()

    def leave(self) -> None:
        """The connection has ended: send() fails from now on."""
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
    """Finds the detach keys in a terminal's input; docker-attach(1), `--detach-keys`."""

    def __init__(self, keys: str) -> None:
        self.sequence = bytes(_key(name) for name in keys.split(","))
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(the bytes for the process, whether to detach). An incomplete sequence is passed on."""
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

    incoming     gives the process's standard input once it has started; None: the client's input goes nowhere
    close_stdin  whether the client's end of file is passed on to the process
    before       sends what comes before the live output
    live         whether live output is wanted
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
        """From here on no output of the process is missed; a client that leaves is removed from the receivers."""
        if self.live:
            self.output.receivers.add(self.client)
        try:
            yield
        finally:
            self.output.receivers.discard(self.client)
            self.client.leave()

    async def serve(self, connection: Connection) -> None:
        """Return when the process's output has ended, the client has left, or the detach keys came."""
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
            if not finished.done():  # what the client sent before it left still goes to the process
                await asyncio.wait({feeding}, timeout=DRAIN_SECONDS)
            for task in (feeding, finished, gone):
                task.cancel()
            await asyncio.gather(feeding, finished, gone, return_exceptions=True)

    async def _feed(self, reader: asyncio.StreamReader) -> bool:
        """Pass the client's input on; True if the detach keys came."""
        target = await self.incoming() if self.incoming else None
        detach = False
        try:
            while not detach and (data := await reader.read(1 << 16)):
                if self.keys:
                    data, detach = self.keys.feed(data)
                if target:
                    await target.write(data)
        except ConnectionError:
            pass  # a client that has left counts as end of file
        finally:
            if target and self.close_stdin and not detach and not self.output.finished.is_set():
                target.close()
        return detach
