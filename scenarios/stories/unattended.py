"""Processes that nobody asks for at the time: a timer's, a health check's, a restart's. A fork hands on what its
starter has: the user's loginuid, another user's, or nobody's.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import MissingFeature
from lab.identity import UNSET, loginuid, name_of
from scenarios.needs import CannotTell
from scenarios.performance.text import Text
from scenarios.props.real_engines import REAL
from scenarios.props.systemd import Systemd, exec_start
from scenarios.props.timer import go_off
from scenarios.stage.engines import DAEMON, FORK, Engine, absolute, inspected
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "unattended"
TITLE = "Whose are the processes that nobody asks for?"
WHO = ("cat", "/proc/self/loginuid")
CHECK = "[ -s /out/health ] || cat /proc/self/loginuid >/out/health"  # a later check leaves it alone: it is being read
FAIL = ("sh", "-c", "echo $(cat /proc/self/loginuid) >>/out/starts; exit 1")
TIMER = UNSET  # the loginuid of what init starts
ADMIN = 33  # www-data on Debian, who may use the engine, too
SECONDS = 90  # podman on an emulated machine needs more than 20 to start a container again
UNIT = "lab-check"
Card = list[list[str | Text]]


def play(stage: Stage) -> None:
    card: Card = []
    forkers, daemons = stage.each(FORK), stage.each(DAEMON)
    for engine in forkers:
        stage.say("{user} starts a container, which {engine} forks.", user=stage.user, engine=engine.name)
        with running(stage, engine) as (name, pid):
            checked(stage, engine, name, pid, card)
        whole(stage, engine, card)
    for engine in daemons:
        asked(stage, engine, card)
    for engine in (*forkers, *daemons):
        if engine.model == DAEMON or engine.name in REAL:  # podmanish leaves nothing behind that could do it
            health(stage, engine, card)
            restart(stage, engine, card)
    by_systemd(stage, card)
    stage.contrast("", ["the process", "started by", "loginuid"], card)


def checked(stage: Stage, engine: Engine, name: str, pid: int, card: Card) -> None:
    """The same exec in one container: typed by the user, run by a timer, typed by another user."""
    stage.ask("{user} types a check that runs in it. Whose process is that?", stage.user, "nobody", user=stage.user)
    typed = stage.shell(*engine.command("exec", name, *WHO))
    stage.prints(typed, stage.user_id, "typed by {user}, {engine}'s exec inherits {user}",
        user=stage.user, engine=engine.name)  # fmt: skip
    stage.say("A timer that no login started runs the same check in {user}'s container.", user=stage.user)
    stage.ask("Whose process is it now?", stage.user, "nobody")
    timed = on_time(stage, engine, "exec", name, *WHO)
    stage.prints(timed, UNSET, "run by a timer, the same check is nobody's")
    kept = loginuid(pid)
    stage.expect(kept == stage.user_id, "in a container that is still {user}'s", name_of(kept), user=stage.user)
    admin = name_of(ADMIN)
    stage.say("The same from the login of another user, {admin}:", admin=admin)
    stage.ask("Whose process is it now?", stage.user, "nobody", admin)
    other = on_time(stage, engine, "exec", name, *WHO, uid=ADMIN)
    stage.prints(other, ADMIN, "it is {admin}'s: two logins in one container", admin=admin)
    for starter, outcome in ((stage.user, typed), (Text("a timer"), timed), (admin, other)):
        card.append([f"{engine.name} exec", starter, found(outcome)])


def whole(stage: Stage, engine: Engine, card: Card) -> None:
    stage.say("The timer starts a whole container. {engine} forks it, as always.", engine=engine.name)
    stage.ask("Whose loginuid does the container have?", stage.user, "nobody")
    outcome = on_time(stage, engine, "run", "--rm", *engine.run_options, engine.image, *WHO)
    stage.prints(outcome, UNSET, "forked by {engine} for a timer, it is nobody's", engine=engine.name)
    card.append([f"{engine.name} run", Text("a timer"), found(outcome)])


def asked(stage: Stage, engine: Engine, card: Card) -> None:
    stage.say("And in a container of {engine}'s: typed by {user}, then run by a timer.",
        engine=engine.name, user=stage.user)  # fmt: skip
    with running(stage, engine) as (name, _):
        stage.ask("Whose is each?", Text("{user}'s, then nobody's", {"user": stage.user}), "nobody's, both")
        typed = stage.shell(*engine.command("exec", name, *WHO))
        timed = on_time(stage, engine, "exec", name, *WHO)
    both = typed.printed == timed.printed == UNSET
    seen = None if None in (typed.printed, timed.printed) else f"{found(typed)}, {found(timed)}"
    stage.expect(both, "through {engine}'s daemon, both are nobody's", seen, engine=engine.name)
    for starter, outcome in ((stage.user, typed), (Text("a timer"), timed)):
        card.append([f"{engine.name} exec", starter, found(outcome)])


def health(stage: Stage, engine: Engine, card: Card) -> None:
    """A daemon runs its checks itself; podman asks systemd for a transient timer that runs `podman healthcheck run`."""
    own = engine.model == DAEMON or Path("/run/systemd/system").is_dir()
    stage.say("{engine} checks a container's health from time to time.", engine=engine.name)
    stage.ask("Whose process is the check?", stage.user, "nobody")
    out = stage.journal.directory("unattended")
    options = ("-v", f"{out}:/out", "--health-cmd", CHECK, f"--health-interval={'200ms' if own else 'disable'}")
    with running(stage, engine, *options) as (name, _):
        if not own:
            stage.say("Here is no systemd for podman's timer: the lab's timer runs what podman's would.")
            go_off(stage.journal, [*engine.argv, "healthcheck", "run", name], TIMER)
        written(out / "health", 1)
        outcome = stage.shell("cat", str(out / "health"))
    stage.prints(outcome, UNSET, "{engine}'s health check is nobody's", engine=engine.name)
    card.append([f"{engine.name}, its health check", Text("a timer"), found(outcome)])


def restart(stage: Stage, engine: Engine, card: Card) -> None:
    """conmon, forked from the login, starts podman again; a daemon has its children start docker's and labd's."""
    stage.say("A container fails, and {engine} starts it again.", engine=engine.name)
    stage.ask("Whose is the first, and whose the second?", stage.user, "nobody")
    out, name = stage.journal.directory("unattended"), f"lab-{os.urandom(4).hex()}"
    words = ("run", "-d", "--name", name, "--restart=on-failure:1", "-v", f"{out}:/out", *engine.run_options)
    stage.shell(*engine.command(*words, engine.image, *FAIL), answers=[0])
    written(out / "starts", 2)
    outcome = stage.shell("cat", str(out / "starts"))
    stage.quiet(*engine.command("rm", "-f", name))
    expected = stage.user_id if engine.model == FORK else UNSET
    claim = "started again by {engine}, both are {whom}'s"
    held = outcome.stdout.split() == [str(expected)] * 2
    whose = stage.user if expected == stage.user_id else "nobody"
    stage.expect(held, claim, " ".join(outcome.stdout.split()), engine=engine.name, whom=whose)
    starter = "conmon" if engine.model == FORK else "dockerd" if engine.name in REAL else "labd"
    card.append([f"{engine.name}, its restart", starter, found(outcome)])


def by_systemd(stage: Stage, card: Card) -> None:
    engine, claim = stage.engines[FORK], "a timer unit's container is nobody's, although {engine} forks it"
    stage.say("And a real systemd, whose timer unit starts the same container.")
    stage.ask("Whose loginuid does it have?", stage.user, "nobody")
    try:
        with Systemd(stage.journal) as systemd:
            outcome = timer_unit(stage, systemd, [*absolute(engine), "run", "--rm", engine.image, *WHO])
    except MissingFeature as missing:
        stage.unknown(claim, missing.message, missing.hint, lacking=True, engine=engine.name)
        return
    stage.prints(outcome, UNSET, claim, engine=engine.name)
    card.append([f"{engine.name} run", Text("a systemd timer"), found(outcome)])


def timer_unit(stage: Stage, systemd: Systemd, argv: list[str]) -> Outcome:
    """What the service of a timer unit has written to its journal."""
    service = f"[Service]\nType=oneshot\nSyslogIdentifier={UNIT}\n{exec_start(argv)}\n"
    systemd.install({f"{UNIT}.service": service, f"{UNIT}.timer": "[Timer]\nOnActiveSec=0\nAccuracySec=1ms\n"})
    stage.shell(*systemd.enter, "systemctl", "start", f"{UNIT}.timer")
    read = [*systemd.enter, "journalctl", "-o", "cat", "-t", UNIT]
    soon(lambda: bool(systemd.run(*read[len(systemd.enter) :])), f"{UNIT}.service has written nothing")
    return stage.shell(*read)


def on_time(stage: Stage, engine: Engine, *words: str, uid: int | None = None) -> Outcome:
    """What the engine's command printed when a timer ran it, or a process of another user's login.

    Where it printed no number, its messages are shown, too.
    """
    place = go_off(stage.journal, [*engine.argv, *words], TIMER if uid is None else uid)
    stage.shell("cat", str(place / "job"))
    outcome = stage.shell("cat", str(place / "out"))
    if outcome.printed is None:
        stage.shell("cat", str(place / "errors"))
    return outcome


@contextmanager
def running(stage: Stage, engine: Engine, *options: str) -> Iterator[tuple[str, int]]:
    """A container that the user starts in the background; its name and its first process's pid."""
    name = f"lab-{os.urandom(4).hex()}"
    stage.shell(*engine.run(("sleep", "600"), "-d", "--name", name, *options), answers=[0])
    pid = int(inspected(engine, name).get("Pid", 0))
    if not pid:
        raise CannotTell(f"a container of {engine.name} ended as soon as it ran", "run the command above by hand")
    stage.journal.note_process(pid)
    try:
        yield name, pid
    finally:
        stage.quiet(*engine.command("kill", name))


def written(path: Path, lines: int) -> None:
    soon(lambda: path.exists() and len(path.read_text().split()) >= lines, f"{path} was not written")


def soon(condition: Callable[[], bool], complaint: str) -> None:
    """Raises CannotTell if the condition does not hold within SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise CannotTell(f"{complaint} within {SECONDS} s", "run this again")
        time.sleep(0.02)


def found(outcome: Outcome) -> str:
    return "?" if outcome.printed is None else name_of(outcome.printed)
