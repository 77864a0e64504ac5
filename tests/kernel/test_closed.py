"""Images, layers and states belong to their owner: no other user of the machine can read or change them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish, add

from lab.errors import NotAllowed
from lab.files import make_private
from lab.images import Images

pytestmark = pytest.mark.needs("root", "setpriv")

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# Tries all that a user could do with each path; prints what succeeded.
ATTACK = r"""
import json, os, subprocess, sys
def attempts(path):
    yield "list", lambda: os.listdir(path)
    yield "read", lambda: open(path, "rb").read(1)
    yield "write", lambda: open(path, "ab")
    yield "execute", lambda: subprocess.run([path, "-u"], check=True, capture_output=True)
    yield "link", lambda: os.link(path, "/tmp/taken")
    yield "rename", lambda: os.rename(path, path + ".moved")
    yield "plant", lambda: open(os.path.join(os.path.dirname(path), "planted"), "w")
    yield "remove", lambda: os.unlink(path)
    yield "chmod", lambda: os.chmod(path, 0o777)
for path in json.load(sys.stdin):
    for name, act in attempts(path):
        try:
            act()
        except Exception:
            continue
        print(name, path)
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may pass through."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/var/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def engine(scripts: Path, open_place: Path) -> Podmanish:
    """The fork/exec engine, with its state where other users may pass through."""
    return Podmanish(scripts / "podmanish", open_place / "state")


def import_hostile_image(root: Path, busybox: bytes) -> None:
    """Import an image with a set-user-ID program, and with directories that its tar does not list."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "bin/busybox", busybox, mode=0o4755)
        add(tar, "bin/sh", kind=tarfile.SYMTYPE, link="busybox")
        add(tar, "bin/id", kind=tarfile.SYMTYPE, link="busybox")
        add(tar, "etc/deep/file", b"x", mode=0o666)
    Images(str(root / "images")).import_tar("hostile", io.BytesIO(buffer.getvalue()))


def succeeded(root: Path) -> list[str]:
    """What the user nobody can do below a directory, given all the paths in it."""
    paths = [str(path) for path in root.rglob("*")]
    assert len(paths) > 10
    done = subprocess.run(
        [*NOBODY, sys.executable, "-ISc", ATTACK],
        input=json.dumps(paths), capture_output=True, text=True, check=True, timeout=60, cwd="/",
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.needs("busybox")
def test_another_user_gets_at_nothing(engine: Podmanish, new_labd: Callable[..., Labd]) -> None:
    """Of all paths below the state directory, the user nobody can list, read, run, replace or plant none."""
    import_hostile_image(engine.root, Path("/bin/busybox").read_bytes())
    daemon = new_labd(state=engine.root)
    engine.output("run", "--name", "kept", "hostile", "sh", "-c", "echo secret; echo >/written")
    assert daemon.dockerish("run", "--name", "served", "hostile", "sh", "-c", "echo secret").returncode == 0
    assert succeeded(engine.root) == []
    engine.output("rm", "kept")


@pytest.mark.needs("busybox")
def test_what_an_earlier_version_left_open_is_closed(engine: Podmanish, new_labd: Callable[..., Labd]) -> None:
    """The next start of either engine closes the state of both."""
    import_hostile_image(engine.root, Path("/bin/busybox").read_bytes())
    daemon = new_labd(state=engine.root)
    engine.output("run", "--name", "kept", "hostile", "sh", "-c", "echo secret")
    daemon.dockerish("create", "--name", "served", "hostile", "sh")
    daemon.stop()
    parts = [engine.root / part for part in ("images", "labd", "podmanish")]
    for start in (lambda: engine.output("ps"), lambda: new_labd("again", state=engine.root)):
        for part in (engine.root, *parts):
            part.chmod(0o755)
        assert succeeded(engine.root) != []
        start()
        assert succeeded(engine.root) == []
        assert [part.stat().st_mode & 0o777 for part in parts] == [0o700] * 3
    engine.output("rm", "kept")


def test_somebody_elses_state_is_not_used(open_place: Path, engine: Podmanish) -> None:
    """A state directory that another user owns is refused: that user could change what root runs."""
    (open_place / "state").mkdir()
    (open_place / "state/podmanish").mkdir()
    os.chown(open_place / "state/podmanish", 65534, 65534)
    done = engine("run", "--rm", "host", "true")
    assert done.returncode == 125
    assert b"belongs to uid 65534" in done.stderr and b"Traceback" not in done.stderr


def test_a_symlink_does_not_lead_to_closing_another_directory(open_place: Path) -> None:
    """An open directory behind a symlink is refused, and its mode is not changed."""
    (open_place / "other").mkdir(mode=0o755)
    (open_place / "images").symlink_to("other")
    with pytest.raises(NotAllowed, match="that others may enter"):
        make_private(str(open_place / "images"))
    assert (open_place / "other").stat().st_mode & 0o777 == 0o755


def test_directories_that_the_tar_does_not_list(tmp_path: Path) -> None:
    """They get the mode 0755, whatever the umask of the process that imports; so does the root."""
    umask = os.umask(0o077)
    try:
        import_hostile_image(tmp_path, b"")
    finally:
        os.umask(umask)
    rootfs = Path(Images(str(tmp_path / "images")).find("hostile").rootfs)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (rootfs, *rootfs.rglob("*")) if path.is_dir()}
    assert modes == {"rootfs": 0o755, "bin": 0o755, "etc": 0o755, "deep": 0o755}
    assert (rootfs / "etc/deep/file").stat().st_mode & 0o7777 == 0o666


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_containers_root_is_open_inside(engine: Podmanish, rootfs_tar: bytes, umask: int) -> None:
    """A container's `/` is open to its users, whatever the umask: only the way to it is closed outside."""
    Images(str(engine.root / "images")).import_tar("small", io.BytesIO(rootfs_tar))
    words = ("run", "--rm", "--user", "1000", "small", "stat", "-c", "%a %u", "/", "/bin")
    assert engine.output(*words, umask=umask).split("\n") == ["755 0", "755 0"]
