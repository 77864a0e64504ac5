"""Root filesystems by name: `host` is built in, others are imported from a tar. Nothing is ever downloaded.

ROOT/NAME/rootfs   the tree; "/" and ":" in NAME stand as "+" and "="
ROOT/NAME/image    id, time and defaults, as JSON
ROOT/.DIGITS       an image that is being imported, locked by the process that does it, or being removed
"""

from __future__ import annotations

import fcntl
import os

from lab import files
from lab.errors import CannotStart, Conflict, InvalidArgument, NoSuchImage, NotAllowed
from lab.spec import DEFAULT_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO, Any

HOST = "host"
LOWER_CASE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:")
NAME_CHARACTERS = LOWER_CASE | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # capitals only in the tag
LARGEST_RECORD = 1 << 20  # bytes
# The defaults that an image may have for its containers, and whether each is a list of words.
DEFAULTS = {"entrypoint": True, "command": True, "env": True, "user": False, "workdir": False}


class Image:
    """A root filesystem, and the defaults for its containers.

    id is "sha256:" and 64 digits, created is in ns since 1970, size in bytes. damage says what is wrong with the
    image's record; "" if nothing is.
    """

    __slots__ = ("command", "created", "damage", "entrypoint", "env", "id", "name", "rootfs", "size", "user", "workdir")

    def __init__(self, name: str, rootfs: str, image_id: str, created: int = 0, size: int = 0, **defaults: Any) -> None:
        self.name, self.rootfs, self.id, self.created, self.size = name, rootfs, image_id, created, size
        self.entrypoint: list[str] = defaults.get("entrypoint") or []
        self.command: list[str] = defaults.get("command") or []
        self.env: list[str] = defaults.get("env") or []
        self.user: str = defaults.get("user") or ""
        self.workdir: str = defaults.get("workdir") or ""
        self.damage = ""

    @property
    def is_host(self) -> bool:
        """Whether this is the built-in image: the machine's own root, read-only."""
        return self.rootfs == "/"


class Images:
    """The images below one directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find(self, reference: str, *, damaged: bool = False) -> Image:
        """The image with this name (":latest" may be left out) or id. Raises NoSuchImage.

        damaged: return a damaged image, too, which can be looked at or removed; else it raises CannotStart.
        """
        image = self._find(reference)
        if image.damage and not damaged:
            raise CannotStart(
                f"image {image.name} is damaged: {image.damage}",
                "remove it and import it again: `lab image rm`, `lab image import`",
            )
        return image

    def _find(self, reference: str) -> Image:
        name = normalize(reference)
        if name == HOST:
            return _host()
        folder = f"{self.root}/{_folder(name)}"
        if NAME_CHARACTERS.issuperset(name) and name[:1] not in ("", ".") and os.path.isdir(folder):
            return _load(folder, name)
        wanted = reference.removeprefix("sha256:")
        found = self.list()
        for image in found:
            if len(wanted) >= 12 and image.id.removeprefix("sha256:").startswith(wanted):
                return image
        names = ", ".join(image.name for image in found)
        raise NoSuchImage(
            f"No such image: {reference[:200]}",
            f"there are: {names}; `lab image import NAME TAR` adds one; `docker export CONTAINER` makes a tar",
        )

    def list(self) -> list[Image]:
        """All images, `host` first."""
        try:
            with os.scandir(self.root) as entries:
                folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except FileNotFoundError:
            folders = []
        names = [folder.replace("+", "/").replace("=", ":") for folder in folders]
        return [_host(), *(_load(f"{self.root}/{folder}", name) for folder, name in zip(folders, names, strict=True))]

    def import_tar(self, name: str, tar: IO[bytes], **defaults: Sequence[str] | str) -> Image:
        """Unpack a root filesystem's tar (plain, gzip, bzip2 or xz) as an image of this name.

        A separate process unpacks it, whose root is the image's directory: no path and no symlink in the tar leads out
        of there. Raises InvalidArgument for a bad name or a bad tar, Conflict for a name in use.
        """
        name = check_name(name)
        folder = f"{self.root}/{_folder(name)}"
        if os.path.exists(folder):
            raise Conflict(f"image {name} exists", f"`lab image rm {name}` removes it")
        files.make_private(self.root)
        self.sweep()
        with files.Lock(self.root):  # so that no sweep comes between mkdir and the lock
            partial = f"{self.root}/.{os.urandom(8).hex()}"
            os.mkdir(partial, 0o700)
            in_use = files.Lock(partial)
            fd = in_use.__enter__()
        try:
            os.mkdir(f"{partial}/rootfs")
            os.chmod(f"{partial}/rootfs", 0o755)
            digest, size = _unpack(f"{partial}/rootfs", tar, fd)
            _write_record(f"{partial}/image", digest, size, defaults)
            files.sync_directory(partial)
            try:
                os.rename(partial, folder)
            except OSError:  # another import of that name was faster
                raise Conflict(f"image {name} exists", f"`lab image rm {name}` removes it") from None
            files.sync_directory(self.root)
        except BaseException:
            files.remove_tree(partial)
            raise
        finally:
            in_use.__exit__()
        return _load(folder, name)

    def sweep(self) -> None:
        """Delete what killed imports and removals have left; those that still run hold a lock and are not touched."""
        try:
            with files.Lock(self.root), os.scandir(self.root) as entries:
                for partial in [entry.path for entry in entries if entry.name.startswith(".")]:
                    try:
                        with files.Lock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB):
                            files.remove_tree(partial)
                    except (OSError, NotAllowed):
                        pass  # it is in use, or the next sweep tries again
        except FileNotFoundError:
            pass

    def remove(self, reference: str) -> Image:
        """Delete an image and return what it was. Raises NoSuchImage; Conflict for `host`."""
        image = self._find(reference)
        if image.is_host:
            raise Conflict(
                "image host cannot be removed: it is this machine's root", "remove an imported image instead"
            )
        going = f"{self.root}/.{os.urandom(8).hex()}"
        os.rename(
            os.path.dirname(image.rootfs), going
        )  # first: a kill in the middle must not leave half an image under the name
        files.remove_tree(going)
        return image


def _write_record(path: str, digest: str, size: int, defaults: Mapping[str, Sequence[str] | str]) -> None:
    import json
    import time

    record = {"id": f"sha256:{digest}", "created": time.time_ns(), "size": size, "defaults": defaults}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())


def normalize(reference: str) -> str:
    """The name without the prefix and the tag that Docker's client adds."""
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
            f"invalid image name {reference[:80]!r}",
            "use lower-case letters, digits, ._-/ and one :tag; `host` is built in",
        )
    return name


def split_tag(name: str) -> tuple[str, str]:
    """Repository and tag. The tag is behind the last colon, if no slash follows; "" if there is none."""
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name, "")


def _folder(name: str) -> str:
    return name.replace("/", "+").replace(":", "=")


def _host() -> Image:
    return Image(HOST, "/", "sha256:" + "0" * 64, env=[f"PATH={DEFAULT_PATH}"])


def _load(folder: str, name: str) -> Image:
    import json

    rootfs = f"{folder}/rootfs"
    try:
        with open(f"{folder}/image", "rb") as file:
            record = json.loads(file.read(LARGEST_RECORD))
        _check_record(record)
        if not os.path.isdir(rootfs):
            raise ValueError("the root filesystem is missing")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return _damaged(folder, name, str(error) or type(error).__name__)
    return Image(name, rootfs, record["id"], record["created"], record["size"], **record["defaults"])


def _check_record(record: Any) -> None:
    """Raises ValueError, KeyError or TypeError for a record that import_tar() would not write."""
    digits = record["id"].removeprefix("sha256:") if isinstance(record["id"], str) else ""
    if len(digits) != 64 or not frozenset("0123456789abcdef").issuperset(digits):
        raise ValueError("the id is not a SHA-256")
    for field in ("created", "size"):
        if not isinstance(record[field], int) or not 0 <= record[field] < 2**63:
            raise ValueError(f"{field} is not a number")
    for field, value in record["defaults"].items():
        words = value if isinstance(value, list) else [value]
        if field not in DEFAULTS or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{field[:40]} has a wrong name or type")
        if value and isinstance(value, list) != DEFAULTS[field]:
            raise ValueError(f"{field} has a wrong type")


def _damaged(folder: str, name: str, reason: str) -> Image:
    """The image that is shown for a damaged one; the id is made from the name, so that it does not change."""
    import hashlib

    digest = hashlib.sha256(os.fsencode(name)).hexdigest()
    image = Image(name, f"{folder}/rootfs", f"sha256:{digest}", os.stat(folder).st_mtime_ns)
    image.damage = reason
    return image


def _unpack(rootfs: str, tar: IO[bytes], lock: int) -> tuple[str, int]:
    """(digest, size) of the tar. The unpacker inherits lock, so the directory stays locked if the caller is killed."""
    import shutil
    import subprocess
    import sys

    script = os.path.join(os.path.dirname(__file__), "unpack.py")
    with subprocess.Popen(
        [sys.executable, "-IS", script, rootfs],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(lock,),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        try:
            shutil.copyfileobj(tar, process.stdin, 1 << 20)
        except BrokenPipeError:
            pass  # the unpacker has ended; its reason is read below
        output, errors = process.communicate()
    if process.returncode:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise InvalidArgument(f"cannot import: {reason}", "give the tar of a root filesystem")
    digest, size = output.split()
    if not os.listdir(rootfs):
        raise CannotStart("cannot import: the tar is empty", "give the tar of a root filesystem")
    return digest.decode(), int(size)
