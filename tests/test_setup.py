"""tools/setup give-back: what `sudo make` leaves in somebody's checkout becomes that somebody's, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "tools/setup"
NOBODY = 65534

pytestmark = pytest.mark.needs("root")


def test_give_back_follows_no_link(tmp_path: Path) -> None:
    """Root's files in .venv, __pycache__ and site are given; no symlink and no hard link leads further."""
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
    """.venv itself may be a symlink: what it leads to stays whose it was."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "checkout/tools").mkdir(parents=True)
    shutil.copy(SETUP, tmp_path / "checkout/tools")
    (tmp_path / "checkout/.venv").symlink_to(precious)
    os.chown(tmp_path / "checkout", NOBODY, NOBODY)
    subprocess.run([tmp_path / "checkout/tools/setup", "give-back"], check=True, timeout=60)
    assert {path.stat().st_uid for path in (precious, precious / "file")} == {0}
