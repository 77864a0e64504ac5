"""An archive of images that somebody else has written: an OCI layout, what `docker save` writes, or both in one.

The archive has been unpacked by a process whose root was this directory. Its symlinks may still lead anywhere: every
file is opened with openat2(2), for which this directory is the root again.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md; moby, image/tarexport/load.go.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat

from lab.errors import InvalidArgument
from lab.images import config as oci
from lab.images.names import check_name, split_tag
from lab.syscalls import RESOLVE_IN_ROOT, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

RESOLVE_NO_MAGICLINKS = 0x02
MOST_IMAGES = 200
MOST_READ = 16 << 20  # bytes of all configs and manifests, however often an archive names the same one
AGAIN = "write the archive again: `docker save`, `podman save`, skopeo"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")  # annotations of an OCI layout


class Packed:
    """One image of an archive: its names, the bytes of its config, its layers: (path, SHA-256 of the file or "")."""

    def __init__(self, names: Sequence[str], data: bytes, layers: Sequence[tuple[str, str]]) -> None:
        self.names, self.data, self.layers = names, data, layers
        self.config = oci.checked(data)
        count = len(self.config["rootfs"]["diff_ids"])
        if count != len(layers):
            raise InvalidArgument(f"cannot load: the config has {count} layers, the archive {len(layers)}", AGAIN)


class Archive:
    """An unpacked archive, open during a `with`."""

    def __init__(self, folder: str) -> None:
        self._root, self._read_so_far = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), 0

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._root)

    @contextlib.contextmanager
    def opened(self, packed: Packed) -> Iterator[list[str]]:
        """The paths of an image's layers, for this process, during a `with`. Raises InvalidArgument."""
        with contextlib.ExitStack() as stack:
            paths = []
            for path, digest in packed.layers:
                fd = self._open(path)
                stack.callback(os.close, fd)
                if digest:
                    with open(fd, "rb", closefd=False) as file:
                        _compare(hashlib.file_digest(file, "sha256").hexdigest(), digest, path)
                paths.append(f"/proc/self/fd/{fd}")
            yield paths

    def images(self) -> list[Packed]:
        """What is in it: manifest.json counts, where there is none index.json. Raises InvalidArgument."""
        found = self._of_docker() if self._has("manifest.json") else self._of_oci()
        if not found:
            raise InvalidArgument("cannot load: the archive holds no image for this machine", AGAIN)
        return found

    def _of_docker(self) -> list[Packed]:
        rows = oci.parse(b'{"rows":' + self._read("manifest.json") + b"}", "manifest.json")["rows"]
        if not isinstance(rows, list) or len(rows) > MOST_IMAGES:
            raise InvalidArgument("cannot load: manifest.json is no list of at most 200 images", AGAIN)
        return [self._docker_image(row) for row in rows]

    def _docker_image(self, row: Any) -> Packed:
        given = row if isinstance(row, dict) else {}
        path, layers, names = given.get("Config"), given.get("Layers"), given.get("RepoTags") or []
        if not isinstance(path, str) or not _are_words(layers) or not _are_words(names):
            raise InvalidArgument("cannot load: manifest.json lacks Config or Layers", AGAIN)
        data = self._read(path)
        digits = os.path.basename(path).removesuffix(".json")
        if re.fullmatch("[0-9a-f]{64}", digits):
            _compare(hashlib.sha256(data).hexdigest(), digits, path)
        return Packed([check_name(name) for name in names], data, [(layer, "") for layer in layers or ()])

    def _of_oci(self) -> list[Packed]:
        if not self._has("index.json"):
            raise InvalidArgument("cannot load: the archive has no manifest.json and no index.json", AGAIN)
        rows = _descriptors(oci.parse(self._read("index.json"), "index.json"), "manifests")
        return [image for row in rows for image in self._oci_images(row, _names(row))]

    def _oci_images(self, descriptor: dict[str, Any], names: Sequence[str], depth: int = 0) -> list[Packed]:
        """The images of one descriptor; an index has one for each platform, of which this machine's is taken."""
        if not _is_for_us(descriptor.get("platform")):
            return []
        manifest = oci.parse(self._blob(descriptor), "a manifest")
        if descriptor.get("mediaType") in INDEXES or "manifests" in manifest:
            if depth:
                raise InvalidArgument("cannot load: an index in an index in an index", AGAIN)
            rows = _descriptors(manifest, "manifests")
            return [image for row in rows for image in self._oci_images(row, names, depth + 1)][:1]
        if not isinstance(manifest.get("config"), dict):
            raise InvalidArgument("cannot load: a manifest has no config", AGAIN)
        layers = [(_blob_path(row), _digits(row)) for row in _descriptors(manifest, "layers")]
        return [Packed(names, self._blob(manifest["config"]), layers)]

    def _blob(self, descriptor: dict[str, Any]) -> bytes:
        path = _blob_path(descriptor)
        data = self._read(path)
        _compare(hashlib.sha256(data).hexdigest(), _digits(descriptor), path)
        return data

    def _has(self, path: str) -> bool:
        try:
            os.close(self._open(path))
        except InvalidArgument:
            return False
        return True

    def _read(self, path: str) -> bytes:
        fd = self._open(path)
        with open(fd, "rb") as file:
            data = file.read(oci.LARGEST + 1)
        if len(data) > oci.LARGEST:
            raise InvalidArgument(f"cannot load: {path[:200]!a} has more than {oci.LARGEST} bytes", AGAIN)
        self._read_so_far += len(data)
        if self._read_so_far > MOST_READ:
            most = f"{MOST_READ >> 20} MiB"
            raise InvalidArgument(f"cannot load: its configs and manifests have more than {most}", "save fewer images")
        return data

    def _open(self, path: str) -> int:
        """A regular file of the archive. Raises InvalidArgument."""
        try:
            fd = openat2(
                self._root, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
            )
        except (OSError, ValueError):
            raise InvalidArgument(f"cannot load: the archive has no {path[:200]!a}", AGAIN) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidArgument(f"cannot load: {path[:200]!a} is no file", AGAIN)
        return fd


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 1000 and all(isinstance(word, str) for word in value)


def _compare(found: str, told: str, path: str) -> None:
    if found != told:
        raise InvalidArgument(
            f"cannot load: {path[:200]} is sha256:{found}, but is told to be sha256:{told}",
            "the archive is damaged, or somebody has changed it: get it again",
        )


def _descriptors(document: dict[str, Any], field: str) -> list[dict[str, Any]]:
    rows = document.get(field)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or len(rows) > MOST_IMAGES:
        raise InvalidArgument(f"cannot load: {field} is no list of at most {MOST_IMAGES} objects", AGAIN)
    return rows


def _digits(descriptor: dict[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not oci.is_digest(digest):
        raise InvalidArgument(f"cannot load: {str(digest)[:80]!a} is no SHA-256", AGAIN)
    return str(digest).removeprefix("sha256:")


def _blob_path(descriptor: dict[str, Any]) -> str:
    return f"blobs/sha256/{_digits(descriptor)}"


def _is_for_us(platform: Any) -> bool:
    if not isinstance(platform, dict):
        return True
    here = ("linux", oci.architecture())
    return (platform.get("os", here[0]), platform.get("architecture", here[1])) == here


def _names(descriptor: dict[str, Any]) -> list[str]:
    """The name that an annotation gives. One without a colon is only a tag, as skopeo and containerd write it."""
    annotations = descriptor.get("annotations")
    for name in NAMES:
        text = annotations.get(name) if isinstance(annotations, dict) else None
        if isinstance(text, str) and split_tag(text)[1] and not oci.is_digest(text):
            return [check_name(text)]
    return []
