"""Volumes, --mount, --volumes-from: the same through both engines, with docker's words."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from support import CHECKOUT, Podmanish, add

from lab.images import Images

pytestmark = pytest.mark.needs("root", "busybox")


class Engine:
    """One of the two, with an image that has something at /data."""

    def __init__(self, command: Callable[..., subprocess.CompletedProcess[bytes]], state: Path, store: str) -> None:
        self.command, self.volumes = command, state / store / "volumes"

    def __call__(self, *words: str, code: int = 0, **options: Any) -> str:
        """The output, or the errors if another exit code than 0 is expected."""
        done = self.command(*words, **options)
        assert done.returncode == code, (words, done.stderr)
        return (done.stderr if code else done.stdout).decode()

    def inside(self, *words: str, script: str = "true") -> str:
        """What a shell in a container of the image prints, in one line."""
        return " ".join(self("run", "--rm", *words, "furnished", "sh", "-c", script).split())

    def names(self) -> set[str]:
        """The names of all volumes."""
        return set(self("volume", "ls", "-q").split())


def furnished(rootfs_tar: bytes) -> bytes:
    """The small image with a directory to copy: owners, modes, links inside and outside, a file with two names."""
    buffer = io.BytesIO(rootfs_tar)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        add(tar, "data", kind=tarfile.DIRTYPE, mode=0o2750, uid=7)
        add(tar, "data/deep", kind=tarfile.DIRTYPE, mode=0o700, uid=8)
        add(tar, "data/deep/file", b"of the image\n", mode=0o640, uid=9)
        add(tar, "data/su", b"x", mode=0o4755)
        add(tar, "data/su2", kind=tarfile.LNKTYPE, link="data/su", mode=0o4755)
        add(tar, "data/out", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add(tar, "link", kind=tarfile.SYMTYPE, link="/data")
        add(tar, "away", kind=tarfile.SYMTYPE, link="../../../../etc")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def served(labd: Labd, rootfs_tar: bytes) -> Iterator[Labd]:
    """The daemon, with that image."""
    images = Images(str(labd.state / "images"))
    images.import_tar("furnished", io.BytesIO(furnished(rootfs_tar)))
    yield labd
    images.remove("furnished")


@pytest.fixture(params=["podmanish", "dockerish"])
def both(request: pytest.FixtureRequest, rootfs_tar: bytes) -> Iterator[Engine]:
    """Both engines, without volumes: tests of other files share this labd. Afterwards no volume is left."""
    if request.param == "podmanish":
        forker: Podmanish = request.getfixturevalue("podmanish")
        engine = Engine(forker, forker.root, "podmanish")
        Images(f"{forker.root}/images").import_tar("furnished", io.BytesIO(furnished(rootfs_tar)))
    else:
        labd: Labd = request.getfixturevalue("served")
        engine = Engine(labd.dockerish, labd.state, "labd")
    engine("volume", "prune", "-af")
    yield engine
    for left in ("box", "second"):  # of a test that failed
        engine.command("rm", "-f", "-v", left)
    engine("volume", "prune", "-af")
    assert engine.names() == set() and [path.name for path in engine.volumes.glob(".*")] == []


def test_create_ls_inspect_rm(both: Engine) -> None:
    """A volume is made by name or without one, listed, inspected as docker shows it, and removed."""
    assert both("volume", "create", "--label", "a=b", "data") == "data\n"
    assert both("volume", "create", "data") == "data\n"  # once more: no error, as in docker
    anonymous = both("volume", "create").strip()
    assert len(anonymous) == 64 and both.names() == {"data", anonymous}
    assert both("volume", "ls", "--filter", "label=a=b").split() == ["DRIVER", "VOLUME", "NAME", "local", "data"]
    assert both("volume", "list", "-q", "-f", "name=at").split() == ["data"]
    shown = json.loads(both("volume", "inspect", "data"))[0]
    assert shown.pop("CreatedAt").endswith("Z")
    assert shown == {
        "Driver": "local", "Labels": {"a": "b"}, "Mountpoint": str(both.volumes / "data/_data"), "Name": "data",
        "Options": None, "Scope": "local",
    }  # fmt: skip
    assert both("volume", "rm", "data", anonymous).split() == ["data", anonymous]
    assert "get data: no such volume" in both("volume", "rm", "data", code=1)
    assert both("volume", "rm", "-f", "data") == "data\n"
    assert "no such volume" in both("volume", "inspect", "data", code=125)
    assert "no verb" in both("volume", "burn", code=125)
    assert "volume name" in both("volume", "create", "../x", code=125)
    assert "no such volume" in both("volume", "rm", "../x", code=1)


def test_a_volume_outlives_containers(both: Engine) -> None:
    """What a container writes into a named volume, the next one finds; read-only, it cannot write."""
    both.inside("-v", "data:/x", script="echo kept > /x/file")
    assert both.inside("-v", "data:/y:ro", script="cat /y/file; touch /y/new 2>/dev/null || echo no") == "kept no"
    assert both.inside("--mount", "src=data,dst=/y,readonly", script="touch /y/new 2>/dev/null || echo no") == "no"
    assert both.names() == {"data"}


def test_what_the_image_has_is_copied(both: Engine) -> None:
    """A new volume gets the image's directory with owners, modes and links; one that is not empty gets nothing."""
    look = "cd /v && stat -c '%n %u %a %h' . deep deep/file su && readlink out && cat deep/file"
    expected = ". 7 2750 3 deep 8 700 2 deep/file 9 640 1 su 0 4755 2 /etc/passwd of the image"
    assert both.inside("-v", "data:/data", script="true") == ""
    assert both.inside("-v", "data:/v", script=look) == expected
    assert both.inside("-v", "data:/data", script="rm -r /data/deep; touch /data/own") == ""
    assert both.inside("-v", "data:/data", script="ls /data") == "out own su su2"
    assert both.inside("-v", "by-link:/link", script="ls /data") == "deep out su su2"


def test_copy_nothing(both: Engine) -> None:
    """nocopy leaves a new volume empty. A volume is no file, and nothing of this machine's own root is copied."""
    assert both.inside("-v", "data:/data:nocopy", script="ls /data") == ""
    assert both.inside("--mount", "src=more,dst=/data,volume-nocopy", script="ls /data") == ""
    assert "file exists /etc/passwd" in both("run", "-v", "data:/etc/passwd", "furnished", "true", code=125)
    for words in (("-v", "own:/etc"), ("-v", "/etc")):
        assert "this machine's own /etc" in both("run", *words, "host", "true", code=125)
    assert both("run", "--rm", "-v", "own:/etc:nocopy", "host", "ls", "/etc") == ""
    assert both("run", "--rm", "-v", "fresh:/fresh", "-v", "tmp:/tmp", "host", "ls", "/fresh", "/tmp").split() == [
        "/fresh:", "/tmp:",
    ]  # fmt: skip


def test_a_link_in_the_image_leads_nowhere_else(both: Engine) -> None:
    """A target below a symlink of the image is looked up inside the image: nothing of the host's /etc is copied."""
    assert both.inside("-v", "data:/away", script="ls /away") == "group hostname hosts passwd resolv.conf secret"


def test_anonymous_volumes(both: Engine) -> None:
    """--rm removes a container's anonymous volumes, `rm` keeps them, `rm -v` does not; a name is kept."""
    assert both.inside("-v", "/data", "--mount", "dst=/empty", script="ls /data /empty; touch /empty/x") == (
        "/data: deep out su su2 /empty:"
    )
    assert both.names() == set()
    for words, left in ((("rm", "box"), 2), (("rm", "-v", "box"), 1)):
        both("run", "--name", "box", "-v", "/data", "-v", "data:/x", "furnished", "true")
        both(*words)
        assert len(both.names()) == left
        both("volume", "prune", "-f")
        assert both.names() == {"data"}


def test_a_volume_in_use_stays(both: Engine) -> None:
    """A container that has ended still has its volumes: `volume rm` and prune leave them, with docker's sentence."""
    both("run", "--name", "box", "-v", "data:/x", "-v", "/anonymous", "furnished", "true")
    container = json.loads(both("inspect", "box"))[0]["Id"]
    assert f"remove data: volume is in use - [{container}]" in both("volume", "rm", "data", code=1)
    assert "reclaimed space: 0.0 MB" in both("volume", "prune", "-af")
    assert len(both.names()) == 2 and both("volume", "ls", "-q", "-f", "dangling=true") == ""
    both("rm", "-v", "box")
    assert both("volume", "ls", "-q", "-f", "dangling=true") == "data\n"


def test_prune_asks(both: Engine) -> None:
    """Without --force, prune asks; by default it takes the anonymous volumes, with --all the named, and tells bytes."""
    both("run", "--rm", "-v", "data:/x", "furnished", "sh", "-c", "cat /bin/busybox > /x/big")
    both("volume", "create", "--label", "keep=1", "other")
    both("volume", "create")
    assert both("volume", "prune", input=b"n\n").endswith("[y/N] ") and len(both.names()) == 3
    assert "Deleted Volumes" in both("volume", "prune", input=b"y\n") and both.names() == {"data", "other"}
    size = Path("/bin/busybox").stat().st_size / 1e6
    assert f"reclaimed space: {size:.1f} MB" in both("volume", "prune", "-af", "--filter", "label!=keep")
    assert both.names() == {"other"}


def test_volumes_from(both: Engine) -> None:
    """--volumes-from gives another container's volumes and binds, read-only if asked; nothing else of it."""
    both("run", "--name", "box", "-v", "data:/x", "-v", "/anon", "-v", "/etc:/host:ro", "host", "true")
    script = "touch /x/a /anon/b; ls -d /x/a /anon/b /host/passwd; touch /host/c 2>/dev/null || echo no; ls /root"
    assert both.inside("--volumes-from", "box", script=f"{script} 2>/dev/null || echo none") == (
        "/anon/b /host/passwd /x/a no none"
    )
    script = "touch /x/c 2>/dev/null || echo no; ls /x"
    assert both.inside("--volumes-from", "box:ro", script=script) == "no a"
    assert "No such container: nobody" in both("run", "--volumes-from", "nobody", "furnished", "true", code=125)
    assert "invalid volumes-from" in both("run", "--volumes-from", "box:wx", "furnished", "true", code=125)
    both(
        "create" if both.volumes.parent.name == "labd" else "run",
        "--name",
        "second",
        "--volumes-from",
        "box",
        "host",
        "true",
    )
    both("rm", "-v", "box")
    assert len(both.names()) == 2  # the second has the anonymous one, too
    both("rm", "-v", "second")
    assert both.names() == {"data"}


def test_tmpfs_by_mount(both: Engine) -> None:
    """--mount type=tmpfs has size and mode, and is noexec, nosuid and nodev as with --tmpfs."""
    words = ("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1750")
    row = both.inside(
        *words, script="stat -c %a /t; cat /proc/mounts | while read a b c; do [ $b = /t ] && echo $c; done; true"
    )
    assert row.startswith("1750 tmpfs rw,nosuid,nodev,noexec") and "size=1024k" in row


def test_nothing_below(both: Engine, tmp_path: Path) -> None:
    """bind-nonrecursive leaves out what is mounted below the source: /dev without /dev/pts."""
    script = ("host", "sh", "-c", "ls /d/pts | wc -l")
    assert int(both("run", "--rm", "--mount", "type=bind,src=/dev,dst=/d,bind-nonrecursive", *script)) == 0
    assert int(both("run", "--rm", "--mount", "type=bind,src=/dev,dst=/d", *script)) > 0


def test_inspect_shows_mounts(both: Engine) -> None:
    """Mounts of inspect, in docker's form."""
    words = ("-v", "data:/a", "-v", "/b", "-v", "/etc:/c:ro")
    both("run", "--name", "box", *words, "furnished", "true")
    shown = json.loads(both("inspect", "box"))[0]["Mounts"]
    both("rm", "-v", "box")
    rows = {mount["Destination"]: mount for mount in shown}
    assert rows["/a"] == {
        "Type": "volume", "Name": "data", "Source": str(both.volumes / "data/_data"), "Destination": "/a",
        "Driver": "local", "Mode": "z", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert (rows["/b"]["Type"], len(rows["/b"]["Name"]), rows["/b"]["Mode"]) == ("volume", 64, "")
    assert rows["/c"] == {
        "Type": "bind", "Source": "/etc", "Destination": "/c", "Mode": "ro", "RW": False, "Propagation": "rprivate",
    }  # fmt: skip
    assert len(rows) == 3


def test_a_failed_create_leaves_nothing(both: Engine) -> None:
    """A name that is taken, a target of two mounts: no anonymous volume stays."""
    both("run", "--name", "box", "furnished", "true")
    both("run", "--name", "box", "-v", "/x", "furnished", "true", code=125)
    both("run", "-v", "/a", "-v", "/etc:/x", "-v", "/usr:/x", "furnished", "true", code=125)
    both("run", "--rm", "-v", "/x", "furnished", "no-such-command", code=127)
    both("rm", "box")
    assert both.names() == set()


def test_later_mounts_of_the_host_follow(podmanish: Podmanish, image: str, tmp_path: Path) -> None:
    """With rslave a container sees what the host mounts later below the source; the host never sees the reverse."""
    script = """
mount -t tmpfs x $1 && mount --make-shared $1 && mkdir $1/later
shift
for word in rslave rprivate; do
    "$@" run -d --name $word -v $0:/x:$word IMAGE sleep 60 >/dev/null
done
mount -t tmpfs y $0/later && touch $0/later/seen
for word in rslave rprivate; do "$@" exec $word ls /x/later; echo $word; done
umount $0/later
"$@" run --rm --privileged -v $0:/x:rslave IMAGE mount -t tmpfs z /x/later
"$@" rm -f rslave rprivate >/dev/null
grep -c $0/later /proc/self/mountinfo
""".replace("IMAGE", image)
    (tmp_path / "shared").mkdir()
    place = str(tmp_path / "shared")
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, place, place]
    done = subprocess.run([*words, *podmanish.command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["seen", "rslave", "rprivate", "0"], done.stderr
    refused = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        *podmanish.command,
        "run",
        "-v",
        "/etc:/x:rslave",
        image,
    ]
    done = subprocess.run([*refused, "true"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125 and "not on a shared or slave mount" in done.stderr


def test_nothing_that_is_mounted_in_a_volume_is_deleted(both: Engine, tmp_path: Path) -> None:
    """A directory that the host has bound into a volume stays with all that is in it, and so does the volume."""
    (tmp_path / "precious").touch()
    both.inside("-v", "data:/x", script="mkdir '/x/é in'")
    script = 'mount --bind "$0" "$1" && shift && "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(tmp_path)]
    words.append(str(both.volumes / "data/_data/é in"))
    command = [*words, *_podmanish_of(both), "volume", "rm", "data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=CHECKOUT)
    assert done.returncode == 1 and "/é in is mounted in it" in done.stderr and (tmp_path / "precious").exists()
    code = "import sys; from lab import files; files.remove_tree(sys.argv[1])"
    python = [*words, sys.executable, "-c", code, str(both.volumes / "data")]
    assert subprocess.run(python, capture_output=True, timeout=60, check=False, cwd=CHECKOUT).returncode == 1
    assert (tmp_path / "precious").exists()


def _podmanish_of(both: Engine) -> list[str]:
    """A command that acts on the engine's volumes from any mount namespace."""
    code = (
        "import sys; from lab.forker.placing import VolumeKeeper; from lab.store import Store; "
        "from lab.volumeverbs import dispatch; "
        "sys.exit(dispatch(VolumeKeeper(Store(sys.argv[1])), sys.argv[3:], 'podmanish'))"
    )
    return [sys.executable, "-c", code, str(both.volumes.parent)]


def test_links_in_a_volume_lead_nowhere(both: Engine, tmp_path: Path) -> None:
    """Symlinks out of a volume, planted by a container, are removed as links; prune and df do not follow them."""
    (tmp_path / "precious").write_text("x" * 1000)
    both.inside("-v", "data:/x", script=f"ln -s {tmp_path} /x/out; ln -s / /x/root; mkdir -p /x/d; ln -s ../.. /x/d/up")
    assert "reclaimed space: 0.0 MB" in both("volume", "prune", "-af")
    assert (tmp_path / "precious").exists() and both.names() == set()


def test_many_at_once(both: Engine) -> None:
    """Containers that fill one new volume at the same time find it whole, while `volume rm` tries to take it."""
    words = ("run", "--rm", "-v", "data:/data", "furnished", "sh", "-c", "cat /data/deep/file; ls /data | wc -l")
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(both, *words) for _ in range(4)]
        thieves = [pool.submit(both.command, "volume", "rm", "data") for _ in range(2)]
        assert [run.result() for run in runs] == ["of the image\n4\n"] * 4
    assert all(thief.result().returncode in (0, 1) for thief in thieves)


def test_events_df_and_prune(labd: Labd) -> None:
    """docker tells of a volume's create, mount, unmount and destroy, of its bytes and its containers, and prunes it."""
    before = labd.request("GET", "/info")[1]["Plugins"]["Volume"]
    start = labd.docker("run", "--name", "box", "-v", "data:/x", "host", "sh", "-c", "head -c 1000 /dev/zero > /x/f")
    assert (start.returncode, before) == (0, ["local"]), start.stderr
    rows = [row for row in labd.request("GET", "/system/df?type=volume")[1]["Volumes"] if row["Name"] == "data"]
    assert [row["UsageData"] for row in rows] == [{"Size": 1000, "RefCount": 1}]
    assert labd.docker("ps", "-aq", "--filter", "volume=data").stdout.count(b"\n") == 1
    labd.docker("rm", "box")
    assert labd.docker("volume", "prune", "-f").stdout == b"Total reclaimed space: 0B\n"
    pruned = labd.docker("volume", "prune", "-af").stdout.decode()
    assert "data" in pruned and "reclaimed space: 1kB" in pruned
    labd.docker("volume", "create", "data")
    older = labd.request("POST", "/v1.41/volumes/prune")[1]  # before API 1.42, prune takes those with a name, too
    assert older == {"VolumesDeleted": ["data"], "SpaceReclaimed": 0}
    path = f"/events?since=1&until={time.time():.9f}&filters=%7B%22volume%22%3A%5B%22data%22%5D%7D"
    told = labd.request("GET", path)[1]
    actions = [json.loads(line)["Action"] for line in str(told).splitlines()][-6:]
    assert actions == ["create", "mount", "unmount", "destroy", "create", "destroy"]


def test_docker_py(labd: Labd) -> None:
    """docker-py's volumes: create, get, list, reload, remove, prune; a missing one is its own error."""
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=f"unix://{labd.socket}", timeout=30)
    volume = client.volumes.create("data", labels={"a": "b"})
    mount = docker.types.Mount("/x", "data", read_only=True)
    told = client.containers.run("host", ["ls", "-d", "/x"], mounts=[mount], tmpfs={"/t": "size=1m"}, remove=True)
    assert (told, client.volumes.get("data").attrs["Labels"]) == (b"/x\n", {"a": "b"})
    assert [found.name for found in client.volumes.list(filters={"label": "a=b"})] == ["data"]
    volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("data")
    assert client.volumes.prune() == {"VolumesDeleted": None, "SpaceReclaimed": 0}
    client.close()
