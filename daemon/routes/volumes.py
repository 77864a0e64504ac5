"""/volumes/...: docker volume."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from daemon import volumes as events_of
from daemon.engine import Engine
from daemon.models import VolumeCreate
from daemon.routes.deps import ApiVersion, Switch, TheEngine
from daemon.routes.filters import Filters
from daemon.routes.strict import StrictRoute
from daemon.wire.answers import Json
from lab import trees, volumefilters
from lab.errors import NotFound
from lab.volumes import Volume

router = APIRouter(prefix="/volumes", route_class=StrictRoute)
Name = Annotated[str, Path(max_length=300)]
ANONYMOUS_ONLY = (1, 42)  # from this version on, prune spares volumes with a name


@router.get("")
async def list_volumes(engine: TheEngine, filters: Filters) -> Response:
    """docker volume ls"""
    found = volumefilters.matching(engine.volumes, filters)
    return Json({"Volumes": [volume.to_dict() for volume in found], "Warnings": None})


@router.post("/create")
async def create(engine: TheEngine, body: VolumeCreate) -> Response:
    """docker volume create; an existing one is returned as it is"""
    volume, is_new = engine.volumes.create(body.Name, body.Labels)
    if is_new:
        events_of.tell(engine.events, "create", [volume.name])
    return Json(volume.to_dict(), 201)


@router.post("/prune")
async def prune(engine: TheEngine, filters: Filters, version: ApiVersion) -> Response:
    """docker volume prune"""
    wanted = filters if version >= ANONYMOUS_ONLY else {**filters, "all": ["true"]}
    gone, reclaimed = await asyncio.to_thread(volumefilters.prune, engine.volumes, wanted)
    events_of.tell(engine.events, "destroy", gone)
    engine.events.add("volume", "prune", "", {"reclaimed": str(reclaimed)}, {})
    return Json({"VolumesDeleted": gone or None, "SpaceReclaimed": reclaimed})


@router.get("/{name:path}")
async def inspect(engine: TheEngine, name: Name) -> Response:
    """docker volume inspect"""
    return Json(engine.volumes.find(name).to_dict())


@router.delete("/{name:path}")
async def remove(engine: TheEngine, name: Name, force: Switch = False) -> Response:
    """docker volume rm; with force a volume that does not exist is no error"""
    try:
        await asyncio.to_thread(engine.volumes.remove, name)
        events_of.tell(engine.events, "destroy", [name])
    except NotFound:
        if not force:
            raise
    return Response(status_code=204)


def with_usage(engine: Engine, volume: Volume) -> dict[str, Any]:
    """Its part of `docker system df`: bytes, read from the disk, and how many containers have it."""
    usage = {"Size": trees.size(volume.data), "RefCount": len(engine.volumes.users(volume.name))}
    return {**volume.to_dict(), "UsageData": usage}
