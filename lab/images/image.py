"""One image, as the engines see it."""

from __future__ import annotations

from lab.images.names import HOST
from lab.spec import DEFAULT_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The fields of an OCI image config that hold for a container unless its request says otherwise.
WORDS = {"entrypoint": "Entrypoint", "command": "Cmd", "env": "Env"}
TEXTS = {"user": "User", "workdir": "WorkingDir", "stop_signal": "StopSignal"}
OBJECTS = {"labels": "Labels", "healthcheck": "Healthcheck", "volumes": "Volumes"}


class Image:
    """A root filesystem, and the defaults for its containers.

    id       "sha256:" and 64 digits; tags are the names that lead to it, name is the one by which it was found
    created  in ns since 1970; size in bytes, of all files in all layers
    config   the OCI image config as JSON has it; empty for `host` and for an image of version 0.2
    sizes    bytes of each layer; tagged: when it came into this store, in ns since 1970
    damage   what is wrong with the image's files; "" if nothing is
    """

    __slots__ = (
        "command", "config", "created", "damage", "entrypoint", "env", "healthcheck", "id", "labels", "name", "rootfs",
        "size", "sizes", "stop_signal", "tagged", "tags", "user", "volumes", "workdir",
    )  # fmt: skip

    def __init__(self, name: str, rootfs: str, image_id: str, created: int = 0, size: int = 0, **defaults: Any) -> None:
        self.name, self.rootfs, self.id, self.created, self.size = name, rootfs, image_id, created, size
        self.tags, self.sizes, self.tagged, self.damage = [name] if name else [], [size], created, ""
        self.config: dict[str, Any] = {}
        self.entrypoint: list[str] = defaults.get("entrypoint") or []
        self.command: list[str] = defaults.get("command") or []
        self.env: list[str] = defaults.get("env") or []
        self.user: str = defaults.get("user") or ""
        self.workdir: str = defaults.get("workdir") or ""
        self.stop_signal: str = defaults.get("stop_signal") or ""
        self.labels: dict[str, str] = defaults.get("labels") or {}
        self.healthcheck: dict[str, Any] = defaults.get("healthcheck") or {}
        self.volumes: dict[str, Any] = defaults.get("volumes") or {}

    @property
    def is_host(self) -> bool:
        """Whether this is the built-in image: the machine's own root, read-only."""
        return self.rootfs == "/"

    @property
    def layers(self) -> list[str]:
        """The SHA-256 of each layer's tar, the lowest first, without "sha256:"."""
        found = self.config.get("rootfs", {}).get("diff_ids", [])
        return [digest.removeprefix("sha256:") for digest in found]


def host() -> Image:
    """The built-in image."""
    return Image(HOST, "/", "sha256:" + "0" * 64, env=[f"PATH={DEFAULT_PATH}"])


def defaults(config: dict[str, Any]) -> dict[str, Any]:
    """What of an OCI image config holds for containers, as keyword arguments for Image()."""
    given = config.get("config") or {}
    return {name: given.get(field) for name, field in (*WORDS.items(), *TEXTS.items(), *OBJECTS.items())}
