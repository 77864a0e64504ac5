"""Symlinks that an image or a container's root plants where the engine looks for mounts to copy."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator

import pytest
from support import add

pytestmark = pytest.mark.needs("root", "cgroups")
Run = Callable[..., subprocess.CompletedProcess[bytes]]
LOOK = "for file in /dev/shm/self/comm /dev/shm/etc/secret /proc/kernel/pid_max; do [ -e $file ] && echo $file; done"


@pytest.fixture
def linked(rootfs_tar: bytes, engine: Run) -> Iterator[str]:
    """An image whose /dev and /proc are symlinks, which its containers can replace: a mount point they could not."""
    buffer = io.BytesIO(rootfs_tar)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name in ("dev", "proc"):
            add(tar, f"real-{name}", kind=tarfile.DIRTYPE, mode=0o755)
            add(tar, name, kind=tarfile.SYMTYPE, link=f"real-{name}")
        add(tar, "real-dev/null", kind=tarfile.SYMTYPE, link="/proc/timer_list")
    done = engine("import", "-", "linked", input=buffer.getvalue())
    assert done.returncode == 0, done.stderr
    yield "linked"
    engine("rm", "-f", "donor")
    engine("rmi", "-f", "linked")


@pytest.mark.parametrize(
    ("share", "plant"),
    [
        ("--ipc", "rm /dev; mkdir /dev; busybox ln -s /real-proc /dev/shm"),
        ("--ipc", "rm /dev; mkdir /dev; busybox ln -s /real-proc/1/root /dev/shm"),
        ("--pid", "rm /proc; busybox ln -s /real-proc/sys /proc"),
    ],
)
def test_no_link_of_the_donors_leads_elsewhere(engine: Run, linked: str, share: str, plant: str) -> None:
    """A link there would be copied without what docker masks in /proc, or through /proc/PID/root, from the host."""
    words = ("run", "-d", "--name", "donor", "--ipc", "shareable", linked, "sh", "-c", f"{plant}; exec sleep 60")
    assert engine(*words).returncode == 0
    engine("exec", "donor", "true")
    done = engine("run", "--rm", share, "container:donor", "linked", "sh", "-c", LOOK)
    assert done.stdout == b""
    assert (done.returncode, b"the other container" in done.stderr) == (125, True), done.stderr


def test_a_null_of_the_images_masks_nothing(engine: Run, linked: str) -> None:
    """A volume at /dev brings the image's /dev/null: what is hidden in /proc is not covered by what that leads to."""
    done = engine("run", "--rm", "-v", "/dev", linked, "cat", "/proc/timer_list")
    assert done.stdout == b""
    assert (done.returncode, b"/dev/null is not the device" in done.stderr) == (125, True), done.stderr
