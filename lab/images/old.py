"""Images of version 0.2 of the lab: ROOT/NAME/rootfs and ROOT/NAME/image, a record with the id of the tar's bytes.

They are listed, run and removed as ever. The lab kept no layers then, so they cannot be tagged, committed or saved.
"""

from __future__ import annotations

import json
import os

from lab.errors import Conflict
from lab.images.image import TEXTS, WORDS, Image
from lab.images.names import HEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST_RECORD = 1 << 20  # bytes
FIELDS = {**dict.fromkeys(WORDS, True), **dict.fromkeys(TEXTS, False)}  # whether each is a list of words


def load(folder: str, name: str) -> Image:
    """Raises OSError, ValueError, KeyError, TypeError, AttributeError or RecursionError for a damaged one."""
    rootfs = f"{folder}/rootfs"
    with open(f"{folder}/image", "rb") as file:
        record = json.loads(file.read(LARGEST_RECORD))
    _check_record(record)
    if not os.path.isdir(rootfs):
        raise ValueError("the root filesystem is missing")
    return Image(name, rootfs, record["id"], record["created"], record["size"], **record["defaults"])


def _check_record(record: Any) -> None:
    """Raises ValueError, KeyError or TypeError for a record that version 0.2 would not write."""
    digits = record["id"].removeprefix("sha256:") if isinstance(record["id"], str) else ""
    if len(digits) != 64 or not HEX.issuperset(digits):
        raise ValueError("the id is not a SHA-256")
    for field in ("created", "size"):
        if not isinstance(record[field], int) or not 0 <= record[field] < 2**63:
            raise ValueError(f"{field} is not a number")
    for field, value in record["defaults"].items():
        words = value if isinstance(value, list) else [value]
        if field not in FIELDS or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{field[:40]} has a wrong name or type")
        if value and isinstance(value, list) != FIELDS[field]:
            raise ValueError(f"{field} has a wrong type")


def require_layers(image: Image) -> None:
    """Raises Conflict for an image that has none: `host`, and one of version 0.2."""
    if image.is_host:
        raise Conflict(
            "image host is this machine's own root: it has no layers to tag, commit or save",
            "import a root filesystem: `docker import rootfs.tar NAME`",
        )
    if not image.config:
        raise Conflict(
            f"image {image.name} was imported by version 0.2 of the lab, which kept no layers",
            f"import its tar again: `lab image import {image.name} TAR`",
        )
