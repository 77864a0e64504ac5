"""Root filesystems by name: `host` is built in, others are imported from a tar; nothing is ever downloaded.

ROOT/NAME/rootfs   the tree; "/" and ":" in NAME stand as "+" and "="
ROOT/NAME/image    id, time and defaults, as JSON
"""

from __future__ import annotations

import os

from lab.errors import CannotStart, Conflict, InvalidArgument, NoSuchImage
from lab.spec import DEFAULT_PATH
from lab.store import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO, Any

HOST = "host"
LOWER_CASE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:")
NAME_CHARACTERS = LOWER_CASE | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # capitals only in the tag


class Image:
    """A rootfs and what a container of it does if not told otherwise.

    id is "sha256:" and 64 digits, created is in ns since 1970, size in bytes.
    """

    __slots__ = ("command", "created", "entrypoint", "env", "id", "name", "rootfs", "size", "user", "workdir")

    def __init__(self, name: str, rootfs: str, image_id: str, created: int = 0, size: int = 0, **defaults: Any) -> None:
        self.name, self.rootfs, self.id, self.created, self.size = name, rootfs, image_id, created, size
        self.entrypoint: list[str] = defaults.get("entrypoint") or []
        self.command: list[str] = defaults.get("command") or []
        self.env: list[str] = defaults.get("env") or []
        self.user: str = defaults.get("user") or ""
        self.workdir: str = defaults.get("workdir") or ""

    @property
    def is_host(self) -> bool:
        """Whether this is the built-in image: the machine's own root, read-only."""
        return self.rootfs == "/"


class Images:
    """The images below one directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find(self, reference: str) -> Image:
        """By name (":latest" may be left out) or by id. Raises NoSuchImage with the names there are."""
        name = normalize(reference)
        if name == HOST:
            return _host()
        folder = f"{self.root}/{_folder(name)}"
        if NAME_CHARACTERS.issuperset(name) and os.path.exists(f"{folder}/image"):
            return _load(folder, name)
        wanted = reference.removeprefix("sha256:")
        for image in self.list():
            if len(wanted) >= 12 and image.id.removeprefix("sha256:").startswith(wanted):
                return image
        names = ", ".join(image.name for image in self.list())
        raise NoSuchImage(
            f"No such image: {reference[:200]}",
            f"there is: {names}; `lab image import NAME rootfs.tar` adds one, for example from `docker export`",
        )

    def list(self) -> list[Image]:
        """All, `host` first."""
        try:
            folders = sorted(os.listdir(self.root))
        except FileNotFoundError:
            folders = []
        names = [folder.replace("+", "/").replace("=", ":") for folder in folders if not folder.startswith(".")]
        return [_host(), *(_load(f"{self.root}/{_folder(name)}", name) for name in names)]

    def import_tar(self, name: str, tar: IO[bytes], **defaults: Sequence[str] | str) -> Image:
        """Unpack a root filesystem's tar (plain, gzip, bzip2 or xz) as an image of this name.

        It is unpacked by a process of its own that has changed its root to the image's directory: no path and no
        symlink in the tar leads out of there. Raises InvalidArgument for a name or a tar that will not do, Conflict
        for a name in use.
        """
        import json
        import time

        name = check_name(name)
        folder = f"{self.root}/{_folder(name)}"
        if os.path.exists(folder):
            raise Conflict(f"image {name} exists", f"`lab image rm {name}` removes it")
        partial = f"{self.root}/.{os.urandom(8).hex()}"
        os.makedirs(f"{partial}/rootfs")
        try:
            digest, size = _unpack(f"{partial}/rootfs", tar)
            record = {"id": f"sha256:{digest}", "created": time.time_ns(), "size": size, "defaults": defaults}
            with open(f"{partial}/image", "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.rename(partial, folder)
        except BaseException:
            remove_tree(partial)
            raise
        return _load(folder, name)

    def remove(self, reference: str) -> Image:
        """Raises NoSuchImage; Conflict for `host`."""
        image = self.find(reference)
        if image.is_host:
            raise Conflict("image host is built in: it is this machine's own root", "there is nothing to remove")
        remove_tree(os.path.dirname(image.rootfs))
        return image


def normalize(reference: str) -> str:
    """Without what Docker's client adds of its own accord."""
    return reference.removeprefix("docker.io/library/").removesuffix(":latest")


def check_name(reference: str) -> str:
    """The normalized name; raises InvalidArgument for one that Docker would not take."""
    name = normalize(reference)
    repository, tag = split_tag(name)
    registry, slash, rest = repository.partition("/")
    host, colon, port = registry.partition(":")
    good = repository and len(name) <= 128 and LOWER_CASE.issuperset(repository) and NAME_CHARACTERS.issuperset(tag)
    if colon:  # localhost:5000/NAME
        good = good and host and slash and port.isdecimal() and ":" not in rest
    if not good or not name[0].isalnum() or "//" in name or ".." in name or name.endswith((":", "/")) or name == HOST:
        raise InvalidArgument(
            f"invalid image name {reference[:80]!r}", "lower-case letters, digits, ._-/ and one :tag; `host` is taken"
        )
    return name


def split_tag(name: str) -> tuple[str, str]:
    """Repository and tag, which is behind the last colon if no slash follows; "" if there is none."""
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name, "")


def _folder(name: str) -> str:
    return name.replace("/", "+").replace(":", "=")


def _host() -> Image:
    return Image(HOST, "/", "sha256:" + "0" * 64, env=[f"PATH={DEFAULT_PATH}"])


def _load(folder: str, name: str) -> Image:
    import json

    with open(f"{folder}/image", encoding="utf-8") as file:
        record = json.load(file)
    return Image(name, f"{folder}/rootfs", record["id"], record["created"], record["size"], **record["defaults"])


def _unpack(rootfs: str, tar: IO[bytes]) -> tuple[str, int]:
    import shutil
    import subprocess
    import sys

    script = os.path.join(os.path.dirname(__file__), "unpack.py")
    with subprocess.Popen(
        [sys.executable, "-IS", script, rootfs],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        try:
            shutil.copyfileobj(tar, process.stdin, 1 << 20)
        except BrokenPipeError:
            pass  # it says why, below
        output, errors = process.communicate()
    if process.returncode:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise InvalidArgument(f"cannot import: {reason}", "give the tar of a root filesystem")
    digest, size = output.split()
    if not os.listdir(rootfs):
        raise CannotStart("cannot import: the tar is empty", "give the tar of a root filesystem")
    return digest.decode(), int(size)
