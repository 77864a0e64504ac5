"""Exercises 6 and 13, without root: what their checks say where a student cannot know what is wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lab.identity import UNSET
from scenarios.classroom.exercise import find
from scenarios.classroom.lessons import Taught, Work
from scenarios.performance.beats import FAILED, HELD
from scenarios.stage.report import Verdict


def check_of(number: str) -> ModuleType:
    """The module of that exercise's check, loaded by its path."""
    path = next(find(number).folder.glob("test_*.py"))
    spec = importlib.util.spec_from_file_location(f"check_of_{number}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdicts(number: int) -> list[Verdict]:
    """What the story `run` says where podmanish's containers have this loginuid, and the login is 1000."""
    forked = [Verdict("", HELD if number == 1000 else FAILED, str(number)) for _ in range(3)]
    return [*forked, *(Verdict("", HELD, "") for _ in range(3))]


def test_a_lost_loginuid_is_unset(tmp_path: Path) -> None:
    """Root's number is a login's, as any other is; the goal and the page say so, too."""
    (tmp_path / "change.toml").write_text("")
    check = check_of("6")
    check.test_the_fork_is_broken(Work(tmp_path), {"": verdicts(UNSET)})
    for number, seen in ((1000, "it still is"), (0, "0"), (4242, "4242")):
        with pytest.raises(Taught) as taught:
            check.test_the_fork_is_broken(Work(tmp_path), {"": verdicts(number)})
        assert taught.value.parts[1][1] == seen
    assert "unset" in find("6").about.goal


@pytest.mark.parametrize(
    ("script", "good"),
    [
        (find("13").start()["inside.sh"].decode(), True),  # its comment names both
        (find("13").solution()["inside.sh"].decode(), True),
        ("# dockerish is another way\nchroot /host systemd-run touch $WATCHED\n", False),
    ],
)
def test_where_pid_1_is_not_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, good: bool) -> None:
    """Who asks systemd alone is told at once what to do; where systemd is there, nobody is."""
    check = check_of("13")
    (tmp_path / "inside.sh").write_text(script)
    monkeypatch.setattr(check, "SYSTEMD", tmp_path / "none")
    if good:
        check.test_somebody_is_there_to_ask(Work(tmp_path))
        return
    with pytest.raises(Taught) as taught:
        check.test_somebody_is_there_to_ask(Work(tmp_path))
    assert taught.value.whole and "vagrant up" in taught.value.parts[2][1]
    monkeypatch.setattr(check, "systemd_answers", lambda: True)
    check.test_somebody_is_there_to_ask(Work(tmp_path))
