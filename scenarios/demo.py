"""`lab demo` and `lab run`: set the stage, tell the stories, conclude, and look for what is left behind."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from lab import interpreter
from lab.errors import AuditUnavailable, InvalidArgument, NotAllowed
from lab.identity import UNSET, loginuid, name_of
from lab.paths import SOCKET
from scenarios import claims as article
from scenarios import doctor
from scenarios.audiences.terminal import FAILED, HELD, UNKNOWN, Pace, Screen
from scenarios.props.labd import Daemon
from scenarios.props.real_engines import REAL, Choice, with_image
from scenarios.props.target import SHADOW, default, watchable
from scenarios.safety.journal import Journal
from scenarios.safety.traces import Traces
from scenarios.stage.engines import lab_engines
from scenarios.stage.login import Login
from scenarios.stage.report import Report, Verdict
from scenarios.stage.stage import Stage, Story
from scenarios.stories import REAL_ONLY, STORIES

ALL = (*STORIES, *REAL_ONLY)
HELD_ALL, SOME_FAILED, SOME_UNKNOWN = 0, 1, 3
SECOND_WITNESS = "auditd runs: its log must agree with what the lab reads from the kernel itself."
UNHEARD = "auditd runs, but its log cannot be searched from here: the lab reads the kernel's records itself."
ONE_WITNESS = "No auditd runs here: the lab reads the kernel's records itself and needs none."


def demo(arguments: argparse.Namespace) -> int:
    """Tell the stories that were asked for; the exit status is HELD_ALL, SOME_FAILED or SOME_UNKNOWN."""
    stories = _chosen(arguments.only, arguments.engines)
    _refuse_what_cannot_be()
    screen = Screen(json=arguments.json, color=not arguments.no_color, pace=_pace(arguments))
    chosen = arguments.target and watchable(arguments.target)
    interpreter.executable()  # makes the one mount that stays after a run
    before = Traces.now(chosen or SHADOW)
    with _stage(arguments, screen, chosen) as stage:
        reports = [stage.tell(ALL.index(story) + 1, story) for story in stories]
        code = _conclude(reports, screen, arguments.json)  # whatever comes to light below, the verdicts are told
    after = Traces.now(chosen or SHADOW)
    if others := before.changed_by_others(after):
        screen.say(f"Meanwhile another program changed this machine, which no story does: {'; '.join(others)}.")
    before.expect_nothing_left(after, stage.keys)
    return HELD_ALL if code == SOME_UNKNOWN and arguments.lenient and not _disturbed(reports) else code


def _disturbed(reports: Sequence[Report]) -> list[Verdict]:
    """The claims that are inconclusive for another reason than that this machine lacks something."""
    return [claim for report in reports for claim in report.claims if claim.verdict == UNKNOWN and not claim.lacking]


def _chosen(names: Sequence[str], engines: Sequence[str]) -> list[Story]:
    """The stories of these names; without names all, but REAL_ONLY's only if a real engine was chosen."""
    known = {story.NAME: story for story in ALL}
    for name in names:
        if name not in known:
            raise InvalidArgument(f'there is no story "{name}"', f"there are: {', '.join(known)}")
    return [known[name] for name in names] or list(ALL if REAL.keys() & set(engines) else STORIES)


def _pace(arguments: argparse.Namespace) -> Pace:
    if arguments.pause:
        return "step"
    return "story" if sys.stdin.isatty() and not (arguments.auto or arguments.json) else "auto"


def _refuse_what_cannot_be() -> None:
    """Raise for what the machine lacks, before anything is changed."""
    for finding in doctor.examine():
        if finding.needed and not finding.good:
            kind = NotAllowed if finding.what == "root" else AuditUnavailable
            raise kind(f"{finding.what}: {finding.detail}", "`lab doctor` shows everything that was checked")


@contextmanager
def _stage(arguments: argparse.Namespace, screen: Screen, chosen: str) -> Iterator[Stage]:
    """Set up all that a run needs; take it down again in the opposite order, whatever happens.

    chosen is the file that the user wants to be watched, "" for the default.
    """
    path = arguments.host.removeprefix("unix://") or SOCKET
    engines = lab_engines(f"unix://{path}" if path != SOCKET else "")
    found = _choice(arguments).find(engines)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal())
        for line in journal.restored:
            screen.say(f"restored after an earlier run: {line}")
        target = chosen or default(journal)
        login = stack.enter_context(Login(_user(arguments.login_as)))
        daemon = stack.enter_context(Daemon(journal, path))
        screen.say(_introduction(login, daemon, target, decoy=not chosen))
        ready = [with_image(engine, journal) if engine.name in REAL else engine for engine in found]
        stage = Stage(screen, journal, login, daemon, engines, target, ready)
        screen.say(SECOND_WITNESS if stage.auditd else UNHEARD if doctor.audit().auditd else ONE_WITNESS)
        yield stage


def _choice(arguments: argparse.Namespace) -> Choice:
    return Choice(arguments.engines, _by_engine(arguments.engine_option), _by_engine(arguments.run_option))


def _by_engine(options: Sequence[str]) -> dict[str, list[str]]:
    """The words of ENGINE=WORD, by engine, in their order."""
    found: dict[str, list[str]] = {}
    for option in options:
        name, _, word = option.partition("=")
        found.setdefault(name, []).append(word)
    return found


def _user(wanted: str) -> int:
    """--as, else the user who logged in here, else who called sudo, else the first ordinary user, else 1000."""
    if wanted:
        return _uid(wanted)
    if loginuid() != UNSET:
        return loginuid()
    if "SUDO_UID" in os.environ:
        return _uid(os.environ["SUDO_UID"])
    return min((entry.pw_uid for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60000), default=1000)


def _uid(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise InvalidArgument(f"there is no user {user}", "give a name from /etc/passwd, or a number") from None


def _introduction(login: Login, daemon: Daemon, target: str, *, decoy: bool) -> str:
    """Who is logged in, which labd serves, and which file is watched."""
    who = f"{name_of(login.loginuid)} ({login.loginuid})"
    if loginuid() == UNSET:
        opened = f"No login here (loginuid is unset): the lab opened a session for {who}, as pam_loginuid does."
    else:
        opened = f"You are logged in as {who}."
    lines = [opened, _served(daemon)]
    if target != SHADOW:
        which = f"a decoy, {target} (--target {SHADOW} for the real one)" if decoy else target
        lines.append(f"The file to watch is {which}.")
    return "\n".join(lines)


def _served(daemon: Daemon) -> str:
    try:
        uid = name_of(loginuid(daemon.pid)) if daemon.pid else ""
    except OSError:  # it has ended since
        uid = ""
    if not uid:
        return f"labd: {daemon.path} is there, and no labd answers."
    return (
        f"labd: pid {daemon.pid}, {'started for this run' if daemon.started_here else 'found running'}, loginuid {uid}."
    )


def _conclude(reports: Sequence[Report], screen: Screen, as_json: bool) -> int:
    """Show the summary and the article's claims, print the JSON if it is wanted; returns the exit status."""
    verdicts = [claim.verdict for report in reports for claim in report.claims]
    totals = {verdict: verdicts.count(verdict) for verdict in (HELD, FAILED, UNKNOWN)}
    stories = [report.to_dict() for report in reports]
    screen.summary(stories, totals)
    claims = [row for row in article.rows(reports) if row.story in [report.name for report in reports]]
    screen.article(claims)
    if totals[UNKNOWN]:
        screen.say(_left_open(totals[UNKNOWN], len(_disturbed(reports))))
    code = SOME_FAILED if totals[FAILED] else SOME_UNKNOWN if totals[UNKNOWN] else HELD_ALL
    if as_json:
        answer = {"exit_code": code, "claims": totals, "stories": stories, "article": [vars(row) for row in claims]}
        json.dump(answer, sys.stdout, indent=2)
        print()
    return code


def _left_open(unknown: int, disturbed: int) -> str:
    """What the inconclusive claims mean, in a sentence or two; below each claim stands what mends it."""
    lacking = unknown - disturbed
    said = f"{lacking} cannot be shown on this machine, which is no failure. " if lacking else ""
    said += f"{disturbed} could not be tested, since something went wrong or evidence was lost. " if disturbed else ""
    return f"  Inconclusive: {said}What mends it stands below each ?."
