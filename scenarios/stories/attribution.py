"""Can a daemon do better? The daemon asks the kernel who connected; then the story breaks each way of asking."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.props.attacks import REFUSED
from scenarios.props.labd import Daemon
from scenarios.stage.engines import DAEMON, Engine, lab_engines, script
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "attribution"
TITLE = "Can a daemon do better than nobody?"
OTHER = 33  # www-data on Debian, a user who asks for no container in this story


def play(stage: Stage) -> None:
    with stage.watch() as watch:
        by_pidfd = logged(stage, watch)
        stamped(stage, watch)
        recycled(stage, watch, by_pidfd)
        blamed(stage, watch)


def logged(stage: Stage, watch: Watch) -> bool:
    """Returns whether this kernel has SO_PEERPIDFD, by what the daemon's log says."""
    stage.say("labd --attribution log: ask the kernel for the peer (SO_PEERPIDFD, or SO_PEERCRED), and log it.")
    with daemon(stage, "--attribution", "log") as (engine, home):
        touch(stage, engine)
        line = (home / "log").read_text()
        stage.screen.output(line)
        stage.expect(f"loginuid={stage.user_id} " in line, f"the daemon's own log names {stage.user}")
        stage.names(stage.witness(watch), UNSET, "the kernel's record still names nobody")
    return "SO_PEERPIDFD" in line


def stamped(stage: Stage, watch: Watch) -> None:
    stage.then("labd --attribution stamp: write the peer's loginuid into the container's first process.")
    with daemon(stage, "--attribution", "stamp") as (engine, home):
        touch(stage, engine)
        event = stage.witness(watch)
        stage.names(event, stage.user_id, f"the record names {stage.user}")
        new = event is not None and event.ses not in (UNSET, stage.login.sessionid)
        stage.expect(new, "but not this login: the session is a new one", f"ses={whom(event)[1]}")
        stage.then(f"Now let {name_of(OTHER)} run a relay, and {stage.user} ask through it:")
        attack(stage, "relay", home)
        stage.names(stage.witness(watch), OTHER, "the record blames the relay's user")
        stage.then(f"Let {stage.user} connect, and hand the connection to {name_of(OTHER)}, who asks:")
        attack(stage, "give", home)
        stage.names(stage.witness(watch), stage.user_id, "the record blames who connected, not who asked")


def recycled(stage: Stage, watch: Watch, by_pidfd: bool) -> None:
    stage.then("The peer's pid is a number that a later process may get. By SO_PEERCRED, as before Linux 6.5:")
    with daemon(stage, "--attribution", "stamp", "--peer-by-pid") as (_, home):
        attack(stage, "recycle", home)
        stage.names(stage.witness(watch), OTHER, "the record blames an innocent process that got the pid")
    stage.then("By SO_PEERPIDFD:" if by_pidfd else "By SO_PEERCRED again, since SO_PEERPIDFD came with Linux 6.5:")
    with daemon(stage, "--attribution", "stamp") as (_, home):
        code = attack(stage, "recycle", home)
        event = stage.witness(watch)
        if by_pidfd:
            refused = code == REFUSED and event is None
            stage.expect(refused, "the daemon sees that the peer is gone, and refuses", f"exit code {code}")
        else:
            stage.names(event, OTHER, "the daemon cannot see that the peer is gone")


def blamed(stage: Stage, watch: Watch) -> None:
    stage.then(f"And a daemon that an administrator ({name_of(OTHER)}) starts by hand from a login shell:")
    with daemon(stage, "--allow-loginuid", loginuid=OTHER) as (engine, _):
        touch(stage, engine)
        stage.names(stage.witness(watch), OTHER, "every user's container names the administrator: worse than nobody")


@contextmanager
def daemon(stage: Stage, *options: str, loginuid: int = UNSET) -> Iterator[tuple[Engine, Path]]:
    """A labd for this story alone, and its directory: `socket`, `log`."""
    home = stage.journal.directory("attribution")
    path, log = str(home / "socket"), str(home / "log")
    with Daemon(stage.journal, path, str(home / "state"), *options, log=log, loginuid=loginuid) as started:
        started.wait_ready()
        yield lab_engines(f"unix://{path}")[DAEMON], home


def touch(stage: Stage, engine: Engine) -> None:
    stage.shell(*engine.run(("touch", f"/host{stage.target}"), "-v", "/:/host"), answers=[0])


def attack(stage: Stage, name: str, home: Path) -> int | None:
    """Run one of scenarios.props.attacks in the session; returns its exit code: 1 if labd refused."""
    words = (script("python"), "-m", "scenarios.props.attacks", name, str(home / "socket"), stage.target, str(OTHER))
    return stage.shell(*stage.sudo, *words, answers=[0, REFUSED]).exit_code
