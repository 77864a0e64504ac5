"""From a request to a Spec: the same for both engines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lab.assemble import assemble, assemble_exec
from lab.errors import InvalidArgument, NotAllowed, NotImplementedHere
from lab.images import Image, check_name, normalize
from lab.runargs import parse_exec, parse_run
from lab.runtime.credentials import CAPABILITIES, capability_set
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS, Spec

IMAGE = Image(
    "img", "/img", "sha256:0", entrypoint=["/entry"], command=["default"], env=["A=image"], user="7", workdir="/w"
)
ID = "0123456789abcdef" * 4
STATE = "/var/lib/lab-of-the-tests"


def spec_of(*argv: str, image: Image = IMAGE) -> Spec:
    """The Spec of this command line."""
    return assemble(parse_run([*argv]), image, ID, state=STATE)


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


@pytest.mark.parametrize("option", ["apparmor=unconfined", "label=disable", "label:disable"])
def test_what_the_lab_has_not_can_be_switched_off(option: str) -> None:
    """Switching off AppArmor or SELinux labels is no change; a profile or a type is refused."""
    assert not spec_of("--security-opt", option, "img").no_new_privileges
    for other in ("apparmor=mine", "label=type:x", "nonsense", "no-new-privileges=maybe"):
        with pytest.raises(NotImplementedHere, match="security option"):
            spec_of("--security-opt", other, "img")


def test_seccomp_profiles(tmp_path: Path) -> None:
    """The default is Docker's policy, or none with --privileged; an explicit profile holds with and without it."""
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert spec_of("img").seccomp == "default"
    assert spec_of("--privileged", "img").seccomp == ""
    assert spec_of("--security-opt", "seccomp=unconfined", "img").seccomp == ""
    assert spec_of("--security-opt", "seccomp:unconfined", "img").seccomp == ""
    assert spec_of("--security-opt", "seccomp=builtin", "img").seccomp == "default"
    for more in ((), ("--privileged",)):
        assert spec_of(*more, "--security-opt", f"seccomp={profile}", "img").seccomp == profile.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, '{"defaultAction": '])
def test_seccomp_profiles_that_are_none(tmp_path: Path, text: str) -> None:
    """What is not JSON with a default action is refused before anything starts; so is a file that is not there."""
    profile = tmp_path / "profile.json"
    profile.write_text(text)
    for path, told in ((profile, "Decoding seccomp profile failed"), (tmp_path / "no", "opening seccomp profile")):
        with pytest.raises(InvalidArgument, match=told):
            spec_of("--security-opt", f"seccomp={path}", "img")


def test_system_paths() -> None:
    """Docker's paths are masked, or none with --privileged or systempaths=unconfined; named paths win over both."""
    assert (spec_of("img").masked_paths, spec_of("img").readonly_paths) == ([*MASKED_PATHS], [*READONLY_PATHS])
    for option in ("--privileged", "--security-opt=systempaths=unconfined"):
        open_spec = spec_of(option, "img")
        assert (open_spec.masked_paths, open_spec.readonly_paths) == ([], [])
        options = parse_run([option, "img"])
        options.masked_paths, options.readonly_paths = ["/etc"], []
        named = assemble(options, IMAGE, ID, state=STATE)
        assert (named.masked_paths, named.readonly_paths) == (["/etc"], [])
    options.masked_paths = ["etc"]
    with pytest.raises(InvalidArgument, match="invalid path"):
        assemble(options, IMAGE, ID, state=STATE)


def test_the_host_image_hides_the_engines_own_state() -> None:
    """The state directory is masked in the image `host`, with --privileged, too; other images do not hold it."""
    host = Image("host", "/", "sha256:0")
    for options in ((), ("--privileged",), ("--security-opt", "systempaths=unconfined")):
        assert STATE in spec_of(*options, "host", "true", image=host).masked_paths
        assert STATE not in spec_of(*options, "img").masked_paths


def test_a_root_that_is_read_only() -> None:
    """--read-only makes the root read-only; without it the root is writable."""
    assert spec_of("--read-only", "img").readonly and not spec_of("img").readonly


@pytest.mark.needs("root")
def test_limits() -> None:
    """-m, --cpus and --pids-limit become limits of the Spec; 0 and -1 mean no limit."""
    assert spec_of("img").resources == {}
    spec = spec_of("-m", "20m", "--cpus", "0.5", "--pids-limit", "7", "img")
    assert spec.resources == {"memory": 20 << 20, "nano_cpus": 5 * 10**8, "pids_limit": 7}
    assert spec_of("--pids-limit", "-1", "img").resources == {}
    with pytest.raises(InvalidArgument, match="Minimum memory limit allowed is 6MB"):
        spec_of("-m", "5m", "img")
    for cpus in ("0.001", "100000"):
        with pytest.raises(InvalidArgument, match="range of CPUs is from"):
            spec_of("--cpus", cpus, "img")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-m 20m --memory-swap 10m", "Minimum memoryswap limit"),
        ("--memory-swap 20m", "always set the Memory limit"),
        ("--memory-reservation 1m", "Minimum memory reservation"),
        ("-m 20m --memory-swap -1 --memory-reservation 30m", "less than memory reservation"),
        ("--cpus 1 --cpu-quota 5000", "CPU Quota cannot both be set"),
        ("--cpus 1 --cpu-period 5000", "CPU Period cannot both be set"),
        ("--cpu-period 10", "less than 1ms"),
        ("--cpu-quota 10", "less than 1ms"),
        ("--cpuset-cpus 4711", "Requested CPUs are not available"),
        ("--cpuset-mems 99", "Requested memory nodes are not available"),
        ("--cpuset-cpus 0-", "invalid value '0-'"),
        ("--cpuset-cpus 0,1-0", "invalid value '0,1-0'"),
        ("--oom-score-adj 1001", "range for oom score adj"),
        ("--sysctl kernel.hostname=x", "not separated by a namespace"),
        ("--sysctl net.ipv4.ip_forward=1", "not allowed in the host network"),
        ("--sysctl ../x=1", "invalid sysctl"),
        ("--sysctl net..x/y=1 --network none", "invalid sysctl"),
        ("--tmpfs t", "invalid tmpfs"),
        ("--tmpfs /", "invalid tmpfs"),
        ("--tmpfs /a/../b", "invalid tmpfs"),
        ("--tmpfs /t:huge=1", "Invalid tmpfs option"),
        ("--tmpfs /t:bind", "Invalid tmpfs option"),
    ],
)
def test_limits_that_docker_refuses(options: str, words: str) -> None:
    """A limit that cannot be, or that contradicts another, is refused in docker's words before anything is made."""
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        spec_of(*options.split(), "img")


@pytest.mark.needs("root")
def test_an_ordinary_user_has_no_limits() -> None:
    """Without root there is no cgroup: a limit is refused, never passed over."""
    os.seteuid(65534)
    try:
        assert spec_of("--pids-limit", "-1", "img").resources == {}
        for option in ("--memory=20m", "--cpus=1", "--pids-limit=5"):
            with pytest.raises(NotAllowed, match="ordinary user"):
                spec_of(option, "img")
    finally:
        os.seteuid(0)


def test_devices(tmp_path: Path) -> None:
    """A device is a device node of this machine, symlinks resolved; another file is refused in Docker's words."""
    (tmp_path / "link").symlink_to("/dev/null")
    found = spec_of("--device", f"{tmp_path}/link:/dev/x", "--device", "/dev/zero", "img").devices
    assert [(device.source, device.target) for device in found] == [("/dev/null", "/dev/x"), ("/dev/zero", "/dev/zero")]
    for wrong, reason in (("/etc/passwd", "not a device node"), ("/dev/nosuch", "no such file or directory")):
        with pytest.raises(InvalidArgument, match=f'custom device "{wrong}": {reason}'):
            spec_of("--device", wrong, "img")


def test_exec_inherits_and_changes() -> None:
    """exec starts from the container's Spec; the environment, user and directory of the exec come on top."""
    container = spec_of("--cap-drop", "ALL", "img")
    spec = assemble_exec(parse_exec(["-e", "A=exec", "-u", "9", "box", "id"]), container)
    assert (spec.args, spec.user, spec.cwd, spec.env["A"], spec.capabilities) == (["id"], "9", "/w", "exec", [])
    assert container.env["A"] == "image"
    assert assemble_exec(parse_exec(["--privileged", "box", "id"]), container).capabilities == list(CAPABILITIES)


def test_capabilities_add_and_drop() -> None:
    """A name may lack CAP_ and be in lower case; a drop wins over an add, but --cap-drop ALL keeps what is added."""
    base = DEFAULT_CAPABILITIES
    assert set(capability_set(base, ["net_admin"], ["CAP_CHOWN"])) == set(base) - {"CAP_CHOWN"} | {"CAP_NET_ADMIN"}
    assert capability_set(base, ["CHOWN"], ["ALL"]) == ["CAP_CHOWN"]
    assert capability_set(base, ["ALL"], []) == sorted(CAPABILITIES)
    assert "CAP_KILL" not in capability_set(base, ["KILL"], ["KILL"])
    with pytest.raises(InvalidArgument):
        capability_set(base, ["FLY"], [])


@pytest.mark.parametrize("name", ["a:V1.2-RC", "localhost:5000/foo", "localhost:5000/foo/bar:TAG", "reg.io/a_b"])
def test_names_of_images(name: str) -> None:
    """A tag may have capitals, a registry its port, as in Docker."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Foo", "a:b:c", "a:", ":a", "x:y/foo", "x:5000/a:b:c", "a/", "a//b", "-a", "a..b", "host"]
)
def test_names_of_no_images(name: str) -> None:
    """Capitals, two tags, an empty part or a port that is no number make no name."""
    with pytest.raises(InvalidArgument):
        check_name(name)


@pytest.mark.parametrize("reference", ["a", "a:latest", "docker.io/library/a", "docker.io/library/a:latest"])
def test_what_dockers_client_adds(reference: str) -> None:
    """The default registry, its folder and the default tag are no part of a name."""
    assert normalize(reference) == "a" == check_name(reference)
