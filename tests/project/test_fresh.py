"""tools/fresh: README's commands on a new Debian. .ci/run makes the roots; here is what must hold around them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import fresh

CHECKOUT = Path(__file__).parent.parent.parent


def test_readme_s_commands_are_typed_word_for_word() -> None:
    """git clone, cd, sudo make demo; only the placeholder is replaced and YES=1 added."""
    commands = fresh.first_commands()
    assert [line.split()[0] for line in commands] == ["git", "cd", "sudo"]
    readme = (CHECKOUT / "README.md").read_text()
    assert commands[0].replace("/srv/lab.git", fresh.PLACEHOLDER) in readme
    assert commands[1] in readme
    assert commands[2].removesuffix(" YES=1") in readme


@pytest.mark.needs("git")
def test_the_repository_is_this_checkout(tmp_path: Path) -> None:
    """The bare repository has one commit, with edited files as they are and without those of .gitignore."""
    fresh.repository(tmp_path / "lab.git")
    git = ["git", f"--git-dir={tmp_path}/lab.git"]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", "HEAD"], capture_output=True, text=True, check=True)
    names = listed.stdout.splitlines()
    assert "tools/fresh.py" in names
    assert not [name for name in names if name.startswith(".venv/")]
    shown = subprocess.run([*git, "show", "HEAD:tools/fresh.py"], capture_output=True, text=True, check=True)
    assert shown.stdout == (CHECKOUT / "tools/fresh.py").read_text()


def test_the_first_verdict_is_seen_and_enter_pressed() -> None:
    """A verdict is known by its mark, also in colour; Enter goes to the program once for each prompt."""
    ask = "printf 'Enter to go on'; read _"
    script = rf"printf 'a ✔\n'; printf '  \033[32m✔\033[0m sudo keeps it\n'; {ask}; {ask}"
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        assert fresh.watch(process.stdout, process.stdin) > 0
        assert process.wait(20) == 0


def test_without_a_verdict_there_is_no_first() -> None:
    """A program that ends without a verdict has none, and its output is not taken for one."""
    output, end = os.pipe()
    os.write(end, "installing ✔ things\n".encode())
    os.close(end)
    with os.fdopen(output, "rb") as file:
        assert fresh.watch(file, io.BytesIO()) == 0


@pytest.fixture
def inhabited(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A directory with a file, and a process in a mount namespace where the directory is a mount's root."""
    root = tmp_path / "suite-8fk2l0aq"
    root.mkdir()
    (root / "file").touch()
    inside = ["unshare", "--mount", "--propagation=private", "sh", "-c", 'mount --bind "$1" "$1" && echo && exec cat']
    process = subprocess.Popen([*inside, "sh", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        assert process.stdout.readline() == b"\n"
        yield root, process
        process.kill()
        process.wait()


@pytest.mark.needs("root", "unshare")
def test_only_inhabitants_are_killed(inhabited: tuple[Path, subprocess.Popen[bytes]]) -> None:
    """evict ends the processes in whose mount namespace the root lies, except the one that it is told to spare."""
    root, process = inhabited
    assert fresh.inhabitants(root.name) == [process.pid]
    fresh.evict(root.name, but=process.pid)
    assert process.poll() is None
    reaper = threading.Thread(target=process.wait)  # a zombie has no mount namespace, but is not reaped by evict either
    reaper.start()
    fresh.evict(root.name)
    reaper.join(20)
    assert process.returncode == -9


@pytest.mark.needs("root")
def test_a_mounted_root_is_not_deleted(tmp_path: Path) -> None:
    """Where a mount of this machine lies below the root, nothing is deleted."""
    root = tmp_path / "suite-8fk2l0aq"
    (root / "below").mkdir(parents=True)
    (root / "file").touch()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "below"], check=True)
    try:
        with pytest.raises(SystemExit, match="is mounted"):
            fresh.remove(root)
        assert (root / "file").exists()
    finally:
        subprocess.run(["umount", root / "below"], check=True)
    fresh.remove(root)
    assert not root.exists()


def test_a_build_that_is_broken_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the root nor debootstrap's output stays; the downloaded packages do."""

    def broken_off(suite: str, root: Path, packages: Path) -> None:
        root.with_suffix(".log").write_text("I: Retrieving InRelease")
        (root / "bin").mkdir()
        raise SystemExit(143)

    monkeypatch.setenv("LAB_FRESH", str(tmp_path))
    monkeypatch.setattr(fresh, "build", broken_off)
    with pytest.raises(SystemExit), fresh.machine("sid"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["sid"]


@pytest.mark.parametrize(("wanted", "outcome"), [("", "1 skipped"), ("all", "1 error"), ("all,-git", "1 skipped")])
def test_what_lab_require_makes_of_a_missing_program(tmp_path: Path, wanted: str, outcome: str) -> None:
    """A test whose need is missing is skipped; LAB_REQUIRE=all makes it fail, and all,-NAME all others but this."""
    test = "tests/project/test_lint.py::test_each_check_finds_its_fault[codespell]"
    command = [sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path}/inner", test]
    env = {**os.environ, "PATH": str(tmp_path), "LAB_REQUIRE": wanted}
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert outcome in done.stdout
