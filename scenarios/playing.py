"""Set the stage for a run, tell stories on it, look for what is left behind, and conclude; for every audience alike."""

from __future__ import annotations

import os
import platform
import pwd
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from lab import interpreter
from lab.errors import AuditUnavailable, InvalidArgument, NotAllowed
from lab.identity import UNSET, loginuid, name_of
from lab.paths import SOCKET
from scenarios import claims as article
from scenarios import doctor
from scenarios.performance import beats
from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.performance import Performance
from scenarios.performance.text import Argument, Text
from scenarios.props.labd import Daemon
from scenarios.props.real_engines import LABS, REAL, Choice, with_image
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
ROWS_A_STEP = 15  # of the article's claims


@dataclass(frozen=True)
class Cast:
    """Who and what takes part in a run.

    host             labd's socket, as unix://PATH; "" for the usual one
    user             who is logged in: a name, a uid, or "" for whoever is
    target           the file to watch; "" for the default
    engines          the names of those to compare
    engine_options   by engine, words before the verb
    run_options      by engine, words after `run`
    """

    host: str = ""
    user: str = ""
    target: str = ""
    engines: Sequence[str] = tuple(LABS)
    engine_options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    run_options: Mapping[str, Sequence[str]] = field(default_factory=dict)


def chosen(names: Sequence[str], engines: Sequence[str] = tuple(LABS)) -> list[Story]:
    """The stories of these names; without names all, but REAL_ONLY's only if a real engine was chosen."""
    known = {story.NAME: story for story in ALL}
    for name in names:
        if name not in known:
            raise InvalidArgument(f'there is no story "{name}"', f"there are: {', '.join(known)}")
    return [known[name] for name in names] or list(ALL if REAL.keys() & set(engines) else STORIES)


def tell(stage: Stage, story: Story) -> Report:
    """Play one story, under its number in `lab list`."""
    return stage.tell(ALL.index(story) + 1, story)


def refuse_what_cannot_be() -> None:
    """Raise for what the machine lacks, before anything is changed."""
    for finding in doctor.examine():
        if finding.needed and not finding.good:
            kind = NotAllowed if finding.what == "root" else AuditUnavailable
            raise kind(f"{finding.what}: {finding.detail}", "`lab doctor` shows everything that was checked")


@contextmanager
def on_stage(cast: Cast, stories: Sequence[Story], performance: Performance) -> Iterator[Stage]:
    """A stage with all that a run needs, from its opening on; taken down in the opposite order, whatever happens.

    Call refuse_what_cannot_be() first. Raises LabError at the end, if the run left anything behind.
    """
    target = cast.target and watchable(cast.target)
    interpreter.executable()  # makes the one mount that stays after a run
    before = Traces.now(target or SHADOW)
    with _set(cast, stories, performance, target) as stage:
        yield stage
    after = Traces.now(target or SHADOW)
    if others := before.changed_by_others(after):
        said = "Meanwhile another program changed this machine, which no story does: {changes}."
        performance.perform(beats.Say(Text(said, {"changes": "; ".join(others)})))
    before.expect_nothing_left(after, stage.keys)


@contextmanager
def _set(cast: Cast, stories: Sequence[Story], performance: Performance, target: str) -> Iterator[Stage]:
    path = cast.host.removeprefix("unix://") or SOCKET
    engines = lab_engines(f"unix://{path}" if path != SOCKET else "")
    found = Choice(cast.engines, cast.engine_options, cast.run_options).find(engines)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal())
        watched = target or default(journal)
        login = stack.enter_context(Login(user_id(cast.user)))
        daemon = stack.enter_context(Daemon(journal, path))
        ready = [with_image(engine, journal) if engine.name in REAL else engine for engine in found]
        stage = Stage(performance, journal, login, daemon, engines, watched, ready)
        remarks = [Text.of("restored after an earlier run: {line}", line=line) for line in journal.restored]
        remarks += [*_remarks(stage, decoy=not target)]
        performance.perform(_opening(stage, stories, remarks))
        yield stage


def _opening(stage: Stage, stories: Sequence[Story], remarks: Sequence[Text]) -> beats.Opening:
    system = platform.uname()
    return beats.Opening(
        began=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        machine=system.machine,
        kernel=system.release,
        user=stage.user,
        loginuid=stage.user_id,
        session=stage.login.sessionid,
        target=stage.target,
        engines=tuple(engine.name for engine in stage.chosen),
        stories=tuple(story.NAME for story in stories),
        remarks=tuple(remarks),
        labd=_loginuid_of(stage.daemon),
    )


def _remarks(stage: Stage, *, decoy: bool) -> Iterator[Text]:
    """Who is logged in, which labd serves, which file is watched, and who witnesses."""
    who: dict[str, Argument] = {"user": stage.user, "uid": stage.user_id}
    if loginuid() == UNSET:
        said = "No login here (loginuid is unset): the lab opened a session for {user} ({uid}), as pam_loginuid does."
        yield Text(said, who)
    else:
        yield Text("You are logged in as {user} ({uid}).", who)
    yield _served(stage.daemon)
    if stage.target != SHADOW:
        said = "The file to watch is a decoy, {target} (--target {shadow} for the real one)."
        yield Text(said if decoy else "The file to watch is {target}.", {"target": stage.target, "shadow": SHADOW})
    yield Text(SECOND_WITNESS if stage.auditd else UNHEARD if doctor.audit().auditd else ONE_WITNESS)


def _loginuid_of(daemon: Daemon) -> int | None:
    try:
        return loginuid(daemon.pid) if daemon.pid else None
    except OSError:  # it has ended since
        return None


def _served(daemon: Daemon) -> Text:
    number = _loginuid_of(daemon)
    if number is None:
        return Text("labd: {path} is there, and no labd answers.", {"path": daemon.path})
    uid = Text("unset") if number == UNSET else name_of(number)
    said = "labd: pid {pid}, started for this run, loginuid {uid}."
    found = "labd: pid {pid}, found running, loginuid {uid}."
    return Text(said if daemon.started_here else found, {"pid": daemon.pid, "uid": uid})


def user_id(wanted: str) -> int:
    """wanted, else the user who logged in here, else who called sudo, else the first ordinary user, else 1000."""
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


def conclude(reports: Sequence[Report], performance: Performance) -> beats.Closing:
    """The last beats: what became of each story, the article's claims as they were seen, and the counts."""
    verdicts = [claim for report in reports for claim in report.claims]
    count = {word: sum(one.verdict == word for one in verdicts) for word in (HELD, FAILED, UNKNOWN)}
    torn = len(disturbed(reports))
    performance.perform(beats.Summary(tuple(beats.Told(one.name, Text(one.title), one.verdict) for one in reports)))
    rows = [beats.Judged(row.claim, row.today, row.seen, row.held) for row in article.rows(reports)]
    for start in range(0, len(rows), ROWS_A_STEP):
        performance.perform(beats.Article(tuple(rows[start : start + ROWS_A_STEP])))
    code = SOME_FAILED if count[FAILED] else SOME_UNKNOWN if count[UNKNOWN] else HELD_ALL
    closing = beats.Closing(count[HELD], count[FAILED], count[UNKNOWN] - torn, torn, code)
    performance.perform(closing)
    return closing


def disturbed(reports: Sequence[Report]) -> list[Verdict]:
    """The claims that are inconclusive for another reason than that this machine lacks something."""
    return [claim for report in reports for claim in report.claims if claim.verdict == UNKNOWN and not claim.lacking]
