"""/images/...: root filesystems by name."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from daemon.routes import image_filters, image_views
from daemon.routes.deps import Platform, Switch, TheEngine
from daemon.routes.filters import Filters
from daemon.wire.answers import Json
from daemon.wire.uploads import upload
from lab.errors import Conflict, InvalidArgument, NoSuchImage, NotImplementedHere

router = APIRouter(prefix="/images")
Text = Annotated[str, Query(max_length=1000)]


@router.get("/json")
async def list_images(
    engine: TheEngine, filters: Filters, *,
    all: Switch = False, digests: Switch = False, shared_size: Annotated[Switch, Query(alias="shared-size")] = False,
) -> Response:  # fmt: skip
    """docker images; `all` and `digests` add nothing: the lab has no intermediate images and no registry"""
    rows = [image_views.summary(engine, image) for image in image_filters.matching(engine.images, filters)]
    return Json([{**row, "SharedSize": 0 if shared_size else -1} for row in rows])


@router.post("/create")
async def create(
    request: Request, engine: TheEngine, platform: Platform, fromImage: Text = "", fromSrc: Text = "",
    repo: Text = "", tag: Text = "",
) -> Response:  # fmt: skip
    """docker import; docker pull always fails, because the lab downloads nothing"""
    if fromImage:
        reference = f"{fromImage}:{tag}" if tag else fromImage
        names = ", ".join(image.name for image in engine.images.list())
        raise NoSuchImage(
            f"No such image: {reference[:200]}: the lab downloads nothing",
            f"the images are: {names}; `docker import rootfs.tar NAME` adds one",
        )
    if fromSrc != "-":
        raise NotImplementedHere(
            "import from a URL is not part of this lab", "give a tar: docker import rootfs.tar NAME"
        )
    if not repo:
        raise InvalidArgument("an image needs a name", "write docker import rootfs.tar NAME")
    name = f"{repo}:{tag}" if tag else repo
    image = await upload(request, lambda tar: engine.images.import_tar(name, tar))
    engine.events.add("image", "import", image.id, {"name": image.name}, {})
    return Response(json.dumps({"status": image.id}) + "\r\n", media_type="application/json")


@router.get("/{name:path}/json")
async def inspect(engine: TheEngine, name: str) -> Response:
    """docker image inspect"""
    return Json(image_views.inspect(engine.images.find(name, damaged=True)))


@router.get("/{name:path}/history")
async def history(engine: TheEngine, name: str) -> Response:
    """docker history: one layer"""
    image = engine.images.find(name, damaged=True)
    row = {"Id": image.id, "Created": image.created // 10**9, "CreatedBy": "", "Tags": [image.name], "Size": image.size}
    return Json([{**row, "Comment": "the machine's own root" if image.is_host else "imported"}])


@router.delete("/{name:path}")
async def remove(engine: TheEngine, name: str, force: Switch = False, noprune: Switch = False) -> Response:
    """docker rmi; `noprune` changes nothing: no image has parents"""
    image = engine.images.find(name, damaged=True)
    users = [c.name for c in engine.containers.values() if c.record.config["image_id"] == image.id]
    if users and force:
        raise NotImplementedHere(
            f"force is not part of this lab for an image in use: container {users[0]} has {image.name}",
            "remove the container first",
        )
    if users and not image.is_host:
        raise Conflict(f"image {image.name} is in use by container {users[0]}", "remove the container first")
    await asyncio.to_thread(engine.images.remove, name)
    engine.events.add("image", "delete", image.id, {"name": image.name}, {})
    return Json([{"Untagged": image.name}, {"Deleted": image.id}])
