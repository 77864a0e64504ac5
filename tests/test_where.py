"""tools/where: which machine plays the demo. A script is the `vagrant` here; `make test-vm` has the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

WHERE = Path(__file__).parent.parent / "tools/where"
VAGRANT = """#!/bin/sh
case $1 in
  status) echo "1,lab,state,$STATE" ;;
  ssh) shift; printf '<%s>' "$@"; exit 7 ;;
esac
"""
LAB = "#!/bin/sh\necho here with $@\nexit 3\n"
NOBODY = 65534

pytestmark = pytest.mark.skipif(Path("/etc/loginuid-lab").exists(), reason="in the lab's own machine all runs here")


class Checkout:
    """A checkout with nothing but tools/where, and a vagrant that says what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("tools", "bin", ".venv/bin"):
            (path / folder).mkdir(parents=True)
        shutil.copy(WHERE, path / "tools")
        for name, script in (("bin/vagrant", VAGRANT), (".venv/bin/lab", LAB), ("tools/setup", "#!/bin/sh\n")):
            (path / name).write_text(script)
            (path / name).chmod(0o755)

    def make_guest(self) -> None:
        """Leave what Vagrant leaves of a machine that it has made."""
        machine = self.path / ".vagrant/machines/lab/libvirt"
        machine.mkdir(parents=True)
        (machine / "id").write_text("1")

    def run(self, *words: str, user: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run tools/where."""
        path = f"{self.path}/bin:{os.environ['PATH']}"
        return subprocess.run(
            ["tools/where", *words], cwd=self.path, env={"PATH": path, "STATE": "running", **env}, user=user,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """Readable by nobody, too, which pytest's own directories are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Checkout(Path(name))


def test_a_guest_that_is_up_is_the_place(checkout: Checkout) -> None:
    """The target runs there, without a tty if there is none here, and its exit status is ours."""
    checkout.make_guest()
    done = checkout.run("demo", "--as", "a b")
    command = "cd /vagrant && sudo tools/where demo --as a\\ b"
    assert (done.stdout, done.returncode) == (f"<lab><--no-tty><-c><{command}>", 7)


@pytest.mark.needs("root")
@pytest.mark.parametrize("made", [True, False])
def test_without_a_running_guest_root_plays_here(checkout: Checkout, made: bool) -> None:
    """A guest that is shut off, or none: on Linux as root, right here, with lab's own exit status."""
    if made:
        checkout.make_guest()
    done = checkout.run("demo", "--auto", STATE="shutoff")
    assert (done.stdout, done.returncode) == ("here with demo --auto\n", 3)


@pytest.mark.needs("root")
def test_nowhere_to_play(checkout: Checkout) -> None:
    """No guest, no root: one sentence, and the two ways out."""
    done = checkout.run("demo", user=NOBODY)
    assert done.returncode == 125
    assert "vagrant up" in done.stderr
    assert "sudo make demo" in done.stderr


@pytest.mark.needs("root")
def test_the_user_decides(checkout: Checkout) -> None:
    """WHERE=here though a guest is up; WHERE=guest though there is none."""
    assert checkout.run("demo", WHERE="guest").returncode == 125
    checkout.make_guest()
    assert "here or guest" in checkout.run("demo", WHERE="there").stderr
    assert checkout.run("talk", WHERE="here").stdout == "here with demo --pause\n"
    assert checkout.run("demo", "x", WHERE="here").stdout == "here with demo x\n"
