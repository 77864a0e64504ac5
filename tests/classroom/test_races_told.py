"""Exercise 12, without root: what its check says of a function that fails, or that does not end."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from scenarios.classroom.exercise import EXERCISES
from scenarios.classroom.lessons import Taught, Work
from scenarios.languages.choice import LANGUAGES

SCENE = SimpleNamespace(login=4711, other=4712)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the check, loaded by its path."""
    spec = importlib.util.spec_from_file_location("check_of_12", EXERCISES / "12-caller/test_caller.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_of_12", module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def said(check: ModuleType, folder: Path, body: str) -> str:
    """What is seen of who_asks() with this body."""
    (folder / "caller.py").write_text(f"import sys\ndef who_asks(connection):\n    {body}\n")
    one, other = socket.socketpair()
    with one, other:
        return str(check.told(SCENE, check.run(folder / "caller.py", one, None)))


@pytest.mark.parametrize(
    ("body", "seen", "chinese"),
    [
        ("return 4711", "4711, the caller's loginuid", "4711"),
        ("return 'x'", "who_asks() returned 'x', which is neither a number nor None", "既不是數字"),
        ("open('/nothing')", "FileNotFoundError, line 3: [Errno 2] No such file or directory: '/nothing'", "第 3 行"),
        ("sys.exit(3)", "SystemExit, line 3: 3", "第 3 行"),
        ("import os; os._exit(0)", "caller.py ended without an answer", "沒有回答"),
    ],
)
def test_what_is_seen(check: ModuleType, tmp_path: Path, body: str, seen: str, chinese: str) -> None:
    """The exception and its text stay as they are; nothing is left beside the student's file."""
    assert said(check, tmp_path, body) == seen
    assert chinese in LANGUAGES["zh-TW"].translate(seen)
    assert [path.name for path in tmp_path.iterdir()] == ["caller.py"]


def test_a_function_that_does_not_end_is_told_once(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each other race would wait as long."""
    monkeypatch.setattr(check, "SECONDS", 1)
    race = check.Race(lambda scene: (socket.socket(socket.AF_UNIX), None), lambda scene: None, "None", "elsewhere")
    monkeypatch.setitem(check.RACES, "it waits", race)
    (tmp_path / "caller.py").write_text("def who_asks(connection):\n    while True: pass\n")
    with pytest.raises(Taught) as taught:
        check.test_who_asks(Work(tmp_path), "it waits")
    assert taught.value.whole
    assert [what for _, what in taught.value.parts] == ["None", "who_asks() did not end within 1 s", check.HANGS]
