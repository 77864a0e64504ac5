"""Each story has its page and its transcript: of that story, told to its end, and what the page quotes is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios.claims import CLAIMS
from scenarios.stage.stage import Story
from scenarios.stories import REAL_ONLY, STORIES

README = Path(__file__).parent.parent / "README.md"
PAGES = README.parent / "docs" / "stories"
LOGGED_IN = re.compile(r"(?:opened a session for|logged in as) (\S+) \((\d+)\)")
GUIDES = re.compile("[│├└─]+")
# "..." in a quoted line stands for words that were left out: never for a verdict, a command or the start of a record.
LEFT_OUT = r"(?:(?!✔|✘| \$ |type=).)*?"


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_transcript(story: Story) -> None:
    """Title, commands, held claims, the summary, 80 columns; when it was made no claim failed, or was left open.

    Few machines have all that gallery and variants show: there a claim may be open, with what mends it.
    """
    lines = (PAGES / f"{story.NAME}.txt").read_text().splitlines()
    open_ = [line for line in lines if line.startswith("  ? ") and not line.startswith(f"  ? {story.NAME} ")]
    mended = [line for line in lines if line.startswith("    to mend it: ")]
    mark = "?" if open_ else "✔"
    assert story.TITLE in lines
    assert any(line.startswith("  $ ") for line in lines)
    assert any(line.startswith(f"  {mark} {story.NAME} ") for line in lines)
    assert not any(line.startswith("  ✘ ") for line in lines)
    assert len(open_) == len(mended) and (not open_ or story.NAME in ("gallery", "variants"))
    assert all(len(line) <= 80 or line.startswith(("  $ ", "    to mend it: ")) for line in lines)


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_page(story: Story) -> None:
    """What you see, why, how to defend, real engines today, sources; linked from the README."""
    page = (PAGES / f"{story.NAME}.md").read_text()
    for heading in ("## What you see", "## Why", "## How to defend", "## Real Docker and Podman today", "## Sources"):
        assert heading in page, heading
    assert f"{story.NAME}.txt" in page
    assert f"docs/stories/{story.NAME}.md" in README.read_text()


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_the_articles_claims(story: Story) -> None:
    """The table at the transcript's end has just the claims that this story shows: those of docs/claims.md."""
    transcript = (PAGES / f"{story.NAME}.txt").read_text()
    _, _, table = transcript.partition("  the article says ")
    words = re.findall(r"\w+", table)
    for claim in CLAIMS:
        own = re.findall(r"\w+", claim.text)
        in_order = iter(words)
        assert all(word in in_order for word in own) == (claim.story == story.NAME), claim.text


def comparable(text: str, user: str, uid: str) -> str:
    """The words alone, without a tree's lines; a placeholder for what differs from run to run.

    That is: the user, the uid, pids, session ids, random names.
    """
    words = " ".join(GUIDES.sub(" ", text).split())
    words = re.sub(rf"\b{re.escape(user)}\b", "USER", words)
    words = re.sub(rf"(?<!>=)\b{uid}\b", "UID", words)  # a rule's auid>=1000 is the first ordinary user, whoever plays
    words = re.sub(r"\b(lab|decoy|crash|rootless)-[0-9a-f]{6,}", r"\1-RANDOM", words)
    return re.sub(r"\b(pid|ses|session id|kill -9|USER USER)([ =]\d+)+", r"\1 NUMBER", words)


def quoted(page: Path, heading: str) -> list[list[str]]:
    """The fenced blocks below that heading, as their lines that are not empty."""
    section = page.read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    return [[line for line in block.splitlines() if line.strip()] for block in section.split("```\n")[1::2]]


def not_in_transcript(story: str, lines: list[str]) -> Iterator[str]:
    """The lines that the story's transcript does not have, behind those that the page quotes before them."""
    transcript = (PAGES / f"{story}.txt").read_text()
    user = LOGGED_IN.search(" ".join(transcript.split()))
    assert user
    told, position = comparable(transcript, *user.groups()), 0
    for line in lines:
        parts = [re.escape(comparable(part, "alice", "1000")) for part in line.split("...")]
        pattern = LEFT_OUT.join(rf" ?{part} ?" if part else "" for part in parts)
        found = re.compile(rf"(?<!\S){pattern.removeprefix(' ?')}(?!\S)").search(told, position)
        if found:
            position = found.end()
        else:
            yield line


@pytest.mark.parametrize("story", (*STORIES, *REAL_ONLY), ids=lambda story: story.NAME)
def test_a_page_quotes_its_transcript(story: Story) -> None:
    """Each line that a story's page shows as seen was printed, in this order; alice (1000) stands for the user."""
    lines = [line for block in quoted(PAGES / f"{story.NAME}.md", "## What you see") for line in block]
    assert not list(not_in_transcript(story.NAME, lines))


def test_the_readme_quotes_a_transcript() -> None:
    """Its example is of `shadow`."""
    (shadow,) = quoted(README, "## What you will see")
    assert shadow and not list(not_in_transcript("shadow", shadow))


def test_what_was_not_printed_is_noticed() -> None:
    """A verdict, a claim, a value or an order that is not the transcript's is found; words left out are not."""
    right = ["  ✔ podmanish, forked, inherits alice  1000", "  $ sudo .venv/bin/dockerish run ... exec cat'"]
    wrong = [right[0].replace("✔", "✘"), "  ✔ a fork inherits alice", right[0].replace("1000", "33")]
    wrong += ["  $ sudo ... inherits", "    its parent  labd"]
    assert not list(not_in_transcript("run", right))
    assert list(not_in_transcript("run", wrong)) == wrong
    assert list(not_in_transcript("run", right[::-1])) == right[:1]
