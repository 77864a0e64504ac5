"""`podmanish` as an ordinary user: a user namespace in which that user is root."""

from __future__ import annotations

import io
import pwd
import subprocess
import tarfile
from pathlib import Path

import pytest
from support import CHECKOUT, Podmanish, own_mounts

from lab.images import Images

pytestmark = pytest.mark.needs("root", "setpriv", "open-checkout")


@pytest.fixture
def single(rootless: Podmanish) -> Podmanish:
    """The rootless engine without newuidmap(1) in its PATH: its map is a single id."""
    return Podmanish(Path(rootless.command[-3]), rootless.root, [*rootless.command[:-3], "env", "PATH=/nowhere"])


def test_single_id_map(single: Podmanish, user: pwd.struct_passwd) -> None:
    """Without newuidmap(1), root inside is the user outside, and no other user exists."""
    assert single.output("run", "--rm", "host", "cat", "/proc/self/uid_map").split() == ["0", str(user.pw_uid), "1"]
    assert single.output("run", "--rm", "host", "id", "-u") == "0"
    done = single("run", "--rm", "-u", "1", "host", "true")
    assert (done.returncode, b"newuidmap" in done.stderr) == (125, True)


@pytest.mark.needs("newuidmap")
def test_map_of_many_ids(rootless: Podmanish, user: pwd.struct_passwd) -> None:
    """With newuidmap(1) and /etc/subuid the container has at least 65,536 more ids."""
    rows = rootless.output("run", "--rm", "host", "cat", "/proc/self/uid_map").splitlines()
    assert rows[0].split() == ["0", str(user.pw_uid), "1"]
    assert rows[1].split()[0] == "1"
    assert int(rows[1].split()[2]) >= 65536
    assert rootless.output("run", "--rm", "-u", "65534", "host", "id", "-u") == "65534"


def test_the_hosts_files_stay_the_hosts(single: Podmanish) -> None:
    """Root inside, with every capability and the host's root bound, cannot write what the user cannot write."""
    before = Path("/etc/shadow").stat()
    done = single("run", "--rm", "--privileged", "-v", "/:/host", "host", "touch", "/host/etc/shadow")
    assert done.returncode != 0
    assert b"Permission denied" in done.stderr
    assert Path("/etc/shadow").stat() == before


def test_rootless_containers_are_containers(single: Podmanish) -> None:
    """pid 1, a hostname, a terminal, exec and --network none work without root."""
    assert single.output("run", "--rm", "-h", "mine", "host", "sh", "-c", "echo $$ $(hostname)") == "1 mine"
    assert single.output("run", "--rm", "--network", "none", "host", "sh", "-c", "grep -c : /proc/net/dev") == "1"
    assert single.output("run", "--rm", "-t", "host", "tty") == "/dev/pts/0"
    container = single.output("run", "-d", "host", "sleep", "60")
    assert single.output("exec", container, "id", "-u") == "0"
    assert single.output("exec", container, "cat", "/proc/1/comm") == "sleep"
    single.output("rm", "-f", container)
    assert single.output("ps", "-aq") == ""
    assert own_mounts(single.root) == []


def test_a_mount_that_tells_nobody_of_later_ones(single: Podmanish) -> None:
    """rslave of it is refused with the reason, as for root."""
    single.command = ["unshare", "--mount", "--propagation", "private", *single.command]
    done = single("run", "--rm", "-v", "/:/host:rslave", "host", "true")
    assert (done.returncode, b"path / is not on a shared or slave mount" in done.stderr) == (125, True)


def test_exit_codes_without_root(single: Podmanish) -> None:
    """The exit codes are those of root's containers."""
    for command, code in ((["sh", "-c", "exit 7"], 7), (["no-such-command"], 127), (["/etc/passwd"], 126)):
        assert single("run", "--rm", "host", *command).returncode == code


@pytest.mark.parametrize("which", ["single", pytest.param("rootless", marks=pytest.mark.needs("newuidmap"))])
def test_an_image_of_ones_own(
    which: str, request: pytest.FixtureRequest, user: pwd.struct_passwd, rootfs_tar: bytes
) -> None:
    """An ordinary user imports an image, writes in its layer, as another user inside, too, and removes it all."""
    engine: Podmanish = request.getfixturevalue(which)
    script = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from lab.images import Images; "
    script += f"Images({str(engine.root / 'images')!r}).import_tar('small', sys.stdin.buffer)"
    subprocess.run(
        [*engine.command[:-3], "/usr/bin/python3", "-ISc", script], input=rootfs_tar, check=True, cwd="/", timeout=60
    )
    write = "mkdir -p /home/alice/d && echo x > /home/alice/d/f && cat /home/alice/d/f"
    assert engine.output("run", "--rm", "small", "sh", "-c", write) == "x"
    if which == "rootless":
        script = (
            f"chown -R 1000:1000 /home/alice && {write} && chown -R 1000:1000 /home/alice && chmod 700 /home/alice/d"
        )
        assert engine.output("run", "--rm", "small", "sh", "-c", script) == "x"
    words = ("run", "--rm", "--add-host", "db:192.0.2.7", "-v", "data:/home", "small", "sh", "-c")
    assert engine.output(*words, "cat /etc/hosts; ls /home; mkdir -m 0 /home/x").endswith("192.0.2.7\tdb\nalice")
    assert engine.output(*words, "ls /home").split() == ["alice", "x"]
    assert engine.output("volume", "rm", "data") == "data"
    assert engine.output("ps", "-aq") == ""
    assert list((engine.root / "podmanish/containers").iterdir()) == []


def test_state_of_ones_own(single: Podmanish, user: pwd.struct_passwd) -> None:
    """Without --root the state is in the user's data directory, closed to others."""
    home = Path(user.pw_dir)
    command = [*single.command[:-2], "run", "--name", "kept", "host", "true"]
    subprocess.run(command, check=True, timeout=60)
    assert (home / ".local/share/lab/podmanish/names/kept").is_symlink()
    assert (home / ".local/share/lab/podmanish/containers").stat().st_mode & 0o077 == 0


def test_roots_import_keeps_owners_and_modes(tmp_path: Path, rootfs_tar: bytes) -> None:
    """As root, an imported tree keeps its owners and modes."""
    image = Images(str(tmp_path)).import_tar("small", io.BytesIO(rootfs_tar))
    secret = (Path(image.rootfs) / "etc/secret").stat()
    assert (secret.st_uid, secret.st_mode & 0o7777) == (1000, 0o600)


@pytest.mark.parametrize("which", ["single", pytest.param("rootless", marks=pytest.mark.needs("newuidmap"))])
def test_a_commit_of_ones_own(which: str, request: pytest.FixtureRequest, rootfs_tar: bytes) -> None:
    """An ordinary user commits, exports, saves, removes and loads what the user's container has written."""
    engine: Podmanish = request.getfixturevalue(which)
    engine.output("import", "-", "small", input=rootfs_tar, cwd="/")
    engine.output("run", "--name", "c1", "small", "sh", "-c", "rm -r /home; echo x >/new", cwd="/")
    made = engine.output("commit", "-c", "CMD cat /new", "c1", "made", cwd="/")
    with tarfile.open(fileobj=io.BytesIO(engine("export", "c1", cwd="/").stdout)) as root:
        assert "new" in root.getnames() and "home" not in root.getnames()
    saved = engine("save", "made", cwd="/").stdout
    engine.output("rm", "c1", cwd="/")
    assert engine.output("rmi", "made", cwd="/").endswith(f"Deleted: {made}")
    assert engine.output("load", input=saved, cwd="/") == "Loaded image: made:latest"
    assert engine.output("run", "--rm", "made", cwd="/") == "x"
    assert engine("run", "--rm", "made", "ls", "/home", cwd="/").returncode == 1
