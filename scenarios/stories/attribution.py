"""Can a daemon do better? It can ask the kernel who connected. Then break it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.props.labd import Daemon
from scenarios.stage.engines import DAEMON, Engine, lab_engines, script
from scenarios.stage.stage import Stage

NAME = "attribution"
TITLE = "Can a daemon do better than nobody?"
OTHER = 33  # www-data on Debian, who asks for nothing in all of this


def play(stage: Stage) -> None:
    with stage.watch() as watch:
        by_pidfd = logged(stage, watch)
        stamped(stage, watch)
        recycled(stage, watch, by_pidfd)
        blamed(stage, watch)


def logged(stage: Stage, watch: Watch) -> bool:
    """Returns whether this kernel has SO_PEERPIDFD: by the daemon's own log, which says how it asked."""
    stage.say("labd --attribution log: ask the kernel for the peer (SO_PEERPIDFD, or SO_PEERCRED), and log it.")
    with daemon(stage, "--attribution", "log") as (engine, home):
        touch(stage, engine)
        line = (home / "log").read_text()
        stage.screen.output(line)
        stage.expect(f"loginuid={stage.user_id} " in line, f"the daemon's own log names {stage.user}")
        expect_auid(stage, watch, UNSET, "the kernel's record still names nobody")
    return "SO_PEERPIDFD" in line


def stamped(stage: Stage, watch: Watch) -> None:
    stage.say("\nlabd --attribution stamp: write it into the container's first process before exec.")
    with daemon(stage, "--attribution", "stamp") as (engine, home):
        touch(stage, engine)
        event = expect_auid(stage, watch, stage.user_id, f"the record names {stage.user}")
        new = event is not None and event.ses not in (UNSET, stage.login.sessionid)
        stage.expect(new, "but not this login: the session is a new one", f"ses={event.ses if event else None}")
        stage.say(f"\nNow let {name_of(OTHER)} run a relay, and {stage.user} ask through it:")
        attack(stage, "relay", home)
        expect_auid(stage, watch, OTHER, "the record blames the relay's user")
        stage.say(f"\nLet {stage.user} connect, and hand the connection to {name_of(OTHER)}, who asks:")
        attack(stage, "give", home)
        expect_auid(stage, watch, stage.user_id, "the record blames who connected, not who asked")


def recycled(stage: Stage, watch: Watch, by_pidfd: bool) -> None:
    stage.say("\nThe peer's pid is a number, and numbers come back. As before Linux 6.5, by SO_PEERCRED alone:")
    with daemon(stage, "--attribution", "stamp", "--peer-by-pid") as (_, home):
        attack(stage, "recycle", home)
        expect_auid(stage, watch, OTHER, "the record blames an innocent process that got the pid")
    stage.say(
        "\nBy SO_PEERPIDFD:" if by_pidfd else "\nAnd by all that this kernel has (no SO_PEERPIDFD before Linux 6.5):"
    )
    with daemon(stage, "--attribution", "stamp") as (_, home):
        code = attack(stage, "recycle", home)
        if by_pidfd:
            unwritten = stage.witness(watch) is None
            stage.expect(
                code == 1 and unwritten, "the daemon sees that the peer is gone, and refuses", f"exit code {code}"
            )
        else:
            expect_auid(stage, watch, OTHER, "the daemon cannot see that the peer is gone")


def blamed(stage: Stage, watch: Watch) -> None:
    stage.say(f"\nAnd a daemon that an administrator ({name_of(OTHER)}) starts by hand from a login shell:")
    with daemon(stage, "--allow-loginuid", loginuid=OTHER) as (engine, _):
        touch(stage, engine)
        expect_auid(stage, watch, OTHER, "everybody's containers are the administrator's: worse than nobody's")


@contextmanager
def daemon(stage: Stage, *options: str, loginuid: int = UNSET) -> Iterator[tuple[Engine, Path]]:
    """A labd of this story's own, and its directory: `socket`, `log`."""
    home = stage.journal.directory("attribution")
    path, log = str(home / "socket"), str(home / "log")
    with Daemon(stage.journal, path, str(home / "state"), *options, log=log, loginuid=loginuid) as started:
        started.wait_ready()
        yield lab_engines(f"unix://{path}")[DAEMON], home


def touch(stage: Stage, engine: Engine) -> None:
    stage.shell(*engine.run(("touch", f"/host{stage.target}"), "-v", "/:/host"))


def attack(stage: Stage, name: str, home: Path) -> int:
    """One of scenarios.props.attacks; its exit code."""
    words = (script("python"), "-m", "scenarios.props.attacks", name, str(home / "socket"), stage.target, str(OTHER))
    return stage.shell(*stage.sudo, *words).exit_code


def expect_auid(stage: Stage, watch: Watch, uid: int, claim: str) -> Event | None:
    """The record of the write that was just made, and whom it names."""
    event = stage.witness(watch)
    stage.expect(
        event is not None and event.auid == uid, claim, f"auid={name_of(event.auid)}" if event else "no record"
    )
    return event
