"""Conclude a recording anew, by the article's claims as they are now: .venv/bin/python -m tools.concluded FILE...

The verdicts of the recording stay; its last steps are made from them as at the end of a run. DRAW=1 tools/transcripts
does this, so that a change of scenarios/claims.py asks for no new recording.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scenarios.performance import recording
from scenarios.performance.beats import Heading, Moment, Summary, Verdict
from scenarios.performance.performance import Performance
from scenarios.performance.recording import Recorder
from scenarios.playing import conclude
from scenarios.stage import report


class Ending:
    """An audience that keeps the last moments, numbered from a number on, and at one time."""

    def __init__(self, number: int, at: float) -> None:
        self.number, self.at, self.moments = number, at, list[Moment]()

    def take(self, moment: Moment) -> None:
        """Keep it."""
        self.moments.append(replace(moment, number=self.number + moment.number, at=self.at))


def concluded(moments: Iterable[Moment]) -> list[Moment]:
    """These moments, with a new end from the summary on."""
    kept: list[Moment] = []
    reports: list[report.Report] = []
    for moment in moments:
        beat = moment.beat
        if isinstance(beat, Summary):
            ending = Ending(moment.number, moment.at)
            conclude(reports, Performance([ending]))
            return kept + ending.moments
        if isinstance(beat, Heading):
            reports.append(report.Report(beat.name, str(beat.title)))
        elif isinstance(beat, Verdict):
            told = report.Verdict(str(beat.claim), beat.verdict, str(beat.seen), beat.remedy, beat.lacking)
            reports[-1].claims.append(told)
        kept.append(moment)
    return kept  # the run was left before its end


def main(names: Iterable[str]) -> None:
    """Rewrite these recordings."""
    for path in map(Path, names):
        told = concluded(recording.read(path))
        with path.open("w", encoding="utf-8") as file:
            recorder = Recorder(file)
            for moment in told:
                recorder.take(moment)


if __name__ == "__main__":
    main(sys.argv[1:])
