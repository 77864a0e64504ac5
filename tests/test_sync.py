"""provision/sync.sh: the host's checkout comes into the guest, and what was edited there is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROVISION = Path(__file__).parent.parent / "provision"
NOBODY = 65534

pytestmark = pytest.mark.needs("root")


class Guest:
    """A host's checkout, a guest's, and a sync.sh that keeps its state beside them."""

    def __init__(self, path: Path) -> None:
        self.path, self.host, self.checkout = path, path / "host", path / "vagrant"
        script = (PROVISION / "sync.sh").read_text()
        (path / "sync.sh").write_text(
            script.replace("/var/lib/loginuid-lab", str(path / "var")).replace("/run/", "/x/")
        )
        self.host.mkdir()
        for name in ("pyproject.toml", "a", "b", "folder/c d", "folder/e"):
            self.write(self.host, name, "old")

    def write(self, checkout: Path, name: str, text: str) -> None:
        """Write a file of the one or the other checkout."""
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(text)

    def run(self, *words: str) -> str:
        """Run sync.sh for this guest, as sudo would for the user nobody."""
        return subprocess.run(
            ["bash", self.path / "sync.sh", *words, self.checkout], capture_output=True, text=True, check=True,
            env={"PATH": os.environ["PATH"], "SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}, timeout=60,
        ).stdout  # fmt: skip

    def up(self) -> str:
        """Bring the host's checkout as it is now, as `vagrant up` does."""
        shutil.copytree(self.host, self.path / "var/new")
        return self.run(str(self.path / "var/new"))

    def files(self) -> dict[str, str]:
        """What is in the guest's checkout."""
        return {str(f.relative_to(self.checkout)): f.read_text() for f in self.checkout.rglob("*") if f.is_file()}


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A guest after its first `vagrant up`."""
    guest = Guest(tmp_path)
    assert guest.up() == ""
    return guest


def test_the_first_time(guest: Guest) -> None:
    """The guest's checkout is a copy of the host's, and belongs to the user who logs in."""
    assert guest.files() == dict.fromkeys(("pyproject.toml", "a", "b", "folder/c d", "folder/e"), "old")
    assert {path.stat().st_uid for path in (guest.checkout, *guest.checkout.rglob("*"))} == {NOBODY}


def test_changes_of_the_host_arrive(guest: Guest) -> None:
    """New, changed and deleted files arrive with the present time and their owner; files that the host lacks stay."""
    guest.write(guest.checkout, ".venv", "the guest's")
    guest.write(guest.host, "a", "new")
    guest.write(guest.host, "x/new", "new")
    (guest.host / "folder/e").unlink()
    os.utime(guest.host / "a", (1, 1))
    before = guest.checkout.stat().st_mtime
    assert guest.up() == "lab: 2 files came from the host\n"
    assert guest.files() == {
        "pyproject.toml": "old", "a": "new", "b": "old", "folder/c d": "old", "x/new": "new", ".venv": "the guest's",
    }  # fmt: skip
    assert (guest.checkout / "a").stat().st_mtime >= before
    assert (guest.checkout / "x/new").stat().st_uid == NOBODY


def test_edits_in_the_guest_stay(guest: Guest) -> None:
    """A file that was edited in the guest survives, also where the host has changed it, too; its name is printed."""
    guest.write(guest.checkout, "folder/c d", "edited")
    guest.write(guest.checkout, "b", "edited")
    (guest.checkout / "a").unlink()
    guest.write(guest.host, "b", "new")
    for _ in range(2):
        shown = guest.up()
        assert "\n  a\n  b\n  folder/c d\n" in shown
        assert "sudo make undo" in shown
        assert (guest.checkout / "b").read_text() == "edited"
        assert not (guest.checkout / "a").exists()


def test_undo(guest: Guest) -> None:
    """`make undo` gives every file the content that the host's had when it came last, and names what it changed."""
    guest.write(guest.checkout, "b", "edited")
    (guest.checkout / "a").unlink()
    guest.write(guest.host, "b", "new")
    guest.up()
    assert guest.run("undo") == "lab: as on the host again: a\nlab: as on the host again: b\n"
    assert guest.files()["b"] == "new"
    assert guest.files()["a"] == "old"
    assert guest.run("undo") == "lab: no file differs from the host's\n"
    assert guest.up() == ""
