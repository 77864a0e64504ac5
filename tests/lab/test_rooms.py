"""The house's rules between its rooms, enforced on what is really imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
ROOMS = ("lab", "daemon", "client", "scenarios")
HEAVY = (
    "argparse", "asyncio", "dataclasses", "daemon", "client", "enum", "fastapi", "httpx", "json", "logging", "pathlib",
    "pydantic", "re", "rich", "scenarios", "shutil", "signal", "socket", "subprocess", "tempfile", "threading",
    "typing", "uvicorn",
)  # fmt: skip
# Room or module: what it may not import, not even for types. A name stands for everything below it.
FORBIDDEN = {
    "lab": ("daemon", "client", "scenarios"),
    "lab.forker": ("lab.audit",),
    "lab.runtime": ("lab.audit", "lab.assemble", "lab.images", "lab.record", "lab.runargs", "lab.store"),
    "lab.audit": ("lab.assemble", "lab.images", "lab.runargs", "lab.runtime", "lab.spec", "lab.store"),
    "daemon": ("client", "scenarios", "lab.forker"),
    **dict.fromkeys(
        ("daemon.engine", "daemon.containers", "daemon.execs", "daemon.run", "daemon.stdio", "daemon.spawning"),
        ("fastapi", "starlette", "uvicorn", "daemon.wire", "daemon.routes"),  # the engine knows no HTTP
    ),
    "daemon.programs": ("asyncio", "fastapi", "starlette", "uvicorn", "daemon.spawning", "daemon.archiving"),
    "daemon.wire": ("daemon.routes", "daemon.engine", "daemon.containers"),
    "client": ("daemon", "scenarios", "lab.forker"),
    "scenarios": ("daemon", "client", "lab.forker"),
    "scenarios.performance": tuple(
        f"scenarios.{room}"
        for room in ("stories", "stage", "audiences", "languages", "props", "safety", "playing", "demo", "cli")
    ),
    "scenarios.languages": tuple(
        f"scenarios.{room}" for room in ("stories", "stage", "audiences", "props", "safety", "playing", "demo", "cli")
    ),
    "scenarios.stage": (
        "scenarios.stories",
        "scenarios.audiences",
        "scenarios.playing",
        "scenarios.cli",
        "scenarios.demo",
        "scenarios.doctor",
        "scenarios.claims",
    ),
    "scenarios.audiences": ("scenarios.stories", "scenarios.stage", "scenarios.props", "scenarios.cli"),
    "scenarios.safety": ("scenarios.stories", "scenarios.stage", "scenarios.props", "scenarios.audiences"),
    "scenarios.props": ("scenarios.stories", "scenarios.audiences", "scenarios.cli", "scenarios.demo"),
    "scenarios.playing": ("scenarios.audiences", "scenarios.cli", "scenarios.demo"),
    "scenarios.demo": ("scenarios.cli",),
    "scenarios.talk": ("scenarios.cli", "scenarios.talk_stage", "scenarios.stage", "textual"),
    "scenarios.talk_stage": ("scenarios.cli", "asyncio", "textual"),  # it forks, so it has one thread
    "scenarios.classroom": ("scenarios.cli", "scenarios.demo", "scenarios.stories", "textual"),
    "scenarios.doctor": ("scenarios.cli", "scenarios.demo", "scenarios.stage", "scenarios.stories"),
}
# Rooms with one door: the modules that may import from them.
DOORS = {
    "lab.forker": ("lab.forker",),
    "daemon.routes": ("daemon.routes", "daemon.app"),
    "daemon.programs": ("daemon.programs", "daemon.spawning", "daemon.archiving"),
    "scenarios.stories": ("scenarios.stories", "scenarios.playing"),
}


def inside(module: str, room: str) -> bool:
    """Whether the module is the room's, or the room itself."""
    return module == room or module.startswith(f"{room}.")


def modules() -> dict[str, Path]:
    """Every module of the four rooms, by name."""
    found = {}
    for path in (path for room in ROOMS for path in (CHECKOUT / room).rglob("*.py")):
        name = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it, for types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


IMPORTS = {name: set(imports(path)) for name, path in MODULES.items()}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_import_runs_upwards(room: str) -> None:
    """lab is the ground, daemon and client stand side by side on it, scenarios on top; and so inside the rooms."""
    inhabitants = [name for name in MODULES if inside(name, room)]
    assert inhabitants
    wrong = {
        f"{name} imports {found}"
        for name in inhabitants
        for found in IMPORTS[name]
        for banned in FORBIDDEN[room]
        if inside(found, banned)
    }
    assert not wrong


@pytest.mark.parametrize("room", DOORS)
def test_a_room_has_one_door(room: str) -> None:
    """A room with a door is imported only by the modules that DOORS names."""
    assert any(inside(name, room) for name in MODULES)
    wrong = {
        f"{name} imports {found}"
        for name, targets in IMPORTS.items()
        for found in targets
        if inside(found, room) and not any(inside(name, guest) for guest in DOORS[room])
    }
    assert not wrong


def test_no_two_modules_import_each_other() -> None:
    """The modules can be read from the bottom to the top: no circle, neither late nor for types."""
    graph = {name: {found for found in targets if found in MODULES} - {name} for name, targets in IMPORTS.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


def test_lab_is_standard_library_only() -> None:
    """The ground and the fork/exec engine need nothing but Python."""
    for name, targets in IMPORTS.items():
        if inside(name, "lab"):
            assert {found.split(".")[0] for found in targets} <= {*sys.stdlib_module_names, "lab"}, name


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


@pytest.mark.parametrize("program", ["spawner", "archiver"])
def test_labds_programs_do_without_its_packages(program: str) -> None:
    """What labd execs has one thread and no event loop, so that it may fork, and starts in a few ms."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import daemon.programs.{program}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"asyncio", "fastapi", "httpx", "pydantic", "starlette", "threading"} & set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_are_this_checkouts(room: str) -> None:
    """`daemon` and `client` are plain names: the ones that this venv imports are the lab's own."""
    code = f"import {room}; print({room}.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/", timeout=60)
    assert Path(done.stdout.strip()).is_relative_to(CHECKOUT)


def test_a_demo_loads_no_screen() -> None:
    """`lab` and the stage of a talk start without Textual and without an event loop; the talk's screen loads both."""
    code = "import sys, scenarios.cli, scenarios.talk_stage; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=CHECKOUT
    )
    assert not {"asyncio", "textual", "fastapi", "jinja2", "watchfiles"} & set(done.stdout.split())
