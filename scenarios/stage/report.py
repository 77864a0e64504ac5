"""What a story leaves: the outcome of each command, a verdict for each claim, and both together in a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.audit.records import Event
from lab.identity import UNSET, Ancestor, name_of
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Word
from scenarios.performance.checks import first_number


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    exit_code is as a shell gives it; None if the command had to be killed because it did not end. pid, ancestry,
    loginuid and facts are of the container's first process, as the host's /proc showed it while it ran; 0, empty and
    None if nobody looked. beat is the number of the beat that shows what it printed, lineage of that with its ancestry;
    -1 if there is none.
    """

    command: str
    stdout: str
    stderr: str
    exit_code: int | None
    pid: int = 0
    ancestry: Sequence[Ancestor] = ()
    loginuid: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    beat: int = -1
    lineage: int = -1

    @property
    def printed(self) -> int | None:
        """The number that the workload printed first; None if it printed none."""
        return first_number(self.stdout)

    def trouble(self) -> CannotTell:
        """The error that says that this outcome is evidence of nothing, and why."""
        by_hand = f"run it by hand: {self.command}"
        if self.exit_code is None:
            return CannotTell(f"`{self.command}` did not end, and was killed", by_hand)
        said = next((line.strip() for line in self.stderr.splitlines() if line.strip()), "it printed no error")
        closed = needs.closed_to_others() if "ermission denied" in self.stderr else ""
        absent = needs.missing(re.split(r"[^\w.-]+", self.command))
        remedy = needs.opened(closed) if closed else absent.hint if absent else by_hand
        return CannotTell(f"`{self.command}` ended with exit code {self.exit_code}: {said}", remedy)


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it.

    verdict   HELD, FAILED or UNKNOWN
    seen      what was seen of the claim; for UNKNOWN, why it could not be tested
    remedy    for UNKNOWN, what to do about that
    lacking   for UNKNOWN, whether the reason is that this machine lacks something, and not that something went wrong
    """

    claim: str
    verdict: Word
    seen: str
    remedy: str = ""
    lacking: bool = False


@dataclass
class Report:
    """The verdicts and the evidence of one story."""

    name: str
    title: str
    claims: list[Verdict] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> Word:
        """FAILED if one claim failed, HELD if all held and there is at least one, else UNKNOWN."""
        verdicts = {claim.verdict for claim in self.claims}
        return FAILED if FAILED in verdicts else HELD if verdicts == {HELD} else UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**vars(self), "claims": [vars(claim) for claim in self.claims], "verdict": self.verdict}


def whom(event: Event | None) -> tuple[str, str]:
    """auid and ses of an event, as `ausearch -i` prints them; ("no record", "") if there is none."""
    if event is None:
        return "no record", ""
    return name_of(event.auid), "unset" if event.ses == UNSET else str(event.ses)
