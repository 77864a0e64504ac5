"""/containers/ID/archive and /containers/ID/changes: docker cp and docker diff."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from daemon.archiving import Archiver, path_stat
from daemon.fields import go_bool
from daemon.routes.deps import TheContainer
from daemon.routes.layers import changes
from daemon.wire.answers import Json, Streamed

router = APIRouter(prefix="/containers/{reference}")
InPath = Annotated[str, Query(max_length=4096)]


@router.head("/archive")
async def stat(container: TheContainer, path: InPath = "") -> Response:
    """docker cp: what is at the path"""
    async with Archiver(container, "stat", path) as archiver:
        return Response(headers=_header(await archiver.answer()))


@router.get("/archive")
async def get(container: TheContainer, path: InPath = "") -> Response:
    """docker cp CONTAINER:PATH -"""
    async with AsyncExitStack() as stack:
        archiver = await stack.enter_async_context(Archiver(container, "get", path))
        headers = _header(await archiver.answer())
        return Streamed(archiver.rest(), "application/x-tar", headers, stack.pop_all())


@router.put("/archive")
async def put(
    request: Request, container: TheContainer, path: InPath = "", noOverwriteDirNonDir: str = "", copyUIDGID: str = ""
) -> Response:
    """docker cp - CONTAINER:PATH"""
    owner = container.spec.user if go_bool(copyUIDGID) else ""
    async with AsyncExitStack() as stack:
        if not container.running:  # two overlays must not write to one layer: it starts afterwards, as with dockerd
            await stack.enter_async_context(container.changing)
        archiver = await stack.enter_async_context(Archiver(container, "put", path, owner))
        await archiver.feed(request)
        await archiver.answer()
    return Response(status_code=200)


@router.get("/changes")
async def diff(container: TheContainer) -> Response:
    """docker diff"""
    return Json(await asyncio.to_thread(changes, container.spec))


def _header(answer: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(path_stat(answer)).encode()
    return {"X-Docker-Container-Path-Stat": base64.b64encode(text).decode()}
