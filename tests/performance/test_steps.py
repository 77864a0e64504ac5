"""The recordings that are shipped: of every story, held, in steps that fit, and what the pages draw from them."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from collecting import Collector
from rich.console import Console

from scenarios.audiences.drawing import MOST_TITLES, height
from scenarios.audiences.look import Look
from scenarios.audiences.terminal import Terminal
from scenarios.claims import CLAIMS
from scenarios.languages.choice import LANGUAGES, Language
from scenarios.performance import recording
from scenarios.performance.beats import (
    FAILED,
    HELD,
    Article,
    Closing,
    Contrast,
    Heading,
    Moment,
    Summary,
    Verdict,
    pages,
)
from scenarios.performance.beats import Told as StoryTold
from scenarios.performance.performance import Performance
from scenarios.performance.text import Text
from scenarios.playing import ALL, ROWS_A_STEP, conclude
from scenarios.replay import judged_again
from scenarios.stage.report import Report
from scenarios.stage.report import Verdict as Told
from scenarios.stage.stage import Story
from scenarios.stories import STORIES, run
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
@pytest.mark.parametrize("language", LANGUAGES.values(), ids=lambda language: language.code)
@pytest.mark.parametrize(("width", "lines"), [(80, 20), (60, 18)])
def test_each_step_fits(story: Story, width: int, lines: int, language: Language) -> None:
    """A talk has two lines of its own on a screen of 24 lines of 80 columns, and on one of 20 lines of 60."""
    for step in pages(moments(story)):
        assert height(step, Look(width, translate=language.translate)) <= lines, step


def test_a_whole_demo_is_short() -> None:
    """`lab demo --auto` prints fewer than 450 lines: a story's part of its recording in brief, and 30 around them."""
    lines = [len(brief(moments(story)).splitlines()) for story in STORIES]
    assert sum(lines) + 30 < 450, dict(zip([story.NAME for story in STORIES], lines, strict=True))


def test_brief_shows_the_commands_of_what_did_not_hold() -> None:
    """A verdict that held stands alone; any other stands below the commands of its step, which can be pasted."""
    told = moments(run)
    assert "$ sudo" not in brief(told)
    place = next(at for at, moment in enumerate(told) if isinstance(moment.beat, Verdict))
    verdict = told[place].beat
    assert isinstance(verdict, Verdict)
    told[place] = replace(told[place], beat=replace(verdict, verdict=FAILED))
    shown = brief(told).splitlines()
    failed = next(at for at, line in enumerate(shown) if line.startswith("  ✘"))
    assert shown[failed - 2].startswith("  $ sudo .venv/bin/podmanish run --rm")
    assert len([line for line in shown if "$ sudo" in line]) == 1


def brief(told: list[Moment]) -> str:
    """What --auto shows of a story, from its heading to the summary."""
    first = next(at for at, moment in enumerate(told) if isinstance(moment.beat, Heading))
    last = next(at for at, moment in enumerate(told) if isinstance(moment.beat, Summary))
    terminal = Terminal(color=False, detail="brief")
    terminal.console = Console(file=StringIO(), width=80, color_system=None, highlight=False)
    terminal.look = Look(80, detail="brief")
    for moment in told[first:last]:
        terminal.take(moment)
    assert isinstance(terminal.console.file, StringIO)
    return terminal.console.file.getvalue()


def test_the_end_of_a_whole_demo_fits() -> None:
    """The summary of all stories and the table of all of the article's claims, on both screens."""
    audience = Collector()
    reports = [Report(story.NAME, story.TITLE) for story in ALL]
    for claim in CLAIMS:
        report = next(report for report in reports if report.name == claim.story)
        report.claims += [Told(words, HELD, "seen " * 9) for words in claim.shown_by]
    conclude(reports, Performance([audience]))
    for step in pages(audience.moments):
        assert height(step, Look(80)) <= 20, step
        assert height(step, Look(60)) <= 18, step
    assert sum(isinstance(moment.beat, Article) for moment in audience.moments) == -(-len(CLAIMS) // ROWS_A_STEP)


@pytest.mark.parametrize("count", [5, 30])
def test_a_summary_of_many_stories_fits(count: int) -> None:
    """With many stories, their names alone."""
    summary = Summary(tuple(StoryTold(f"story{number}", Text("Title"), HELD) for number in range(count)))
    step = [Moment(0, 0, summary)]
    assert height(step, Look(80)) == 1 + (count if count <= MOST_TITLES else 5)
    assert height(step, Look(60)) <= 18


@stories
def test_each_verdict_follows_again(story: Story) -> None:
    """What `lab verify` says of it; most stories rest on records and numbers that the recording holds."""
    again = list(judged_again(moments(story)))
    assert all(second.now == second.first for second in again)


@pytest.mark.parametrize(
    "page",
    [*sorted(CHECKOUT.glob("README*.md")), *sorted((CHECKOUT / "docs/stories").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_a_page_shows_what_is_drawn_from_a_recording(page: Path) -> None:
    """`python -m tools.drawn` would change nothing; each page has a drawn block."""
    text = page.read_text()
    assert BLOCK.search(text) or page.name == "variants.md"
    assert redrawn(text) == text
