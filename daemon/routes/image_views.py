"""An image as Docker's JSON shows it."""

from __future__ import annotations

import os
from typing import Any

from daemon.engine import Engine
from daemon.routes.system_views import ARCHITECTURES
from lab.images import Image, split_tag
from lab.shown import rfc3339


def _tag(image: Image) -> str:
    return image.name if split_tag(image.name)[1] else f"{image.name}:latest"


def summary(engine: Engine, image: Image) -> dict[str, Any]:
    """One row of GET /images/json."""
    users = sum(container.record.config["image_id"] == image.id for container in engine.containers.values())
    return {
        "Id": image.id, "ParentId": "", "RepoTags": [_tag(image)], "RepoDigests": [], "Created": image.created // 10**9,
        "Size": image.size, "VirtualSize": image.size, "SharedSize": -1, "Labels": None, "Containers": users,
    }  # fmt: skip


def inspect(image: Image) -> dict[str, Any]:
    """GET /images/NAME/json."""
    machine = os.uname().machine
    return {
        "Id": image.id, "RepoTags": [_tag(image)], "RepoDigests": [], "Parent": "", "Author": "",
        "Comment": f"damaged: {image.damage}" if image.damage else "",
        "Created": rfc3339(image.created), "Architecture": ARCHITECTURES.get(machine, machine), "Os": "linux",
        "Size": image.size, "VirtualSize": image.size, "DockerVersion": "", "Container": "",
        "GraphDriver": {"Name": "host" if image.is_host else "overlay", "Data": None},
        "RootFS": {"Type": "layers", "Layers": [image.id]}, "Metadata": {"LastTagTime": rfc3339(image.created)},
        "Config": {
            "Env": image.env, "Cmd": image.command or None, "Entrypoint": image.entrypoint or None, "User": image.user,
            "WorkingDir": image.workdir, "Labels": None, "Volumes": None, "ExposedPorts": None, "OnBuild": None,
        },
    }  # fmt: skip
