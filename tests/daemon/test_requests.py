"""How requests are read: versions, bodies, filters, times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from daemon.models import ContainerCreate, ExecStart
from daemon.options import run_options
from daemon.routes.strict import strict_json
from daemon.wire.front import _strip_version
from lab.errors import InvalidArgument, NotImplementedHere


@pytest.mark.parametrize(
    ("path", "rest", "version"),
    [("/v1.30/info", "/info", (1, 30)), ("/info", "/info", (1, 44)), ("/v1.24/a/b", "/a/b", (1, 24)),
     ("/v1/info", "/v1/info", (1, 44)), ("/vx.y/info", "/vx.y/info", (1, 44))],
)  # fmt: skip
def test_versions_in_paths(path: str, rest: str, version: tuple[int, int]) -> None:
    """/vMAJOR.MINOR is taken off and remembered; anything else is part of the path."""
    scope = {"path": path, "raw_path": path.encode()}
    assert _strip_version(scope) == version
    assert scope["path"] == rest


@pytest.mark.parametrize("path", ["/v1.23/info", "/v1.45/info", "/v2.0/info", "/v0.9/info"])
def test_versions_out_of_range(path: str) -> None:
    """A version out of range is a 400 that says on which side."""
    with pytest.raises(HTTPException, match=r"is too (old|new)") as failure:
        _strip_version({"path": path, "raw_path": path.encode()})
    assert failure.value.status_code == 400


def test_names_in_any_case_and_null() -> None:
    """As Go's decoder: the case of names does not matter, null is the zero value, unknown names are passed over."""
    body = ContainerCreate.model_validate(
        {"image": "host", "CMD": None, "tty": None, "hostconfig": {"binds": None, "AUTOREMOVE": True}, "Weather": 1}
    )
    assert (body.Image, body.Cmd, body.Tty, body.HostConfig.AutoRemove) == ("host", [], False, True)
    assert ExecStart.model_validate({"detachKeys": "x", "detach": True}).Detach


@pytest.mark.parametrize(
    "data", [b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b'"\\ud800"', b"\xff", b"-Infinity", b"1 2", b""]
)
def test_json_that_is_not_json(data: bytes) -> None:
    """Whatever Python's decoder would let pass and the standard does not is a 400."""
    with pytest.raises(HTTPException) as failure:
        strict_json(data)
    assert failure.value.status_code == 400


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=20)
)
def test_json_that_is(value: object) -> None:
    """What is JSON is read as Python reads it."""
    import json

    assert strict_json(json.dumps(value).encode()) == value


def test_dockers_defaults_become_the_labs() -> None:
    """NetworkMode "default" is the host's network; what is no mount of Docker's is refused with a sentence."""
    options = run_options(ContainerCreate.model_validate({"Image": "host", "HostConfig": {"NetworkMode": "default"}}))
    assert options.network == "host"
    here = {"Source": "/a", "Target": "/b"}
    wrong = ({"Type": "tmpfs"}, {"Type": "tmpfs", **here}, {**here, "TmpfsOptions": {"Mode": 1}}, {"Type": "volume"})
    for mount in ({"Type": "image", **here}, *wrong):
        with pytest.raises(NotImplementedHere if mount.get("Type") == "image" else InvalidArgument):
            run_options(ContainerCreate.model_validate({"Image": "host", "HostConfig": {"Mounts": [mount]}}))
