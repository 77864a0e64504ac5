"""The table of the article's claims: what is printed is what was seen, and the page is made from the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.audiences.terminal import FAILED, HELD
from scenarios.claims import CLAIMS, Claim, markdown
from scenarios.stage.stage import Report

PAGE = Path(__file__).parent.parent / "docs" / "claims.md"


def report_of(claim: Claim, verdict: str) -> Report:
    """A story's report in which the claim's evidence has this verdict."""
    claims = [{"claim": start, "verdict": verdict, "seen": f"saw {start}"} for start in claim.shown_by]
    return Report(claim.story, "", claims)


def test_the_page_is_made_from_the_same_data() -> None:
    """docs/claims.md is what `python -m scenarios.claims` prints."""
    assert PAGE.read_text() == "\n".join(markdown()) + "\n"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text[:30])
def test_evidence_is_of_this_run(claim: Claim) -> None:
    """A claim is shown by a story of the lab; without that story, or when it failed, there is no evidence."""
    assert claim.shown_by
    assert claim.evidence([]) == ""
    assert claim.evidence([report_of(claim, FAILED)]) == ""
    assert claim.evidence([report_of(claim, HELD)]).startswith("saw ")
