"""/_ping, /version, /info, /events, /system/df: the daemon itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from daemon.events import Event
from daemon.routes import container_views, image_views, system_views, volumes
from daemon.routes.deps import TheEngine
from daemon.routes.filters import Filters
from daemon.wire.answers import Json, Streamed
from daemon.wire.front import API_VERSION
from lab.errors import InvalidArgument
from lab.filters import check_names
from lab.shown import SECOND, parse_time

router = APIRouter()
PING = {
    "Api-Version": ".".join(map(str, API_VERSION)), "Docker-Experimental": "false", "Ostype": "linux",
    "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Builder-Version": "1",
    "Swarm": "inactive",
}  # fmt: skip
# The lab has no events of the second row's kinds: such a filter lets none through.
EVENT_FILTERS = (
    "container", "event", "image", "label", "scope", "type", "volume",
    "config", "daemon", "network", "node", "plugin", "secret", "service",
)  # fmt: skip
When = Annotated[str, Query(max_length=40)]


@router.head("/_ping")
@router.get("/_ping")
async def ping() -> Response:
    """The first request of every docker command: which API the daemon speaks"""
    return Response("OK", headers=PING, media_type="text/plain")


@router.get("/version")
async def version() -> Response:
    """docker version"""
    return Json(system_views.version())


@router.get("/info")
async def info(engine: TheEngine) -> Response:
    """docker info"""
    return Json(system_views.info(engine))


@router.get("/events")
async def events(engine: TheEngine, filters: Filters, since: When = "", until: When = "") -> Response:
    """docker events"""
    check_names(filters, *EVENT_FILTERS)
    start, end = (parse_time(text) / SECOND if text else None for text in (since, until))
    stream = engine.events.follow(start, end, lambda event: _wanted(event, filters))

    async def lines() -> AsyncGenerator[bytes, None]:
        async with aclosing(stream):
            async for event in stream:
                yield json.dumps(event).encode() + b"\n"

    return Streamed(lines())


def _wanted(event: Event, filters: dict[str, list[str]]) -> bool:
    actor, attributes = event["Actor"]["ID"], event["Actor"]["Attributes"]
    values = {
        "type": [event["Type"]], "event": [event["Action"], event["Action"].partition(":")[0]],
        "container": [actor, actor[:12], attributes.get("name", "")] if event["Type"] == "container" else [],
        "image": [attributes.get("image", ""), actor if event["Type"] == "image" else ""],
        "volume": [actor] if event["Type"] == "volume" else [],
        "scope": [event["scope"]],
        "label": [*attributes, *(f"{key}={value}" for key, value in attributes.items())],
    }  # fmt: skip
    return all(any(value in values.get(name, []) for value in wanted) for name, wanted in filters.items() if wanted)


@router.get("/system/df")
async def disk_usage(engine: TheEngine, type: Annotated[list[str] | None, Query()] = None) -> Response:
    """docker system df; `type` selects parts"""
    images, containers = engine.images.list(), list(engine.containers.values())
    shared = image_views.shared_sizes(images)
    parts: dict[str, dict[str, Any]] = {
        "container": {"Containers": []},
        "image": {
            "LayersSize": image_views.layers_size(images),
            "Images": [{**image_views.summary(engine, image), "SharedSize": shared[image.id]} for image in images],
        },
        "volume": {"Volumes": []},
        "build-cache": {"BuildCache": [], "BuilderSize": 0},
    }
    for name in type or ():
        if name not in parts:
            raise InvalidArgument(f"unknown object type: {name[:40]}", f"write one of {', '.join(parts)}")
    if not type or "container" in type:
        names = engine.images.tags()
        sizes = await asyncio.to_thread(lambda: [container_views.sizes(engine, container) for container in containers])
        rows = zip(containers, sizes, strict=True)
        parts["container"]["Containers"] = [
            {**container_views.summary(container, names), **more} for container, more in rows
        ]
    if not type or "volume" in type:
        parts["volume"]["Volumes"] = await asyncio.to_thread(
            lambda: [volumes.with_usage(engine, volume) for volume in engine.volumes.list()]
        )
    return Json({key: value for name in type or parts for key, value in parts[name].items()})
