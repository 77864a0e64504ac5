"""The `sudo` of `lab shell`: which words it hands to sudo(8)."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scenarios/props/sudo"
SECURE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize(
    ("typed", "options", "command"),
    [
        ("podmanish run -i --rm host 'a  b'", "", "podmanish run -i --rm host 'a  b'"),
        ("-n -u bob podmanish ps", "-n -u bob", "podmanish ps"),
        ("--user bob -E podmanish ps", "--user bob -E", "podmanish ps"),
        ("--user=bob setsid -w podmanish ps", "--user=bob", "setsid -w podmanish ps"),
        ("-- podmanish -u x", "--", "podmanish -u x"),
        ("A=b dockerish ps", "", "A=b dockerish ps"),
    ],
)
def test_a_command_gets_the_shells_path(tmp_path: Path, typed: str, options: str, command: str) -> None:
    """Between sudo's options and the command stands env(1) with a PATH that begins with the shell's directory."""
    found = words(tmp_path, typed)
    assert found == [*shlex.split(options), "env", f"PATH={tmp_path}:{SECURE}", *shlex.split(command)]


@pytest.mark.parametrize("typed", ["", "-l", "-n -l", "-v", "-i", "-s", "-u bob -i", "-k", "-e /etc/hosts", "--list"])
def test_without_a_command_nothing_is_added(tmp_path: Path, typed: str) -> None:
    """What asks sudo itself, or for a shell, goes to sudo as it was typed."""
    assert words(tmp_path, typed) == shlex.split(typed)


def words(place: Path, typed: str) -> list[str]:
    """The words with which the script would execute sudo(8)."""
    script = place / "sudo"
    text = SCRIPT.read_text()
    assert text.count("exec sudo") == 3
    script.write_text(text.replace("exec sudo", "exec printf '%s\\n' sudo"))
    script.chmod(0o755)
    done = subprocess.run([str(script), *shlex.split(typed)], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[1:]
