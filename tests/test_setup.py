"""tools/setup: whose checkout it is. What `sudo make` leaves in a user's checkout becomes that user's, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "tools/setup"
NOBODY = 65534

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def checkout(open_path: Path) -> Path:
    """A checkout with as much as tools/setup reads before it makes a venv."""
    folder = open_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(SETUP, folder / "tools")
    for name in ("pyproject.toml", "constraints.txt", "tools/launcher.py"):
        (folder / name).touch()
    return folder


def refused(checkout: Path, user: int | None) -> str:
    """What `tools/setup venv` says when it stops before it makes anything."""
    done = subprocess.run(
        ["tools/setup", "venv"], cwd=checkout, user=user, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert not (checkout / ".venv/bin").exists()
    return done.stderr


def test_another_persons_checkout(checkout: Path) -> None:
    """Who may not write to a checkout that is another's is told to use sudo make or a copy, never to chown it."""
    said = refused(checkout, NOBODY)
    assert f"nobody may not write to {checkout}, which belongs to root" in said
    assert "sudo make" in said
    assert f"cp -r '{checkout}' ~/loginuid-lab" in said
    assert "chown" not in said


def test_what_root_has_left_in_ones_own_checkout(checkout: Path) -> None:
    """In one's own checkout, the folder that root has left there is named in a chown, and nothing else."""
    (checkout / ".venv").mkdir()
    os.chown(checkout, NOBODY, NOBODY)
    assert f"Paste:  sudo chown -R nobody '{checkout}/.venv'  " in refused(checkout, NOBODY)


def test_a_venv_that_lies_elsewhere(checkout: Path) -> None:
    """A .venv that leads out of the checkout is refused, even for root; one that leads to a folder inside is not."""
    for target in ("/var", "../elsewhere", f"{checkout}2"):
        (checkout / ".venv").symlink_to(target)
        said = refused(checkout, None)
        assert f".venv is a symlink that leads out of the checkout, to {target}." in said
        (checkout / ".venv").unlink()
    (checkout / "inside").mkdir()
    (checkout / ".venv").symlink_to("inside")
    (checkout / "python").write_text("#!/bin/sh\necho /bin/false\n")  # so that setup gets no further than this
    (checkout / "python").chmod(0o755)
    done = subprocess.run(
        ["tools/setup", "venv"], cwd=checkout, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHON": f"{checkout}/python"},
    )  # fmt: skip
    assert "setting up .venv" in done.stderr or "python3-venv" in done.stderr


def test_give_back_follows_no_link(tmp_path: Path) -> None:
    """Root's files in .venv, __pycache__ and site go to the checkout's owner; no symlink or hard link is followed."""
    precious = tmp_path / "precious"
    (precious / "__pycache__").mkdir(parents=True)
    (precious / "__pycache__/file").touch()
    (precious / "file").touch()
    checkout = tmp_path / "checkout"
    for folder in ("tools", ".venv/lib", "lab/__pycache__", "lab/audit/__pycache__", "x.egg-info", "daemon", "site/a"):
        (checkout / folder).mkdir(parents=True)
    shutil.copy(SETUP, checkout / "tools")
    made = [checkout / path for path in (".venv/lib/made", "lab/__pycache__/made", "x.egg-info/made", "site/a/made")]
    made.append(checkout / ".coverage")
    for path in made:
        path.touch()
    (checkout / "root's").touch()
    (checkout / ".venv/lib64").symlink_to(precious)
    (checkout / "daemon/__pycache__").symlink_to(precious)
    (checkout / "scenarios").symlink_to(precious)
    (checkout / "lab/x").symlink_to(precious)
    (checkout / ".venv/hard").hardlink_to(precious / "file")
    os.chown(checkout, NOBODY, NOBODY)
    subprocess.run([checkout / "tools/setup", "give-back"], check=True, timeout=60)
    assert [path.stat().st_uid for path in (*made, checkout / ".venv", made[1].parent)] == [NOBODY] * 7
    assert {path.stat().st_uid for path in (precious, *precious.rglob("*"), checkout / "root's")} == {0}


def test_give_back_to_a_checkout_that_is_a_symlink_in_part(tmp_path: Path) -> None:
    """Where .venv itself is a symlink, the files behind it keep their owner."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "checkout/tools").mkdir(parents=True)
    shutil.copy(SETUP, tmp_path / "checkout/tools")
    (tmp_path / "checkout/.venv").symlink_to(precious)
    os.chown(tmp_path / "checkout", NOBODY, NOBODY)
    subprocess.run([tmp_path / "checkout/tools/setup", "give-back"], check=True, timeout=60)
    assert {path.stat().st_uid for path in (precious, precious / "file")} == {0}
