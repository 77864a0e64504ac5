"""What happens to every request before it is routed: the version in its path, the limit on its body."""

from __future__ import annotations

import logging
import re
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.peer import peer_of
from daemon.wire.answers import error_response

API_VERSION, OLDEST_API = (1, 44), (1, 24)
BODY_LIMIT = 3 << 20  # bytes of JSON: a command's arguments and variables are at most 2 MiB; execve(2)
# Requests whose bodies are never held in memory.
TARS = re.compile(r"(/v[\d.]+)?/(images/(create|load)|build|containers/[^/]+/archive)")
VERSION = re.compile(r"/v(\d{1,4})\.(\d{1,4})(/.*)")
log = logging.getLogger("labd")


class Front:
    """A plain ASGI middleware: Starlette's BaseHTTPMiddleware delays the head of `wait`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if log.isEnabledFor(logging.DEBUG):
            scope["asked"] = request_line(scope), time.monotonic()
            send = _logged(scope, send)
        try:
            scope["api_version"] = _strip_version(scope)
            if not TARS.match(scope["path"]):
                receive = _limited(scope, receive)
        except HTTPException as error:
            await error_response(error.status_code, error.detail)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _logged(scope: Scope, send: Send) -> Send:
    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            log_answer(scope, message["status"])
        await send(message)

    return logged


def log_answer(scope: Scope, status: int) -> None:
    """With --debug: method, path, status, milliseconds and caller; never a query, a body or a variable."""
    if "asked" in scope:
        line, began = scope["asked"]
        log.debug("%s %d %.1f ms %s", line, status, 1000 * (time.monotonic() - began), peer_of(scope["socket"]))


def request_line(scope: Scope) -> str:
    """Method and path as they came, still percent-encoded: so no path can break a line of the log."""
    path: bytes = scope["raw_path"]
    return f"{scope['method']} {path.decode('ascii', 'backslashreplace')}"


def _strip_version(scope: Scope) -> tuple[int, int]:
    found = VERSION.fullmatch(scope["path"])
    if not found:
        return API_VERSION
    version, path = (int(found[1]), int(found[2])), found[3]
    text = f"{version[0]}.{version[1]}"
    if version > API_VERSION:
        raise HTTPException(
            400, f"client version {text} is too new. Maximum supported API version is {_dots(API_VERSION)}"
        )
    if version < OLDEST_API:
        raise HTTPException(
            400, f"client version {text} is too old. Minimum supported API version is {_dots(OLDEST_API)}"
        )
    scope["path"] = path
    scope["raw_path"] = path.encode()
    return version


def _dots(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _limited(scope: Scope, receive: Receive) -> Receive:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > BODY_LIMIT:
        raise HTTPException(413, f"the body is larger than the limit of {BODY_LIMIT} bytes")
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > BODY_LIMIT:
            raise HTTPException(413, f"the body is larger than the limit of {BODY_LIMIT} bytes")
        return message

    return counted
