"""Responses in Docker's form, and the one place where errors become them."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lab.errors import LabError

log = logging.getLogger("labd")


class Json(Response):
    """JSON in ASCII: names from the file system need not be UTF-8."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(json.dumps(content).encode() + b"\n", status_code, headers)


def error_response(status: int, message: str, **more: int) -> Response:
    """{"message": ...}, as all of dockerd's errors are."""
    # Whoever is told that the body is too large may be sending it for ever.
    return Json({"message": message, **more}, status, {"Connection": "close"} if status == 413 else None)


async def _lab_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LabError)
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    return error_response(error.http_status, text, exitCode=error.exit_code)


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
    return error_response(500, f"a bug in labd: {error!r}; its journal has the traceback")


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(LabError, _lab_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)
