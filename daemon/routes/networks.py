"""Networks: the two that every container can choose from, host and none. No other can be made."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response

from daemon.routes.filters import Filters
from daemon.wire.answers import Json
from lab.errors import NotAllowed, NotFound, NotImplementedHere
from lab.filters import check_names, flag, one_of

router = APIRouter()
DRIVERS = {"host": "host", "none": "null"}
FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


@router.get("/networks")
async def networks(filters: Filters) -> Response:
    """docker network ls"""
    check_names(filters, *FILTERS)
    return Json([_described(name) for name in DRIVERS if _chosen(name, filters)])


@router.get("/networks/{name}")
async def network(name: str) -> Response:
    """docker network inspect, by name or id"""
    return Json(_described(_known(name)))


@router.post("/networks/create")
async def create() -> Response:
    """docker network create; a compose file without network_mode asks for this, too"""
    raise NotImplementedHere(
        "user-defined networks are not part of this lab",
        "use --network host or --network none; in a compose file, write for each service network_mode: host",
    )


@router.delete("/networks/{name}")
async def remove(name: str) -> Response:
    """docker network rm"""
    raise NotAllowed(f"{_known(name)} is a pre-defined network and cannot be removed")


@router.post("/networks/{name}/connect")
@router.post("/networks/{name}/disconnect")
async def connect(name: str) -> Response:
    """docker network connect, docker network disconnect"""
    _known(name)
    raise NotImplementedHere("a container's network cannot be changed here", "remove it, and create it with --network")


def _known(reference: str) -> str:
    """The name of the network with this name or id. Raises NotFound."""
    for name in DRIVERS:
        if reference in (name, _identity(name)):
            return name
    raise NotFound(f"network {reference[:80]} not found", "the lab has host and none")


def _chosen(name: str, filters: dict[str, list[str]]) -> bool:
    """Whether the network passes: any value of a filter is enough, and all filters must agree."""
    tests: dict[str, Callable[[str], bool]] = {
        "name": lambda value: value in name,
        "id": lambda value: value in _identity(name),
        "driver": lambda value: value == DRIVERS[name],
        "scope": lambda value: value == "local",
        "type": lambda value: one_of(("builtin", "custom"), "type", value) == "builtin",
        "dangling": lambda value: not flag("dangling", value),  # docker never counts the pre-defined ones
        "label": lambda value: False,
    }
    return all(any([tests[key](value) for value in values]) for key, values in filters.items())


def _identity(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def _described(name: str) -> dict[str, object]:
    return {
        "Name": name, "Id": _identity(name), "Created": "0001-01-01T00:00:00Z", "Scope": "local",
        "Driver": DRIVERS[name], "EnableIPv6": False, "Internal": False, "Attachable": False, "Ingress": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []}, "Containers": {}, "Options": {}, "Labels": {},
    }  # fmt: skip
