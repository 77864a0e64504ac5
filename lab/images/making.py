"""How an image comes into the store: an import, a loaded archive, a commit.

All three hand the layers' tars to a separate process, lab/unpack.py, which puts them over one another in a new
directory; then the directory is renamed to the SHA-256 of the image's config.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

from lab import contents, files
from lab.errors import Conflict, InvalidArgument, NotImplementedHere
from lab.images import config as oci
from lab.images import old
from lab.images.archive import Archive, Packed
from lab.images.names import check_name, to_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any

    from lab.images.image import Image
    from lab.images.store import Store
    from lab.spec import Spec

UNPACKER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "unpack.py")
EMPTY = "give the tar of a root filesystem"


class Partial:
    """A directory below the store's root in which an image is made; no sweep touches it while its lock is held."""

    def __init__(self, images: Store) -> None:
        self.images, self.path = images, f"{images.root}/.{os.urandom(8).hex()}"
        self.rootfs = f"{self.path}/rootfs"

    def __enter__(self) -> Partial:
        files.make_private(self.images.root)
        self.images.sweep()
        with files.Lock(self.images.root):  # so that no sweep comes between mkdir and the lock
            os.mkdir(self.path, 0o700)
            self._lock = files.Lock(self.path)
            self.fd = self._lock.__enter__()
        os.mkdir(f"{self.path}/layers", 0o700)
        self.new_tree()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            files.remove_tree(self.path)
        finally:
            self._lock.__exit__()

    def new_tree(self) -> None:
        """An empty rootfs."""
        files.remove_tree(self.rootfs)
        os.mkdir(self.rootfs)
        os.chmod(self.rootfs, 0o755)

    def unpack(self, words: Sequence[str], fds: Sequence[int], data: IO[bytes] | None, doing: str) -> list[str]:
        """Run the unpacker; it inherits our lock, so the directory stays locked if this process is killed.

        data is fed to its standard input. Returns its lines. Raises InvalidArgument with the unpacker's reason.
        """
        with subprocess.Popen(
            [sys.executable, "-IS", UNPACKER, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(self.fd, *fds),
        ) as process:  # fmt: skip
            assert process.stdin is not None
            try:
                if data:
                    shutil.copyfileobj(data, process.stdin, 1 << 20)
            except BrokenPipeError:
                pass  # the unpacker has ended; its reason is read below
            output, errors = process.communicate()
        if process.returncode:
            reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
            raise InvalidArgument(f"cannot {doing}: {reason}", EMPTY if doing == "import" else "make the archive again")
        return output.decode().splitlines()

    def layers(
        self, sources: Sequence[str], doing: str, *, known: Sequence[str] = (), data: IO[bytes] | None = None
    ) -> list[tuple[str, int]]:
        """Put these tars over one another in rootfs: (SHA-256, bytes of its files) of each. "" is standard input.

        known: what the SHA-256 of each must be. The plain tar of a layer that the store lacks is kept.
        """
        wanted = known or [""] * len(sources)
        with contextlib.ExitStack() as stack:
            pairs = []
            for number, (source, digest) in enumerate(zip(sources, wanted, strict=True)):
                has = digest and os.path.exists(self.images.layer_path(digest))
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                out = -1 if has else os.open(f"{self.path}/layers/{number}", flags, 0o600)
                fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC) if source else 0
                for opened in filter(lambda one: one > 0, (fd, out)):
                    stack.callback(os.close, opened)
                pairs.append((fd, out))
            words = ["layers", self.rootfs, *(f"{fd}:{out}" for fd, out in pairs)]
            lines = self.unpack(words, [fd for pair in pairs for fd in pair if fd > 0], data, doing)
            for _, out in pairs:
                if out >= 0:
                    os.fsync(out)
        found = [(digest, int(size)) for digest, _, size in (line.partition(" ") for line in lines)]
        for number, ((digest, _), expected) in enumerate(zip(found, wanted, strict=True)):
            if expected and digest != expected:
                raise InvalidArgument(
                    f"cannot {doing}: layer {number + 1} is sha256:{digest}, but the config names sha256:{expected}",
                    "the archive is damaged, or somebody has changed it: get it again",
                )
            if os.path.exists(f"{self.path}/layers/{number}"):
                os.rename(f"{self.path}/layers/{number}", f"{self.path}/layers/{digest}")
        return found

    def publish(self, data: bytes, sizes: Sequence[int], names: Sequence[str]) -> str:
        """Put the image with this config into the store, under these names; returns its id."""
        digits = hashlib.sha256(data).hexdigest()
        about = json.dumps({"sizes": list(sizes), "tagged": time.time_ns()}).encode()
        for name, content in (("config", data), ("about", about)):
            with open(f"{self.path}/{name}", "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        with files.Lock(self.images.root):
            self._publish(digits)
            for name in names:
                set_tag(self.images, name, digits)
        return f"sha256:{digits}"

    def _publish(self, digits: str) -> None:
        root, image = self.images.root, f"{self.images.root}/{digits}"
        files.make_private(f"{root}/_layers")
        for digest in os.listdir(f"{self.path}/layers"):
            os.rename(f"{self.path}/layers/{digest}", self.images.layer_path(digest))
        files.sync_directory(f"{root}/_layers")
        if os.path.exists(image):
            return  # the same content; containers may have it as their root
        os.mkdir(f"{self.path}/image", 0o700)
        for name in ("rootfs", "config", "about"):
            os.rename(f"{self.path}/{name}", f"{self.path}/image/{name}")
        files.sync_directory(f"{self.path}/image")
        os.rename(f"{self.path}/image", image)
        files.sync_directory(root)


def set_tag(images: Store, name: str, digits: str) -> None:
    """Let a name lead to an image, from whatever it led to before. The caller holds the lock on root."""
    tags = f"{images.root}/_tags"
    files.make_private(tags)
    new = f"{images.root}/.{os.urandom(8).hex()}"
    os.symlink(digits, new)
    os.rename(new, f"{tags}/{to_file(name)}")
    files.sync_directory(tags)


def tag(images: Store, reference: str, name: str) -> Image:
    """`tag`: one more name for an image. Raises NoSuchImage, InvalidArgument, Conflict for an image without layers."""
    image = images.find(reference)
    old.require_layers(image)
    name = check_name(name)
    refuse_old_name(images, name)
    with files.Lock(images.root):
        set_tag(images, name, image.id.removeprefix("sha256:"))
    return images.find(name)


def refuse_old_name(images: Store, name: str) -> None:
    """A directory of version 0.2 holds its name: it has no id that the name could leave. Raises Conflict."""
    if os.path.isdir(f"{images.root}/{to_file(name)}"):
        raise Conflict(
            f"image {name} exists, from version 0.2 of the lab",
            f"`lab image rm {name}` removes it; then do this again",
        )


def import_tar(images: Store, name: str, tar: IO[bytes], changes: Sequence[str] = (), comment: str = "") -> Image:
    """Unpack a root filesystem's tar (plain, gzip, bzip2 or xz) as an image of one layer; a name moves to it.

    name: "" for an image without one. changes: as for lab.images.changes. Raises InvalidArgument, Conflict.
    """
    from lab.images.changes import changed

    names = [check_name(name)] if name else []
    for one in names:
        refuse_old_name(images, one)
    config = oci.new(changed({}, changes), comment or "Imported from -")
    with Partial(images) as partial:
        ((digest, size),) = partial.layers([""], "import", data=tar)
        if not os.listdir(partial.rootfs):
            raise InvalidArgument("cannot import: the tar is empty", EMPTY)
        config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
        found = partial.publish(oci.encoded(config), [size], names)
    return images.find(names[0] if names else found)


def load(images: Store, tar: IO[bytes]) -> Iterator[tuple[str, Image]]:
    """Read an archive of `docker save`, `podman save` or skopeo: (name, or "" for an image without, image) of each.

    Nothing of the archive is believed: layers and configs must have the SHA-256 that is told of them. All names are
    checked before the first image is made. Raises InvalidArgument, NotImplementedHere, Conflict.
    """
    with Partial(images) as partial:
        folder = f"{partial.path}/archive"
        os.mkdir(folder, 0o700)
        partial.unpack(["archive", folder], (), tar, "load")
        with Archive(folder) as archive:
            packed = archive.images()
            for one in packed:
                for name in one.names:
                    refuse_old_name(images, name)
            for one in packed:
                image_id = _take(partial, archive, one)
                image = images.find((*one.names, image_id)[0])
                for name in one.names or [""]:  # all with one config in memory
                    image = copy.copy(image)
                    image.name = name or image.name
                    yield name, image


def _take(partial: Partial, archive: Archive, packed: Packed) -> str:
    """Put one image of an archive into the store, if it is not there; returns its id."""
    images, digits = partial.images, hashlib.sha256(packed.data).hexdigest()
    if os.path.isdir(f"{images.root}/{digits}"):
        images.find(digits)
        with files.Lock(images.root):
            for name in packed.names:
                set_tag(images, name, digits)
        return digits
    partial.new_tree()
    known = [digest.removeprefix("sha256:") for digest in packed.config["rootfs"]["diff_ids"]]
    with archive.opened(packed) as paths:
        found = partial.layers(paths, "load", known=known)
    return partial.publish(packed.data, [size for _, size in found], packed.names)


def commit(
    images: Store, spec: Spec, name: str = "", *,
    entrypoint: int, labels: dict[str, str], override: dict[str, Any] | None = None,
    changes: Sequence[str] = (), author: str = "", comment: str = "",
) -> Image:  # fmt: skip
    """An image of a container: that of its own image, and one more layer with what the container has changed.

    entrypoint and labels are as for lab.images.config.of_container(); override are fields of its result. Raises
    InvalidArgument, NotImplementedHere, Conflict, LabError.
    """
    from lab.images.changes import changed

    base = base_of(images, spec)
    names = [check_name(name)] if name else []
    for one in names:
        refuse_old_name(images, one)
    settings = oci.of_container(base.config, spec, entrypoint, labels) | (override or {})
    config = oci.continued(
        base.config, changed(settings, changes), created_by=spec.args, author=author, comment=comment
    )
    with Partial(images) as partial:
        path = f"{partial.path}/changes"
        entries = contents.write(spec, path, "diff")
        sources = [images.layer_path(digest) for digest in base.layers] + [path] * (entries > 0)
        found = partial.layers(sources, "commit", known=[*base.layers, *[""] * (entries > 0)])
        if not entries:
            config["history"][-1]["empty_layer"] = True
        config["rootfs"]["diff_ids"] = [f"sha256:{digest}" for digest, _ in found]
        image_id = partial.publish(oci.encoded(config), [size for _, size in found], names)
    return images.find(names[0] if names else image_id)


def base_of(images: Store, spec: Spec) -> Image:
    """The image of a container, whose layers are there. Raises NotImplementedHere for `host`, Conflict, NoSuchImage."""
    require_layer(spec)
    folder = os.path.basename(os.path.dirname(spec.rootfs))
    image = next((one for one in images.list() if one.rootfs == spec.rootfs), None) or images.find(folder)
    image.name = (image.tags or [image.name])[0]
    old.require_layers(image)
    return image


def require_layer(spec: Spec) -> None:
    """Raises NotImplementedHere for a container of `host`."""
    if not spec.layer:
        raise NotImplementedHere(
            "commit and export are not part of this lab for a container of the image host: its root is this machine's",
            "copy what you need out with `docker cp`",
        )
