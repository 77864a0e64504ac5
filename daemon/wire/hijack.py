"""Taking a connection over from HTTP, as Docker's attach and exec do; engine API, "Stream details".

The client asks with `Connection: Upgrade`, `Upgrade: tcp`; after the response head both sides send raw bytes. ASGI does
not know this, so this subclass of uvicorn's H11Protocol gives the application a callable, in
scope["extensions"]["hijack"]: it detaches the transport from HTTP and gives it to a plain StreamReader and
StreamWriter.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import h11
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.wire.front import TARS, log_answer

HEAD_TIMEOUT = 8.0  # seconds for a request's head, from the connection or from the head's first byte
BODY_TIMEOUT = 8.0  # seconds without a byte of a request's body, once it has begun
TAR_TIMEOUT = 60.0  # the same for a tar: the sender may wait for a slow disk
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 49\r\n\r\n"
    b'{"message": "the request\'s body stopped coming"}\n'
)
STREAM_BUFFER = 1 << 16
AHEAD = 1 << 16  # bytes that a client may send after a request before its answer is complete
HALF_SECONDS = 1.0  # for an ordinary answer to an upgrade request whose client has shut its sending half

log = logging.getLogger("labd")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HijackProtocol(H11Protocol):
    """HTTP/1.1 that a handler can leave, with a time limit for the rest of a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = self.app
        self.app = self._run
        self._half_closed = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {"hijack": self._take_over}
        scope["socket"] = self.transport.get_extra_info("socket")

        async def send_and_listen(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and not self.transport.is_closing():
                self._listen_on()
                if self._half_closed:
                    self.loop.call_later(HALF_SECONDS, self.transport.close)

        await self._application(scope, receive, send_and_listen)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def handle_events(self) -> None:
        super().handle_events()
        # A head that has begun must be complete in time: a slow sender may not hold a connection without limit.
        if self.conn.their_state is not h11.IDLE:
            self._head_arrived()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._expect_head()
        self._expect_body()
        self._listen_on()

    def _listen_on(self) -> None:
        """Read on during the answer. uvicorn stops once data follows a request, and would miss the client's end."""
        whole = self.conn.their_state is h11.DONE
        if not (whole or self._upgrading()) or self.transport.is_closing():
            return
        if len(self.conn.trailing_data[0]) <= AHEAD:
            self.flow.resume_reading()
        elif whole:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """For data that is not HTTP; no response can be sent while an earlier request is being answered."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _expect_body(self) -> None:
        """Start the timer anew at each piece of the body."""
        if self._body_timer:
            self._body_timer.cancel()
            self._body_timer = None
        if self.conn.their_state is h11.SEND_BODY:
            seconds = TAR_TIMEOUT if TARS.match(self.scope["path"]) else BODY_TIMEOUT
            self._body_timer = self.loop.call_later(seconds, self._body_is_late)

    def _body_is_late(self) -> None:
        if self.flow.read_paused:  # we do not read at the moment: earlier pieces are still being processed
            self._expect_body()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.transport.write(LATE)
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False  # the application handles `Upgrade: tcp`; labd has no WebSockets

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True keeps the other direction open: the docker command half-closes right after the 101."""
        if self._upgrading():
            self._half_closed = True
            return True
        return None

    def _upgrading(self) -> bool:
        return self.conn.their_state is h11.MIGHT_SWITCH_PROTOCOL  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        """After an ordinary answer to an upgrade request (a 404) the half that was kept open has no use."""
        super().on_response_complete()
        if self._half_closed and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        if self._body_timer:
            self._body_timer.cancel()
        super().connection_lost(exc)

    def _take_over(self) -> Connection:
        reader = asyncio.StreamReader(limit=STREAM_BUFFER, loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        gone = self.transport.is_closing()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        early, _ = self.conn.trailing_data
        if early:
            reader.feed_data(early)
        if gone:
            protocol.connection_lost(
                None
            )  # asyncio reports the client's end once, and has reported it to HTTP's protocol
        elif self._half_closed:
            reader.feed_eof()
        self.connection_lost(ConnectionAbortedError("taken over"))
        self.transport.resume_reading()
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)


class HijackedResponse(Response):
    """A response that leaves HTTP: writes its own head, then hands the connection to `serve`.

    With `Upgrade` in the request the head is a 101, else a 200, as in dockerd for old clients. `listening` is entered
    before the head is sent, so that no output after the head is missed, and is always left at the end.
    """

    def __init__(
        self,
        media_type: str,
        serve: Callable[[Connection], Awaitable[None]],
        listening: AbstractContextManager[None],
    ) -> None:
        super().__init__(media_type=media_type)
        self.serve, self.listening = serve, listening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upgrade = Request(scope).headers.get("upgrade")
        status = "101 UPGRADED" if upgrade else "200 OK"
        log_answer(scope, int(status[:3]))
        reader, writer = scope["extensions"]["hijack"]()
        more = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n" if upgrade else ""
        head = f"HTTP/1.1 {status}\r\nContent-Type: {self.media_type}\r\n{more}\r\n".encode("latin-1")
        try:
            with self.listening:
                writer.write(head)
                await self.serve((reader, writer))
        except ConnectionError:
            pass  # the client left
        finally:
            await _close(reader, writer)


async def hung_up(connection: Connection) -> None:
    """Return when the peer has closed both directions. End of file is not enough: the peer may still be reading.

    poll(2) reports POLLHUP even without events; this epoll, registered without events, becomes readable then.
    """
    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    fd = connection[1].get_extra_info("socket").fileno()
    if fd < 0:
        return
    with select.epoll() as watch:
        watch.register(fd, 0)
        loop.add_reader(watch.fileno(), closed.set)
        try:
            await closed.wait()
        finally:
            loop.remove_reader(watch.fileno())


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Shut our half, read and drop what the client still sends, then close.

    A close with unread input resets the connection, and the client loses the end of the output.
    """
    try:
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(5):
            while await reader.read(STREAM_BUFFER):
                pass
    except (ConnectionError, OSError, TimeoutError):
        pass
    finally:
        writer.close()
