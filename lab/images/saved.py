"""The archive that `save` writes: an OCI layout and, in the same tar, the manifest.json that `docker load` reads.

So docker, podman and skopeo read it, whether they are told docker-archive or oci-archive. The bytes come in pieces, for
a file or an HTTP answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile

from lab.errors import NoSuchImage
from lab.images import old
from lab.images.names import with_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any

    from lab.images.image import Image
    from lab.images.store import Store

CHUNK = 1 << 16
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Saved:
    """Images that are about to be saved. Their files are open: who removes an image meanwhile changes nothing.

    references: names, or ids for an image without its names. Raises NoSuchImage, Conflict, CannotStart.
    """

    def __init__(self, images: Store, references: Sequence[str]) -> None:
        self.images: list[Image] = []
        self._names: dict[str, list[str]] = {}
        self._files: dict[str, IO[bytes]] = {}
        try:
            for reference in references:
                self._take(images, reference)
        except BaseException:
            self.close()
            raise

    def _take(self, images: Store, reference: str) -> None:
        image = images.find(reference)
        old.require_layers(image)
        digits = image.id.removeprefix("sha256:")
        if digits not in self._names:
            self._names[digits] = []
            self.images.append(image)
            try:
                self._open(digits, f"{images.root}/{digits}/config")
                for digest in image.layers:
                    self._open(digest, images.layer_path(digest))
            except FileNotFoundError:
                raise NoSuchImage(f"No such image: {reference[:200]}", "it has just been removed") from None
        if image.name in image.tags and not digits.startswith(reference.removeprefix("sha256:")):
            self._names[digits].append(with_tag(image.name))

    def _open(self, digest: str, path: str) -> None:
        if digest not in self._files:
            self._files[digest] = open(path, "rb")  # noqa: SIM115 (close() closes it)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def chunks(self) -> Iterator[bytes]:
        """The archive, in pieces of at most 64 KiB; closes the files at its end."""
        try:
            for folder in ("blobs", "blobs/sha256"):
                yield _header(f"{folder}/", 0, tarfile.DIRTYPE)
            for digest, file in self._files.items():
                yield from _copied(f"blobs/sha256/{digest}", file)
            manifests = []
            for image in self.images:
                data = _encoded(self._manifest(image))
                yield from _small(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data)
                manifests += self._described(image, data)
            yield from _small("oci-layout", _encoded({"imageLayoutVersion": "1.0.0"}))
            yield from _small("index.json", _encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
            yield from _small("manifest.json", _encoded([self._docker_row(image) for image in self.images]))
            yield bytes(2 * tarfile.BLOCKSIZE)
        finally:
            self.close()

    def _descriptor(self, kind: str, digest: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": os.fstat(self._files[digest].fileno()).st_size}

    def _manifest(self, image: Image) -> dict[str, Any]:
        return {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self._descriptor(CONFIG, image.id.removeprefix("sha256:")),
            "layers": [self._descriptor(LAYER, digest) for digest in image.layers],
        }  # fmt: skip

    def _described(self, image: Image, data: bytes) -> list[dict[str, Any]]:
        """The rows of index.json: one for each name, which containerd, docker and podman look for."""
        row = {"mediaType": MANIFEST, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        names = self._names[image.id.removeprefix("sha256:")]
        rows = [
            {"io.containerd.image.name": full_name(name), "org.opencontainers.image.ref.name": full_name(name)}
            for name in names
        ]
        return [{**row, "annotations": annotations} for annotations in rows] or [row]

    def _docker_row(self, image: Image) -> dict[str, Any]:
        digits = image.id.removeprefix("sha256:")
        layers = [f"blobs/sha256/{digest}" for digest in image.layers]
        return {"Config": f"blobs/sha256/{digits}", "RepoTags": self._names[digits] or None, "Layers": layers}


def full_name(name: str) -> str:
    """A name with the registry that Docker means where none is told."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _encoded(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mode = size, kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member.tobuf(tarfile.USTAR_FORMAT if size < 8 << 30 else tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _small(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data)) + data + _padding(len(data))


def _copied(name: str, file: IO[bytes]) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size
    yield _header(name, size)
    while chunk := file.read(CHUNK):
        yield chunk
    if padding := _padding(size):
        yield padding
