"""The images below one directory. Nothing is ever downloaded.

ROOT/ID/config        the OCI image config, byte for byte: ID is its SHA-256
ROOT/ID/about         sizes of the layers, and when the image came; JSON
ROOT/ID/rootfs        the tree of all its layers
ROOT/_layers/DIGEST   a layer's tar, uncompressed, under its SHA-256; images share them
ROOT/_tags/NAME       -> ID; "/" and ":" in NAME stand as "+" and "="
ROOT/NAME/            an image of version 0.2: lab.images.old
ROOT/.DIGITS          an image that is being made, locked by the process that does it, or being removed

Tags, images and layers come and go under a flock(2) on ROOT.
"""

from __future__ import annotations

import fcntl
import os

from lab import files
from lab.errors import CannotStart, InvalidArgument, LabError, NoSuchImage, NotAllowed
from lab.images.image import Image, defaults, host
from lab.images.names import HEX, HOST, NAME_CHARACTERS, from_file, normalize, to_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ID_LENGTH = 64


class Store:
    """The images below one directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find(self, reference: str, *, damaged: bool = False) -> Image:
        """The image with this name (":latest" may be left out) or id, or beginning of an id.

        damaged: return a damaged image, too, which can be looked at or removed; else it raises CannotStart. Raises
        NoSuchImage; InvalidArgument if several ids begin so.
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
            return host()
        folder = self._by_name(name)
        if folder:
            image = self._load(folder)
            image.name = name
            return image
        wanted = reference.removeprefix("sha256:")
        found = self.list()
        same = [image for image in found if wanted and image.id.removeprefix("sha256:").startswith(wanted)]
        if len({image.id for image in same}) > 1 and HEX.issuperset(wanted):
            raise InvalidArgument(f"{len(same)} images have an id that begins with {wanted}", "write more of the id")
        if same:
            return same[0]
        names = ", ".join(image.name for image in found)
        raise NoSuchImage(
            f"No such image: {reference[:200]}",
            f"there are: {names}; `lab image import NAME TAR` adds one; `docker export CONTAINER` makes a tar",
        )

    def _by_name(self, name: str) -> str:
        """The directory to which a name leads; "" if there is none."""
        if not NAME_CHARACTERS.issuperset(name) or name[:1] in ("", ".", "_"):
            return ""
        try:
            return os.readlink(f"{self.root}/_tags/{to_file(name)}")
        except OSError:
            pass
        old = to_file(name)
        return old if not is_id(old) and len(old) < 256 and os.path.isdir(f"{self.root}/{old}") else ""

    def list(self) -> list[Image]:
        """All images: `host`, then the others by name, those without a name last."""
        found = [self._load(folder) for folder in self.folders()]
        return [host(), *sorted(found, key=lambda image: (not image.tags, image.name))]

    def folders(self) -> Sequence[str]:
        """The names of the images' directories below root."""
        return [name for name in _entries(self.root) if name[0] not in "._" and os.path.isdir(f"{self.root}/{name}")]

    def tags(self) -> dict[str, str]:
        """Every name, and the directory of its image."""
        found = {}
        for file in _entries(f"{self.root}/_tags"):
            try:
                found[from_file(file)] = os.readlink(f"{self.root}/_tags/{file}")
            except OSError:
                pass  # it has just been removed
        return found

    def _load(self, folder: str) -> Image:
        """The image in that directory; its damage says what is wrong, if anything is."""
        path = f"{self.root}/{folder}"
        names = [name for name, target in self.tags().items() if target == folder] if is_id(folder) else []
        name = (names or [folder[:12]])[0] if is_id(folder) else from_file(folder)
        try:
            if not is_id(folder):
                from lab.images import old

                return old.load(path, name)
            image = _loaded(path, folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, LabError) as error:
            image = _damaged(path, folder, name, str(error) or type(error).__name__)
        if is_id(folder):
            image.name, image.tags = name, names
        return image

    def layer_path(self, digest: str) -> str:
        """The tar of a layer, by its SHA-256."""
        return f"{self.root}/_layers/{digest}"

    def sweep(self) -> None:
        """Delete what killed imports and removals have left; those that still run hold a lock and are not touched.

        With them go layers of no image, and names of no image: what was being made when its process was killed.
        """
        try:
            with files.Lock(self.root):
                for name in _entries(self.root):
                    if name.startswith("."):
                        self._sweep_one(f"{self.root}/{name}")
                self.drop_unused()
        except FileNotFoundError:
            pass

    def _sweep_one(self, partial: str) -> None:
        try:
            with files.Lock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB):
                files.remove_tree(partial)
        except (OSError, NotAllowed):
            pass  # it is in use, or the next sweep tries again

    def drop_unused(self) -> None:
        """Delete the layers and the names that no image has. The caller holds the lock on root.

        Where an image is damaged, its layers are not known: then all layers stay.
        """
        images = [self._load(folder) for folder in self.folders()]
        for name, folder in self.tags().items():
            if not os.path.isdir(f"{self.root}/{folder}"):
                os.unlink(f"{self.root}/_tags/{to_file(name)}")
        if any(image.damage for image in images):
            return
        used = {digest for image in images for digest in image.layers}
        for digest in _entries(f"{self.root}/_layers"):
            if digest not in used:
                os.unlink(self.layer_path(digest))


def is_id(folder: str) -> bool:
    """Whether a directory's name is an image's id; no name of version 0.2 is."""
    return len(folder) == ID_LENGTH and HEX.issuperset(folder)


def _entries(path: str) -> Sequence[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _loaded(path: str, digits: str) -> Image:
    import hashlib
    import json

    from lab.images import config

    with open(f"{path}/config", "rb") as file:
        data = file.read(config.LARGEST + 1)
    if hashlib.sha256(data).hexdigest() != digits:
        raise ValueError("the config is not the one that the id tells")
    found = config.checked(data)
    with open(f"{path}/about", "rb") as file:
        about = json.loads(file.read(config.LARGEST))
    sizes, tagged = about["sizes"], about["tagged"]
    if not all(isinstance(number, int) and 0 <= number < 2**63 for number in (*sizes, tagged)):
        raise ValueError("a size or a time is not a number")
    if not os.path.isdir(f"{path}/rootfs"):
        raise ValueError("the root filesystem is missing")
    created = config.moment(found.get("created"))
    image = Image("", f"{path}/rootfs", f"sha256:{digits}", created, sum(sizes), **defaults(found))
    image.config, image.sizes, image.tagged = found, sizes, tagged
    return image


def _damaged(path: str, folder: str, name: str, reason: str) -> Image:
    """The image that is shown for a damaged one. Without an id, one is made from the name: it stays the same."""
    import hashlib

    digest = folder if is_id(folder) else hashlib.sha256(os.fsencode(name)).hexdigest()
    try:
        moment = os.stat(path).st_mtime_ns
    except FileNotFoundError:  # it has just been removed
        moment = 0
    image = Image(name, f"{path}/rootfs", f"sha256:{digest}", moment)
    image.damage = reason
    return image
