"""What a hosting service reads: the workflow and the forms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parent.parent.parent
FORMS = [path for path in (CHECKOUT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
KINDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def commands() -> list[str]:
    """All that the workflow runs."""
    jobs = read(CHECKOUT / ".github/workflows/ci.yml")["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_workflow_runs_what_everybody_can_run() -> None:
    """The hosted checks are .ci/run, so that a failure can be repeated on any Debian."""
    assert "sudo .ci/run" in commands()
    assert os.access(CHECKOUT / ".ci/run", os.X_OK)


def test_the_workflow_s_make_targets_exist() -> None:
    """A target that was renamed in the Makefile must be renamed in the workflow."""
    named = [word for command in commands() if command.startswith("make ") for word in command.split()[1:]]
    targets = {line.split(":")[0] for line in (CHECKOUT / "Makefile").read_text().splitlines() if ":" in line}
    assert named
    assert set(named) <= targets


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_the_hosting_service_requires(path: Path) -> None:
    """Name, description, and questions with distinct ids and a label each."""
    form = read(path)
    assert form["name"]
    assert form["description"]
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in form["body"]} <= KINDS
    assert len({part["id"] for part in questions}) == len(questions) > 0
    assert all(part["attributes"]["label"] for part in questions)


def test_a_bug_comes_with_what_doctor_says() -> None:
    """Most bugs depend on the machine; `lab doctor` describes it."""
    bug = read(CHECKOUT / ".github/ISSUE_TEMPLATE/bug.yml")
    doctor = next(part for part in bug["body"] if part.get("id") == "doctor")
    assert doctor["validations"]["required"]
    assert "SECURITY.md" in bug["body"][0]["attributes"]["value"]
