"""Volumes on disk: names, records, copies, removals; what a kill, a full disk and a hostile file may do to them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lab import trees
from lab.errors import Conflict, InvalidArgument, NotFound
from lab.volumefilters import matching, prune
from lab.volumes import ANONYMOUS, Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    """An empty store; the container `box` has the volume `used`."""
    return Volumes(str(tmp_path / "volumes"), lambda name: ["box"] if name == "used" else [], lambda: [])


@pytest.mark.parametrize("name", ["a/b", "../x", "/x", ".hidden", "_x", "x", "a b", "n" * 256, "é1", "a\nb", "a\0"])
def test_names_that_are_none(volumes: Volumes, name: str) -> None:
    """A name is one file's: no slash, no dot in front, nothing that moves a cursor."""
    with pytest.raises(InvalidArgument, match="volume name") as failure:
        volumes.create(name)
    assert failure.value.message.isprintable()
    for act in (volumes.find, volumes.remove):
        with pytest.raises(NotFound, match="no such volume"):
            act(name)
    assert volumes.list() == []


def test_the_store_is_closed_to_others(volumes: Volumes) -> None:
    """Set-user-ID programs in a volume are out of other users' reach; the volume itself is open to its containers."""
    volume, _ = volumes.create("data")
    data = Path(volume.data)
    assert data.stat().st_mode & 0o777 == 0o755
    assert Path(volumes.root).stat().st_mode & 0o777 == data.parent.stat().st_mode & 0o777 == 0o700


def test_an_existing_one_is_taken(volumes: Volumes) -> None:
    """Who asks for a name twice gets the same volume with its first labels; an anonymous one is always new."""
    assert volumes.create("data", {"a": "b"})[1] and not volumes.create("data", {"c": "d"})[1]
    assert volumes.find("data").labels == {"a": "b"}
    names = {volumes.create()[0].name for _ in range(3)}
    assert len(names) == 3 and all(len(name) == 64 and ANONYMOUS in volumes.find(name).labels for name in names)


@pytest.mark.parametrize(
    "text", ["", "{", "{'created': 'x'}", "{'created': 1, 'labels': 5}", "\0" * 9, "[" * 9999, "\udcff"]
)
def test_a_damaged_record(volumes: Volumes, text: str) -> None:
    """The record of a volume may hold anything: the volume is listed, used and removed, and its data stays whole."""
    volume, _ = volumes.create("data", {"a": "b"})
    record = Path(volume.data).parent / "volume"
    record.write_text(text, errors="surrogateescape")
    assert [(found.name, found.labels) for found in volumes.list()] == [("data", {})]
    record.unlink()
    assert volumes.find("data").created > 0
    volumes.remove("data")
    assert volumes.list() == []


def test_a_volume_is_filled_whole_or_not_at_all(volumes: Volumes, tmp_path: Path) -> None:
    """A copy that fails leaves the volume empty, so that the next container gets all of it; leftovers are cleared."""
    volume, _ = volumes.create("data")
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("x")
    (tmp_path / "volumes/data/filling/old").mkdir(parents=True)
    fd = os.open(source, os.O_RDONLY)
    with pytest.MonkeyPatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        patch.setattr(trees, "_copy_file", full)
        with pytest.raises(OSError, match="No space"):
            volumes.fill(volume, fd)
    parts = tmp_path / "volumes/data"
    assert list((parts / "_data").iterdir()) == [] and {path.name for path in parts.iterdir()} == {"_data", "volume"}
    volumes.fill(volume, fd)
    os.close(fd)
    assert (Path(volume.data) / "deep/file").read_text() == "x"
    assert {path.name for path in parts.iterdir()} == {"_data", "volume"}


def test_what_is_not_empty_is_not_filled(volumes: Volumes, tmp_path: Path) -> None:
    """A symlink that a container has planted in an empty-looking volume counts: nothing is copied through it."""
    volume, _ = volumes.create("data")
    (tmp_path / "victim").mkdir()
    (Path(volume.data) / "deep").symlink_to(tmp_path / "victim")
    (tmp_path / "source/deep").mkdir(parents=True)
    (tmp_path / "source/deep/file").touch()
    fd = os.open(tmp_path / "source", os.O_RDONLY)
    volumes.fill(volume, fd)
    os.close(fd)
    assert list((tmp_path / "victim").iterdir()) == [] and (Path(volume.data) / "deep").is_symlink()


def test_a_copy_leaves_room_on_the_disk(volumes: Volumes, tmp_path: Path) -> None:
    """An image can name many volumes for one large directory: none is filled where the disk would be full."""
    source = tmp_path / "image"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.truncate(8 << 40)
    volume, _ = volumes.create("many")
    fd = os.open(source, os.O_RDONLY)
    with pytest.raises(OSError, match="No space left"):
        volumes.fill(volume, fd)
    os.close(fd)
    assert not any(Path(volume.data).iterdir())


def test_killed_makers_and_removers_are_swept(volumes: Volumes) -> None:
    """A volume that was never finished, or is half removed, goes with the next sweep; one in work stays."""
    volumes.create("data")
    left, busy = Path(volumes.root) / ".0123", Path(volumes.root) / ".4567"
    (left / "_data/x").mkdir(parents=True)
    busy.mkdir()
    from lab.files import Lock

    with Lock(str(busy)):
        volumes.sweep()
    assert [found.name for found in volumes.list()] == ["data"] and not left.exists() and busy.exists()


def test_links_are_removed_as_links(volumes: Volumes, tmp_path: Path) -> None:
    """Nothing follows a symlink out of a volume: neither its size nor its removal."""
    (tmp_path / "precious").write_text("x" * 1000)
    data = Path(volumes.create("data")[0].data)
    (data / "out").symlink_to(tmp_path)
    (data / "up").mkdir()
    (data / "up/up").symlink_to("../..")
    assert trees.size(str(data)) < 1000
    volumes.remove("data")
    assert (tmp_path / "precious").exists() and volumes.list() == []


def test_no_use_of_a_removed_volume(volumes: Volumes) -> None:
    """While a container is about to get a volume, a removal waits; it then finds the volume in use."""
    volumes.create("data")
    users: list[str] = []
    volumes.users = lambda name: users
    told: list[str] = []

    def steal() -> None:
        try:
            volumes.remove("data")
        except Conflict as error:
            told.append(error.message)

    with volumes.held():
        thief = threading.Thread(target=steal)
        thief.start()
        users.append("box")
    thief.join()
    assert volumes.find("data").name == "data" and told == ["remove data: volume is in use - [box]"]


def test_filters(volumes: Volumes) -> None:
    """ls filters by dangling, driver, label and name; an unknown filter or value is refused."""
    for name, labels in (("used", {"a": "b"}), ("spare", {"a": "c"}), ("other", {})):
        volumes.create(name, labels)

    def found(**filters: list[str]) -> list[str]:
        return [volume.name for volume in matching(volumes, filters)]

    assert found() == ["other", "spare", "used"] == found(driver=["local"])
    assert found(dangling=["true"]) == ["other", "spare"] and found(dangling=["0"]) == ["used"]
    assert found(label=["a"]) == ["spare", "used"] and found(label=["a", "a=c"]) == ["spare"]
    assert found(name=["oth", "use"]) == ["other", "used"] and found(driver=["nfs"]) == []
    for wrong in ({"bogus": ["x"]}, {"dangling": ["maybe"]}):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            matching(volumes, wrong)


def test_prune(volumes: Volumes) -> None:
    """prune takes anonymous volumes, with all=true others, too, by their labels; never one that a container has."""
    for name, labels in (("used", {}), ("spare", {"keep": ""}), ("other", {"a": "b"})):
        volumes.create(name, labels)
    anonymous, _ = volumes.create()
    (Path(anonymous.data) / "file").write_text("x" * 10)
    assert prune(volumes, {}) == ([anonymous.name], 10)
    assert prune(volumes, {"all": ["false"]}) == ([], 0)
    assert prune(volumes, {"all": ["true"], "label!": ["keep"]}) == (["other"], 0)
    assert prune(volumes, {"all": ["1"], "label": ["keep"]}) == (["spare"], 0)
    assert prune(volumes, {"all": ["1"]}) == ([], 0) and volumes.find("used").name == "used"
    with pytest.raises(InvalidArgument, match="invalid filter"):
        prune(volumes, {"dangling": ["true"]})
