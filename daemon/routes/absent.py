"""What Docker has and the lab has not: said in a sentence, with the status that the docker command handles best."""

from __future__ import annotations

from fastapi import APIRouter, Response

from daemon.answers import Json
from daemon.deps import TheEngine
from lab.errors import NotFound, NotImplementedHere

router = APIRouter()
WRITING = {
    "volumes": "bind a directory of the host instead: -v /SRC:/DST",
    "networks": "use --network host or --network none",
    "build": "make the root filesystem elsewhere and `docker import` its tar",
    "session": "make the root filesystem elsewhere and `docker import` its tar",
    "commit": "`docker export` is not there either; import a tar made elsewhere",
    "auth": "there are no registries: images come from `docker import`",
    "plugins": "there are none",
    "swarm": "one machine is enough to lose a login uid",
    "services": "there is no swarm",
    "nodes": "there is no swarm",
    "tasks": "there is no swarm",
    "secrets": "there is no swarm",
    "configs": "there is no swarm",
    "distribution": "there are no registries: images come from `docker import`",
}  # fmt: skip


@router.get("/volumes")
async def volumes() -> Response:
    """docker volume ls"""
    return Json({"Volumes": [], "Warnings": None})


@router.get("/networks")
async def networks() -> Response:
    """docker network ls: the two that every container can choose from"""
    return Json([_network("host"), _network("none")])


@router.get("/networks/{name}")
async def network(name: str) -> Response:
    """docker network inspect"""
    if name not in ("host", "none"):
        raise NotFound(f"network {name[:80]} not found", "the lab has host and none")
    return Json(_network(name))


@router.get("/volumes/{name}")
async def volume(name: str) -> Response:
    """docker volume inspect"""
    raise NotFound(f"get {name[:80]}: no such volume", "named volumes are not part of this lab")


@router.get("/plugins")
async def plugins() -> Response:
    """docker plugin ls"""
    return Json([])


@router.post("/volumes/prune")
@router.post("/networks/prune")
@router.post("/images/prune")
async def prune(engine: TheEngine) -> Response:
    """docker system prune's other parts: nothing to do"""
    return Json({"VolumesDeleted": None, "NetworksDeleted": None, "ImagesDeleted": None, "SpaceReclaimed": 0})


@router.api_route("/{thing}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
@router.api_route("/{thing}/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
async def absent(thing: str, rest: str = "") -> Response:
    """Everything else."""
    if thing in WRITING:
        raise NotImplementedHere(f"{thing} is not part of this lab", WRITING[thing])
    raise NotFound("page not found")


def _network(name: str) -> dict[str, object]:
    return {
        "Name": name, "Id": name.encode().hex().ljust(64, "0"), "Created": "0001-01-01T00:00:00Z", "Scope": "local",
        "Driver": "host" if name == "host" else "null", "EnableIPv6": False, "Internal": False, "Attachable": False,
        "Ingress": False, "IPAM": {"Driver": "default", "Options": None, "Config": []}, "Containers": {},
        "Options": {}, "Labels": {},
    }  # fmt: skip
