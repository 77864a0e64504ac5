"""An image as Docker's JSON shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from daemon.engine import Engine
from lab.images import Image
from lab.images.names import with_tag


def summary(engine: Engine, image: Image) -> dict[str, Any]:
    """One row of GET /images/json."""
    users = sum(container.record.config["image_id"] == image.id for container in engine.containers.values())
    return {
        "Id": image.id, "ParentId": "", "RepoTags": [with_tag(name) for name in image.tags], "RepoDigests": [],
        "Created": image.created // 10**9, "Size": image.size, "VirtualSize": image.size, "SharedSize": -1,
        "Labels": image.labels or None, "Containers": users,
    }  # fmt: skip


def shared_sizes(images: Sequence[Image]) -> dict[str, int]:
    """By id: the bytes of an image's layers that other images have, too."""
    counts = Counter(digest for image in images for digest in set(image.layers))
    return {
        image.id: sum(size for digest, size in zip(image.layers, image.sizes, strict=False) if counts[digest] > 1)
        for image in images
    }


def layers_size(images: Sequence[Image]) -> int:
    """The bytes of all layers, those that images share counted once."""
    sizes = {digest: size for image in images for digest, size in zip(image.layers, image.sizes, strict=False)}
    return sum(sizes.values()) + sum(image.size for image in images if not image.config)
