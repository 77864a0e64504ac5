"""Can a daemon do better? The daemon asks the kernel who connected; then the story breaks each way of asking."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.audit.netlink import AUDIT_VIRT_CONTROL
from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.performance.text import Text
from scenarios.props.attacks import REFUSED
from scenarios.props.labd import Daemon
from scenarios.stage.engines import DAEMON, Engine, lab_engines, script
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "attribution"
TITLE = "Can a daemon do better than nobody?"
OTHER = 33  # www-data on Debian, a user who asks for no container in this story


def play(stage: Stage) -> None:
    found: list[Row] = []
    with stage.watch() as watch:
        by_pidfd = logged(stage, watch, found)
        stamped(stage, watch, found)
        recycled(stage, watch, by_pidfd, found)
        blamed(stage, watch, found)
    rows = [[row.way, *whom(row.event), row.truth] for row in found]
    stage.contrast("What the kernel's record says", ["the daemon", "auid", "ses", "who asked"], rows)


@dataclass(frozen=True)
class Row:
    """A way of attribution, the event of the write, and who had asked for it."""

    way: str
    event: Event | None
    truth: str


def logged(stage: Stage, watch: Watch, found: list[Row]) -> bool:
    """Returns whether this kernel has SO_PEERPIDFD, by what the daemon's log says."""
    stage.say("labd --attribution log asks the kernel for the peer (SO_PEERPIDFD, or SO_PEERCRED), and logs it.")
    stage.ask("Whom does the kernel's record name now?", stage.user, "nobody")
    with daemon(stage, "--attribution", "log") as (engine, home):
        touch(stage, engine)
        line = (home / "log").read_text()
        stage.show(line)
        named = f"loginuid={stage.user_id} " in line
        stage.expect(named, "the daemon's own log names {user}", user=stage.user)
        found.append(Row("logs its caller", stage.witness(watch), stage.user))
        stage.names(found[-1].event, UNSET, "the kernel's record still names nobody")
        told(stage, watch)
    return "SO_PEERPIDFD" in line


def told(stage: Stage, watch: Watch) -> None:
    """labd writes VIRT_CONTROL records, as libvirt does: the kernel vouches for auid=, sauid= is labd's word."""
    stage.say("labd wrote to the audit log, too: VIRT_CONTROL, as libvirt does for virtual machines.")
    stage.ask("Whom does this record name?", stage.user, "nobody", "both")
    started = [event for event in watch.events if is_start(event)]
    for event in started[:1]:
        stage.show_records(event)
    said = bool(started) and f" sauid={stage.user_id} " in started[0].records[0].message
    stage.expect(said, "sauid, which labd wrote, names {user}", user=stage.user)
    stage.names(started[0] if started else None, UNSET, "auid, which the kernel added, names nobody")


def is_start(event: Event) -> bool:
    return any(" op=start " in record.message for record in event.of_type(AUDIT_VIRT_CONTROL))


def stamped(stage: Stage, watch: Watch, found: list[Row]) -> None:
    other = name_of(OTHER)
    stage.say("labd --attribution stamp writes the peer's loginuid into the container's first process.")
    stage.ask("Whom does the record name now?", stage.user, "nobody")
    with daemon(stage, "--attribution", "stamp") as (engine, home):
        touch(stage, engine)
        event = stage.witness(watch)
        found.append(Row("stamps it", event, stage.user))
        stage.names(event, stage.user_id, "the record names {user}", user=stage.user)
        new = event is not None and event.ses not in (UNSET, stage.login.sessionid)
        stage.expect(new, "but not this login: the session is a new one", f"ses={whom(event)[1]}")
        stage.ask("{other} runs a relay, and {user} asks through it. Whom now?", stage.user, other,
            other=other, user=stage.user)  # fmt: skip
        attack(stage, "relay", home)
        found.append(Row("stamps a relay", stage.witness(watch), stage.user))
        stage.names(found[-1].event, OTHER, "the record blames the relay's user")
        stage.ask("{user} connects, and hands the connection to {other}, who asks. Whom now?", stage.user, other,
            other=other, user=stage.user)  # fmt: skip
        attack(stage, "give", home)
        found.append(Row("stamps who connected", stage.witness(watch), other))
        stage.names(found[-1].event, stage.user_id, "the record blames who connected, not who asked")


def recycled(stage: Stage, watch: Watch, by_pidfd: bool, found: list[Row]) -> None:
    stage.say("The peer's pid is a number that a later process may get. By SO_PEERCRED, as before Linux 6.5:")
    with daemon(stage, "--attribution", "stamp", "--peer-by-pid") as (_, home):
        attack(stage, "recycle", home)
        found.append(Row("stamps a pid that is used again", stage.witness(watch), stage.user))
        stage.names(found[-1].event, OTHER, "the record blames an innocent process that got the pid")
    stage.say("By SO_PEERPIDFD:" if by_pidfd else "By SO_PEERCRED again, since SO_PEERPIDFD came with Linux 6.5:")
    with daemon(stage, "--attribution", "stamp") as (_, home):
        code = attack(stage, "recycle", home)
        event = stage.witness(watch)
        if by_pidfd:
            refused = code == REFUSED and event is None
            seen = Text("exit code {code}", {"code": str(code)})
            stage.expect(refused, "the daemon sees that the peer is gone, and refuses", seen)
        else:
            stage.names(event, OTHER, "the daemon cannot see that the peer is gone")


def blamed(stage: Stage, watch: Watch, found: list[Row]) -> None:
    stage.say("An administrator, {admin}, starts the daemon by hand from a login shell.", admin=name_of(OTHER))
    stage.ask("Whom does the record of {user}'s container name?", stage.user, "nobody", name_of(OTHER), user=stage.user)
    with daemon(stage, "--allow-loginuid", loginuid=OTHER) as (engine, _):
        touch(stage, engine)
        found.append(Row("has a loginuid itself", stage.witness(watch), stage.user))
        claim = "every user's container names the administrator: worse than nobody"
        stage.names(found[-1].event, OTHER, claim)


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
