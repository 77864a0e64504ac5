"""What Docker has and the lab does not: each answer is a sentence, with a status that the docker command handles."""

from __future__ import annotations

from fastapi import APIRouter, Response

from daemon.routes.deps import TheContainer
from daemon.routes.filters import Filters
from daemon.wire.answers import Json
from lab.errors import NotFound, NotImplementedHere
from lab.filters import check_names, flag

router = APIRouter()
NO_REGISTRY = ("registries are not part of this lab", "images come from `docker load` and `docker import`")
NO_BUILD = ("building images is not part of this lab", "make a root filesystem elsewhere and `docker import` its tar")
NO_SWARM = ("swarms are not part of this lab", "run the container on this machine: docker run")
ABSENT = {
    "volumes": ("changing a volume is not part of this lab", "remove it, and make another: docker volume create"),
    "plugins": ("plugins are not part of this lab", "start the container without them"),
    **dict.fromkeys(("auth", "distribution"), NO_REGISTRY),
    **dict.fromkeys(("build", "session", "grpc"), NO_BUILD),
    **dict.fromkeys(("swarm", "services", "nodes", "tasks", "secrets", "configs"), NO_SWARM),
}


@router.get("/plugins")
async def plugins() -> Response:
    """docker plugin ls"""
    return Json([])


@router.get("/plugins/{name:path}/json")
async def plugin(name: str) -> Response:
    """docker inspect: a plugin is the last thing that it asks for"""
    raise NotFound(f"plugin {name[:80]!a} not found", "plugins are not part of this lab")


@router.post("/networks/prune")
async def prune(filters: Filters) -> Response:
    """docker system prune, of networks: the lab makes none"""
    check_names(filters, "until", "label", "label!", "all")
    for value in filters.get("all", ()):
        flag("all", value)
    return Json({"NetworksDeleted": None, "SpaceReclaimed": 0})


@router.post("/build/prune")
async def prune_builds() -> Response:
    """docker builder prune: nothing is ever built"""
    return Json({"CachesDeleted": None, "SpaceReclaimed": 0})


@router.get("/containers/{reference}/attach/ws")
async def attach_by_websocket(container: TheContainer) -> Response:
    """attach as web consoles do"""
    raise NotImplementedHere("attach by WebSocket is not part of this lab", "send POST .../attach with Upgrade: tcp")


@router.api_route("/containers/{reference}/{action}", methods=["GET", "POST"], include_in_schema=False)
async def absent_action(container: TheContainer, action: str) -> Response:
    """docker checkpoint, or an unknown page"""
    if action == "checkpoints":
        raise NotImplementedHere("checkpoints are not part of this lab", "copy what you need out with `docker cp`")
    raise NotFound("page not found")


@router.api_route("/images/{action}", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/images/{name:path}/{action}", methods=["GET", "POST"], include_in_schema=False)
async def absent_image_action(action: str, name: str = "") -> Response:
    """docker search, push, or an unknown page"""
    if action in ("search", "push"):
        raise NotImplementedHere(*NO_REGISTRY)
    raise NotFound("page not found")


@router.api_route("/{thing}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
@router.api_route("/{thing}/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
async def absent(thing: str, rest: str = "") -> Response:
    """All other paths: other parts of Docker's API, or an unknown page"""
    if thing not in ABSENT:
        raise NotFound("page not found")
    raise NotImplementedHere(*ABSENT[thing])
