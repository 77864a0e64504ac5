"""/_ping, /version, /info, /events and the others that are about the daemon itself."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Response

from daemon import host
from daemon.answers import Json, Streamed
from daemon.deps import Filters, TheEngine
from daemon.events import Event
from daemon.front import API_VERSION
from daemon.listing import moment

router = APIRouter()
PING = {
    "Api-Version": ".".join(map(str, API_VERSION)), "Docker-Experimental": "false", "Ostype": "linux",
    "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Builder-Version": "1",
    "Swarm": "inactive",
}  # fmt: skip
When = Annotated[str, Query(max_length=40)]


@router.head("/_ping")
@router.get("/_ping")
async def ping() -> Response:
    """The first request of every docker command: which API is spoken here"""
    return Response("OK", headers=PING, media_type="text/plain")


@router.get("/version")
async def version() -> Response:
    """docker version"""
    return Json(host.version())


@router.get("/info")
async def info(engine: TheEngine) -> Response:
    """docker info"""
    return Json(host.info(engine))


@router.get("/events")
async def events(engine: TheEngine, filters: Filters, since: When = "", until: When = "") -> Response:
    """docker events"""
    start, end = (moment(text) if text else None for text in (since, until))
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
        "label": [*attributes, *(f"{key}={value}" for key, value in attributes.items())],
    }  # fmt: skip
    return all(any(value in values.get(name, []) for value in wanted) for name, wanted in filters.items() if wanted)


@router.get("/system/df")
async def disk_usage(engine: TheEngine) -> Response:
    """docker system df"""
    images = engine.images.list()
    return Json(
        {
            "LayersSize": sum(image.size for image in images),
            "Images": [host.image_summary(engine, image) for image in images],
            "Containers": [], "Volumes": [], "BuildCache": [], "BuilderSize": 0,
        }
    )  # fmt: skip
