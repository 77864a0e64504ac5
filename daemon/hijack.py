"""Taking a connection over from HTTP, as Docker's attach and exec do; engine API, "Stream details".

The client asks with `Connection: Upgrade`, `Upgrade: tcp`; after the response head both sides send raw bytes. ASGI has
no such thing, so this subclass of uvicorn's H11Protocol lends a callable to the application, in
scope["extensions"]["hijack"]: it detaches the transport from HTTP and gives it to a plain StreamReader and
StreamWriter. Only `.app`, `.conn` and `.transport` of uvicorn's class are touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import h11
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT = 8.0  # seconds for a request's head, from the first byte that is owed
STREAM_BUFFER = 1 << 16

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HijackProtocol(H11Protocol):
    """HTTP/1.1 that can be left, and that does not wait for ever for the head of a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = self.app
        self.app = self._run
        self._half_closed = False
        self._head_timer: asyncio.TimerHandle | None = None

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {"hijack": self._take_over}
        scope["socket"] = self.transport.get_extra_info("socket")
        await self._application(scope, receive, send)

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

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

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
        super().connection_lost(exc)

    def _take_over(self) -> Connection:
        reader = asyncio.StreamReader(limit=STREAM_BUFFER, loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        early, _ = self.conn.trailing_data
        if early:
            reader.feed_data(early)
        if self._half_closed:
            reader.feed_eof()
        self.connection_lost(ConnectionAbortedError("taken over"))
        self.transport.resume_reading()
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)


class HijackedResponse(Response):
    """A response that leaves HTTP: writes its own head, then hands the connection to `serve`.

    With `Upgrade` in the request the head is a 101, else a 200, as dockerd does for old clients.
    """

    def __init__(self, media_type: str, serve: Callable[[Connection], Awaitable[None]]) -> None:
        super().__init__(media_type=media_type)
        self.serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upgrade = Request(scope).headers.get("upgrade")
        reader, writer = scope["extensions"]["hijack"]()
        status = "101 UPGRADED" if upgrade else "200 OK"
        more = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n" if upgrade else ""
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {self.media_type}\r\n{more}\r\n".encode("latin-1"))
        try:
            await self.serve((reader, writer))
        except ConnectionError:
            pass  # the client left
        finally:
            await _close(reader, writer)


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
