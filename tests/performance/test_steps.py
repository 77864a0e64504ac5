"""The recordings that are shipped: of every story, held, in steps that fit, and what the pages draw from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.audiences.drawing import Look, height
from scenarios.performance import recording
from scenarios.performance.beats import FAILED, Closing, Contrast, Heading, Moment, Verdict, pages
from scenarios.playing import ALL
from scenarios.replay import judged_again
from scenarios.stage.stage import Story
from tools.drawn import BLOCK, CHECKOUT, RECORDINGS, redrawn

stories = pytest.mark.parametrize("story", ALL, ids=lambda story: story.NAME)


def moments(story: Story) -> list[Moment]:
    """The shipped recording of a story."""
    return list(recording.read(RECORDINGS / f"{story.NAME}.jsonl"))


@stories
def test_a_story_is_told_to_its_end(story: Story) -> None:
    """Its heading, a card, no claim that failed, and the closing."""
    beats = [moment.beat for moment in moments(story)]
    assert [beat.name for beat in beats if isinstance(beat, Heading)] == [story.NAME]
    assert any(isinstance(beat, Contrast) for beat in beats)
    assert not [beat for beat in beats if isinstance(beat, Verdict) and beat.verdict == FAILED]
    assert isinstance(beats[-1], Closing)


@stories
@pytest.mark.parametrize(("width", "lines"), [(80, 20), (60, 18)])
def test_each_step_fits(story: Story, width: int, lines: int) -> None:
    """A talk has two lines of its own on a screen of 24 lines of 80 columns, and on one of 20 lines of 60."""
    for step in pages(moments(story)):
        assert height(step, Look(width)) <= lines, step


@stories
def test_each_verdict_follows_again(story: Story) -> None:
    """What `lab verify` says of it; most stories rest on records and numbers that the recording holds."""
    again = list(judged_again(moments(story)))
    assert all(second.now == second.first for second in again)


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs/stories").glob("*.md"))],
                         ids=lambda page: page.name)  # fmt: skip
def test_a_page_shows_what_is_drawn_from_a_recording(page: Path) -> None:
    """`python -m tools.drawn` would change nothing; each page has a drawn block."""
    text = page.read_text()
    assert BLOCK.search(text) or page.name == "variants.md"
    assert redrawn(text) == text
