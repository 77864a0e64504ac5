"""Each story has its page and its transcript, and the transcript is of that story, told to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.stage.stage import Story
from scenarios.stories import REAL_ONLY, STORIES

PAGES = Path(__file__).parent.parent / "docs" / "stories"


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_transcript(story: Story) -> None:
    """Title, commands, held claims, the summary, 80 columns; no claim failed when it was made."""
    lines = (PAGES / f"{story.NAME}.txt").read_text().splitlines()
    assert story.TITLE in lines
    assert any(line.startswith("  $ ") for line in lines)
    assert any(line.startswith(f"  ✔ {story.NAME} ") for line in lines)
    assert not any(line.startswith(("  ✘ ", "  ? ")) for line in lines)
    assert all(len(line) <= 80 or line.startswith("  $ ") for line in lines)


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_page(story: Story) -> None:
    """What you see, why, how to defend, real engines today, sources; linked from the README."""
    page = (PAGES / f"{story.NAME}.md").read_text()
    for heading in ("## What you see", "## Why", "## How to defend", "## Real Docker and Podman today", "## Sources"):
        assert heading in page, heading
    assert f"{story.NAME}.txt" in page
    assert f"docs/stories/{story.NAME}.md" in (PAGES.parent.parent / "README.md").read_text()
