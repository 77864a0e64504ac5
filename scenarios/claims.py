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
        verdicts = self._verdicts(reports)
        others = [verdict for verdict in verdicts if verdict.verdict != HELD]
        if others:
            return "; ".join(f"{_word(verdict.verdict)}: {verdict.claim}" for verdict in others)
        return "; ".join(dict.fromkeys(verdict.seen or verdict.claim for verdict in verdicts))  # engines may agree

    def held(self, reports: Sequence[Report]) -> bool:
        """Whether this run showed the claim, and all of its evidence held."""
        return {verdict.verdict for verdict in self._verdicts(reports)} == {HELD}

    def _verdicts(self, reports: Sequence[Report]) -> list[Verdict]:
        """Those that are evidence; none if one of shown_by was not told."""
        told = [verdict for report in reports if report.name == self.story for verdict in report.claims]
        found = [[verdict for verdict in told if words in verdict.claim] for words in self.shown_by]
        return [verdict for verdicts in found for verdict in verdicts] if all(found) else []


def _word(verdict: str) -> str:
    return "inconclusive" if verdict == UNKNOWN else "did not hold"


PROC = "Documentation/ABI/stable/procfs-audit_loginuid"
EXIT = "kernel/auditsc.c, audit_log_exit()"
SET = "audit_set_loginuid_perm()"

# In the article's order. One sentence is left out: subj= in its two records differs in the SELinux user.
CLAIMS = (
    Claim(
        "Podman runs containers by fork and exec",
        "true",
        "every step is a fork, also to conmon, which then leaves its parent: init adopts it, the loginuid stays",
        "run",
        ("every step ",),
        "conmon(8)",
    ),
    Claim(
        "the kernel's audit records security events",
        "true",
        "what a rule asks for, what programs such as sudo send, and each change of a loginuid",
        "shadow",
        ("on the host, the record names",),
        "audit.rules(7)",
    ),
    Claim(
        "a log kept on another machine protects",
        "true",
        "a copy keeps what was recorded; it cannot name whom the kernel never knew",
        "trace",
        ("the second host has them all", "a copy keeps what was recorded"),
        "audisp-remote(8)",
    ),
    Claim(
        "a rule on the file tells of any change",
        "overstated",
        "utimensat(2), open_by_handle_at(2), io_uring and a bind mount over the file are no calls that perm= looks for",
        "blindspot",
        ("-w: no record of",),
        "audit_match_perm(); audit-kernel issue 67",
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
        "ausearch -f FILE -i finds the touch",
        "true",
        "also a container's, as /host/etc/shadow holds the same words; -w asks for the whole name",
        "article",
        ("ausearch -f FILE -i finds it",),
        "ausearch(8)",
    ),
    Claim(
        "the record: the user, root, and the terminal",
        "true",
        "tty= is the controlling terminal of the process; a command without one, as in cron or a container, has (none)",
        "article",
        ("auid names", "names its terminal"),
        EXIT,
    ),
    Claim(
        "each process has its loginuid in /proc",
        "true",
        "a kernel without CONFIG_AUDIT has no such file",
        "loginuid",
        ("login has set it", "pid 1 has none"),
        PROC,
    ),
    Claim(
        "the loginuid can be set only once",
        "overstated",
        "CAP_AUDIT_CONTROL may set it again, in 2018 as today: the audit feature loginuid_immutable is off by default",
        "loginuid",
        ("without CAP_AUDIT_CONTROL", "with it, it can be set again"),
        f"{SET}; podman #13012",
    ),
    Claim(
        "the login program sets it",
        "true",
        "by pam_loginuid in its PAM stack; so do cron, atd and systemd --user, which are no logins",
        "loginuid",
        ("login has set it",),
        "pam_loginuid(8)",
    ),
    Claim(
        "sudo keeps the loginuid",
        "true",
        "fork copies it; exec and setuid keep it",
        "loginuid",
        ("sudo changes the uid",),
        "kernel/auditsc.c; pam_loginuid(8) is not in sudo's PAM stack",
    ),
    Claim(
        "fork and exec hand it on",
        "true",
        "a child is a copy of its parent, and no code of fork or exec changes this field",
        "loginuid",
        ("fork(2) copies it",),
        "kernel/fork.c, dup_task_struct()",
    ),
    Claim(
        "a container of podman's prints the user's",
        "true",
        "a rootless one prints 0: its user namespace maps the user to that",
        "run",
        (", forked, inherits",),
        "podman's troubleshooting.md, 33",
    ),
    Claim(
        "a container of docker's prints 4294967295",
        "true",
        "its ancestors lead to init, not to the login",
        "run",
        ("asked of a daemon, inherits nobody",),
        "moby #26535",
    ),
    Claim(
        "podman's container descends from the login",
        "true",
        "in a tree of processes it hangs below init, since conmon was adopted; its loginuid tells the origin",
        "run",
        ("every step ",),
        "conmon(8)",
    ),
    Claim(
        "docker's daemon carries the container's I/O",
        "true",
        "labd itself does; with docker it is containerd-shim, the daemon's own process and the container's parent",
        "article",
        ("its pipes lead to a process without a login",),
        "pipe(7); containerd's runtime/v2 documentation",
    ),
    Claim(
        "the default is 4294967295, as pid 1 shows",
        "true",
        "nobody logged in to start pid 1",
        "loginuid",
        ("pid 1 has none",),
        PROC,
    ),
    Claim(
        "init, dockerd and the container have it",
        "true",
        "also containerd-shim, between the two",
        "run",
        ("the host's /proc says nobody, too", "the login is not among its ancestors"),
        PROC,
    ),
    Claim(
        "docker's touch: auid=unset, ses=unset",
        "true",
        "the kernel never knew who had asked",
        "shadow",
        ("the record names nobody", "and no session"),
        EXIT,
    ),
    Claim(
        "the change is known, the identity is lost",
        "true",
        "the record of the write has all but who; what names the user, as sudo's does, is not tied to the write",
        "trace",
        ("no field that the kernel vouches for",),
        "sudo's USER_CMD record",
    ),
    Claim(
        "remove the container: no trace of who did it",
        "true",
        "sudo's own record stays, but no field that the kernel vouches for ties it to the write; a member of the "
        "socket's group does not leave even that; and before the removal, inspect names no caller either",
        "trace",
        ("inspect names no caller", "no field that the kernel vouches for", "no record of"),
        "sudo's USER_CMD record; docker-inspect(1)",
    ),
    Claim(
        "podman's touch: auid and ses of the user",
        "true",
        "a fork copies auid and ses with everything else",
        "shadow",
        ("'s container, the record names", "and the session of this login"),
        EXIT,
    ),
    Claim(
        "Podman recorded everything correctly",
        "overstated",
        "with --privileged, as in the article's command, the workload may forge or erase its loginuid before the "
        "write; what then names the user is the LOGIN record of that change",
        "forge",
        ("protects nobody: the record blames", "the forgery by"),
        f"{SET}, audit_log_set_loginuid()",
    ),
    Claim(
        "audit helps to watch processes in general",
        "true",
        "ausearch finds by loginuid (-ul) and by session all that a login did; what it asked a daemon to do stands "
        "under nobody",
        "article",
        ("a search by login finds", "is found as nobody's"),
        "ausearch(8), aureport(8)",
    ),
    Claim(
        "SD_NOTIFY works through Podman",
        "true",
        "a forked container is in the unit's cgroup, and has its environment",
        "notify",
        ("forked, READY=1 arrives",),
        "sd_notify(3)",
    ),
    Claim(
        "SD_NOTIFY cannot work with client and server",
        "overstated",
        "it does not arrive by default, but does through a relay; the one proposed for docker was rejected: policy, "
        "not physics",
        "notify",
        ("through the daemon READY=1 never arrives", "through the daemon and a relay, READY=1 arrives"),
        "sd_notify(3); moby PR 13750; coreos/sdnotify-proxy",
    ),
    Claim(
        "socket activation works through Podman",
        "true",
        "fork and exec hand descriptors on; a daemon's child has another parent, and gets at most a relay's bytes, "
        "as from systemd-socket-proxyd",
        "notify",
        ("forked, the container answers on it", "through the daemon it has no descriptor 3"),
        "sd_listen_fds(3); podman's socket_activation.md",
    ),
    Claim(
        "rootless: users need no root",
        "true",
        "once root has given them a range of uids in /etc/subuid, which newuidmap applies; for one uid not even that",
        "rootless",
        ("uid 0 inside", "the HOST's kernel refuses the write"),
        "user_namespaces(7), newuidmap(1)",
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
        "a client is at the daemon's mercy",
        "true",
        "only the socket's mode protects the host from its users; of a rootless fork the kernel decides",
        "rootless",
        ("refused at the socket", "is root on the host"),
        "user_namespaces(7)",
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
    held: bool


def rows(reports: Sequence[Report]) -> list[Row]:
    """The claims of the stories that were told, each with what these reports saw of the claim."""
    told = {report.name for report in reports}
    return [
        Row(one.text, one.verdict, one.because, one.story, one.evidence(reports), one.source, one.held(reports))
        for one in CLAIMS
        if one.story in told
    ]


def shown(story: str, verdicts: Iterable[beats.Verdict]) -> tuple[beats.Judged, ...]:
    """The claims of which these verdicts of that story are evidence, for an audience."""
    told = Report(story, "", [Verdict(str(one.claim), one.verdict, str(one.seen)) for one in verdicts])
    return tuple(beats.Judged(row.claim, row.today, row.seen, row.held) for row in rows([told]) if row.seen)


def markdown() -> Iterator[str]:
    """The lines of docs/claims.md."""
    yield "# The article's claims, today"
    yield ""
    yield f"The article: Daniel Walsh, [Podman: A more secure way to run containers]({ARTICLE}), opensource.com,"
    yield "October 2018. Each claim is given in the lab's words. `lab demo` ends with this table and with what was"
    yield "seen of each claim in that run. [The glossary](glossary.md#claim) explains the terms."
    yield ""
    yield "One sentence is not judged here: that `subj=` in the article's two records differs in the SELinux user,"
    yield "which a fork hands on, too. Debian comes without SELinux: its records have `subj=unconfined`, or no such"
    yield "field."
    yield ""
    yield "| claim | today | because | shown by | see also |"
    yield "|---|---|---|---|---|"
    for claim in CLAIMS:
        story = f"[{claim.story}](stories/{claim.story}.md)"
        yield f"| {claim.text} | **{claim.verdict}** | {claim.because} | {story} | {claim.source} |"


if __name__ == "__main__":
    print("\n".join(markdown()))
