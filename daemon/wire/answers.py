"""Responses in Docker's form; the one place where errors become responses."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from lab.errors import PROGRAM, LabError, NoSpace

log = logging.getLogger("labd")
LACKS = {
    errno.ENOSPC: "make room on the disk of labd's state directory",
    errno.EDQUOT: "raise the quota on labd's state directory",
    errno.EROFS: "remount the disk of labd's state directory for writing",
    errno.EMFILE: "raise LimitNOFILE of labd's service",
    errno.ENFILE: "raise fs.file-max; sysctl(8)",
}


class Json(Response):
    """JSON in ASCII, because names from the file system need not be UTF-8."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(json.dumps(content).encode() + b"\n", status_code, headers)


class Streamed(StreamingResponse):
    """A body that comes in pieces. Its source is always closed, even if the client leaves before the first piece.

    Where the source raises a LabError, the status has been sent: uvicorn closes the connection then without the last
    chunk (RFC 9112, section 8), from which a client knows that the body is not whole.
    """

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        media_type: str = "application/json",
        headers: dict[str, str] | None = None,
        held: AsyncExitStack | None = None,
    ) -> None:
        super().__init__(source, headers=headers, media_type=media_type)
        self.held = held or AsyncExitStack()
        self.held.push_async_callback(source.aclose)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_turn(message: Message) -> None:
            await send(message)
            await asyncio.sleep(0)  # a source that always has data would keep other tasks from running

        async with self.held:
            await super().__call__(scope, receive, send_in_turn)

    async def stream_response(self, send: Send) -> None:
        """As in Starlette; an error leaves the body without its end."""
        try:
            await super().stream_response(send)
        except LabError as error:
            log.error("an answer is cut short: %s", error.message)


def error_response(status: int, message: str, **more: int) -> Response:
    """{"message": ...}, the form of all of dockerd's errors."""
    # After a 413 the client may go on sending its body: only the end of the connection stops that.
    return Json({"message": message, **more}, status, {"Connection": "close"} if status == 413 else None)


async def _lab_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LabError)
    text = f"{error.message} ({error.hint.replace(PROGRAM, 'docker')})" if error.hint else error.message
    return error_response(error.http_status, text, exitCode=error.exit_code)


async def _os_error(request: Request, error: Exception) -> Response:
    """What the machine lacks is not a bug in labd."""
    assert isinstance(error, OSError)
    if error.errno not in LACKS:
        return await _bug(request, error)
    lack = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else LabError
    where = f" ({error.filename})" if error.filename else ""
    return await _lab_error(request, lack(f"labd cannot go on: {error.strerror}{where}", LACKS[error.errno]))


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, "page not found" if error.detail == "Not Found" else str(error.detail))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return error_response(400, f"invalid parameter: {where}: {first['msg']}")


async def _bug(_: Request, error: Exception) -> Response:
    log.exception("a bug in labd", exc_info=error)
    return error_response(500, f"a bug in labd: {error!r} (the traceback is in labd's journal)")


def install(app: FastAPI) -> None:
    """Register the error handlers."""
    app.add_exception_handler(LabError, _lab_error)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)
