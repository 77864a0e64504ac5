"""Taking a connection over from HTTP, as Docker's attach and exec do; engine API, "Stream details".

The client asks with `Connection: Upgrade`, `Upgrade: tcp`; after the response head both sides send raw bytes. ASGI has
no such thing, so this subclass of uvicorn's H11Protocol lends a callable to the application, in
scope["extensions"]["hijack"]: it detaches the transport from HTTP and gives it to a plain StreamReader and
StreamWriter. Only `.app`, `.conn` and `.transport` of uvicorn's class are touched.
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

from daemon.wire.front import TARS, request_line

HEAD_TIMEOUT = 8.0  # seconds for a request's head, from the first byte that is owed
BODY_TIMEOUT = 8.0  # seconds without a byte of a request's body, once it has begun
TAR_TIMEOUT = 60.0  # of a tar's, whose sender may have to wait for a slow disk
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 49\r\n\r\n"
    b'{"message": "the request\'s body stopped coming"}\n'
)
STREAM_BUFFER = 1 << 16
AHEAD = 1 << 16  # bytes that may come behind a request before its answer is complete
HALF_SECONDS = 1.0  # for an ordinary answer to who asked for an upgrade and has ended the sending half

log = logging.getLogger("labd")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HijackProtocol(H11Protocol):
    """HTTP/1.1 that can be left, and that does not wait for ever for the rest of a request."""

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
        # Data that is no whole head yet must become one in time: a slow sender may not hold a connection for ever.
        if self.conn.their_state is not h11.IDLE:
            self._head_arrived()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._expect_head()
        self._expect_body()
        self._listen_on()

    def _listen_on(self) -> None:
        """uvicorn reads no more once something comes behind a request, and would not notice that the client leaves."""
        whole = self.conn.their_state is h11.DONE
        if not (whole or self._upgrading()) or self.transport.is_closing():
            return
        if len(self.conn.trailing_data[0]) <= AHEAD:
            self.flow.resume_reading()
        elif whole:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP; if it comes behind a request that is being answered, there is nothing more to say."""
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
        """From each piece to the next."""
        if self._body_timer:
            self._body_timer.cancel()
            self._body_timer = None
        if self.conn.their_state is h11.SEND_BODY:
            seconds = TAR_TIMEOUT if TARS.match(self.scope["path"]) else BODY_TIMEOUT
            self._body_timer = self.loop.call_later(seconds, self._body_is_late)

    def _body_is_late(self) -> None:
        if self.flow.read_paused:  # it is we who do not read: what came is still being worked on
            self._expect_body()
        elif self.cycle.response_started:
            self.transport.abort()
        else:
            self.transport.write(LATE)
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False  # `Upgrade: tcp` is the application's business, and there are no WebSockets here

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True keeps the other direction open: the docker command half-closes right after the 101."""
        if self._upgrading():
            self._half_closed = True
            return True
        return None

    def _upgrading(self) -> bool:
        return self.conn.their_state is h11.MIGHT_SWITCH_PROTOCOL  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        """An ordinary answer to an upgrade request (a 404): the half that was kept open has no use any more."""
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
            protocol.connection_lost(None)  # asyncio told HTTP's protocol of the client's end, and tells it once
        elif self._half_closed:
            reader.feed_eof()
        self.connection_lost(ConnectionAbortedError("taken over"))
        self.transport.resume_reading()
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)


class HijackedResponse(Response):
    """A response that leaves HTTP: writes its own head, then hands the connection to `serve`.

    With `Upgrade` in the request the head is a 101, else a 200, as dockerd does for old clients. `listening` is
    entered before the head goes out, so that nothing that comes after it is missed, and left however this ends.
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
        reader, writer = scope["extensions"]["hijack"]()
        status = "101 UPGRADED" if upgrade else "200 OK"
        log.debug("%s %s", request_line(scope), status[:3])
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
    """Returns when the peer has closed altogether, which its end of file does not tell: it may still be reading.

    poll(2): POLLHUP comes unasked, once both directions are shut. The inner epoll is readable when it has.
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
    """End our half, swallow what the client still sends, then close.

    Closing with unread input resets the connection, and the client loses the tail of the output.
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
