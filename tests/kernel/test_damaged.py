"""A damaged container or image under the engines' own commands; and what a cut of power leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish, lab_python

from lab.images import Images
from lab.pidfd import start_time
from lab.store import Store

pytestmark = pytest.mark.needs("root")
DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty state": lambda path: (path / "state").write_bytes(b""),
    "state cut short": lambda path: (path / "state").write_bytes((path / "state").read_bytes()[:40]),
    "no state": lambda path: (path / "state").unlink(),
    "empty config": lambda path: (path / "config").write_bytes(b""),
    "hostile config": lambda path: (path / "config").write_text("{'name': ['x'], 'spec': 5}"),
    "no config": lambda path: (path / "config").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_podmanish_lives_with_a_damaged_container(podmanish: Podmanish, damage: Callable[[Path], object]) -> None:
    """ps -a says Damaged, inspect says why, no command ends in a traceback, rm removes it, the rest works."""
    podmanish.output("run", "--name", "good", "host", "true")
    podmanish.output("run", "--name", "bad", "host", "true")
    path = Path(Store(str(podmanish.root / "podmanish")).find("bad").path)
    damage(path)
    rows = {row.split()[-1]: row for row in podmanish.output("ps", "-a").splitlines()}
    assert "Damaged" in rows["bad"] and "Exited (0)" in rows["good"]
    assert "bad" not in podmanish.output("ps")
    (shown,) = json.loads(podmanish.output("inspect", "bad"))
    assert (shown["State"]["Status"], shown["State"]["Running"]) == ("damaged", False)
    assert str(path) in shown["State"]["Error"]
    for words in (("logs", "bad"), ("stop", "bad"), ("kill", "bad"), ("exec", "bad", "true"), ("wait", "bad")):
        assert b"Traceback" not in podmanish(*words).stderr
    assert podmanish("run", "--rm", "host", "true").returncode == 0
    podmanish.output("rm", "bad")
    assert podmanish.output("ps", "-a", "-q", "--no-trunc").count("\n") == 0
    podmanish.output("run", "--name", "bad", "host", "true")


def test_a_damaged_container_that_runs(podmanish: Podmanish) -> None:
    """rm refuses while its process is known to live; rm -f kills it first."""
    podmanish.output("run", "-d", "--name", "box", "host", "sleep", "100")
    container = Store(str(podmanish.root / "podmanish")).find("box")
    Path(container.path, "config").write_bytes(b"")
    done = podmanish("rm", "box")
    assert done.returncode == 125 and b"damaged, but its process runs" in done.stderr
    podmanish.output("rm", "-f", "box")
    assert start_time(container.state["pid"]) == 0  # its lifeline may not have reaped it yet
    assert podmanish.output("ps", "-aq") == ""


def test_the_volumes_of_a_damaged_container_stay(podmanish: Podmanish) -> None:
    """A record that cannot be read names no volumes: none counts as unused until that container is removed."""
    podmanish.output("run", "--name", "bad", "-v", "kept:/kept:nocopy", "host", "touch", "/kept/file")
    Path(Store(str(podmanish.root / "podmanish")).find("bad").path, "config").write_bytes(b"")
    for words in (("rm", "kept"), ("prune", "-af")):
        assert b"is damaged, and may use any of them" in podmanish("volume", *words).stderr
    assert podmanish.output("volume", "ls", "-qf", "dangling=true") == ""
    assert (podmanish.root / "podmanish/volumes/kept/_data/file").exists()
    podmanish.output("rm", "bad")
    assert "kept" in podmanish.output("volume", "prune", "-af")


def test_labd_lives_with_damaged_containers(new_labd: Callable[..., Labd]) -> None:
    """labd starts; a damaged container is "dead" with an Error, cannot be started, and can be removed."""
    daemon = new_labd()
    for name in ("good", "body", *DAMAGE):
        done = daemon.dockerish("run", "--name", name.replace(" ", "-"), "host", "true")
        assert done.returncode == 0, done.stderr
    daemon.request("POST", "/volumes/create", {"Name": "kept"})
    daemon.stop()
    store = Store(str(daemon.state / "labd"))
    for name, damage in DAMAGE.items():
        damage(Path(store.find(name.replace(" ", "-")).path))
    store.find("body").save_config(body={"HostConfig": 5})
    daemon = new_labd()
    status, rows = daemon.request("GET", "/containers/json?all=1")
    states = {row["Names"][0][1:]: (row["State"], row["Status"]) for row in rows}
    assert status == 200 and states.pop("good")[0] == "exited"
    bad = ["body", *(name.replace(" ", "-") for name in DAMAGE)]
    assert states == dict.fromkeys(bad, ("dead", "Dead"))
    for name in bad:
        status, shown = daemon.request("GET", f"/containers/{name}/json")
        assert (status, shown["State"]["Status"], shown["State"]["Dead"]) == (200, "dead", True)
        assert str(daemon.state) in shown["State"]["Error"]
        for verb in ("start", "restart", "rename?name=other"):
            assert daemon.request("POST", f"/containers/{name}/{verb}")[0] == 409
        for method, rest, expected in (
            ("POST", "stop", 304), ("POST", "kill", 409), ("POST", "wait", 200), ("GET", "logs?stdout=1", 200),
            ("GET", "changes", 200), ("GET", "archive?path=/etc/passwd", 409), ("GET", "top", 409),
        ):  # fmt: skip
            assert daemon.request(method, f"/containers/{name}/{rest}")[0] == expected, (rest, name)
    assert daemon.request("GET", "/info")[1]["Containers"] == len(bad) + 1
    assert len(daemon.request("GET", '/containers/json?filters={"status":["dead"]}')[1]) == len(bad)
    for method, path in (("POST", "/volumes/prune"), ("DELETE", "/volumes/kept")):
        status, answer = daemon.request(method, path)
        assert status == 409 and "is damaged, and may use any of them" in answer["message"]
    for name in bad[1:]:
        assert daemon.request("DELETE", f"/containers/{name}")[0] == 204
    assert daemon.request("DELETE", "/volumes/kept")[0] == 204
    assert daemon.request("POST", "/containers/prune")[1]["ContainersDeleted"] != []
    assert daemon.request("GET", "/containers/json?all=1")[1] == []
    assert b"Traceback" not in daemon.log.read_bytes()


def test_labd_sweeps_what_a_killed_one_left(new_labd: Callable[..., Labd]) -> None:
    """Half-made containers, names that lead nowhere and half-imported images are gone after its start."""
    daemon = new_labd()
    daemon.stop(signal.SIGKILL)
    containers = daemon.state / "labd/containers"
    (containers / ("." + "a" * 64)).mkdir(parents=True)
    (containers / ("." + "a" * 64) / "config").write_bytes(b"{}")
    (containers / ("b" * 64)).mkdir()
    (daemon.state / "labd/names/lost").symlink_to("b" * 64)
    (daemon.state / "images/.0123456789abcdef/rootfs/bin").mkdir(parents=True)
    new_labd()
    assert list(containers.iterdir()) == list((daemon.state / "labd/names").iterdir()) == []
    assert list((daemon.state / "images").iterdir()) == []


def test_a_damaged_image_under_both_engines(podmanish: Podmanish, new_labd: Callable[..., Labd], image: str) -> None:
    """A damaged image is listed with the reason, is not run, and rmi removes it; the others work."""
    root = podmanish.root / "images"
    other = root / ("b" * 64)
    shutil.copytree(Path(Images(str(root)).find(image).rootfs).parent, other, symlinks=True)
    (root / "_tags/other").symlink_to(other.name)
    assert "damaged" in next(row for row in podmanish.output("images").splitlines() if row.startswith("other"))
    assert podmanish.output("run", "--rm", image, "echo", "works") == "works"
    done = podmanish("run", "--rm", "other", "true")
    assert done.returncode == 125 and b"image other is damaged" in done.stderr
    daemon = new_labd(state=podmanish.root)
    status, rows = daemon.request("GET", "/images/json")
    assert status == 200 and ["other:latest"] in [row["RepoTags"] for row in rows]
    assert daemon.request("GET", "/images/other/json")[1]["Comment"].startswith("damaged")
    assert daemon.request("POST", "/containers/create", {"Image": "other", "Cmd": ["true"]})[0] == 400
    assert daemon.request("DELETE", "/images/other")[0] == 200
    assert not other.exists() and not (root / "_tags/other").is_symlink()
    assert [found.name for found in Images(str(podmanish.root / "images")).list()] == ["host", image]


@pytest.fixture
def disk(tmp_path: Path, demand: Callable[[str], None]) -> Iterator[Callable[[], Path]]:
    """An ext4 in a file. Calling it gives what would be on the disk after a cut of power: a mounted copy."""
    demand("mkfs.ext4")
    mounted: list[Path] = []

    def mount(name: str) -> Path:
        (tmp_path / name).mkdir()
        subprocess.run(["mount", "-o", "loop,commit=300", tmp_path / f"{name}.img", tmp_path / name], check=True)
        mounted.append(tmp_path / name)
        return tmp_path / name

    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", tmp_path / "disk.img"], check=True)
    mount("disk")

    def cut() -> Path:
        shutil.copyfile(tmp_path / "disk.img", tmp_path / f"cut{len(mounted)}.img")
        return mount(f"cut{len(mounted)}")

    yield cut
    for path in mounted:
        subprocess.run(["umount", path], check=True)


STEPS = """
import sys
from lab.spec import Spec
from lab.store import Store, new_id
store = Store(sys.argv[1])
config = {"image": "host", "rm": sys.argv[2] == "rm", "spec": Spec(args=["true"]).to_dict()}
box = store.create(new_id(), "box", config)
box.exited(7)
print(box.id)
"""


def test_a_cut_of_power(disk: Callable[[], Path], tmp_path: Path) -> None:
    """What the store has recorded is on the disk, as a whole, when its call returns."""
    os.sync()
    box = lab_python(STEPS, str(tmp_path / "disk/store"), "kept")
    after = Store(str(disk() / "store"))
    (found,) = after.list()
    assert (found.id, found.name, found.status, found.state["exit_code"]) == (box, "box", "exited", 7)
    assert after.find("box").id == box


@pytest.mark.parametrize("moment", ["made", "after a sync"])
def test_a_cut_of_power_and_rm(disk: Callable[[], Path], tmp_path: Path, moment: str) -> None:
    """A container of `--rm` does not wait for the disk: what a cut of power leaves of it can be removed."""
    lab_python(STEPS, str(tmp_path / "disk/store"), "rm")
    if moment != "made":
        os.sync()
    store = Store(str(disk() / "store"))
    for found in store.list():
        store.remove(found)
    assert store.list() == []
