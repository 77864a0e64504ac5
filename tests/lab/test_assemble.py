"""From a request to a Spec: the same for both engines."""

from __future__ import annotations

import pytest

from lab.assemble import assemble, assemble_exec
from lab.errors import InvalidArgument, NotImplementedHere
from lab.images import Image, check_name, normalize
from lab.runargs import parse_exec, parse_run
from lab.runtime.credentials import CAPABILITIES, capability_set
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, Spec

IMAGE = Image(
    "img", "/img", "sha256:0", entrypoint=["/entry"], command=["default"], env=["A=image"], user="7", workdir="/w"
)
ID = "0123456789abcdef" * 4


def spec_of(*argv: str, image: Image = IMAGE) -> Spec:
    return assemble(parse_run([*argv]), image, ID)


def test_the_image_has_defaults() -> None:
    """Entrypoint, command, environment, user and directory are the image's, unless told otherwise."""
    spec = spec_of("img")
    assert (spec.args, spec.user, spec.cwd, spec.hostname) == (["/entry", "default"], "7", "/w", ID[:12])
    assert spec.env == {"PATH": DEFAULT_PATH, "HOSTNAME": ID[:12], "A": "image"}
    told = spec_of("-e", "A=told", "-u", "8", "-w", "/v", "-h", "name", "--entrypoint", "sh", "img", "-c", "x")
    assert (told.args, told.user, told.cwd, told.hostname) == (["sh", "-c", "x"], "8", "/v", "name")
    assert told.env["A"] == "told"


def test_an_entrypoint_drops_the_command() -> None:
    """--entrypoint drops the image's command, too, as docker does."""
    assert spec_of("--entrypoint", "sh", "img").args == ["sh"]
    with pytest.raises(InvalidArgument, match="no command"):
        spec_of("--entrypoint", "", "img")


@pytest.mark.parametrize("option", ["seccomp=unconfined", "apparmor=unconfined", "label=disable", "label:disable"])
def test_what_the_lab_has_not_can_be_switched_off(option: str) -> None:
    """Switching off seccomp, AppArmor or SELinux labels is no change; a profile is refused."""
    assert not spec_of("--security-opt", option, "img").no_new_privileges
    with pytest.raises(NotImplementedHere):
        spec_of("--security-opt", "seccomp=/profile.json", "img")


def test_exec_inherits_and_changes() -> None:
    """exec has the container's world, with an environment, user and directory of its own on top."""
    container = spec_of("--cap-drop", "ALL", "img")
    spec = assemble_exec(parse_exec(["-e", "A=exec", "-u", "9", "box", "id"]), container)
    assert (spec.args, spec.user, spec.cwd, spec.env["A"], spec.capabilities) == (["id"], "9", "/w", "exec", [])
    assert container.env["A"] == "image"
    assert assemble_exec(parse_exec(["--privileged", "box", "id"]), container).capabilities == list(CAPABILITIES)


def test_capabilities_add_and_drop() -> None:
    """Names with or without CAP_, in any case; ALL; what is dropped wins, but not over --cap-drop ALL's exceptions."""
    base = DEFAULT_CAPABILITIES
    assert set(capability_set(base, ["net_admin"], ["CAP_CHOWN"])) == set(base) - {"CAP_CHOWN"} | {"CAP_NET_ADMIN"}
    assert capability_set(base, ["CHOWN"], ["ALL"]) == ["CAP_CHOWN"]
    assert capability_set(base, ["ALL"], []) == sorted(CAPABILITIES)
    assert "CAP_KILL" not in capability_set(base, ["KILL"], ["KILL"])
    with pytest.raises(InvalidArgument):
        capability_set(base, ["FLY"], [])


@pytest.mark.parametrize("reference", ["a", "a:latest", "docker.io/library/a", "docker.io/library/a:latest"])
def test_what_dockers_client_adds(reference: str) -> None:
    """The default registry, its folder and the default tag are no part of a name."""
    assert normalize(reference) == "a" == check_name(reference)
