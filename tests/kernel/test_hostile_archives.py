"""Archives of images from somebody who wishes us ill: each is refused in one sentence, and nothing of it is left."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import add, stored

from lab.errors import LabError
from lab.images import Images

pytestmark = pytest.mark.needs("root")
Layer = Callable[[tarfile.TarFile], object]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """An empty store of images."""
    return Images(str(tmp_path / "images"))


def tar_of(fill: Layer) -> bytes:
    """A tar of what `fill` adds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        fill(tar)
    return buffer.getvalue()


def harmless(tar: tarfile.TarFile) -> None:
    """One file."""
    add(tar, "file", b"x")


def sha(data: bytes) -> str:
    """As the OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(*layers: bytes, **settings: Any) -> dict[str, Any]:
    """The config of an image of these layers."""
    return {
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [sha(layer) for layer in layers]},
    }


class Packing:
    """What `docker save` writes, member for member; a test spoils a part of it."""

    def __init__(self, *layers: bytes, **settings: Any) -> None:
        self.layers = layers or (tar_of(harmless),)
        self.config: Any = config_of(*self.layers, **settings)
        self.names: Any = ["bad:1"]
        self.paths: Any = [f"{number}/layer.tar" for number in range(len(self.layers))]
        self.config_path, self.copies = "config.json", 1
        self.more: Layer = lambda tar: None

    def bytes(self) -> bytes:
        """The archive."""

        def fill(tar: tarfile.TarFile) -> None:
            for number, layer in enumerate(self.layers):
                add(tar, f"{number}/layer.tar", layer)
            add(tar, "config.json", json.dumps(self.config).encode())
            row = {"Config": self.config_path, "RepoTags": self.names, "Layers": self.paths}
            self.more(tar)
            add(tar, "manifest.json", json.dumps([row] * self.copies).encode())

        return tar_of(fill)

    def load(self, images: Images) -> list[tuple[str, Any]]:
        """Load it."""
        return list(images.load(io.BytesIO(self.bytes())))


def spoiled(change: Callable[[Packing], object], *layers: bytes) -> Packing:
    """A packing with one change."""
    found = Packing(*layers)
    change(found)
    return found


def settings(**wrong: Any) -> Packing:
    """A packing whose config has these settings."""
    return Packing(tar_of(harmless), **wrong)


def link_to(target: str) -> Packing:
    """A packing whose config.json is a symlink that leads out."""
    found = Packing()
    found.config_path = "way"
    found.more = lambda tar: add(tar, "way", kind=tarfile.SYMTYPE, link=target)
    return found


HOSTILE: dict[str, tuple[Packing, str]] = {
    "another layer": (spoiled(lambda p: p.config["rootfs"].update(diff_ids=[sha(b"x")])), "but the config names"),
    "one layer more": (spoiled(lambda p: p.config["rootfs"]["diff_ids"].append(sha(b"x"))), "has 2 layers"),
    "126 layers": (spoiled(lambda p: p.config["rootfs"].update(diff_ids=[sha(b"x")] * 126)), "at most|126 layers"),
    "no layers": (spoiled(lambda p: p.config["rootfs"].update(diff_ids=[])), "diff_ids"),
    "a digest that is a path": (spoiled(lambda p: p.config["rootfs"].update(diff_ids=["sha256:../../x"])), "diff_ids"),
    "no config": (spoiled(lambda p: setattr(p, "config", [1])), "not an object"),
    "a huge config": (spoiled(lambda p: p.config.update(author="x" * (1 << 20))), "more than"),
    "a deep config": (spoiled(lambda p: p.config.update(history=json.loads("[" * 900 + "]" * 900))), "history"),
    "a list as user": (settings(User=["root"]), "config.User"),
    "a NUL in a command": (settings(Cmd=["a\0b"]), "config.Cmd"),
    "half a character": (settings(Env=["A=\ud800"]), "not JSON|config.Env"),
    "an environment without names": (settings(Env=["=x"]), "config.Env"),
    "labels of numbers": (settings(Labels={"a": 1}), "config.Labels"),
    "a million values": (spoiled(lambda p: p.config.update(history=[{}] * 100_000)), "more than 50000 values"),
    "101 volumes": (settings(Volumes={f"/{number}": {} for number in range(101)}), "more than 100 volumes"),
    "windows": (spoiled(lambda p: p.config.update(os="windows")), "for 'windows'"),
    "a path out": (spoiled(lambda p: setattr(p, "config_path", "../../../../etc/passwd")), "has no"),
    "an absolute path": (spoiled(lambda p: setattr(p, "config_path", "/etc/passwd")), "has no"),
    "a layer out": (spoiled(lambda p: setattr(p, "paths", ["../../../../etc/passwd"])), "has no"),
    "a directory as layer": (spoiled(lambda p: setattr(p, "paths", ["0"])), "is no file"),
    "a symlink out": (link_to("../../../../../../etc/passwd"), "has no"),
    "a symlink to a descriptor": (link_to("/proc/self/fd/0"), "has no"),
    "a name out": (spoiled(lambda p: setattr(p, "names", ["../../x"])), "invalid image name"),
    "host": (spoiled(lambda p: setattr(p, "names", ["host"])), "invalid image name"),
    "an id as name": (spoiled(lambda p: setattr(p, "names", ["a" * 64])), "taken for an id"),
    "names of numbers": (spoiled(lambda p: setattr(p, "names", [5])), "lacks"),
    "a whiteout of above": (Packing(tar_of(lambda tar: add(tar, "d/.wh..."))), "is no whiteout"),
    "a whiteout of itself": (Packing(tar_of(lambda tar: add(tar, ".wh.."))), "is no whiteout"),
    "a layer cut short": (Packing(tar_of(harmless)[:700]), "ends too early|unexpected end"),
    "an endless end": (Packing(gzip.compress(tar_of(harmless) + bytes(3 << 20))), "goes on"),
    "zstd": (Packing(b"\x28\xb5\x2f\xfd" + bytes(600)), "zstd"),
}


@pytest.mark.parametrize(("packing", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_refused(images: Images, packing: Packing, said: str) -> None:
    """What is wrong is told in one sentence; there is no image, no layer, no name, and nothing half-made."""
    with pytest.raises(LabError, match=said):
        packing.load(images)
    assert stored(Path(images.root)) == []


def oci(change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda *_: None) -> bytes:
    """An OCI layout with a gzipped layer; `change` spoils (manifest, row of index.json)."""
    layer = tar_of(harmless)
    blobs = [gzip.compress(layer), json.dumps(config_of(layer)).encode()]
    manifest = {"config": {"digest": sha(blobs[1])}, "layers": [{"digest": sha(blobs[0])}]}
    row: dict[str, Any] = {"annotations": {"org.opencontainers.image.ref.name": "oci:1"}}
    change(manifest, row)
    blobs.append(json.dumps(manifest).encode())
    index = {"manifests": [{"digest": sha(blobs[2]), **row}]}

    def fill(tar: tarfile.TarFile) -> None:
        for blob in blobs:
            add(tar, f"blobs/sha256/{sha(blob)[7:]}", blob)
        add(tar, "blobs/sha256/" + "e" * 64, b"{}")
        add(tar, "index.json", json.dumps(index).encode())

    return tar_of(fill)


OCI: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "another manifest": (lambda manifest, row: row.update(digest="sha256:" + "e" * 64), "is told to be"),
    "another config": (lambda manifest, row: manifest["config"].update(digest="sha256:" + "e" * 64), "is told to be"),
    "another layer": (lambda manifest, row: manifest["layers"][0].update(digest="sha256:" + "e" * 64), "is told to be"),
    "a missing layer": (lambda manifest, row: manifest["layers"][0].update(digest="sha256:" + "f" * 64), "has no"),
    "a digest out": (lambda manifest, row: row.update(digest="sha256:../../../etc/passwd"), "is no SHA-256"),
    "md5": (lambda manifest, row: row.update(digest="md5:0"), "is no SHA-256"),
    "another machine": (
        lambda manifest, row: row.update(platform={"architecture": "s390x", "os": "linux"}),
        "no image",
    ),
    "layers of numbers": (lambda manifest, row: manifest.update(layers=[5]), "layers is no list"),
}


@pytest.mark.parametrize(("change", "said"), OCI.values(), ids=OCI.keys())
def test_refused_in_an_oci_layout(images: Images, change: Any, said: str) -> None:
    """Each blob must have the SHA-256 by which it is called."""
    with pytest.raises(LabError, match=said):
        list(images.load(io.BytesIO(oci(change))))
    assert stored(Path(images.root)) == []


def test_one_config_under_many_names(images: Images) -> None:
    """An archive of a few kB that names one large config 200 times does not fill labd's memory."""
    packing = Packing()
    packing.config["author"] = "x" * 900_000
    packing.copies = 200
    with pytest.raises(LabError, match="more than 16 MiB"):
        packing.load(images)
    assert stored(Path(images.root)) == []


def test_an_honest_one_is_loaded(images: Images) -> None:
    """The same archives without a fault make images; the whole may be compressed, and come twice."""
    for _ in range(2):
        ((name, image),) = Packing().load(images)
        assert (name, image.tags, Path(image.rootfs, "file").read_bytes()) == ("bad:1", ["bad:1"], b"x")
    ((name, _),) = images.load(io.BytesIO(gzip.compress(oci())))
    assert name == "oci:1"
    assert len([path for path in Path(images.root).iterdir() if path.name.startswith(".")]) == 0


@pytest.mark.parametrize("data", [b"", b"no tar" * 200, bytes(10240), tar_of(harmless)])
def test_what_is_no_archive(images: Images, data: bytes) -> None:
    """Anything but an archive of images is refused, and nothing is left."""
    with pytest.raises(LabError, match="cannot load"):
        list(images.load(io.BytesIO(data)))
    assert stored(Path(images.root)) == []


def test_layers_lie_over_one_another(images: Images) -> None:
    """Whiteouts remove, opaque ones empty, a file takes the place of a directory and the reverse, as in docker."""

    def lower(tar: tarfile.TarFile) -> None:
        for folder in ("gone", "emptied", "emptied/deep", "becomes-file", "kept"):
            add(tar, folder, kind=tarfile.DIRTYPE, mode=0o755)
        for file in ("gone/a", "emptied/a", "emptied/deep/b", "becomes-file/a", "kept/a", "becomes-folder", "single"):
            add(tar, file, b"lower")
        add(tar, "way", kind=tarfile.SYMTYPE, link="kept/a")

    def upper(tar: tarfile.TarFile) -> None:
        add(tar, ".wh.gone")
        add(tar, ".wh.single")
        add(tar, ".wh.never-was")
        add(tar, "emptied/new", b"upper")  # before the whiteout, which spares it
        add(tar, "emptied/.wh..wh..opq")
        add(tar, ".wh..wh.plnk", kind=tarfile.DIRTYPE)
        add(tar, "becomes-file", b"upper")
        add(tar, "becomes-folder", kind=tarfile.DIRTYPE, mode=0o700)
        add(tar, "way", b"upper")  # not through the symlink

    ((_, image),) = Packing(tar_of(lower), tar_of(upper)).load(images)
    root = Path(image.rootfs)
    found = {str(path.relative_to(root)): path.is_file() and path.read_text() for path in root.rglob("*")}
    assert found == {
        "emptied": False, "emptied/new": "upper", "becomes-file": "upper", "kept": False, "kept/a": "lower",
        "becomes-folder": False, "way": "upper",
    }  # fmt: skip
    assert (root / "becomes-folder").stat().st_mode & 0o777 == 0o700


def test_a_layer_cannot_lead_out(images: Images, tmp_path: Path) -> None:
    """A symlink of a lower layer that leads to the host is no way for an upper layer to write or remove there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    layers = [
        tar_of(lambda tar: add(tar, "way", kind=tarfile.SYMTYPE, link=str(outside))),
        tar_of(lambda tar: add(tar, "way/.wh.precious")),
        tar_of(lambda tar: add(tar, "way/.wh..wh..opq")),
        tar_of(lambda tar: add(tar, "way/new", b"hostile")),
    ]
    for count in (2, 3, 4):
        with contextlib.suppress(LabError):
            Packing(*layers[:count]).load(images)
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"


def test_devices_in_a_layer_are_left_out(images: Images) -> None:
    """Neither a layer nor the archive itself brings device nodes or FIFOs."""

    def devices(tar: tarfile.TarFile) -> None:
        for name, kind in (("disk", tarfile.BLKTYPE), ("mem", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE)):
            add(tar, name, kind=kind)
        harmless(tar)

    packing = Packing(tar_of(devices))
    packing.more = devices
    ((_, image),) = packing.load(images)
    assert [path.name for path in Path(image.rootfs).iterdir()] == ["file"]


def test_a_damaged_image(images: Images) -> None:
    """A config that was changed on disk is told, and nothing runs from it; the image can be removed, all of it."""
    ((_, image),) = Packing().load(images)
    config = Path(image.rootfs).parent / "config"
    for data in (config.read_bytes().replace(b"linux", b"xinul"), b"", b"\xff"):
        config.write_bytes(data)
        with pytest.raises(LabError, match="bad:1 is damaged"):
            images.find("bad:1")
    (_, listed) = images.list()
    assert (listed.id, listed.tags) == (image.id, ["bad:1"]) and "the id" in listed.damage
    assert images.remove("bad:1") == [("Untagged", "bad:1"), ("Deleted", image.id)]
    assert stored(Path(images.root)) == []


def test_a_sweep_takes_what_belongs_to_no_image(images: Images) -> None:
    """Layers and names that a killed process has left go with the next sweep; those of an image stay."""
    Packing().load(images)
    kept = stored(Path(images.root))
    Path(images.layer_path("f" * 64)).write_bytes(b"x")
    Path(images.root, "_tags/lost").symlink_to("f" * 64)
    Path(images.root, ".0123/rootfs").mkdir(parents=True)
    images.sweep()
    assert stored(Path(images.root)) == kept
