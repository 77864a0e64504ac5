"""Whatever a state file holds, it costs one container: that one is shown as damaged, and can be removed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.damage import LARGEST
from lab.errors import NoSuchContainer
from lab.images import Images
from lab.record import Record
from lab.spec import Spec
from lab.store import Store, new_id

CONFIG = {"rm": False, "image": "host", "spec": Spec(args=["true"]).to_dict()}
SPEC = Spec(args=["true"]).to_dict()
GARBAGE = {
    "empty": b"",
    "cut short": b"{'status': 'exi",
    "zeros": bytes(4096),
    "binary": bytes(range(256)),
    "no literal": b"__import__('os').system('false')",
    "nested": b"[" * 100_000,
    "deep": b"{'a':" * 50 + b"1" + b"}" * 50,
    "minus": b"-" * 1_000_000 + b"1",
    "sum": b"1" + b"+1" * 200_000,
    "a list": b"[1, 2]",
    "a set": b"{1, 2}",
    "unhashable": b"{[]: 1}",
    "keys": b"{1: 2}",
    "huge number": b"{'status': " + b"9" * 10_000 + b"}",
    "too large": b"#" * (LARGEST + 1),
    "empty dictionary": b"{}",
}
STATES = {
    "status": {"status": "flying"},
    "status type": {"status": ["running"]},
    "no pid": {"status": "running"},
    "pid": {"status": "exited", "pid": -1},
    "pid type": {"status": "exited", "pid": "1"},
    "large pid": {"status": "exited", "pid": 2**40},
    "time": {"status": "exited", "finished": 2**80},
    "monitor": {"status": "created", "monitor": 1},
    "exit code": {"status": "exited", "exit_code": "0"},
}
CONFIGS = {
    "no name": {key: value for key, value in CONFIG.items() if key != "name"},
    "name": {**CONFIG, "name": 5, "created": 1},
    "path": {**CONFIG, "name": "a/b", "created": 1},
    "control": {**CONFIG, "name": "a\nb", "created": 1},
    "created": {**CONFIG, "name": "box", "created": "now"},
    "no spec": {"name": "box", "created": 1, "rm": False, "image": "host"},
    "spec": {**CONFIG, "name": "box", "created": 1, "spec": []},
    "args": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "args": []}},
    "words": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "args": [1]}},
    "env": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "env": {"a": 1}}},
    "mounts": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "mounts": [1]}},
    "mappings": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "uid_mappings": 7}},
    "unknown field": {**CONFIG, "name": "box", "created": 1, "spec": {**SPEC, "unknown": 1}},
}


def two(root: str) -> tuple[Store, Record, Record]:
    """A store with two containers, of which one is to be damaged."""
    store = Store(root)
    return store, store.create(new_id(), "good", CONFIG), store.create(new_id(), "bad", CONFIG)


def expect_damage(store: Store, good: Record, bad: Record) -> None:
    """The bad one is listed, found and removed; the good one is what it was."""
    store.sweep()
    assert {found.id: found.status for found in store.list()} == {good.id: "created", bad.id: "damaged"}
    for reference in ("bad", bad.id, bad.id[:20]):
        found = store.find(reference)
        assert (found.id, found.name, found.status) == (bad.id, "bad", "damaged")
    assert f"{bad.path}/" in found.state["error"]
    assert found.spec.args
    store.remove(found)
    with pytest.raises(NoSuchContainer):
        store.find(bad.id)
    assert [path.name for path in Path(store.root, "names").iterdir()] == ["good"]
    assert store.find("good").status == "created"
    store.create(new_id(), "bad", CONFIG)


@pytest.mark.parametrize("file", ["state", "config"])
@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage(tmp_path: Path, file: str, data: bytes) -> None:
    """Empty, cut short, no literal, or one that would exhaust the parser."""
    store, good, bad = two(str(tmp_path))
    Path(bad.path, file).write_bytes(data)
    expect_damage(store, good, bad)


@pytest.mark.parametrize("file", ["state", "config"])
def test_what_cannot_be_read(tmp_path: Path, file: str) -> None:
    """A file that is missing, or a directory in its place."""
    store, good, bad = two(str(tmp_path / "missing"))
    Path(bad.path, file).unlink()
    expect_damage(store, good, bad)
    store, good, bad = two(str(tmp_path / "directory"))
    Path(bad.path, file).unlink()
    Path(bad.path, file).mkdir()
    expect_damage(store, good, bad)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_states_of_the_wrong_shape(tmp_path: Path, state: object) -> None:
    """A key that is missing, or of another type than the engine writes."""
    store, good, bad = two(str(tmp_path))
    Path(bad.path, "state").write_text(repr(state))
    expect_damage(store, good, bad)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_configs_of_the_wrong_shape(tmp_path: Path, config: object) -> None:
    """As above, down to the Spec."""
    store, good, bad = two(str(tmp_path))
    Path(bad.path, "config").write_text(repr(config))
    expect_damage(store, good, bad)


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


@settings(deadline=None, max_examples=150)
@given(
    file=st.sampled_from(["state", "config"]),
    key=st.sampled_from(["status", "pid", "monitor", "exit_code", "name", "created", "spec", "rm", "image", "error"]),
    value=VALUES,
)
def test_any_value_under_any_key(file: str, key: str, value: object) -> None:
    """Neither listing, finding nor removing raises, and the other container is there."""
    with tempfile.TemporaryDirectory() as root:
        store, good, bad = two(root)
        values = bad.config if file == "config" else bad.state
        Path(bad.path, file).write_text(repr({**values, key: value}))
        assert {found.id for found in store.list()} == {good.id, bad.id}
        store.remove(store.find(bad.id))
        assert [found.id for found in store.list()] == [good.id]


RECORDS = {
    "missing": None,
    "empty": b"",
    "garbage": bytes(range(256)),
    "nested": b"[" * 100_000,
    "no record": b"5",
    "keys": b"{}",
    "id": b'{"id": 5, "created": 1, "size": 1, "defaults": {}}',
    "times": b'{"id": "sha256:%s", "created": "x", "size": 1, "defaults": {}}' % (b"a" * 64),
    "defaults": b'{"id": "sha256:%s", "created": 1, "size": 1, "defaults": {"env": 7}}' % (b"a" * 64),
    "unknown": b'{"id": "sha256:%s", "created": 1, "size": 1, "defaults": {"x": "y"}}' % (b"a" * 64),
    "no root": b'{"id": "sha256:%s", "created": 1, "size": 1, "defaults": {}}' % (b"a" * 64),
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_damaged_image(tmp_path: Path, record: bytes | None) -> None:
    """It is listed with what is wrong with it, nothing runs from it, and it can be removed by name or id."""
    for by_id in (False, True):
        folder = tmp_path / "team+bad=1"
        folder.mkdir()
        if record != RECORDS["no root"]:
            (folder / "rootfs").mkdir()
        if record is not None:
            (folder / "image").write_bytes(record)
        images = Images(str(tmp_path))
        (tmp_path / "a stray file").touch()
        host, bad = images.list()
        assert (host.name, host.damage, bad.name, bad.damage != "") == ("host", "", "team/bad:1", True)
        with pytest.raises(Exception, match="team/bad:1 is damaged"):
            images.find("team/bad:1")
        assert images.find(bad.id, damaged=True).name == "team/bad:1"
        images.remove(bad.id[7:19] if by_id else "team/bad:1")
        assert [image.name for image in images.list()] == ["host"]
