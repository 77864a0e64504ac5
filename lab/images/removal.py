"""`rmi` and `image prune`, with docker's reference counts: names, and the containers of both engines.

An image goes with its last name. As long as a container has it, it stays: its tree is the container's root.
"""

from __future__ import annotations

import os

from lab import files
from lab.errors import Conflict, NoSuchImage
from lab.images.names import to_file, with_tag
from lab.store import Store as Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.images.image import Image
    from lab.images.store import Store
    from lab.record import Record

Rows = list[tuple[str, str]]  # ("Untagged", name) and ("Deleted", id), in this order


def containers(images: Store, image: Image) -> list[Record]:
    """The containers of both engines that have this image as their root; a container's record names its directory."""
    state = os.path.dirname(images.root)
    found = [record for engine in ("labd", "podmanish") for record in Containers(f"{state}/{engine}").list()]
    return [record for record in found if record.config["spec"]["rootfs"] == image.rootfs]


def remove(images: Store, reference: str, *, force: bool = False) -> Rows:
    """Take away a name; with the last one, or by id, the image. Raises NoSuchImage, Conflict."""
    image = images.find(reference, damaged=True)
    if image.is_host:
        raise Conflict("image host cannot be removed: it is this machine's root", "remove an imported image instead")
    by_name = image.name in image.tags and not _is_id(image, reference)
    if by_name and len(image.tags) > 1:
        return _untag(images, [image.name])
    if not by_name and len(image.tags) > 1 and not force:
        raise Conflict(
            f"conflict: unable to delete {_short(image)} (must be forced) - image is referenced by several names: "
            + ", ".join(map(with_tag, image.tags)),
            "remove the names one by one, or force it",
        )
    users = containers(images, image)
    if users and (not force or not image.tags or _running(users)):
        raise _in_use(image, reference, users, by_name=by_name, force=force)
    rows = _untag(images, image.tags)
    if users:  # forced: the image stays without a name until its last container has gone
        return rows
    return rows + _delete(images, image)


def _is_id(image: Image, reference: str) -> bool:
    wanted = reference.removeprefix("sha256:")
    return image.name != reference and image.id.removeprefix("sha256:").startswith(wanted)


def _short(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:12]


def _running(users: Sequence[Record]) -> bool:
    return any(record.status == "running" for record in users)


def _in_use(image: Image, reference: str, users: Sequence[Record], *, by_name: bool, force: bool) -> Conflict:
    """dockerd's words (moby, daemon/images/image_delete.go)."""
    user = next((record for record in users if record.status == "running"), users[0])
    if user.status == "running" and (force or not by_name):
        return Conflict(
            f"conflict: unable to delete {_short(image)} (cannot be forced) - image is being used by running "
            f"container {user.id[:12]} ({user.name})",
            "stop and remove the container first",
        )
    what = f'remove repository reference "{reference[:200]}"' if by_name else f"delete {_short(image)}"
    return Conflict(
        f"conflict: unable to {what} (must be forced) - container {user.id[:12]} ({user.name}) is using its "
        f"referenced image {_short(image)}",
        "remove the container first; force takes away the name, and the image stays as long as the container has it",
    )


def _untag(images: Store, names: Sequence[str]) -> Rows:
    with files.Lock(images.root):
        for name in names:
            try:
                os.unlink(f"{images.root}/_tags/{to_file(name)}")
            except FileNotFoundError:
                pass  # an image of version 0.2, whose name is its directory's
    return [("Untagged", with_tag(name)) for name in names]


def _delete(images: Store, image: Image) -> Rows:
    """Rename first: a kill in the middle must not leave half an image."""
    going = f"{images.root}/.{os.urandom(8).hex()}"
    with files.Lock(images.root):
        for name, folder in images.tags().items():
            if f"{images.root}/{folder}/rootfs" == image.rootfs:
                os.unlink(f"{images.root}/_tags/{to_file(name)}")
        try:
            os.rename(os.path.dirname(image.rootfs), going)
        except FileNotFoundError:
            raise NoSuchImage(f"No such image: {image.name}", "another process has just removed it") from None
        images.drop_unused()
    files.remove_tree(going)
    return [("Deleted", image.id)]


def prune(images: Store, wanted: Callable[[Image], bool], *, all: bool) -> tuple[Rows, int]:
    """Remove images without a name and without a container; all: those with names, too. The rows, and bytes freed."""
    rows: Rows = []
    freed = 0
    for image in images.list():
        if image.is_host or (image.tags and not all) or not wanted(image) or containers(images, image):
            continue
        rows += _untag(images, image.tags)
        rows += _delete(images, image)
        freed += image.size
    return rows, freed
