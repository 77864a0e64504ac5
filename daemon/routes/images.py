"""/images/...: what images there are, their names, and their removal."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from daemon.engine import Engine
from daemon.routes import image_views
from daemon.routes.deps import Switch, TheEngine
from daemon.routes.filters import Filters
from daemon.wire.answers import Json
from lab.images import filters, removal, views
from lab.images.names import with_tag

router = APIRouter(prefix="/images")
Text = Annotated[str, Query(max_length=1000)]


@router.get("/json")
async def list_images(
    engine: TheEngine, filters_: Filters, *,
    all: Switch = False, digests: Switch = False, shared_size: Annotated[Switch, Query(alias="shared-size")] = False,
) -> Response:  # fmt: skip
    """docker images; `all` and `digests` add nothing: the lab has no intermediate images and no registry"""
    found = await asyncio.to_thread(filters.matching, engine.images, filters_)
    rows = [image_views.summary(engine, image) for image in found]
    if shared_size:
        shared = image_views.shared_sizes(found)
        rows = [{**row, "SharedSize": shared[row["Id"]]} for row in rows]
    return Json(rows)


@router.post("/prune")
async def prune(engine: TheEngine, filters_: Filters) -> Response:
    """docker image prune: those without a name, or with dangling=false (--all) those without a container"""
    wanted, all = filters.prunable(engine.images, filters_)
    rows, freed = await asyncio.to_thread(engine.images.prune, wanted, all=all)
    _tell(engine, rows)
    engine.events.add("image", "prune", "", {"reclaimed": str(freed)}, {})
    return Json({"ImagesDeleted": [dict([row]) for row in rows] or None, "SpaceReclaimed": freed})


@router.get("/{name:path}/json")
async def inspect(engine: TheEngine, name: str) -> Response:
    """docker image inspect"""
    return Json(views.inspected(engine.images.find(name, damaged=True)))


@router.get("/{name:path}/history")
async def history(engine: TheEngine, name: str) -> Response:
    """docker history"""
    return Json(views.told(engine.images.find(name, damaged=True)))


@router.post("/{name:path}/tag")
async def tag(engine: TheEngine, name: str, repo: Text = "", tag: Text = "") -> Response:
    """docker tag"""
    image = await asyncio.to_thread(engine.images.tag, name, f"{repo}:{tag}" if tag else repo)
    engine.events.add("image", "tag", image.id, {"name": with_tag(image.name)}, image.labels)
    return Response(status_code=201)


@router.delete("/{name:path}")
async def remove(engine: TheEngine, name: str, force: Switch = False, noprune: Switch = False) -> Response:
    """docker rmi; `noprune` changes nothing: no image has parents"""
    rows = await asyncio.to_thread(engine.images.remove, name, force=force)
    _tell(engine, rows)
    return Json([dict([row]) for row in rows])


def _tell(engine: Engine, rows: removal.Rows) -> None:
    for action, what in rows:
        name = "untag" if action == "Untagged" else "delete"
        engine.events.add("image", name, what, {"name": what}, {})
