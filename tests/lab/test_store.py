"""Containers on disk: names, states, and what a sudden death leaves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InvalidArgument, NameInUse, NoSuchContainer
from lab.pidfd import is_alive, start_time
from lab.record import UNKNOWN
from lab.spec import Mount, Spec
from lab.store import Store, new_id

CONFIG = {"rm": False, "image": "host", "spec": Spec(args=["true"]).to_dict()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


@pytest.fixture
def dead() -> tuple[int, int]:
    """The pid and start time of a process that is no more."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        return process.pid, start_time(process.pid)


def test_a_container_is_found_by_name_id_and_prefix(store: Store) -> None:
    """A name, an id and an unambiguous beginning of an id all lead to it."""
    container = store.create(new_id(), "box", CONFIG)
    for reference in ("box", container.id, container.id[:6]):
        assert store.find(reference).id == container.id
    for reference in ("bo", "", "..", "/", container.id + "0", "\0"):
        with pytest.raises(NoSuchContainer):
            store.find(reference)


def test_an_ambiguous_prefix_is_refused(store: Store) -> None:
    """Two ids that begin alike: more must be written."""
    for number in range(2):
        store.create("ab" * 31 + f"0{number}", f"box{number}", CONFIG)
    with pytest.raises(InvalidArgument, match="2 containers"):
        store.find("ab")


def test_names_are_taken_once(store: Store) -> None:
    """A name has one owner, until that is renamed or removed."""
    first = store.create(new_id(), "box", CONFIG)
    with pytest.raises(NameInUse):
        store.create(new_id(), "box", CONFIG)
    store.rename(first, "other")
    second = store.create(new_id(), "box", CONFIG)
    with pytest.raises(NameInUse):
        store.rename(second, "other")
    store.remove(first)
    store.remove(first)
    store.rename(second, "other")
    assert [container.name for container in store.list()] == ["other"]


@pytest.mark.parametrize("name", ["", "a", "-a", ".a", "a/b", "..", "a b", "a\0", "\N{SNOWMAN}\N{SNOWMAN}", "a" * 201])
def test_names_that_will_not_do(store: Store, name: str) -> None:
    """Docker's rule for names keeps paths out."""
    with pytest.raises(InvalidArgument):
        store.create(new_id(), name, CONFIG)


def test_a_silent_death_is_told(store: Store, dead: tuple[int, int]) -> None:
    """A container whose monitor died without a word is exited, with 255: nobody knows how it ended."""
    container = store.create(new_id(), "box", CONFIG)
    container.started(os.getpid(), os.getpid())
    assert store.find("box").status == "running"
    container.save_state(monitor=dead[0], monitor_start_time=dead[1], pid=dead[0], start_time=dead[1])
    found = store.find("box")
    assert (found.status, found.state["exit_code"]) == ("exited", UNKNOWN)


def test_a_container_that_restarts_keeps_its_name(store: Store) -> None:
    """One of `--rm` that has ended, but whose engine lives and may start it again, is no left-over."""
    container = store.create(new_id(), "box", {**CONFIG, "rm": True}, os.getpid())
    container.started(os.getpid(), os.getpid())
    container.exited(0)
    with pytest.raises(NameInUse):
        store.create(new_id(), "box", CONFIG)


def test_what_lives_without_a_monitor_is_running(store: Store, dead: tuple[int, int]) -> None:
    """A container that has lost only its monitor is not said to have ended."""
    container = store.create(new_id(), "box", CONFIG)
    container.started(os.getpid(), os.getpid())
    container.save_state(monitor=dead[0], monitor_start_time=dead[1])
    assert store.find("box").status == "running"


def test_a_recycled_pid_is_not_believed(store: Store) -> None:
    """A pid counts only with its start time: another process of the same number is another process."""
    container = store.create(new_id(), "box", CONFIG)
    container.started(os.getpid(), os.getpid())
    earlier = container.state["monitor_start_time"] - 1
    container.save_state(monitor_start_time=earlier, start_time=earlier)
    assert store.find("box").status == "exited"
    assert not is_alive(os.getpid(), 0)


def test_a_death_before_the_start_frees_the_name(store: Store, dead: tuple[int, int]) -> None:
    """`run --rm` killed between making and starting its container: the name can be taken again."""
    container = store.create(new_id(), "box", {**CONFIG, "rm": True}, os.getpid())
    with pytest.raises(NameInUse):
        store.create(new_id(), "box", CONFIG)
    container.save_state(monitor=dead[0], monitor_start_time=dead[1])
    again = store.create(new_id(), "box", CONFIG)
    assert [found.id for found in store.list()] == [again.id]


def test_half_made_containers_are_swept(store: Store) -> None:
    """A directory behind a dot or without a file, and a name that leads nowhere, are what a killed process left."""
    whole = store.create(new_id(), "whole", CONFIG)
    half = store.create(new_id(), "half", CONFIG)
    Path(half.path).rename(Path(half.path).with_name(f".{half.id}"))
    Path(store.root, "containers", new_id()).mkdir()
    Path(store.root, "names", "lost").symlink_to(new_id())
    store.sweep()
    assert [path.name for path in Path(store.root, "containers").iterdir()] == [whole.id]
    assert [path.name for path in Path(store.root, "names").iterdir()] == ["whole"]


def test_removal_follows_no_symlink(store: Store, tmp_path: Path) -> None:
    """A container's symlinks are deleted, not what they point to."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    container = store.create(new_id(), "box", CONFIG)
    Path(container.path, "dir").symlink_to(tmp_path / "precious")
    Path(container.path, "file").symlink_to(tmp_path / "precious/file")
    store.remove(container)
    assert (tmp_path / "precious/file").exists()
    assert not Path(container.path).exists()


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(args=st.lists(plain, min_size=1), env=st.dictionaries(plain, plain), source=plain, readonly=st.booleans())
def test_a_spec_survives_the_disk(args: list[str], env: dict[str, str], source: str, readonly: bool) -> None:
    """to_dict() and from_dict() are each other's reverse."""
    spec = Spec(args=args, env=env, mounts=[Mount(source, "/x", readonly)], uid_mappings=[(0, 1000, 1)])
    assert Spec.from_dict(spec.to_dict()).to_dict() == spec.to_dict()


def test_the_end_of_rm_is_told_to_those_who_wait(store: Store) -> None:
    """`--rm`: gone at once if nobody waits; else the exit code stays until the last who waits has read it."""
    unheard = store.create(new_id(), "unheard", {**CONFIG, "rm": True})
    store.end(unheard, 3)
    assert not Path(unheard.path).exists()
    awaited = store.create(new_id(), "awaited", {**CONFIG, "rm": True})
    with awaited.kept():
        store.end(awaited, 3)
        assert store.find("awaited").state["exit_code"] == 3
    kept = store.create(new_id(), "kept", {**CONFIG, "rm": False})
    store.end(kept, 3)
    assert store.find("kept").state["exit_code"] == 3
