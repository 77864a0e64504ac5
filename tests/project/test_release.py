"""Version and changelog: one number, in the form of Keep a Changelog."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
HEADINGS = re.findall(r"^## (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
RELEASE = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def releases() -> list[tuple[str, ...]]:
    """(major, minor, patch, date) of each release, the newest first."""
    matches = [RELEASE.fullmatch(heading) for heading in HEADINGS[1:]]
    assert all(matches), HEADINGS
    return [match.groups() for match in matches if match]


def test_the_version_is_the_changelogs_newest() -> None:
    """pyproject.toml's version is that of the first release in CHANGELOG.md."""
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert version == ".".join(releases()[0][:3])


def test_the_changelog_is_in_order() -> None:
    """[Unreleased] is on top; versions and dates fall."""
    assert HEADINGS[0] == "[Unreleased]"
    numbers = [tuple(map(int, release[:3])) for release in releases()]
    days = [date.fromisoformat(release[3]) for release in releases()]
    assert numbers == sorted(set(numbers), reverse=True)
    assert days == sorted(days, reverse=True)


def test_the_changelog_knows_six_kinds_of_change() -> None:
    """Added, Changed, Deprecated, Removed, Fixed, Security; keepachangelog.com 1.1.0."""
    kinds = re.findall(r"^### (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert kinds
    assert set(kinds) <= KINDS
