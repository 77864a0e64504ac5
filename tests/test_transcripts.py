"""Each story has its page and its transcript, which is drawn from the story's recording."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.claims import CLAIMS
from scenarios.performance import recording
from scenarios.performance.beats import UNKNOWN, Article, Verdict
from scenarios.playing import ALL
from scenarios.stage.stage import Story
from tools.drawn import RECORDINGS

README = Path(__file__).parent.parent / "README.md"
PAGES = README.parent / "docs" / "stories"
LAB = Path(sys.executable).parent / "lab"

stories = pytest.mark.parametrize("story", ALL, ids=lambda story: story.NAME)


@stories
def test_transcript(story: Story) -> None:
    """It is what `lab play` shows of the recording at 80 columns; `DRAW=1 tools/transcripts` writes it."""
    command = [str(LAB), "play", "--auto", "--no-color", str(RECORDINGS / f"{story.NAME}.jsonl")]
    env = {**os.environ, "COLUMNS": "80"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=env).stdout
    transcript = (PAGES / f"{story.NAME}.txt").read_text()
    assert transcript.splitlines() == [line.rstrip() for line in shown.splitlines()]


@stories
def test_few_claims_are_left_open(story: Story) -> None:
    """Few machines have all that gallery, variants and witness show: there a claim may be open, with what mends it."""
    beats = [moment.beat for moment in recording.read(RECORDINGS / f"{story.NAME}.jsonl")]
    left_open = [beat for beat in beats if isinstance(beat, Verdict) and beat.verdict == UNKNOWN]
    assert not left_open or story.NAME in ("gallery", "variants", "witness")
    assert all(beat.remedy and beat.lacking for beat in left_open)


@stories
def test_page(story: Story) -> None:
    """What you see, why, how to defend, real engines today, sources; linked from the README."""
    page = (PAGES / f"{story.NAME}.md").read_text()
    for heading in ("## What you see", "## Why", "## How to defend", "## Real Docker and Podman today", "## Sources"):
        assert heading in page, heading
    assert f"{story.NAME}.txt" in page
    assert f"docs/stories/{story.NAME}.md" in README.read_text()


@stories
def test_the_articles_claims(story: Story) -> None:
    """The recording ends with just the claims that this story shows: those of docs/claims.md."""
    beats = [moment.beat for moment in recording.read(RECORDINGS / f"{story.NAME}.jsonl")]
    told = [row.claim for beat in beats if isinstance(beat, Article) for row in beat.claims]
    assert told == [claim.text for claim in CLAIMS if claim.story == story.NAME]
