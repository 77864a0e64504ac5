"""How images come and go as tars: import, load, save, commit; and a container's files: export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from daemon.exporting import exported
from daemon.models import Commit
from daemon.routes.deps import Platform, Switch, TheContainer, TheEngine
from daemon.routes.strict import StrictRoute
from daemon.wire.answers import Json, Streamed
from daemon.wire.uploads import upload
from lab.errors import NoSuchImage, NotImplementedHere
from lab.images.names import with_tag

router = APIRouter(route_class=StrictRoute)
Text = Annotated[str, Query(max_length=1000)]
Changes = Annotated[list[str] | None, Query(max_length=100)]
Names = Annotated[list[str] | None, Query(max_length=100)]


@router.post("/images/create")
async def create(
    request: Request, engine: TheEngine, platform: Platform, changes: Changes = None, *, fromImage: Text = "",
    fromSrc: Text = "", repo: Text = "", tag: Text = "", message: Text = "",
) -> Response:  # fmt: skip
    """docker import; docker pull always fails, because the lab downloads nothing"""
    if fromImage:
        reference = f"{fromImage}:{tag}" if tag else fromImage
        names = ", ".join(image.name for image in engine.images.list())
        raise NoSuchImage(
            f"No such image: {reference[:200]}: the lab downloads nothing",
            f"the images are: {names}; `docker load` and `docker import` add some",
        )
    if fromSrc != "-":
        raise NotImplementedHere(
            "import from a URL is not part of this lab", "give a tar: docker import rootfs.tar NAME"
        )
    name = f"{repo}:{tag}" if tag and repo else repo
    image = await upload(request, lambda tar: engine.images.import_tar(name, tar, changes or (), message))
    engine.events.add("image", "import", image.id, {"name": image.id}, image.labels)
    if name:
        engine.events.add("image", "tag", image.id, {"name": with_tag(image.name)}, image.labels)
    return _lines({"status": image.id})


@router.post("/images/load")
async def load(request: Request, engine: TheEngine, quiet: Switch = False) -> Response:
    """docker load; `quiet` changes nothing: there is no progress to be shown"""
    loaded = await upload(request, lambda tar: list(engine.images.load(tar)))
    for name, image in loaded:
        engine.events.add("image", "load", image.id, {"name": with_tag(name) if name else image.id}, image.labels)
    words = [f"Loaded image: {with_tag(name)}" if name else f"Loaded image ID: {image.id}" for name, image in loaded]
    return _lines(*({"stream": f"{text}\n"} for text in words))


@router.get("/images/get")
async def save(engine: TheEngine, names: Names = None) -> Response:
    """docker save"""
    return await _saved(engine, names or [])


@router.get("/images/{name:path}/get")
async def save_one(engine: TheEngine, name: str) -> Response:
    """docker-py's Image.save()"""
    return await _saved(engine, [name])


@router.get("/containers/{reference}/export")
async def export(container: TheContainer) -> Response:
    """docker export"""
    async with AsyncExitStack() as stack:
        container.require_sound()
        source = await stack.enter_async_context(exported(container.spec))
        container.event("export")
        return Streamed(source, "application/octet-stream", None, stack.pop_all())


@router.post("/commit")
async def commit(
    engine: TheEngine, body: Commit | None = None, changes: Changes = None, *, container: Text = "", repo: Text = "",
    tag: Text = "", comment: Text = "", author: Text = "", pause: Switch = True,
) -> Response:  # fmt: skip
    """docker commit"""
    found = engine.find(container)
    found.require_sound()
    name = f"{repo}:{tag}" if tag and repo else repo
    async with found.frozen(pause):
        image = await asyncio.to_thread(
            engine.images.commit, found.spec, name,
            entrypoint=len(entrypoint(found.body)), labels=found.body["Labels"],
            override=body.given() if body else None, changes=changes or (), author=author, comment=comment,
        )  # fmt: skip
    found.event("commit", comment=comment, imageID=image.id, imageRef=with_tag(name) if name else "")
    if name:
        engine.events.add("image", "tag", image.id, {"name": with_tag(image.name)}, image.labels)
    return Json({"Id": image.id}, 201)


def entrypoint(body: dict[str, Any]) -> list[str]:
    """The words of a container's entrypoint; [""] asks for none."""
    words: list[str] = body["Entrypoint"] or []
    return [] if words == [""] else words


def _lines(*documents: dict[str, str]) -> Response:
    text = "".join(json.dumps(document) + "\r\n" for document in documents)
    return Response(text, media_type="application/json")


async def _saved(engine: TheEngine, names: list[str]) -> Response:
    saved = await asyncio.to_thread(engine.images.save, names)
    for image in saved.images:
        engine.events.add("image", "save", image.id, {"name": image.id}, image.labels)

    async def pieces() -> AsyncGenerator[bytes, None]:
        chunks = saved.chunks()
        try:
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield chunk
        finally:
            saved.close()

    return Streamed(pieces(), "application/x-tar")
