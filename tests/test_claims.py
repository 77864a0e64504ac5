"""The table of the article's claims: what is printed is what was seen, and the page is made from the same data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.claims import CLAIMS, Claim, markdown
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Word
from scenarios.stage.report import Report, Verdict

CHECKOUT = Path(__file__).parent.parent
PAGE = CHECKOUT / "docs" / "claims.md"


def report_of(claim: Claim, verdict: Word) -> Report:
    """A story's report in which the claim's evidence has this verdict."""
    claims = [Verdict(words, verdict, f"saw {words}") for words in claim.shown_by]
    return Report(claim.story, "", claims)


def verdicts_of(story: str) -> str:
    """The verdicts in a story's transcript, and for variants, which needs real engines, the words of its code."""
    transcript = (CHECKOUT / "docs/stories" / f"{story}.txt").read_text()
    held = re.findall(r"^ +✔ (.+(?:\n {2}[^ \n✔$].*)?)", transcript, re.MULTILINE)
    code = (CHECKOUT / "scenarios/stories/variants.py").read_text() if story == "variants" else ""
    return "\n".join(" ".join(line.split()) for line in held) + code


def test_the_page_is_made_from_the_same_data() -> None:
    """docs/claims.md is what `python -m scenarios.claims` prints."""
    assert PAGE.read_text() == "\n".join(markdown()) + "\n"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:30])
def test_a_claims_evidence_exists(claim: Claim) -> None:
    """What a claim rests on is what its story says, word for word; tests/kernel/test_stories.py plays it."""
    assert claim.shown_by
    for words in claim.shown_by:
        assert words in verdicts_of(claim.story), words


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:30])
def test_evidence_is_of_this_run(claim: Claim) -> None:
    """Without its story a claim has no evidence; what did not hold, or could not be told, stands in the cell."""
    assert claim.evidence([]) == ""
    assert claim.evidence([Report(claim.story, "", [])]) == ""
    for words in claim.shown_by:
        assert f"saw {words}" in claim.evidence([report_of(claim, HELD)])
        assert f"did not hold: {words}" in claim.evidence([report_of(claim, FAILED)])
        assert f"inconclusive: {words}" in claim.evidence([report_of(claim, UNKNOWN)])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:30])
def test_one_failed_verdict_shows(claim: Claim) -> None:
    """One claim of several that did not hold is in the cell, and what held is not."""
    report = report_of(claim, HELD)
    report.claims[-1] = Verdict(claim.shown_by[-1], FAILED, "")
    assert claim.evidence([report]) == f"did not hold: {claim.shown_by[-1]}"
