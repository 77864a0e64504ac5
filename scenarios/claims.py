"""The article's claims, one by one, and whether each is true today.

The article is Daniel Walsh, "Podman: A more secure way to run containers", opensource.com, October 2018. The claims
are in the lab's words. `python -m scenarios.claims` prints docs/claims.md from the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scenarios.performance import beats
from scenarios.performance.beats import HELD, UNKNOWN
from scenarios.stage.report import Report, Verdict

ARTICLE = "https://opensource.com/article/18/10/podman-more-secure-way-run-containers"


@dataclass(frozen=True)
class Claim:
    """One claim of the article.

    text       the claim, in the lab's words
    verdict    whether the claim is true today
    because    the reason, in a sentence
    story      the story that shows it
    shown_by   substrings of those claims of that story that are evidence of this very claim
    source     where else the reader can look it up
    """

    text: str
    verdict: Literal["true", "outdated", "overstated", "false"]
    because: str
    story: str
    shown_by: Sequence[str]
    source: str

    def evidence(self, reports: Sequence[Report]) -> str:
        """What this run saw of the claim: of each of shown_by what was seen, or which claim did not hold.

        "" if one of shown_by was not told in this run.
        """
        told = [verdict for report in reports if report.name == self.story for verdict in report.claims]
        found = [[verdict for verdict in told if words in verdict.claim] for words in self.shown_by]
        if not all(found):
            return ""
        others = [verdict for verdicts in found for verdict in verdicts if verdict.verdict != HELD]
        if others:
            return "; ".join(f"{_word(verdict.verdict)}: {verdict.claim}" for verdict in others)
        seen = (verdict.seen or verdict.claim for verdicts in found for verdict in verdicts)
        return "; ".join(dict.fromkeys(seen))  # several engines may have shown the same


def _word(verdict: str) -> str:
    return "inconclusive" if verdict == UNKNOWN else "did not hold"


PROC = "Documentation/ABI/stable/procfs-audit_loginuid"

CLAIMS = (
    Claim(
        "sudo changes the uid but keeps the loginuid",
        "true",
        "fork copies it; exec and setuid keep it",
        "loginuid",
        ("sudo changes the uid",),
        "kernel/auditsc.c; pam_loginuid(8) is not in sudo's PAM stack",
    ),
    Claim(
        "the loginuid can be set only once",
        "overstated",
        "CAP_AUDIT_CONTROL may set it again, in 2018 as today: the audit feature loginuid_immutable is off by default",
        "loginuid",
        ("without the capability", "with it, it can be set again"),
        "audit_set_loginuid_perm(); podman #13012",
    ),
    Claim(
        "pid 1 has none: 4294967295",
        "true",
        "nobody logged in to start it",
        "loginuid",
        ("pid 1 has none",),
        PROC,
    ),
    Claim(
        "a container that Podman forks has the user's loginuid",
        "true",
        "every step from the login to the container is a fork",
        "run",
        (", forked, inherits",),
        "podman's troubleshooting.md, 33",
    ),
    Claim(
        "a container that Docker's daemon starts has none",
        "true",
        "its ancestors lead to init, not to the login",
        "run",
        ("asked of a daemon, inherits nobody", "the login is not among its ancestors"),
        "moby #26535",
    ),
    Claim(
        "the audit record of a forked container's write to /etc/shadow names the user",
        "true",
        "a fork copies auid and ses with everything else",
        "shadow",
        ("'s container, the record names",),
        "kernel/auditsc.c, audit_log_exit()",
    ),
    Claim(
        "Podman recorded everything correctly",
        "overstated",
        "with --privileged, as in the article's command, the workload may forge or erase its loginuid before the "
        "write; what then names the user is the LOGIN record of that change",
        "forge",
        ("protects nobody: the record blames", "the forgery by"),
        "audit_set_loginuid_perm(), audit_log_set_loginuid()",
    ),
    Claim(
        "through the daemon the record says auid=unset, ses=unset",
        "true",
        "the kernel never knew who had asked",
        "shadow",
        ("the record names nobody", "and no session"),
        "kernel/auditsc.c, audit_log_exit()",
    ),
    Claim(
        "auditctl -w watches a file",
        "outdated",
        "it works; without -p it records reads, too; deprecated since audit 4.0, in favour of -a always,exit "
        "-F arch=b64 -F path= -F perm=",
        "blindspot",
        ("-w FILE records a mere read", "-w FILE -p wa records the write"),
        "auditctl(8) of audit 4.0; that of 3.0.9 says: backwards compatibility",
    ),
    Claim(
        "SD_NOTIFY cannot work with a client/server engine",
        "overstated",
        "it does not arrive by default, but does through a relay; the one proposed for docker was rejected: policy, "
        "not physics",
        "notify",
        ("through the daemon READY=1 never arrives", "through the daemon and a relay, READY=1 arrives"),
        "sd_notify(3); moby PR 13750; coreos/sdnotify-proxy",
    ),
    Claim(
        "a user of the daemon is root on the host; without it, the kernel decides",
        "true",
        "only the socket's mode protects the host from its users",
        "rootless",
        ("the HOST's kernel refuses the write", "is root on the host"),
        "user_namespaces(7)",
    ),
    Claim(
        "Docker needs a root daemon's socket",
        "outdated",
        "rootless dockerd exists since 2019; rootful is the default",
        "variants",
        ("dockerd is no root process", "own dockerd keeps"),
        "docs.docker.com, Rootless mode",
    ),
    Claim(
        "remove the container, and no trace is left of who changed the file",
        "true",
        "sudo's own record stays, but no field that the kernel vouches for ties it to the write; a member of the "
        "socket's group does not leave even that; and before the removal, inspect names no caller either",
        "trace",
        ("inspect names no caller", "no field that the kernel vouches for", "no record of"),
        "sudo's USER_CMD record; docker-inspect(1)",
    ),
    Claim(
        "an audit log kept on another machine protects",
        "true",
        "a copy keeps what was recorded; it cannot name whom the kernel never knew",
        "trace",
        ("the second host has them all", "a copy keeps what was recorded"),
        "audisp-remote(8)",
    ),
)


@dataclass(frozen=True)
class Row:
    """A claim as a row of the table at the end of a demo; seen is "" if this run did not show it."""

    claim: str
    today: str
    because: str
    story: str
    seen: str
    source: str


def rows(reports: Sequence[Report]) -> list[Row]:
    """The claims of the stories that were told, each with what these reports saw of the claim."""
    told = {report.name for report in reports}
    return [
        Row(claim.text, claim.verdict, claim.because, claim.story, claim.evidence(reports), claim.source)
        for claim in CLAIMS
        if claim.story in told
    ]


def shown(story: str, verdicts: Iterable[beats.Verdict]) -> tuple[beats.Judged, ...]:
    """The claims of which these verdicts of that story are evidence, for an audience."""
    told = Report(story, "", [Verdict(str(one.claim), one.verdict, str(one.seen)) for one in verdicts])
    return tuple(beats.Judged(row.claim, row.today, row.seen) for row in rows([told]) if row.seen)


def markdown() -> Iterator[str]:
    """The lines of docs/claims.md."""
    yield "# The article's claims, today"
    yield ""
    yield f"The article: Daniel Walsh, [Podman: A more secure way to run containers]({ARTICLE}), opensource.com,"
    yield "October 2018. Each claim is given in the lab's words. `lab demo` ends with this table and with what was"
    yield "seen of each claim in that run. [The glossary](glossary.md#claim) explains the terms."
    yield ""
    yield "| claim | today | because | shown by | see also |"
    yield "|---|---|---|---|---|"
    for claim in CLAIMS:
        story = f"[{claim.story}](stories/{claim.story}.md)"
        yield f"| {claim.text} | **{claim.verdict}** | {claim.because} | {story} | {claim.source} |"


if __name__ == "__main__":
    print("\n".join(markdown()))
