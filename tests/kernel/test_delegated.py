"""labd in a cgroup that was given to it, as systemd gives it one with Delegate=."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_labd import Labd, launch

from lab.runtime.cgroup import CONTROLLERS, MOUNT, SUPERVISOR, until, version_2

pytestmark = [
    pytest.mark.needs("root"),
    pytest.mark.skipif(version_2() != MOUNT, reason="this machine has cgroup version 1, too"),
]
HOG = "head -c 200M /dev/zero | tail -c 190M >/dev/null"


@pytest.fixture(scope="module")
def unit() -> Iterator[Path]:
    """A cgroup with systemd's mark."""
    top = Path(MOUNT)
    folder = top / f"lab-test-{os.getpid()}"
    (top / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
    folder.mkdir()
    os.setxattr(folder, "trusted.delegate", b"1")
    yield folder
    (folder / "cgroup.kill").write_text("1")
    until(lambda: "populated 0" in (folder / "cgroup.events").read_text())
    for inner in folder.glob("*/"):
        inner.rmdir()
    folder.rmdir()


@pytest.fixture(scope="module")
def delegated(unit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labd]:
    """A labd that was started in it."""
    enter = ("sh", "-c", f'echo 0 >{unit}/cgroup.procs; exec "$@"', "sh")
    daemon = launch(tmp_path_factory.mktemp("delegated"), prefix=enter)
    yield daemon
    daemon.stop()


def run(labd: Labd, name: str, *words: str) -> str:
    """Run a container in the background; its id."""
    done = labd.dockerish("run", "-d", "--name", name, *words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_a_running_container_without_limits_gets_some(unit: Path, delegated: Labd) -> None:
    """docker update writes them into its cgroup at once, and the kernel keeps to them."""
    place = unit / f"loginuid-lab-{run(delegated, 'free', 'host', 'sleep', '60')}"
    try:
        assert (place / "memory.max").read_text() == (place / "pids.max").read_text() == "max\n"
        wanted = {"Memory": 64 << 20, "PidsLimit": 20}
        assert delegated.request("POST", "/containers/free/update", wanted)[0] == 200
        assert int((place / "memory.max").read_text()) == 64 << 20
        assert int((place / "pids.max").read_text()) == 20
        delegated.dockerish("exec", "free", "sh", "-c", HOG)
        events = dict(line.split() for line in (place / "memory.events").read_text().splitlines())
        assert int(events["oom_kill"]) > 0
    finally:
        delegated.request("DELETE", "/containers/free?force=1")
    assert not place.exists()


def test_a_container_with_limits_is_beside_it(unit: Path, delegated: Labd) -> None:
    """So labd's unit counts it, too; and labd itself is in a cgroup below the unit's."""
    place = unit / f"loginuid-lab-{run(delegated, 'tight', '--memory', '64m', 'host', 'sleep', '60')}"
    try:
        assert int((place / "memory.max").read_text()) == 64 << 20
        assert f"0::/{unit.name}/{SUPERVISOR}\n" in Path(f"/proc/{delegated.pid}/cgroup").read_text()
        assert (unit / "cgroup.procs").read_text() == ""
    finally:
        delegated.request("DELETE", "/containers/tight?force=1")


def test_a_kill_leaves_only_the_supervisors_cgroup(unit: Path, delegated: Labd) -> None:
    """The spawner ends and removes the containers' cgroups; labd's own, now empty, stays for systemd to remove."""
    place = unit / f"loginuid-lab-{run(delegated, 'left', 'host', 'sleep', '60')}"
    delegated.stop(signal.SIGKILL)
    until(lambda: not place.exists())
    assert not place.exists()
    assert (unit / SUPERVISOR).is_dir()
