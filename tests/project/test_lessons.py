"""The lesson plans of docs/teacher.md: the minutes are the exercises' own, they fill the hour, and there is slack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.classroom.exercise import every

PAGE = (Path(__file__).parent.parent.parent / "docs/teacher.md").read_text(encoding="utf-8")
MINUTES = {one.number: one.about.minutes for one in every()}


def rows(plan: str) -> list[tuple[int, str]]:
    """The minutes and the rest of each row of a plan."""
    text = PAGE.partition(f"### {plan} minutes\n")[2].partition("\n#")[0]
    return [(int(minutes), rest) for minutes, rest in re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)]


@pytest.mark.parametrize("plan", ["45", "90", "180"])
def test_a_plan_fills_its_time_with_slack(plan: str) -> None:
    """The rows add up to the heading, and a tenth of the time or more is nobody's."""
    found = rows(plan)
    assert sum(minutes for minutes, _ in found) == int(plan)
    assert sum(minutes for minutes, rest in found if "slack" in rest) >= int(plan) / 10 - 1


@pytest.mark.parametrize("plan", ["45", "90", "180"])
def test_an_exercise_has_the_minutes_that_it_says(plan: str) -> None:
    """As its exercise.toml, and the order is the list's."""
    named = [
        (int(number), minutes) for minutes, rest in rows(plan) for number in re.findall(r"\[exercise (\d+)\]", rest)
    ]
    assert named and named == sorted(named)
    assert named == [(number, MINUTES[number]) for number, _ in named]
