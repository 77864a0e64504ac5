"""The house's rules between its rooms, held up by what is really imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
HEAVY = (
    "argparse", "asyncio", "dataclasses", "daemon", "client", "enum", "fastapi", "httpx", "json", "logging", "pathlib",
    "pydantic", "re", "rich", "scenarios", "shutil", "signal", "socket", "subprocess", "tempfile", "threading",
    "typing", "uvicorn",
)  # fmt: skip
FORBIDDEN = {
    "lab": {"daemon", "client", "scenarios", "bench", "tests"},
    "daemon": {"client", "scenarios", "bench", "tests"},
    "client": {"daemon", "scenarios", "bench", "tests"},
    "scenarios": {"bench", "tests"},
}


def imports(path: Path) -> Iterator[str]:
    """The first part of every module's name that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_import_runs_upwards(room: str) -> None:
    """lab is the ground, daemon and client stand side by side on it, scenarios on top."""
    files = list((CHECKOUT / room).rglob("*.py"))
    assert files
    for path in files:
        assert not set(imports(path)) & FORBIDDEN[room], path


def test_lab_is_standard_library_only() -> None:
    """The ground and the fork/exec engine need nothing but Python."""
    for path in (CHECKOUT / "lab").rglob("*.py"):
        assert set(imports(path)) <= {*sys.stdlib_module_names, "lab"}, path


@pytest.mark.needs("root")
def test_the_hot_path_is_lean(tmp_path: Path) -> None:
    """A whole `podmanish run` imports no module that would cost it more than its container does."""
    code = f"""
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from lab.forker.cli import main
assert main(["--root", sys.argv[1], "run", "--rm", "host", "true"]) == 0
print(*sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-ISc", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(HEAVY) & set(done.stdout.split())


@pytest.mark.parametrize("room", FORBIDDEN)
def test_the_rooms_are_this_checkouts(room: str) -> None:
    """`daemon` and `client` are plain names: the ones that this venv imports are the lab's own."""
    code = f"import {room}; print({room}.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert Path(done.stdout.strip()).is_relative_to(CHECKOUT)
