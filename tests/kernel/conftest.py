"""Fixtures: the fork/exec engine with a state directory for one test, a small image, an ordinary user."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd, labd, new_labd  # noqa: F401 - the daemon's fixtures
from support import Podmanish, add, own_mounts, processes_with, soon

from lab.images import Images

APPLETS = (
    "cat", "chmod", "chown", "echo", "env", "false", "id", "kill", "ls", "mkdir", "mount", "ps", "readlink", "rm", "sh",
    "sleep", "stat", "touch", "true", "wc",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses `rootless` needs a checkout that other users can read."""
    for item in items:
        if "rootless" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs("open-checkout"))


@pytest.fixture
def podmanish(scripts: Path, state: Path) -> Iterator[Podmanish]:
    """The fork/exec engine as root. Afterwards nothing of it may be left: no mount, no process."""
    engine = Podmanish(scripts / "podmanish", state)
    mounts = own_mounts(state)
    yield engine
    if running := engine.output("ps", "-q", "--no-trunc").split():
        engine.output("rm", "-f", *running)
    assert own_mounts(state) == mounts
    assert soon(lambda: processes_with(str(state)) == [])  # a monitor may still be writing how its container ended


@pytest.fixture(params=["podmanish", "dockerish"])
def engine(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Both engines: they share the runtime, so the same command must do the same through both."""
    if request.param == "podmanish":
        forker: Podmanish = request.getfixturevalue("podmanish")
        return forker
    daemon: Labd = request.getfixturevalue("labd")
    return daemon.dockerish


@pytest.fixture(scope="session")
def rootfs_tar(demand: Callable[[str], None]) -> bytes:
    """The tar of a small root filesystem: busybox, three users, nothing else."""
    demand("busybox")
    busybox = Path("/bin/busybox").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "home", "home/alice", "tmp"):
            add(tar, folder, kind=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        add(tar, "bin/busybox", busybox, mode=0o755)
        for applet in APPLETS:
            add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        add(tar, "etc/passwd", b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n")
        add(tar, "etc/group", b"root:x:0:\nalice:x:1001:\naudio:x:29:alice\nvideo:x:44:bob,alice\n")
        add(tar, "etc/secret", b"alice's\n", mode=0o600, uid=1000)
    return buffer.getvalue()


@pytest.fixture
def image(podmanish: Podmanish, rootfs_tar: bytes) -> str:
    """The name of a small imported image."""
    return Images(f"{podmanish.root}/images").import_tar("small", io.BytesIO(rootfs_tar)).name


@pytest.fixture
def user() -> Iterator[pwd.struct_passwd]:
    """An ordinary user with a home and a range of subordinate ids, removed afterwards."""
    name = f"labtest{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    entry = pwd.getpwnam(name)
    yield entry
    subprocess.run(["userdel", "--force", name], check=True, capture_output=True)
    shutil.rmtree(entry.pw_dir, ignore_errors=False)


@pytest.fixture
def sudoer(user: pwd.struct_passwd) -> Iterator[pwd.struct_passwd]:
    """An ordinary user whom sudo serves without a password."""
    rule = Path(f"/etc/sudoers.d/{user.pw_name}")
    rule.write_text(f"{user.pw_name} ALL=(ALL) NOPASSWD: ALL\n")
    rule.chmod(0o440)
    yield user
    rule.unlink()


@pytest.fixture
def rootless(scripts: Path, user: pwd.struct_passwd) -> Iterator[Podmanish]:
    """The fork/exec engine, run by that user."""
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--reset-env"]
    engine = Podmanish(scripts / "podmanish", Path(user.pw_dir) / "lab", become)
    yield engine
    if running := engine.output("ps", "-q", "--no-trunc").split():
        engine.output("rm", "-f", *running)


@pytest.fixture
def short_place() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/run") as path:
        yield Path(path)
