"""/containers/...: a container's life."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from daemon import restarting, updating
from daemon.containers import STOP_SECONDS, Container
from daemon.models import ContainerCreate, ContainerUpdate
from daemon.routes import container_filters, container_views, layers, stats, top
from daemon.routes.deps import Platform, Switch, TheContainer, TheEngine
from daemon.routes.filters import Filters
from daemon.routes.strict import StrictRoute
from daemon.wire.answers import Json, Streamed
from lab.errors import Conflict, InvalidArgument, NotFound
from lab.filters import check_names
from lab.signals import signal_number

router = APIRouter(prefix="/containers", route_class=StrictRoute)
Name = Annotated[str, Query(max_length=300)]
Seconds = Annotated[int | None, Query(ge=-1, le=10**9)]
Size = Annotated[int, Query(ge=0, le=65535)]


@router.get("/json")
async def list_containers(
    engine: TheEngine, filters: Filters, all: Switch = False, limit: int = 0, size: Switch = False
) -> Response:
    """docker ps"""
    found = container_filters.matching(engine, filters, all=all or limit > 0)[: limit if limit > 0 else None]
    names = engine.images.tags()
    rows = [container_views.summary(container, names) for container in found]
    if size:
        measured = await asyncio.to_thread(lambda: [container_views.sizes(engine, container) for container in found])
        rows = [{**row, **more} for row, more in zip(rows, measured, strict=True)]
    return Json(rows)


@router.post("/create")
async def create(engine: TheEngine, body: ContainerCreate, platform: Platform, name: Name = "") -> Response:
    """docker create, the first part of docker run"""
    container = await engine.create(body, name)
    return Json({"Id": container.id, "Warnings": []}, 201)


@router.post("/prune")
async def prune(engine: TheEngine, filters: Filters) -> Response:
    """docker container prune"""
    check_names(filters, "label", "label!", "until")
    chosen = container_filters.matching(engine, filters, all=True)
    gone, reclaimed = list[str](), 0
    for container in chosen:
        if container.status in ("created", "exited", "dead"):
            size = await asyncio.to_thread(layers.size, container.spec)
            with contextlib.suppress(NotFound, Conflict):  # another request has just removed it, or started it
                await container.remove(force=False)
                gone.append(container.id)
                reclaimed += size
    return Json({"ContainersDeleted": gone or None, "SpaceReclaimed": reclaimed})


@router.get("/{reference}/json")
async def inspect(engine: TheEngine, container: TheContainer, size: Switch = False) -> Response:
    """docker inspect"""
    more = await asyncio.to_thread(container_views.sizes, engine, container) if size else {}
    return Json({**container_views.inspect(engine, container), **more})


@router.post("/{reference}/start")
async def start(request: Request, engine: TheEngine, container: TheContainer) -> Response:
    """docker start, the last part of docker run"""
    asker = engine.attribution.of(request.scope["socket"], container.name)
    return Response(status_code=204 if await container.start(asker) else 304)


@router.post("/{reference}/stop")
async def stop(container: TheContainer, t: Seconds = None, signal: str = "") -> Response:
    """docker stop"""
    number = signal_number(signal) if signal else None
    return Response(status_code=204 if await container.stop(_patience(container, t), number) else 304)


@router.post("/{reference}/restart")
async def restart(
    request: Request, engine: TheEngine, container: TheContainer, t: Seconds = None, signal: str = ""
) -> Response:
    """docker restart"""
    asker = engine.attribution.of(request.scope["socket"], container.name)
    await container.restart(_patience(container, t), signal_number(signal) if signal else None, asker)
    return Response(status_code=204)


@router.post("/{reference}/kill")
async def kill(container: TheContainer, signal: str = "KILL") -> Response:
    """docker kill"""
    await container.kill_and_wait(signal_number(signal or "KILL"))
    return Response(status_code=204)


@router.post("/{reference}/pause")
async def pause(container: TheContainer) -> Response:
    """docker pause"""
    await container.pause()
    return Response(status_code=204)


@router.post("/{reference}/unpause")
async def unpause(container: TheContainer) -> Response:
    """docker unpause"""
    container.resume()
    return Response(status_code=204)


@router.post("/{reference}/rename")
async def rename(container: TheContainer, name: Name = "") -> Response:
    """docker rename"""
    container.rename(name.removeprefix("/"))
    return Response(status_code=204)


@router.post("/{reference}/resize")
async def resize(container: TheContainer, h: Size = 0, w: Size = 0) -> Response:
    """docker run -t, when the window's size changes"""
    container.require_running()
    container.run.resize(h, w)
    return Response(status_code=200)


@router.post("/{reference}/update")
async def update(container: TheContainer, body: ContainerUpdate) -> Response:
    """docker update"""
    policy = body.RestartPolicy
    if policy.Name:
        restarting.check(policy, auto_remove=container.body["HostConfig"]["AutoRemove"])
    await updating.update(container, body.resources(), policy.model_dump() if policy.Name else None)
    return Json({"Warnings": []})


@router.post("/{reference}/wait")
async def wait(container: TheContainer, condition: str = "not-running") -> Response:
    """docker wait; the head is sent at once, because `docker run` waits for it before it sends `start`"""
    if condition not in ("", "not-running", "next-exit", "removed"):
        raise InvalidArgument(f"invalid condition: {condition[:40]!r}", "write not-running, next-exit or removed")
    if condition in ("", "not-running"):
        await container.settled()
    ended = container.waiter(condition)

    async def answer() -> AsyncGenerator[bytes, None]:
        yield json.dumps({"StatusCode": await asyncio.shield(ended)}).encode() + b"\n"

    return Streamed(answer())


@router.delete("/{reference}")
async def remove(container: TheContainer, force: Switch = False, v: Switch = False) -> Response:
    """docker rm; v: with its anonymous volumes"""
    await container.remove(force, with_volumes=v)
    return Response(status_code=204)


@router.get("/{reference}/top")
async def list_processes(container: TheContainer, ps_args: Annotated[str, Query(max_length=200)] = "-ef") -> Response:
    """docker top"""
    container.require_running()
    found = await top.processes(container.spec.cgroup, ps_args)
    container.event("top")
    return Json(found)


@router.get("/{reference}/stats")
async def follow_stats(
    container: TheContainer, stream: Switch = True, one_shot: Annotated[Switch, Query(alias="one-shot")] = False
) -> Response:
    """docker stats"""
    measured = stats.samples(container, stream=stream, one_shot=one_shot)

    async def lines() -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(measured):
            async for sample in measured:
                yield json.dumps(sample).encode() + b"\n"

    return Streamed(lines())


def _patience(container: Container, seconds: int | None) -> float | None:
    """Seconds from the stop signal to SIGKILL; None: no SIGKILL."""
    chosen = seconds if seconds is not None else container.body["StopTimeout"]
    if chosen is None:
        return STOP_SECONDS
    return None if chosen < 0 else chosen
