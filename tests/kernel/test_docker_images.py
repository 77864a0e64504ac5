"""Images under the real docker command, docker-py and both engines' own: by content, with docker's words and counts."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from support import Podmanish, add

from lab.images import Images

pytestmark = pytest.mark.needs("root", "docker-cli", "busybox")
Command = Callable[..., subprocess.CompletedProcess[bytes]]


def out(labd: Labd, *words: str, **options: Any) -> str:
    """What a docker command prints that must succeed."""
    done = labd.docker(*words, **options)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.decode().strip()


def refused(labd: Labd, *words: str) -> str:
    """What a docker command says that must fail."""
    done = labd.docker(*words)
    assert done.returncode == 1, (words, done.stdout)
    return done.stderr.decode()


def changed(done: Command, *words: str, **options: Any) -> str:
    """What an engine's own command prints that must succeed."""
    found = done(*words, **options)
    assert found.returncode == 0, (words, found.stderr)
    return found.stdout.decode().strip()


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory, rootfs_tar: bytes) -> Path:
    """The tar of a small root filesystem, in a file."""
    path = tmp_path_factory.mktemp("tars") / "rootfs.tar"
    path.write_bytes(rootfs_tar)
    return path


@pytest.fixture
def image(labd: Labd, tar: Path) -> Iterator[str]:
    """The id of an image with defaults for its containers, under the name base:1; afterwards no image is left."""
    words = [
        "CMD echo from-$((40+2)) $WHO".replace("$((40+2))", "cmd").replace(" $WHO", ""),
        "ENV WHO=lab",
        "LABEL l=x",
    ]
    changes = [word for change in words for word in ("-c", change)]
    yield out(labd, "import", *changes, "-c", "WORKDIR /tmp", "-c", "USER alice", "-m", "made here", str(tar), "base:1")
    if kept := out(labd, "ps", "-aq").split():
        out(labd, "rm", "-f", *kept)
    out(labd, "image", "prune", "-af")
    assert out(labd, "images", "-q") == "0" * 12


def test_import_with_changes(labd: Labd, image: str) -> None:
    """import -c sets command, environment, labels, directory and user; -m the comment; a container gets all of it."""
    (found,) = json.loads(out(labd, "inspect", "base:1"))
    config = found["Config"]
    assert (found["Id"], found["RepoTags"], found["Comment"]) == (image, ["base:1"], "made here")
    assert config["Cmd"] == ["/bin/sh", "-c", "echo from-cmd"]
    assert (config["Env"], config["Labels"]) == (["WHO=lab"], {"l": "x"})
    assert (config["WorkingDir"], config["User"]) == ("/tmp", "alice")
    assert out(labd, "run", "--rm", "base:1") == "from-cmd"
    assert out(labd, "run", "--rm", "base:1", "sh", "-c", "echo $WHO; pwd; id -un") == "lab\n/tmp\nalice"
    assert out(labd, "create", "--name", "c1", "base:1") and out(labd, "ps", "-aqf", "label=l=x")
    (container,) = json.loads(out(labd, "inspect", "c1"))
    assert container["Config"]["Cmd"] == config["Cmd"] and container["Config"]["Labels"] == {"l": "x"}
    for change, said in (
        ("VOLUME /x", "VOLUME"),
        ("SHELL x", "not a valid"),
        ("ENV A=$B", "variables"),
        ("ENV", "least"),
    ):
        assert said in refused(labd, "import", "-c", change, "/dev/null", "bad")


def test_both_engines_take_the_same_defaults(podmanish: Podmanish, labd: Labd, tar: Path, image: str) -> None:
    """One function puts the image's config under the request: both engines run the same words as the same user."""
    changes = ("-c", 'ENTRYPOINT ["sh","-c","echo $WHO $0 $@; id -un; pwd"]', "-c", 'CMD ["a","b"]', "-c", "ENV WHO=me")
    more = ("-c", "USER alice", "-c", "WORKDIR /tmp", "-c", "LABEL l=x", "-c", "STOPSIGNAL INT")
    engines: tuple[Command, ...] = (podmanish, labd.dockerish)
    for engine in engines:
        changed(engine, "import", *changes, *more, str(tar), "words")
        assert changed(engine, "run", "--rm", "words") == "me a b\nalice\n/tmp"
        assert (
            changed(engine, "run", "--rm", "-u", "0", "-w", "/etc", "-e", "WHO=you", "words", "c")
            == "you c\nroot\n/etc"
        )
        assert changed(engine, "run", "--rm", "--entrypoint", "echo", "words", "d") == "d"
        changed(engine, "run", "--name", "kept", "-l", "m=y", "words")
        (found,) = json.loads(changed(engine, "inspect", "kept"))
        assert found["Config"]["Labels"] == {"l": "x", "m": "y"}
        changed(engine, "rm", "kept")
        changed(engine, "rmi", "words")


def test_names_are_counted(labd: Labd, image: str) -> None:
    """rmi takes away a name, and the image with its last one; by id several names must be forced; a tag may move."""
    out(labd, "tag", "base:1", "team/other")
    out(labd, "tag", image[7:19], "localhost:5000/third:V1")
    rows = labd.request("GET", "/images/json")[1]
    (row,) = (row for row in rows if row["Id"] == image)
    assert row["RepoTags"] == ["base:1", "localhost:5000/third:V1", "team/other:latest"]
    assert "(must be forced) - image is referenced" in refused(labd, "rmi", image)
    assert out(labd, "rmi", "base:1") == "Untagged: base:1"
    assert out(labd, "rmi", "team/other:latest") == "Untagged: team/other:latest"
    assert out(labd, "rmi", "localhost:5000/third:V1").splitlines()[-1] == f"Deleted: {image}"
    assert "No such image" in refused(labd, "rmi", image)
    assert "No such image" in refused(labd, "tag", "nobody", "x")
    for words in (("tag", "host", "x"), ("save", "host"), ("rmi", "host")):
        assert "this machine's" in refused(labd, *words)


def test_in_use_is_by_content(labd: Labd, image: str, podmanish: Podmanish) -> None:
    """A container keeps its image, not a name; a running one cannot be forced; the other engine's container counts."""
    out(labd, "tag", "base:1", "base:2")
    out(labd, "run", "-d", "--name", "c1", "base:1", "sleep", "1000")
    assert out(labd, "rmi", "base:1") == "Untagged: base:1"
    assert "(must be forced) - container" in refused(labd, "rmi", "base:2")
    assert "(cannot be forced) - image is being used by running container" in refused(labd, "rmi", "-f", "base:2")
    assert out(labd, "image", "prune", "-af").endswith("0B")
    out(labd, "rm", "-f", "c1")
    shared = Podmanish(Path(podmanish.command[0]), labd.state)
    shared.output("run", "--name", "p1", "base:2", "true")
    assert "(must be forced) - container" in refused(labd, "rmi", "base:2")
    assert b"must be forced" in shared("rmi", "base:2").stderr
    shared.output("rm", "p1")
    assert f"Deleted: {image}" in out(labd, "rmi", "base:2")


def test_a_name_moves(labd: Labd, image: str, tar: Path) -> None:
    """import onto a name that is in use moves the name; the old image is dangling, and prune removes it."""
    out(labd, "create", "--name", "c1", "base:1")
    new = out(labd, "import", str(tar), "base:1")
    assert new != image
    shown = ("ps", "-a", "--format", "{{.Image}}", "--filter")
    assert out(labd, *shown, "name=c1") == image[7:19] == out(labd, *shown, f"ancestor={image}")
    assert out(labd, *shown, "ancestor=base:1") == ""
    out(labd, "rm", "c1")
    assert out(labd, "images", "-qf", "dangling=true", "--no-trunc") == image
    assert out(labd, "images", "--format", "{{.Repository}}:{{.Tag}}", "-f", "dangling=true") == "<none>:<none>"
    assert {*out(labd, "images", "-qf", "dangling=false", "--no-trunc").split()} == {new, f"sha256:{'0' * 64}"}
    assert out(labd, "images", "-q", "--no-trunc", "-f", "label=l=x") == image
    assert f"deleted: {image}" in out(labd, "image", "prune", "-f")
    assert out(labd, "images", "-q", "--no-trunc", "base:1") == new


def test_commit(labd: Labd, image: str) -> None:
    """commit adds a layer with what has changed, whiteouts included; the config is the container's, with -c, -m, -a."""
    script = "rm -r /home; mkdir /new; echo x >/new/f; ln /new/f /new/g; echo y >>/etc/passwd"
    out(labd, "run", "-u", "0", "-e", "B=c", "--name", "c1", "base:1", "sh", "-c", script)
    change = ("-c", 'CMD ["cat","/new/g"]', "-c", "ENV D=e")
    made = out(labd, "commit", *change, "-m", "a layer", "-a", "me", "c1", "made:2")
    (found,) = json.loads(out(labd, "inspect", "made:2"))
    assert (found["Id"], found["Author"], found["Comment"]) == (made, "me", "a layer")
    assert len(found["RootFS"]["Layers"]) == 2
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert sorted(found["Config"]["Env"]) == ["B=c", "D=e", path, "WHO=lab"]
    assert out(labd, "run", "--rm", "made:2") == "x"
    script = "ls -d /home; stat -c %h /new/f; wc -l </etc/passwd"
    assert labd.docker("run", "--rm", "made:2", "sh", "-c", script).stdout.decode().split() == ["2", "3"]
    history = labd.request("GET", "/images/made:2/history")[1]
    assert [row["Comment"] for row in history] == ["a layer", "made here"]
    assert history[0]["CreatedBy"].startswith("sh -c rm -r /home") and history[0]["Id"] == made
    status, answer = labd.request("POST", "/commit?container=c1", {"User": "alice", "Labels": {"k": "v"}})
    assert status == 201
    config = labd.request("GET", f"/images/{answer['Id']}/json")[1]["Config"]
    assert (config["User"], config["Labels"]) == ("alice", {"k": "v"})


def test_a_commit_of_nothing(labd: Labd, image: str) -> None:
    """A container that has changed nothing gives an image without a new layer; one of `host` cannot be committed."""
    out(labd, "create", "--name", "c1", "base:1", "true")
    made = out(labd, "commit", "c1")
    (found,) = json.loads(out(labd, "inspect", made))
    assert len(found["RootFS"]["Layers"]) == 1 and found["RepoTags"] == []
    out(labd, "create", "--name", "h1", "host", "true")
    assert "its root is this machine's" in refused(labd, "commit", "h1")
    assert "its root is this machine's" in refused(labd, "export", "h1")


@pytest.mark.needs("cgroups")
def test_a_commit_leaves_room_on_the_disk(labd: Labd, image: str) -> None:
    """A sparse file costs a container nothing, and a commit its whole size: what does not fit is not begun."""
    out(labd, "run", "-u", "0", "--name", "big", "base:1", "busybox", "truncate", "-s", "8192G", "/sparse")
    assert "No space left on device" in refused(labd, "commit", "big")
    out(labd, "rm", "big")


def test_a_commit_holds_the_container_still(labd: Labd, image: str) -> None:
    """pause (the default) freezes a running container while it is committed; afterwards it runs on."""
    out(labd, "run", "-d", "--name", "c1", "base:1", "sleep", "1000")
    for pause in ("--pause=true", "--pause=false"):
        out(labd, "commit", pause, "c1")
        (found,) = json.loads(out(labd, "inspect", "c1"))
        assert found["State"]["Status"] == "running"
    assert out(labd, "exec", "c1", "echo", "awake") == "awake"


def test_save_and_load(labd: Labd, image: str, tmp_path: Path) -> None:
    """save writes an archive that load reads back: the same ids, names, layers, config; by id without a name."""
    out(labd, "run", "--name", "c1", "base:1", "sh", "-c", "echo x >/tmp/f")
    made = out(labd, "commit", "-c", "CMD cat /tmp/f", "c1", "made:2")
    archive = tmp_path / "saved.tar"
    out(labd, "save", "-o", str(archive), "base:1", "made:2", image)
    out(labd, "rm", "c1")
    out(labd, "rmi", "made:2", "base:1")
    assert out(labd, "images", "-q") == "0" * 12
    assert out(labd, "load", "-i", str(archive)).splitlines() == ["Loaded image: base:1", "Loaded image: made:2"]
    assert out(labd, "images", "-q", "--no-trunc", "made:2") == made
    assert out(labd, "run", "--rm", "made:2") == "x"
    out(labd, "save", made, "-o", str(archive))
    out(labd, "rmi", "made:2")
    assert out(labd, "load", "-q", "-i", str(archive)) == f"Loaded image ID: {made}"
    assert "No such image" in refused(labd, "save", "base:1", "nobody", "-o", str(archive))


def test_export(labd: Labd, image: str, tmp_path: Path) -> None:
    """export writes the whole root, the layer over the image, without volumes and without /proc's files."""
    script = "rm /etc/secret; echo new >/etc/new; echo volume >/mnt/f"
    out(labd, "run", "-u", "0", "-v", f"{tmp_path}:/mnt", "--name", "c1", "base:1", "sh", "-c", script)
    done = labd.docker("export", "c1")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as found:
        names = set(found.getnames())
        assert {"bin/busybox", "etc/new", "etc/passwd", "mnt"} <= names
        assert not {"etc/secret", "mnt/f", "proc/self", "dev/null"} & names
        member = found.extractfile("etc/new")
        assert member and member.read() == b"new\n"
    again = out(labd, "import", "-", "again", input=done.stdout)
    assert out(labd, "run", "--rm", "again", "cat", "/etc/new") == "new" and again.startswith("sha256:")


def test_events(labd: Labd, image: str, tmp_path: Path) -> None:
    """import, tag, save, load, untag, delete and prune are events of images, commit and export of containers."""
    since = time.time()
    out(labd, "create", "--name", "c1", "base:1", "true")
    out(labd, "commit", "c1", "made")
    out(labd, "export", "c1", "-o", str(tmp_path / "root"))
    out(labd, "save", "made", "-o", str(tmp_path / "saved"))
    out(labd, "rm", "c1")
    out(labd, "tag", "made", "second")
    out(labd, "rmi", "second", "made")
    out(labd, "load", "-i", str(tmp_path / "saved"))
    out(labd, "image", "prune", "-af")
    _, text = labd.request("GET", f"/events?since={since:.6f}&until={time.time():.6f}")
    seen = [(event["Type"], event["Action"]) for event in map(json.loads, text.splitlines())]
    of_images = [action for kind, action in seen if kind == "image"]
    assert of_images[:6] == ["tag", "save", "tag", "untag", "untag", "delete"]
    assert of_images[6:] == ["load", "untag", "delete", "untag", "delete", "prune"]
    assert [action for kind, action in seen if kind == "container"] == ["create", "commit", "export", "destroy"]


@pytest.mark.needs("docker-py")
def test_docker_py(labd: Labd, image: str) -> None:
    """docker-py tags, commits, saves, loads, exports, lists and removes images as with dockerd."""
    import docker

    client = docker.DockerClient(base_url=f"unix://{labd.socket}")
    try:
        base = client.images.get("base:1")
        assert base.tag("py", "3") and sorted(client.images.get("py:3").tags) == ["base:1", "py:3"]
        container = client.containers.create("py:3", ["true"])
        made = container.commit("py", "4", conf={"Cmd": ["echo", "py"]}, changes=["ENV X=y"])
        assert client.containers.run("py:4", remove=True) == b"py\n"
        data = b"".join(made.save(named="py:4"))
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as root:
            assert "bin/sh" in root.getnames()
        container.remove()
        client.images.remove("py:4")
        (loaded,) = client.images.load(data)
        assert loaded.id == made.id and loaded.tags == ["py:4"] and loaded.labels == {"l": "x"}
        assert [row["Comment"] for row in loaded.history()][-1] == "made here"
        assert client.images.prune({"dangling": False})["ImagesDeleted"]
    finally:
        client.close()


def test_building_stays_refused(labd: Labd, tmp_path: Path) -> None:
    """docker build is a sentence, not an unknown page."""
    (tmp_path / "Dockerfile").write_text("FROM host\n")
    done = labd.docker("build", str(tmp_path))
    assert done.returncode == 1 and b"building images is not part of this lab" in done.stderr


def test_the_own_commands(podmanish: Podmanish, labd: Labd, tar: Path, tmp_path: Path, image: str) -> None:
    """podmanish and dockerish have the same verbs for images; what the one saves the other loads."""
    archives: list[Path] = []
    engines: tuple[Command, ...] = (podmanish, labd.dockerish)
    for number, engine in enumerate(engines):
        changed(engine, "import", "-c", "CMD cat /new", str(tar), "own:1")
        changed(engine, "run", "--name", "c1", "own:1", "sh", "-c", "echo x >/new")
        made = changed(engine, "commit", "-m", "why", "-a", "me", "-c", "CMD cat /new", "c1", "own:2")
        archives.append(tmp_path / f"{number}.tar")
        changed(engine, "save", "--format", "oci-archive", "-o", str(archives[-1]), "own:2")
        changed(engine, "export", "-o", str(tmp_path / f"root{number}"), "c1")
        with tarfile.open(tmp_path / f"root{number}") as root:
            assert "new" in root.getnames()
        assert "why" in changed(engine, "history", "own:2")
        changed(engine, "image", "tag", "own:2", "own:3")
        assert json.loads(changed(engine, "image", "inspect", "own:3"))[0]["RepoTags"] == ["own:2", "own:3"]
        assert changed(engine, "images", "-q", "--no-trunc", "-f", "reference=own:3") == made
        changed(engine, "rm", "c1")
        assert changed(engine, "image", "rm", "own:3", "own:2", "own:1").count("Deleted") == 2
        assert changed(engine, "image", "prune", "-a", input=b"n\n").endswith("[y/N]")
        assert "reclaimed" in changed(engine, "image", "prune", "-f", "--filter", "label=nobody")
    for engine, archive in zip(engines, reversed(archives), strict=True):
        assert changed(engine, "load", "-i", str(archive)) == "Loaded image: own:2"
        assert changed(engine, "run", "--rm", "own:2") == "x"
    assert [found.name for found in Images(f"{podmanish.root}/images").list()] == ["host", "own:2"]
    for words in (("load", "-i", "/nowhere"), ("save", "own:2", "--format", "zip"), ("tag", "own:2"), ("image", "eat")):
        assert podmanish(*words).returncode == labd.dockerish(*words).returncode == 125


@pytest.mark.needs("podman")
def test_podman_reads_and_writes_them(podmanish: Podmanish, tar: Path, tmp_path: Path, short_place: Path) -> None:
    """podman loads what the lab saves, with the same id and layers; the lab loads both kinds that podman saves."""
    storage = ["--root", str(tmp_path / "root"), "--runroot", str(short_place), "--storage-driver", "vfs"]

    def podman(*words: str) -> str:
        return subprocess.run(
            ["podman", *storage, *words], check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    archive = tmp_path / "lab.tar"
    made = podmanish.output("import", "-c", "CMD echo podman", str(tar), "for/podman:1")
    podmanish.output("save", "-o", str(archive), "for/podman:1")
    assert "for/podman:1" in podman("load", "-i", str(archive))
    assert podman("images", "-q", "--no-trunc") == made
    for kind in ("docker-archive", "oci-archive"):
        back = tmp_path / kind
        podman("save", "--format", kind, "-o", str(back), made)
        podmanish.output("rmi", made)
        assert podmanish.output("load", "-i", str(back)) == f"Loaded image ID: {made}"
        assert podmanish.output("run", "--rm", made[7:20]) == "podman"
    podman("rmi", "-af")


@pytest.mark.needs("skopeo")
def test_skopeo_reads_and_writes_them(labd: Labd, podmanish: Podmanish, image: str, tmp_path: Path) -> None:
    """skopeo copies what `docker save` on labd wrote, and both engines load either kind that skopeo writes."""
    saved = f"docker-archive:{tmp_path}/saved.tar"
    out(labd, "save", "-o", f"{tmp_path}/saved.tar", "base:1")

    def skopeo(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = ["skopeo", "--insecure-policy", *words]
        return subprocess.run(command, cwd=tmp_path, env=labd.env, capture_output=True, check=False, timeout=60)

    for kind in ("oci", "docker"):
        assert skopeo("copy", saved, f"{kind}-archive:{kind}.tar:by/{kind}:1").returncode == 0
        assert out(labd, "load", "-i", f"{tmp_path}/{kind}.tar") == f"Loaded image: by/{kind}:1"
        assert out(labd, "run", "--rm", f"by/{kind}:1") == "from-cmd"
        podmanish.output("load", "-i", f"{tmp_path}/{kind}.tar")
        assert podmanish.output("run", "--rm", f"by/{kind}:1") == "from-cmd"
    asked = skopeo("inspect", "--daemon-host", labd.env["DOCKER_HOST"], "docker-daemon:base:1")
    assert asked.returncode == 0 or b"is too old. Minimum supported API version" in asked.stderr


def test_an_image_of_version_0_2(podmanish: Podmanish, labd: Labd, rootfs_tar: bytes, image: str) -> None:
    """An image that an earlier lab has left is listed, run and removed; what needs layers says so, and what to do."""
    old = podmanish.root / "images/team+old=1"
    (old / "rootfs").mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(rootfs_tar)) as found:
        found.extraction_filter = lambda member, path: member  # Python before 3.11.4 knows no argument for that
        found.extractall(old / "rootfs")
    record = {"id": f"sha256:{'a' * 64}", "created": 1, "size": 5, "defaults": {"command": ["echo", "old"]}}
    (old / "image").write_text(json.dumps(record))
    assert "team/old:1" in podmanish.output("images")
    assert podmanish.output("run", "--rm", "team/old:1") == "old" == podmanish.output("run", "--rm", "a" * 12)
    podmanish.output("run", "--name", "c1", "team/old:1", "touch", "/x")
    for words in (("tag", "team/old:1", "new"), ("save", "team/old:1"), ("commit", "c1", "new")):
        assert b"`lab image import team/old:1 TAR`" in podmanish(*words).stderr
    assert b"from version 0.2" in podmanish("import", "/dev/null", "team/old:1").stderr
    assert podmanish("rmi", "team/old:1").returncode == 125  # the container has it
    podmanish.output("rm", "c1")
    assert podmanish.output("rmi", "team/old:1").splitlines()[-1] == f"Deleted: sha256:{'a' * 64}"
    assert not old.exists()


def test_a_volume_of_the_image(labd: Labd, image: str, tmp_path: Path) -> None:
    """An image's VOLUME becomes an anonymous volume, unless something is bound there."""
    data = labd.docker("save", "base:1").stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as saved:
        (row,) = json.load(saved.extractfile("manifest.json") or io.BytesIO())
        layer = saved.extractfile(row["Layers"][0])
        config = json.load(saved.extractfile(row["Config"]) or io.BytesIO())
        assert layer
        layer_data = layer.read()
    config["config"] |= {"Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "true"]}, "StopSignal": "INT"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "layer.tar", layer_data)
        add(archive, "config.json", json.dumps(config).encode())
        row = {"Config": "config.json", "RepoTags": ["vol:1"], "Layers": ["layer.tar"]}
        add(archive, "manifest.json", json.dumps([row]).encode())
    assert out(labd, "load", input=buffer.getvalue()) == "Loaded image: vol:1"
    status, answer = labd.request("POST", "/containers/create?name=v1", {"Image": "vol:1"})
    assert status == 201 and answer["Warnings"] == []
    out(labd, "create", "--name", "v2", "-v", f"{tmp_path}:/data", "vol:1")
    (bound,) = json.loads(out(labd, "inspect", "v2"))
    assert [(one["Type"], one["Source"]) for one in bound["Mounts"]] == [("bind", str(tmp_path))]
    (found,) = json.loads(out(labd, "inspect", "v1"))
    assert [(one["Type"], one["Destination"]) for one in found["Mounts"]] == [("volume", "/data")]
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "true"] and found["Config"]["StopSignal"] == "INT"
    out(labd, "rm", "-v", "v1")  # its volume, too
