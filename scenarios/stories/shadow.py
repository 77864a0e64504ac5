"""The article's main example: a privileged container writes to /etc/shadow. Whom does the audit log name?"""

from lab.audit.records import Event
from lab.identity import UNSET, name_of
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "shadow"
TITLE = "Who touched the shadow file?"
ROWS = ("auid", "ses", "uid", "tty", "comm")


def play(stage: Stage) -> None:
    touch, whole_host = ("touch", f"/host{stage.target}"), ("--privileged", "-v", "/:/host")
    events: dict[str, Event | None] = {}
    stage.say(f"Ask the kernel to record every write to {stage.target}:")
    with stage.watch() as watch:
        stage.then("Touch it on the host:")
        stage.shell(*stage.sudo, "touch", stage.target)
        events["on the host"] = stage.witness(watch)
        named(stage, events["on the host"], "on the host")

        stage.then("The same from a privileged container, forked:")
        for engine in stage.each(FORK):
            stage.run(engine, touch, *whole_host)
            events[engine.name] = stage.witness(watch)
            named(stage, events[engine.name], f"from {engine.name}'s container")

        stage.then("And through a daemon:")
        for engine in stage.each(DAEMON):
            stage.run(engine, touch, *whole_host)
            events[engine.name] = stage.witness(watch)
            stage.names(events[engine.name], UNSET, f"through {engine.name}'s daemon, the record names nobody")
            stage.in_session(events[engine.name], UNSET, "and no session")
    compare(stage, events)


def named(stage: Stage, event: Event | None, where: str) -> None:
    """The record must have the user's auid and the login's session."""
    stage.names(event, stage.user_id, f"{where}, the record names {stage.user}")
    stage.in_session(event, stage.login.sessionid, "and the session of this login")


def compare(stage: Stage, events: dict[str, Event | None]) -> None:
    """Show the records side by side, field by field."""
    columns = [dict(zip(ROWS, cells(event), strict=True)) for event in events.values()]
    rows = [[field, *(column[field] for column in columns)] for field in ROWS]
    stage.screen.table(["", *events], rows, "the records, side by side")


def cells(event: Event | None) -> tuple[str, ...]:
    """An event's values of ROWS."""
    rest = (name_of(event.uid), event.tty, event.comm) if event else ("", "", "")
    return *whom(event), *rest
