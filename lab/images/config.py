"""The OCI image config: read with suspicion, made for an import, continued by a commit.

https://github.com/opencontainers/image-spec/blob/main/config.md; Docker's fields are the same.
"""

from __future__ import annotations

import json
import os
import re
import time

from lab.errors import InvalidArgument, NotImplementedHere
from lab.images import image
from lab.images.names import HEX
from lab.shown import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lab.spec import Spec

LARGEST = 1 << 20  # bytes
MOST_VALUES = 50_000  # in one document: the empty lists and objects of 1 MiB take 25 MiB of memory
MOST_VOLUMES = 100
MOST_LAYERS = 125  # as many as dockerd allows
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def architecture() -> str:
    """This machine's, in the words of Go."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


def parse(data: bytes, what: str) -> dict[str, Any]:
    """An object in JSON. Raises InvalidArgument, which calls the document `what`."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise InvalidArgument(f"{what} has more than {MOST_VALUES} values", "make an image that says less of itself")
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{what} is not JSON in UTF-8", "write the archive again with `docker save`") from None
    if not isinstance(found, dict):
        raise InvalidArgument(f"{what} is not an object", "write the archive again with `docker save`")
    return found


def checked(data: bytes) -> dict[str, Any]:
    """The image config in these bytes. Raises InvalidArgument, NotImplementedHere for an image of another system."""
    config = parse(data, "the image's config")
    rootfs = config.get("rootfs")
    layers = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(layers, list) or not layers or not all(map(is_digest, layers)):
        raise wrong("rootfs.diff_ids")
    if len(layers) > MOST_LAYERS:
        raise InvalidArgument(f"the image has {len(layers)} layers", f"use at most {MOST_LAYERS}, as dockerd does")
    if config.get("os", "linux") != "linux":
        raise NotImplementedHere(f"the image is for {str(config['os'])[:40]!a}", "load one for linux")
    checked_settings(config.get("config") or {})
    history = config.get("history") or []
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise wrong("history")
    for name in ("author", "created", "architecture"):
        if not isinstance(config.get(name) or "", str):
            raise wrong(name)
    return config


def checked_settings(given: Any) -> None:
    """The `config` of an image config: what holds for containers. Raises InvalidArgument."""
    if not isinstance(given, dict):
        raise wrong("config")
    for name in image.WORDS.values():
        if not isinstance(given.get(name) or [], list) or not all(map(_is_text, given.get(name) or [])):
            raise wrong(f"config.{name}")
    for name in image.TEXTS.values():
        if not _is_text(given.get(name) or ""):
            raise wrong(f"config.{name}")
    for name in (*image.OBJECTS.values(), "ExposedPorts"):
        if not isinstance(given.get(name) or {}, dict):
            raise wrong(f"config.{name}")
    if len(given.get("Volumes") or {}) > MOST_VOLUMES:
        raise InvalidArgument(f"the image declares more than {MOST_VOLUMES} volumes", "name a directory above them")
    if not all(map(_is_text, (given.get("Labels") or {}).values())):
        raise wrong("config.Labels")
    if any("=" not in item or item.startswith("=") for item in given.get("Env") or []):
        raise wrong("config.Env")


def _is_text(value: Any) -> bool:
    """Text that execve(2) and UTF-8 can hold: no NUL, no half of a surrogate pair."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def is_digest(value: Any) -> bool:
    """Whether this is "sha256:" and 64 digits."""
    return isinstance(value, str) and value[:7] == "sha256:" and len(value) == 71 and HEX.issuperset(value[7:])


def wrong(field: str) -> InvalidArgument:
    """The error for a field that is missing, or whose type is not the OCI's."""
    return InvalidArgument(f"{field} of the image's config is missing or has a wrong type", "see the OCI's config.md")


def encoded(config: dict[str, Any]) -> bytes:
    """A new config's bytes. Raises InvalidArgument for one that could not be read again."""
    checked_settings(config["config"])
    try:
        data = json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InvalidArgument("a comment, an author or a label holds half a character", "write UTF-8") from None
    if len(data) > LARGEST:
        raise InvalidArgument(f"the image's config has {len(data)} bytes", f"use at most {LARGEST}")
    return data


def moment(text: Any) -> int:
    """RFC 3339 in ns since 1970; 0 for anything else."""
    import datetime

    found = MOMENT.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return 0
    try:
        seconds = datetime.datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0
    return max(0, int(seconds) * 10**9 + int((found[2] or "0").ljust(9, "0")))


def new(settings: dict[str, Any], comment: str) -> dict[str, Any]:
    """The config of an image that is imported: without layers as yet."""
    now = rfc3339(time.time_ns())
    return {
        "architecture": architecture(), "os": "linux", "created": now, "config": settings,
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created": now, "comment": comment}],
    }  # fmt: skip


def continued(
    base: dict[str, Any], settings: dict[str, Any], *, created_by: Sequence[str], author: str, comment: str
) -> dict[str, Any]:
    """The config of a commit over the image with the config `base`; its new layer is not in it as yet."""
    now = rfc3339(time.time_ns())
    command = " ".join(created_by).encode(errors="replace").decode()
    row = {"created": now, "created_by": command, "author": author, "comment": comment}
    return {
        **base, "created": now, "author": author, "config": settings,
        "rootfs": {"type": "layers", "diff_ids": list(base["rootfs"]["diff_ids"])},
        "history": [*(base.get("history") or []), {key: value for key, value in row.items() if value}],
    }  # fmt: skip


def of_container(base: dict[str, Any], spec: Spec, entrypoint: int, labels: dict[str, str]) -> dict[str, Any]:
    """What holds for a container, as the `config` of an image: that of its image, and what the container has instead.

    entrypoint: how many words of its command are the entrypoint. What the engine adds to the environment is left out.
    """
    added = {"HOSTNAME": spec.hostname, **({"TERM": "xterm"} if spec.tty else {})}
    return {
        **(base.get("config") or {}),
        "User": spec.user,
        "Env": [f"{name}={value}" for name, value in spec.env.items() if added.get(name) != value],
        "Entrypoint": spec.args[:entrypoint] or None,
        "Cmd": spec.args[entrypoint:] or None,
        "WorkingDir": "" if spec.cwd == "/" else spec.cwd,
        "Labels": labels or None,
    }


def history(config: dict[str, Any], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of `docker history`, the youngest first: created in ns since 1970, created_by, comment, size in bytes.

    A config need not tell its history: then each layer has a row without words.
    """
    left = list(sizes)
    rows = []
    for step in config.get("history") or []:
        size = 0 if step.get("empty_layer") is True or not left else left.pop(0)
        words = {name: step[name] if isinstance(step.get(name), str) else "" for name in ("created_by", "comment")}
        rows.append({"created": moment(step.get("created")), "size": size, **words})
    rows += [{"created": moment(config.get("created")), "size": size, "created_by": "", "comment": ""} for size in left]
    return rows[::-1]
