"""/etc/hosts, /etc/hostname and /etc/resolv.conf of containers: the engine's files, through both engines."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish

from lab.images import Images

pytestmark = pytest.mark.needs("root", "busybox")
HOSTS, RESOLVER = Path("/etc/hosts").read_text(), Path("/etc/resolv.conf").read_text()
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def served(labd: Labd, rootfs_tar: bytes) -> Iterator[Labd]:
    """The daemon, with a small image."""
    labd.request("POST", "/images/create?fromSrc=-&repo=named&tag=1", rootfs_tar)
    yield labd
    assert labd.request("DELETE", "/images/named:1")[0] == 200


@pytest.fixture(params=["podmanish", "dockerish"])
def run(request: pytest.FixtureRequest) -> Callable[..., str]:
    """`run --rm` with each engine; `IMAGE` stands for a small image."""
    if request.param == "podmanish":
        command: Run = request.getfixturevalue("podmanish")
        image: str = request.getfixturevalue("image")
    else:
        labd: Labd = request.getfixturevalue("served")
        command, image = labd.dockerish, "named:1"

    def output(*words: str) -> str:
        done = command("run", "--rm", *(image if word == "IMAGE" else word for word in words))
        return (done.stdout + done.stderr).decode()

    return output


def test_the_hosts_with_its_network(run: Callable[..., str]) -> None:
    """On the host's network a container of an image has the host's names, and a host name of its own."""
    script = "cat /etc/hosts; echo; cat /etc/resolv.conf; echo; cat /etc/hostname"
    hosts, resolver, name = run("-h", "box", "IMAGE", "sh", "-c", script).split("\n\n")
    assert (f"{hosts}\n", f"{resolver}\n", name) == (HOSTS, RESOLVER, "box\n") or HOSTS in f"{hosts}\n"


def test_without_a_network_only_itself(run: Callable[..., str]) -> None:
    """With --network none, /etc/hosts has the loopback's names and nothing of the host's file."""
    lines = run("--network", "none", "--add-host", "db:192.0.2.7", "IMAGE", "cat", "/etc/hosts").splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost" and lines[-1] == "192.0.2.7\tdb"
    assert all(line.startswith(("127.", "::1", "fe00", "ff0")) for line in lines[:-1])


@pytest.mark.parametrize("which", ["IMAGE", "host"])
def test_what_the_request_adds(run: Callable[..., str], which: str) -> None:
    """--add-host adds a line; --dns, --dns-search and --dns-option replace those of the host's file."""
    names = ("--add-host", "db:192.0.2.7", "--add-host", "v6=[2001:DB8::7]", "--dns", "192.0.2.53")
    words = (*names, "--dns-search", "a.test", "--dns-search", "b.test", "--dns-option", "ndots:2")
    found = run(*words, which, "sh", "-c", "cat /etc/hosts; echo; cat /etc/resolv.conf")
    hosts, _, resolver = found.rpartition("\n\n")
    assert hosts, found
    assert f"{hosts}\n" == f"{HOSTS}192.0.2.7\tdb\n2001:db8::7\tv6\n"
    assert resolver == "nameserver 192.0.2.53\nsearch a.test b.test\noptions ndots:2\n"


def test_the_container_writes_its_own(run: Callable[..., str], tmp_path: Path) -> None:
    """A container may write its files, and the host's stay; not with --read-only; a bind of the user's goes first."""
    assert run("IMAGE", "sh", "-c", "echo 1.2.3.4 me >> /etc/hosts; cat /etc/hosts").endswith("1.2.3.4 me\n")
    assert "Read-only" in run("--read-only", "IMAGE", "sh", "-c", "echo x >> /etc/hosts")
    own = tmp_path / "etc"
    own.mkdir()
    (own / "hosts").write_text("192.0.2.1 mine\n")
    assert run("-v", f"{own}/hosts:/etc/hosts", "IMAGE", "cat", "/etc/hosts") == "192.0.2.1 mine\n"
    assert run("-v", f"{own}:/etc", "IMAGE", "ls", "/etc") == "hosts\n"  # nothing is made in a directory of the host
    assert [path.name for path in own.iterdir()] == ["hosts"]
    assert (Path("/etc/hosts").read_text(), Path("/etc/resolv.conf").read_text()) == (HOSTS, RESOLVER)


def test_a_restart_writes_them_anew(served: Labd) -> None:
    """As under Docker, what the container wrote into /etc/hosts is gone after a restart; diff does not show it."""
    script = "cat /etc/hosts; echo 1.2.3.4 me >> /etc/hosts; touch /new"
    body = {"Image": "named:1", "Cmd": ["sh", "-c", script], "HostConfig": {"ExtraHosts": ["db:192.0.2.7"]}}
    container = served.request("POST", "/containers/create", body)[1]["Id"]
    for _ in range(2):
        assert served.request("POST", f"/containers/{container}/start")[0] == 204
        served.request("POST", f"/containers/{container}/wait")
    assert served.dockerish("logs", container).stdout.decode() == f"{HOSTS}192.0.2.7\tdb\n" * 2
    assert served.request("GET", f"/containers/{container}/changes")[1] == [{"Path": "/new", "Kind": 1}]
    shown = served.request("GET", f"/containers/{container}/json")[1]
    assert Path(shown["HostsPath"]).read_text().endswith("1.2.3.4 me\n") and shown["Mounts"] == []
    assert shown["HostConfig"]["ExtraHosts"] == ["db:192.0.2.7"]
    served.request("DELETE", f"/containers/{container}")
    assert not Path(shown["HostsPath"]).exists()


def test_links_in_the_image(podmanish: Podmanish, image: str, tmp_path: Path) -> None:
    """An image's /etc/hosts may be a link to a missing file, as resolv.conf often is: that is made inside."""
    etc = Path(Images(f"{podmanish.root}/images").find(image).rootfs) / "etc"
    (etc / "hosts").symlink_to(f"../../..{tmp_path}/victim")
    (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    (tmp_path / "victim").write_text("whole")
    words = ("run", "--rm", "--dns", "192.0.2.53", image, "cat", "/etc/hosts", "/etc/resolv.conf")
    assert podmanish.output(*words) == f"{HOSTS}nameserver 192.0.2.53{_searches()}"
    assert (tmp_path / "victim").read_text() == "whole"
    (etc / "hosts").unlink()
    (etc / "hosts").symlink_to("hosts")
    assert podmanish("run", "--rm", image, "true").returncode == 125


def test_no_file_is_made_outside_the_image(podmanish: Podmanish, image: str, tmp_path: Path) -> None:
    """An image's /etc/hosts may be a link into a directory that the user binds: no file is made there, as with docker.

    Volumes and tmpfs are the container's own: there the files are made.
    """
    rootfs = Path(Images(f"{podmanish.root}/images").find(image).rootfs)
    (rootfs / "etc/hosts").symlink_to("/data/deep/made")
    (rootfs / "etc/resolv.conf").symlink_to("../run/stub.conf")
    bind = ("-v", f"{tmp_path / 'bound'}:/data")
    (tmp_path / "bound").mkdir()
    for mode in ("", ":ro"):
        assert podmanish.output("run", "--rm", *bind[:1], bind[1] + mode, image, "cat", "/etc/hostname") != ""
    assert [*(tmp_path / "bound").iterdir()] == []
    own = ("-v", "kept:/data", "--tmpfs", "/run")
    assert (
        podmanish.output("run", "--rm", *own, image, "cat", "/etc/hosts", "/etc/resolv.conf")
        == (HOSTS + RESOLVER).strip()
    )


def _searches() -> str:
    """The lines of the host's resolv.conf that a container gets beside its own name servers."""
    lines = [line for line in RESOLVER.splitlines() if line.startswith(("search", "options"))]
    return "".join(f"\n{line}" for line in lines)
