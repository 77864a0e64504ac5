"""tools/cover.py: a line counts wherever it was executed, and the rooms need nothing for that."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

from tools import cover

CHILD = """\
import os, signal, threading
def in_thread():
    return 1
def in_child(place, end):
    os.chroot(place)
    os.closerange(3, 100)
    os.setuid(65534)
    end()
def killed():
    os.kill(os.getpid(), signal.SIGKILL)
def left():
    os._exit(0)
def replaced():
    os.execv("/bin/true", ["true"])
def never():
    return 2
"""
CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import os, threading
from room import child
thread = threading.Thread(target=child.in_thread)
thread.start()
thread.join()
for end in (child.killed, child.left, child.replaced):
    if os.fork() == 0:
        try:
            child.in_child(sys.argv[2], end)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.needs("root")
def test_lines_of_children_that_save_nothing_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another root, another user, no descriptors, SIGKILL, _exit(2): memory of mmap(2) is still shared."""
    room, work, empty = (tmp_path / name for name in ("room", "work", "empty"))
    for directory in (room, work, empty):
        directory.mkdir()
    (room / "__init__.py").write_text('"""A room."""\n')
    (room / "child.py").write_text(CHILD)
    monkeypatch.setattr(cover, "CHECKOUT", tmp_path)
    monkeypatch.setattr(cover, "ROOMS", ("room",))
    begins = cover.prepare(work)
    (work / "room.py").replace(room / "__init__.py")  # run_tests() mounts it there
    done = subprocess.run(
        [sys.executable, "-ISc", CODE, str(tmp_path), str(empty)], env={}, capture_output=True, text=True, check=True
    )
    # There is no /bin/true in the empty root: the child ends with the OSError of its execv().
    assert done.stdout.split() == [str(-signal.SIGKILL), "0", "1"]
    (room / "__init__.py").write_text('"""A room."""\n')
    cover.save(work, begins, tmp_path / "data")
    data = CoverageData(str(tmp_path / "data"))
    data.read()
    lines = CHILD.splitlines()
    reached = {lines[number - 1].strip() for number in data.lines(str(room / "child.py")) or ()}
    bodies = {line.strip() for line in lines if line.startswith("    ")}
    assert bodies - reached == {"return 2"}
    assert data.lines(str(room / "__init__.py")) == [1]


def test_the_rooms_carry_no_hook() -> None:
    """Nothing in the product knows of the measurement."""
    for path in cover.sources():
        text = path.read_text()
        assert "settrace" not in text, path
        assert "coverage" not in text, path


def test_the_tests_without_a_trace_exist() -> None:
    """A test that was renamed must be renamed in tools/cover.py."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *cover.UNTRACED]
    done = subprocess.run(command, cwd=cover.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert all(name in done.stdout for name in cover.UNTRACED)
