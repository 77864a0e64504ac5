"""When labd divides its cgroup: a tree of plain files stands for cgroupfs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon import own_cgroup
from lab.runtime import cgroup
from lab.spec import Spec

UNIT = "/system.slice/labd.service"
ALL = "cpuset cpu io memory pids"


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cgroup of this process, delegated to it, under version 2."""
    folder = tmp_path / UNIT[1:]
    (folder / cgroup.SUPERVISOR).mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text(ALL)
    (folder / "cgroup.controllers").write_text(ALL)
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (folder / "cgroup.subtree_control").touch()
    (folder / cgroup.SUPERVISOR / "cgroup.procs").touch()
    monkeypatch.setattr(cgroup, "MOUNT", str(tmp_path))
    monkeypatch.setattr(cgroup, "own_path", lambda: UNIT)
    monkeypatch.setattr(os, "getxattr", lambda path, name: {(str(folder), "trusted.delegate"): b"1"}[str(path), name])
    return folder


def inside(unit: Path) -> str:
    """What was written into the supervisor's cgroup."""
    return (unit / cgroup.SUPERVISOR / "cgroup.procs").read_text()


def test_a_delegated_cgroup_is_divided(unit: Path) -> None:
    """labd enters its supervisor's cgroup, then the controllers are passed on: the kernel takes no other order."""
    assert own_cgroup.settle()
    assert inside(unit) == str(os.getpid())
    assert (unit / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids"


def test_another_process_in_it(unit: Path) -> None:
    """The shell that started labd stays where it is, and so does labd."""
    (unit / "cgroup.procs").write_text(f"{os.getppid()}\n{os.getpid()}\n")
    assert not own_cgroup.settle()
    assert inside(unit) == ""


def test_not_delegated(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd's mark the cgroup is systemd's, or a login's."""

    def unmarked(*_: str) -> bytes:
        raise OSError(61, "No data available")

    monkeypatch.setattr(os, "getxattr", unmarked)
    assert not own_cgroup.settle()
    assert inside(unit) == ""


def test_a_part_of_the_controllers(unit: Path) -> None:
    """Delegate=pids would leave no place for a container with --memory: everything stays as without Delegate=."""
    (unit / "cgroup.controllers").write_text("pids")
    assert not own_cgroup.settle()
    assert inside(unit) == ""


def test_a_kernel_that_refuses(unit: Path, caplog: pytest.LogCaptureFixture) -> None:
    """labd goes back, and says which file it could not write."""
    (unit / "cgroup.subtree_control").unlink()
    assert not own_cgroup.settle()
    assert (unit / "cgroup.procs").read_text().startswith(str(os.getpid()))
    assert f"{unit}/cgroup.subtree_control: No such file or directory" in caplog.text


@pytest.mark.needs("root")
@pytest.mark.parametrize("resources", [{}, {"memory": 64 << 20}])
def test_the_places_of_containers(monkeypatch: pytest.MonkeyPatch, resources: dict[str, int]) -> None:
    """In the unit, with limits or without; without a supervisor, one with limits stands at the top."""
    spec = Spec(args=["true"], resources=resources)
    monkeypatch.setattr(cgroup, "own_path", lambda: f"{UNIT}/{cgroup.SUPERVISOR}")
    assert cgroup.path("ab", spec) == f"{UNIT}/loginuid-lab-ab"
    monkeypatch.setattr(cgroup, "own_path", lambda: UNIT)
    assert cgroup.path("ab", spec) == ("/loginuid-lab-ab" if resources else f"{UNIT}/loginuid-lab-ab")


def test_the_unit_asks_for_all_that_settle_wants() -> None:
    """One controller less in Delegate=, and labd would leave its cgroup as it is."""
    lines = Path(own_cgroup.__file__).with_name("labd.service").read_text().splitlines()
    asked = next(line.removeprefix("Delegate=") for line in lines if line.startswith("Delegate="))
    assert set(asked.split()) == set(cgroup.CONTROLLERS)
