"""An image as `docker image inspect`, `history` and `images` show it, for both engines."""

from __future__ import annotations

from lab.images.config import architecture, history
from lab.images.names import with_tag
from lab.shown import SHORT_ID, ago, image_row, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lab.images.image import Image

HISTORY_COLUMNS = ("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT")
LONGEST_COMMAND = 45
NONE = "<none>"


def inspected(image: Image) -> dict[str, Any]:
    """GET /images/NAME/json of Docker's API."""
    config = image.config
    steps = config.get("history") or [{}]
    return {
        "Id": image.id, "RepoTags": [with_tag(name) for name in image.tags], "RepoDigests": [], "Parent": "",
        "Author": config.get("author") or "",
        "Comment": f"damaged: {image.damage}" if image.damage else steps[-1].get("comment") or "",
        "Created": rfc3339(image.created), "Architecture": config.get("architecture") or architecture(), "Os": "linux",
        "Size": image.size, "VirtualSize": image.size, "DockerVersion": "", "Container": "",
        "GraphDriver": {"Name": "host" if image.is_host else "overlay", "Data": None},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{digest}" for digest in image.layers] or [image.id]},
        "Metadata": {"LastTagTime": rfc3339(image.tagged)},
        "Config": {
            "Env": image.env, "Cmd": image.command or None, "Entrypoint": image.entrypoint or None, "User": image.user,
            "WorkingDir": image.workdir, "Labels": image.labels or None, "Volumes": image.volumes or None,
            "ExposedPorts": (config.get("config") or {}).get("ExposedPorts"), "OnBuild": None,
            **({"StopSignal": image.stop_signal} if image.stop_signal else {}),
            **({"Healthcheck": image.healthcheck} if image.healthcheck else {}),
        },
    }  # fmt: skip


def told(image: Image) -> list[dict[str, Any]]:
    """GET /images/NAME/history of Docker's API, the youngest row first."""
    rows = history(image.config, image.sizes) if image.config else [_only_row(image)]
    return [
        {
            "Id": "<missing>" if number else image.id, "Created": row["created"] // 10**9, "Size": row["size"],
            "CreatedBy": row["created_by"], "Tags": None if number else [with_tag(tag) for tag in image.tags],
            "Comment": row["comment"],
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip


def _only_row(image: Image) -> dict[str, Any]:
    """For an image without a config: `host`, and one of version 0.2."""
    comment = "the machine's own root" if image.is_host else "imported"
    return {"created": image.created, "size": image.size, "created_by": "", "comment": comment}


def history_rows(rows: Sequence[dict[str, Any]], *, whole: bool) -> list[tuple[str, ...]]:
    """Rows under HISTORY_COLUMNS, of what told() tells; whole: nothing is cut (--no-trunc)."""
    return [
        (
            row["Id"] if whole else row["Id"].removeprefix("sha256:")[:SHORT_ID],
            f"{ago(row['Created'] * 10**9)} ago",
            row["CreatedBy"] if whole else row["CreatedBy"][:LONGEST_COMMAND],
            f"{row['Size'] / 1e6:.1f} MB",
            row["Comment"],
        )
        for row in rows
    ]


def image_rows(names: Sequence[str], image_id: str, size: int, damage: str = "", *, whole: bool) -> list[str]:
    """The rows of `images` for one image: one for each name."""
    return [image_row(name, image_id, size, damage, whole=whole) for name in names or (NONE,)]
