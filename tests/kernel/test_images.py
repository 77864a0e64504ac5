"""Imports, of hostile images too: what a tar says can happen only inside the image."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import add, stored

from lab.errors import Conflict, InvalidArgument, LabError, NoSuchImage
from lab.images import Images

pytestmark = pytest.mark.needs("root")

Fill = Callable[[tarfile.TarFile, Path], None]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """An empty store of images."""
    return Images(str(tmp_path / "images"))


def tar_of(fill: Fill, outside: Path) -> io.BytesIO:
    """A tar of what `fill` adds, and one harmless file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        fill(tar, outside)
        add(tar, "harmless", b"x")
    return io.BytesIO(buffer.getvalue())


def through_absolute_symlink(tar: tarfile.TarFile, outside: Path) -> None:
    """Write a file through a symlink to an absolute path."""
    add(tar, "way", kind=tarfile.SYMTYPE, link=str(outside))
    add(tar, "way/file", b"hostile")


def through_relative_symlink(tar: tarfile.TarFile, outside: Path) -> None:
    """Write a file through a symlink with more ../ than there are directories."""
    add(tar, "way", kind=tarfile.SYMTYPE, link="../" * 20 + str(outside))
    add(tar, "way/file", b"hostile")


def dots(tar: tarfile.TarFile, outside: Path) -> None:
    """Write a file with more ../ in its name than there are directories."""
    add(tar, "../" * 20 + f"{outside}/file", b"hostile")


def absolute_path(tar: tarfile.TarFile, outside: Path) -> None:
    """Write a file with an absolute name."""
    add(tar, f"{outside}/file", b"hostile")


def hard_link_out(tar: tarfile.TarFile, outside: Path) -> None:
    """Link a host's file, then write to the link."""
    add(tar, "linked", kind=tarfile.LNKTYPE, link=f"{outside}/precious")
    add(tar, "linked", b"hostile")


def hard_link_through_symlink(tar: tarfile.TarFile, outside: Path) -> None:
    """Link a host's file behind a symlink."""
    add(tar, "way", kind=tarfile.SYMTYPE, link=str(outside))
    add(tar, "linked", kind=tarfile.LNKTYPE, link="way/precious")


def over_a_symlink(tar: tarfile.TarFile, outside: Path) -> None:
    """Write over a symlink that leads to a host's file."""
    add(tar, "way", kind=tarfile.SYMTYPE, link=f"{outside}/precious")
    add(tar, "way", b"hostile")


@pytest.mark.parametrize(
    "fill",
    [
        through_absolute_symlink, through_relative_symlink, dots, absolute_path, hard_link_out,
        hard_link_through_symlink, over_a_symlink,
    ],
)  # fmt: skip
def test_no_way_out(images: Images, tmp_path: Path, fill: Fill) -> None:
    """No path, symlink or hard link in a tar reaches the host: the import is refused, or stays inside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    precious = outside / "precious"
    precious.write_text("precious")
    try:
        images.import_tar("hostile", tar_of(fill, outside))
    except LabError as error:
        assert isinstance(error, InvalidArgument)
        assert [image.name for image in images.list()] == ["host"]
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (precious.read_text(), precious.stat().st_nlink) == ("precious", 1)


def test_device_nodes_are_left_out(images: Images, tmp_path: Path) -> None:
    """A tar's device nodes are passed over: the runtime makes the few that a container needs."""

    def devices(tar: tarfile.TarFile, outside: Path) -> None:
        for name, kind in (("disk", tarfile.BLKTYPE), ("mem", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE)):
            add(tar, name, kind=kind)

    image = images.import_tar("devices", tar_of(devices, tmp_path))
    assert os.listdir(image.rootfs) == ["harmless"]  # noqa: PTH208


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressions(images: Images, rootfs_tar: bytes, compress: Callable[[bytes], bytes]) -> None:
    """Plain, gzip, bzip2 and xz tars are taken; the layer is the plain tar, the id is the SHA-256 of the config."""
    image = images.import_tar("base", io.BytesIO(compress(rootfs_tar)))
    assert image.layers == [hashlib.sha256(rootfs_tar).hexdigest()]
    assert Path(images.layer_path(image.layers[0])).read_bytes() == rootfs_tar
    config = (Path(image.rootfs).parent / "config").read_bytes()
    assert image.id == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert (Path(image.rootfs) / "bin/sh").is_symlink()
    assert images.find("base:latest").id == image.id == images.find(image.id[7:19]).id


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, b"\0" * 10240])
def test_what_is_no_tar(images: Images, data: bytes) -> None:
    """A file that is no tar, or an empty tar, is refused in a sentence, and nothing stays behind."""
    with pytest.raises(LabError, match="cannot import"):
        images.import_tar("broken", io.BytesIO(data))
    assert stored(Path(images.root)) == []


def test_a_tar_cut_short(images: Images, rootfs_tar: bytes) -> None:
    """Half a tar makes no image."""
    with pytest.raises(InvalidArgument, match="cannot import"):
        images.import_tar("half", io.BytesIO(rootfs_tar[: len(rootfs_tar) // 2]))
    assert stored(Path(images.root)) == []


@pytest.mark.parametrize(
    "name", [":1", "..", "a/../b", "/abs", "UPPER", "a:b:c", "host", "x" * 129, "a//b", "a\0b", "a" * 64]
)
def test_names_that_will_not_do(images: Images, rootfs_tar: bytes, name: str) -> None:
    """A name that Docker would not take, and `host`, are refused before anything is written."""
    with pytest.raises(InvalidArgument):
        images.import_tar(name, io.BytesIO(rootfs_tar))
    assert not Path(images.root).exists()


def test_life_of_an_image(images: Images, rootfs_tar: bytes) -> None:
    """An image is imported, listed and removed; for an unknown one a hint lists those that there are."""
    images.import_tar("team/base:1.0", io.BytesIO(rootfs_tar))
    assert [image.name for image in images.list()] == ["host", "team/base:1.0"]
    images.remove("team/base:1.0")
    with pytest.raises(NoSuchImage) as caught:
        images.find("team/base:1.0")
    assert "there are: host" in caught.value.hint and "lab image import" in caught.value.hint
    with pytest.raises(Conflict):
        images.remove("host")
